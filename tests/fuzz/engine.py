"""What the fuzz targets share: the coverage-guided engine, seeds, a dictionary, and a gateway without a network.

A target is a function of bytes that raises when an invariant breaks. The engine, atheris, lives in an environment of its
own (``make fuzz``) and is asked for only when a target is run, so that the ordinary tests can call the targets too.
"""

import contextlib
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

ROOT = Path(__file__).parents[2]
NOW = 1_790_000_000
POOL_ID = "eu-west-1_TestPool1"
CLIENT_ID = "1example23456789client"
ISSUER = f"https://cognito-idp.eu-west-1.amazonaws.com/{POOL_ID}"


def instrumented() -> contextlib.AbstractContextManager[None]:
    """Import what is inside with coverage feedback, if the engine is there."""
    try:
        import atheris
    except ImportError:
        return contextlib.nullcontext()
    return atheris.instrument_imports(include=["cognito_edge"])


def run(target: Callable[[bytes], None], seeds: Iterable[bytes], words: Iterable[bytes], max_len: int = 4_096) -> None:
    """Fuzz *target*; libFuzzer's own options, such as ``-runs=1000000``, come from the command line."""
    import atheris

    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder, "corpus")
        corpus.mkdir()
        for number, seed in enumerate(seeds):
            corpus.joinpath(f"seed-{number}").write_bytes(seed)
        dictionary = Path(folder, "words.dict")
        dictionary.write_text(
            "".join('"' + "".join(f"\\x{byte:02x}" for byte in word) + '"\n' for word in words), encoding="ascii"
        )
        options = [f"-dict={dictionary}", f"-max_len={max_len}", "-rss_limit_mb=1024", f"-artifact_prefix={folder}/"]
        atheris.Setup([sys.argv[0], *options, *sys.argv[1:], str(corpus)], _with_input_shown(target))
        atheris.Fuzz()


def _with_input_shown(target: Callable[[bytes], None]) -> Callable[[bytes], None]:
    """Print the input that breaks an invariant, ready to be pasted into a test."""

    def one_input(data: bytes) -> None:
        try:
            target(data)
        except BaseException:
            print(f"input: {data!r}", file=sys.stderr, flush=True)
            raise

    return one_input


def expect(condition: object, what: object = "") -> None:
    """Break the invariant unless the condition holds; also where an exception is being looked at."""
    if not condition:
        raise AssertionError(what)


class Choices:
    """Small decisions taken from the engine's bytes; 0 when they have run out."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def byte(self) -> int:
        self._at += 1
        return self._data[self._at - 1] if self._at <= len(self._data) else 0

    def below(self, limit: int) -> int:
        """Return a number from 0 to limit - 1."""
        return (self.byte() << 8 | self.byte()) % limit

    def rest(self) -> bytes:
        return self._data[self._at :]
