"""The example's page: its npm packages, installed once for each lock, and ``web/dist``, built when its sources change.

``python -m infra.deploy.web_build`` builds it; ``… check`` runs its type check, lint and unit tests; ``… --optional`` keeps the
page that is there if npm's registry cannot be reached.
"""

import argparse
import hashlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from cognito_edge_cdk.bundling.installer import alone
from cognito_edge_cdk.bundling.layout import PROJECT, WEB

from . import npm

_DIST: Final = WEB / "dist"
_MODULES: Final = WEB / "node_modules"
_LOCK: Final = tuple(WEB / name for name in (".npmrc", "package.json", "package-lock.json"))
_SOURCES: Final = ("index.html", "vite.config.ts", "tsconfig.json", "package-lock.json", "src", "public")
_STATE: Final = PROJECT / "dist"
"""Holds the digests of what was built; not ``web/dist``, all of which is put onto the site."""

_BUILD_TIMEOUT_S: Final = 120
# npm by itself would try for more than a minute; ``make run`` has a page to show without it.
_IMPATIENT: Final = ("--fetch-retries=1", "--fetch-retry-mintimeout=1000", "--fetch-timeout=10000")

_CHECKS: Final = {
    "types": ("typescript/bin/tsc", "--project", "."),
    "lint": ("eslint/bin/eslint.js", "."),
    "unit tests": ("vitest/vitest.mjs", "run", "--reporter=dot"),
}


class WebBuildError(Exception):
    """The page cannot be built, or a check failed; the message says why."""


def build(*, patient: bool = True) -> bool:
    """Bring ``web/dist`` up to date.

    Returns:
        Whether anything had to be done.

    Raises:
        WebBuildError: The packages cannot be installed, or the sources do not build.
    """
    mark = _STATE / "web.digest"
    digest = _sources_digest()
    if _is_marked(mark, digest) and (_DIST / "index.html").is_file():
        return False
    with alone(_STATE / "web.lock"):  # tests start several systems at once
        if _is_marked(mark, digest) and (_DIST / "index.html").is_file():
            return False  # another process was faster
        _install(tools=False, patient=patient)
        with tempfile.TemporaryDirectory(prefix=".web-", dir=_STATE) as scratch:
            fresh = Path(scratch) / "dist"
            # Fixed, because the shell's value would build another page.
            mode = {"NODE_ENV": "production"}
            _node("vite/bin/vite.js", "build", "--logLevel", "warn", "--outDir", str(fresh), "--emptyOutDir", **mode)
            mark.unlink(missing_ok=True)
            if _DIST.exists():
                _DIST.rename(Path(scratch) / "old")
            fresh.rename(_DIST)
        mark.write_text(digest)
    return True


def install_tools() -> None:
    """Install the packages, those for checks and tests included.

    Raises:
        WebBuildError: npm failed.
    """
    with alone(_STATE / "web.lock"):  # tests start several systems at once
        _install(tools=True, patient=True)


def check() -> None:
    """Check types, lint and run the unit tests; say each one's name and time.

    Raises:
        WebBuildError: One of them found a fault; its output says which.
    """
    install_tools()
    for name, command in _CHECKS.items():
        began = time.monotonic()
        _node(*command)
        print(f"web: {name} passed ({time.monotonic() - began:.1f} s)", file=sys.stderr)


def _sources_digest() -> str:
    named = [WEB / name for name in _SOURCES]
    files = [path for root in named for path in ([root] if root.is_file() else root.rglob("*")) if path.is_file()]
    digest = hashlib.sha256()
    for path in sorted(files):
        contents = path.read_bytes()
        digest.update(f"{path.relative_to(WEB)}\0{len(contents)}\0".encode())
        digest.update(contents)
    return digest.hexdigest()


def _install(*, tools: bool, patient: bool) -> None:
    """Install what the build needs, and with *tools* what checks and tests need too, if anything is missing."""
    omit = "" if tools else "dev"
    if npm.is_installed(_LOCK, _MODULES, omit=omit):
        return
    print("web: installing its npm packages (once, a few seconds)", file=sys.stderr, flush=True)
    try:
        npm.install(_LOCK, _MODULES, what="the page's packages", omit=omit, options=() if patient else _IMPATIENT)
    except npm.NpmError as error:
        raise WebBuildError(str(error)) from None


def _node(program: str, *arguments: str, **variables: str) -> None:
    command = [str(npm.node()), str(_MODULES / program), *arguments]
    try:
        finished = subprocess.run(  # noqa: S603 - our own Node and locked packages, constant arguments
            command,
            cwd=WEB,
            env={**npm.environment(), **variables},
            stdin=subprocess.DEVNULL,
            timeout=_BUILD_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise WebBuildError(f"{program} did not end within {_BUILD_TIMEOUT_S} s") from None
    if finished.returncode:
        raise WebBuildError(
            f"{program.partition('/')[0]} failed (status {finished.returncode}); the reason stands above"
        )


def _is_marked(mark: Path, text: str) -> bool:
    try:
        return mark.read_text() == text
    except OSError:
        return False


def main(argv: Sequence[str] | None = None) -> int:
    """Build or check the page."""
    parser = argparse.ArgumentParser(
        prog="python -m infra.deploy.web_build",
        description=main.__doc__,
        epilog="example: python -m infra.deploy.web_build check",
    )
    parser.add_argument("command", choices=("build", "check"), nargs="?", default="build")
    parser.add_argument(
        "--optional", action="store_true", help="where it cannot be built, keep whatever page there is; exit status 0"
    )
    arguments = parser.parse_args(argv)
    try:
        if arguments.command == "check":
            check()
        else:
            print("web/dist built" if build(patient=not arguments.optional) else "unchanged since the last run")
    except (WebBuildError, OSError) as error:
        print(f"infra.deploy.web_build: {error}", file=sys.stderr)
        if not arguments.optional:
            return 1
        kept = (
            "the page that was built before" if (_DIST / "index.html").is_file() else "a page that only holds its place"
        )
        print(f"NOT built; {kept} is served, and the reason stands above (with `make run`: in web.log)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
