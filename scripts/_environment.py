"""Start a command from a checkout, under the project's own interpreter when this one lacks what it imports.

Nothing here may need a dependency or syntax newer than Python 3.8: it runs on whatever `python` the person typed.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from pathlib import Path
from typing import Sequence  # noqa: UP035 - read by interpreters older than 3.9, too

PROJECT_ROOT = Path(__file__).resolve().parent.parent
PROJECT_ENVIRONMENT = PROJECT_ROOT / ".venv"
OLDEST_PYTHON = (3, 11)


def start(module: str, requires: Sequence[str]) -> None:
    """Run *module*'s ``main`` with this process's arguments, and exit with its status.

    Args:
        module: Name of the command's module, such as ``cognito_edge_cli.user``.
        requires: Names of the modules of others that it cannot do without.
    """
    use_project_environment(sys.argv[0], requires)
    # The launchers' folder comes first on the path; the packages beside it follow.
    sys.path[1:1] = [str(PROJECT_ROOT / folder) for folder in ("edge", "infra", "local")]
    raise SystemExit(importlib.import_module(module).main())


def use_project_environment(script: str, requires: Sequence[str]) -> None:
    """Return if this interpreter can run *script*; otherwise replace the process, or say what to install.

    Args:
        script: Path of the script, as Python started it.
        requires: Names of the modules that the script cannot do without.

    Raises:
        SystemExit: This interpreter will not do and the project has none, or an incomplete one, either.
    """
    missing = [name for name in requires if importlib.util.find_spec(name) is None]
    if sys.version_info >= OLDEST_PYTHON and not missing:
        return
    interpreter = PROJECT_ENVIRONMENT / "bin" / "python"
    # sys.prefix, not sys.executable: a virtual environment's interpreter is a link to the one it was made from.
    if interpreter.exists() and Path(sys.prefix).resolve() != PROJECT_ENVIRONMENT.resolve():
        sys.stdout.flush()
        # Same user, same arguments, no shell: the person asked for this very script.
        os.execv(str(interpreter), [str(interpreter), script, *sys.argv[1:]])  # noqa: S606
    found = "Python {}.{}".format(*sys.version_info[:2]) + (f" without {' and '.join(missing)}" if missing else "")
    sys.stderr.write(
        f"{Path(script).name}: needs Python >= 3.11 with {' and '.join(requires)}; this is {found}, and {PROJECT_ENVIRONMENT}"
        " cannot help. Run `make install` in the project's folder, then try again.\n",
    )
    raise SystemExit(1)
