"""Where things lie in this repository."""

from pathlib import Path
from typing import Final

PROJECT: Final = Path(__file__).resolve().parent.parent
"""The repository's root."""

EDGE_SOURCES: Final = PROJECT / "edge"
EDGE_LOCK: Final = PROJECT / "requirements" / "edge.txt"
BACKEND_SOURCES: Final = PROJECT / "backend"
BACKEND_LOCK: Final = PROJECT / "requirements" / "backend.txt"

BUNDLES: Final = PROJECT / "dist" / "bundles"
"""Built bundles, one folder for each set of inputs; safe to delete."""
