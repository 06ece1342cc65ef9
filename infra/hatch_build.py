"""What the wheel gets beside its four packages: ``edge.zip``, locks, and a document that a command prints.

hatchling runs it when it builds the wheel (``pyproject.toml``), and for editable installations, which need none of that.
"""

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_FILES = {
    "docs/refusals.md": "cognito_edge_cli/doctor/refusals.md",
    "requirements/emulator.txt": "cognito_edge_local/locks/emulator.txt",
    "requirements/runtime.txt": "cognito_edge_local/locks/runtime.txt",
}


class WheelFiles(BuildHookInterface):  # type: ignore[type-arg]  # hatchling's own documents write it so
    """hatchling calls both methods around each build."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the files, before the wheel is built."""
        if version == "editable":
            return
        sys.path[:0] = [str(Path(self.root) / folder) for folder in ("infra", "edge")]
        self._scratch = tempfile.TemporaryDirectory()
        archive = Path(self._scratch.name) / "edge.zip"
        _pack_edge(archive)
        build_data["force_include"].update({**_FILES, str(archive): "cognito_edge_cdk/edge.zip"})

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove what was built on the way."""
        del build_data, artifact_path
        if version != "editable":
            self._scratch.cleanup()


def _pack_edge(archive: Path) -> None:
    """Build the edge function's folder and pack it."""
    # Imported here, because ``initialize`` puts their folders on the path first.
    from cognito_edge_cdk.bundling.assemble import assemble  # noqa: PLC0415
    from cognito_edge_cdk.bundling.folder import BundleError  # noqa: PLC0415
    from cognito_edge_cdk.bundling.installer import InstallError  # noqa: PLC0415
    from cognito_edge_cdk.bundling.locks import LockError  # noqa: PLC0415
    from cognito_edge_cdk.bundling.packed import pack  # noqa: PLC0415
    from cognito_edge_cdk.bundling.recipe import edge_recipe  # noqa: PLC0415
    from cognito_edge_cdk.bundling.wheelhouse import WheelhouseError, download  # noqa: PLC0415

    choice = os.environ.get("COGNITO_EDGE_BYTECODE", "auto")
    try:
        recipe = edge_recipe(None, bytecode=choice)
        if recipe.bytecode is None and choice != "none":
            raise BundleError(
                "building the wheel needs a CPython 3.13, which compiles the edge function for Lambda. Put a python3.13 on "
                "the PATH, or its path into COGNITO_EDGE_BYTECODE; COGNITO_EDGE_BYTECODE=none leaves the bytecode out: slower cold starts"
            )
        download(recipe.lock, target_=recipe.target, wheelhouse=recipe.wheelhouse)
        folder = archive.with_name("edge")
        assemble(recipe, folder)
    except InstallError as error:
        raise SystemExit(
            f"{error}\nBuilding the wheel needs what requirements/edge.txt names, from the package index or in "
            f"{recipe.wheelhouse}. A wheel that is built already needs neither."
        ) from None
    except (BundleError, LockError, WheelhouseError) as error:
        raise SystemExit(str(error)) from None
    pack(folder, archive)
