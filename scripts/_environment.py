"""Start a command from a checkout, under the project's own interpreter when this one lacks what it imports.

Nothing here may need a dependency or syntax newer than Python 3.8: it runs on whatever ``python`` the person typed.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from pathlib import Path

PROJECT_ROOT = Path(__file__).resolve().parent.parent
PROJECT_ENVIRONMENT = PROJECT_ROOT / ".venv"
OLDEST_PYTHON = (3, 11)
REQUIRED = ("boto3", "click", "cryptography", "jose", "pybase64", "requests")


def start(command: str) -> None:
    """Run a command with this process's arguments, and exit with its status.

    Args:
        command: Its name after ``cognito-edge``, such as ``user``.
    """
    use_project_environment(sys.argv[0])
    # The launchers' folder comes first on the path; the packages beside it follow.
    sys.path[1:1] = [str(PROJECT_ROOT / folder) for folder in ("edge", "infra", "local")]
    main = importlib.import_module("cognito_edge_cli.main").main
    raise SystemExit(main([command, *sys.argv[1:]]))


def use_project_environment(script: str) -> None:
    """Return if this interpreter can run *script*; otherwise replace the process, or say what to install.

    Args:
        script: Path of the script, as Python started it.

    Raises:
        SystemExit: This interpreter will not do and the project has none, or an incomplete one, either.
    """
    missing = [name for name in REQUIRED if importlib.util.find_spec(name) is None]
    if sys.version_info >= OLDEST_PYTHON and not missing:
        return
    interpreter = PROJECT_ENVIRONMENT / "bin" / "python"
    # sys.prefix, not sys.executable: a virtual environment's interpreter is a link to the one it was made from.
    if interpreter.exists() and Path(sys.prefix).resolve() != PROJECT_ENVIRONMENT.resolve():
        sys.stdout.flush()
        # Same user, same arguments, no shell: the person asked for this very script.
        os.execv(str(interpreter), [str(interpreter), script, *sys.argv[1:]])  # noqa: S606
    found = "Python {}.{}".format(*sys.version_info[:2]) + (f" without {', '.join(missing)}" if missing else "")
    sys.stderr.write(
        f"{Path(script).name}: needs Python >= 3.11 with {', '.join(REQUIRED)}; this is {found}, and {PROJECT_ENVIRONMENT}"
        " cannot help. Run `make install` in the project's folder, then try again.\n",
    )
    raise SystemExit(1)
