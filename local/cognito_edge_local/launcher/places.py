"""Where things are on this machine: the checkout, what ``make install`` made in it, and where a run writes."""

from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[3]
"""The project's folder, if ``is_checkout``."""

EMULATOR_PYTHON = CHECKOUT / ".venv-emulator" / "bin" / "python"
"""The interpreter of the emulator's own environment."""
RUNTIME_CLIENT = CHECKOUT / ".venv-runtime"
"""The folder that holds awslambdaric."""


def is_checkout() -> bool:
    """Say whether this package runs from a checkout; an installed wheel has nothing to build."""
    return (CHECKOUT / "cdk.json").is_file()


def state_dir() -> Path:
    """Return the folder where a run writes unless it is told otherwise."""
    return (CHECKOUT if is_checkout() else Path.cwd()) / ".local"


def cache_dir() -> Path:
    """Return the folder of build results, which runs share."""
    return state_dir() / "cache"


def what_is_missing() -> str | None:
    """Return why the local system cannot start from here; None if it can."""
    if not is_checkout():
        return "the local system runs from a checkout of the project, not from an installed package."
    for part in (EMULATOR_PYTHON, RUNTIME_CLIENT):
        if not part.exists():
            return f"{part} does not exist. `make install` makes it; `make run` does both."
    return None
