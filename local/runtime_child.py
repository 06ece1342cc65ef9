"""First code of an edge environment: narrow what can be imported to the bundle, then hand over to awslambdaric.

Run as a script by `local/runtime.py`, with `python -I -S`: standard library only, nothing of this project.
"""

import os
import sys


def main() -> None:
    """Run awslambdaric; the arguments are the bundle's folder, the runtime client's folder and the handler."""
    bundle, runtime_client, handler = sys.argv[1:]
    # Lambda's order: the function's own folder wins over the runtime's, which wins over the standard library.
    sys.path[:0] = [bundle, runtime_client]
    os.chdir(bundle)
    sys.argv[:] = ["awslambdaric", handler]

    from awslambdaric.__main__ import main as run  # noqa: PLC0415 - importable only now

    run(sys.argv)


if __name__ == "__main__":
    main()
