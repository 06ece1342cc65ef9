"""The edge function's folder, as ``EdgeGateway`` deploys it: unpacked from the wheel, or built from a checkout's sources."""

import atexit
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from .layout import PACKED
from .packed import unpack
from .settings_file import settings_file


def edge_folder(settings: Mapping[str, object], *, bytecode: str = "auto") -> Path:
    """Return the folder with these settings, for Lambda; an installed wheel's lasts as long as this process.

    With ``cdk synth --no-staging`` the template names the folder itself, which is gone by then.

    Args:
        settings: The content of ``settings.json``.
        bytecode: ``auto``, ``none`` or the path of an interpreter; see ``interpreter_for``.

    Raises:
        ValueError: A setting is unknown or wrong; the message names every fault.
        BundleError: The named interpreter cannot compile for Lambda.
        WheelhouseError: A checkout lacks a wheel.
    """
    if not PACKED.is_file():
        # They import ``packaging``, which the wheel does not require.
        from .assemble import cached  # noqa: PLC0415
        from .recipe import edge_recipe  # noqa: PLC0415

        return cached(edge_recipe(settings, bytecode=bytecode))
    files = {"settings.json": settings_file(settings)}
    folder = Path(tempfile.mkdtemp(prefix="cognito-edge-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)  # CDK copies what it deploys into the assembly
    unpack(PACKED, folder, files=files, bytecode=bytecode)
    return folder
