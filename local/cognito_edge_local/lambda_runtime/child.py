"""First code of an edge environment: narrow what can be imported to the bundle, then hand over to awslambdaric.

The Runtime API's address ends in a secret path (``lambda_runtime/runtime_api.py``). awslambdaric's native part reads the
address when it is imported, and appends its own paths. Its Python part takes host and port only, so the secret path is put
before its paths here.

Run as a script by ``lambda_runtime/environments.py``, with ``python -I -S``: standard library only, nothing of this project.
"""

import os
import sys
import time


def _set_clock(shift_s: float) -> None:
    """Let ``time.time`` be wrong by *shift_s*, before anything is imported that could have taken hold of it."""
    if shift_s:
        right = time.time
        time.time = lambda: right() + shift_s


def main() -> None:
    """Run awslambdaric; the arguments: the bundle's folder, the runtime client's, the handler, a wrong clock's seconds."""
    bundle, runtime_client, handler, clock_shift_s = sys.argv[1:]
    _set_clock(float(clock_shift_s))
    # Lambda's order: the function's own folder wins over the runtime's, which wins over the standard library.
    sys.path[:0] = [bundle, runtime_client]
    os.chdir(bundle)
    sys.argv[:] = ["awslambdaric", handler]

    from awslambdaric.__main__ import main as run  # noqa: PLC0415 - importable only now
    from awslambdaric.lambda_runtime_client import BaseLambdaRuntimeClient  # noqa: PLC0415

    # The environment as the function sees it on Lambda, and as the Python part reads it.
    os.environ["AWS_LAMBDA_RUNTIME_API"], _, secret = os.environ["AWS_LAMBDA_RUNTIME_API"].partition("/")
    call = BaseLambdaRuntimeClient.call_rapid

    def call_with_secret(self: object, method: str, endpoint: str, *arguments: object, **options: object) -> None:
        call(self, method, f"/{secret}{endpoint}", *arguments, **options)

    BaseLambdaRuntimeClient.call_rapid = call_with_secret
    run(sys.argv)


if __name__ == "__main__":
    main()
