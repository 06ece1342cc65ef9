"""Where things lie in this repository, and what an installed wheel has instead."""

from pathlib import Path
from typing import Final

PROJECT: Final = Path(__file__).resolve().parents[3]
"""The repository's root."""

LOCKS: Final = PROJECT / "requirements"
"""What is installed, exactly."""

PACKED: Final = Path(__file__).resolve().parents[1] / "edge.zip"
"""The edge function's folder in an installed wheel; a checkout has no such file, and builds the folder."""

LICENCE: Final = PROJECT / "LICENSE"
EDGE_SOURCES: Final = PROJECT / "edge" / "cognito_edge"
EDGE_LOCK: Final = LOCKS / "edge.txt"
BACKEND_SOURCES: Final = PROJECT / "backend"
BACKEND_LOCK: Final = LOCKS / "backend.txt"

BUNDLES: Final = PROJECT / "dist" / "bundles"
"""Built bundles, one folder for each set of inputs; safe to delete."""

CDK_CLI_LOCK: Final = PROJECT / "infra" / "deploy" / "cli"
"""``package.json`` and ``package-lock.json`` of the CDK CLI."""
CDK_CLI: Final = PROJECT / ".venv-cdk"
"""Where the CDK CLI is installed; safe to delete."""

WEB: Final = PROJECT / "web"
"""The page: its sources, and, made here and safe to delete, ``node_modules`` and ``dist``."""
