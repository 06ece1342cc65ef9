"""``settings.json``, as it goes into the edge function's folder."""

import json
from collections.abc import Mapping

from cognito_edge.settings import parse_settings


def settings_file(settings: Mapping[str, object]) -> bytes:
    """Return the file's content.

    Raises:
        ValueError: A setting is unknown or wrong; the message names every fault.
    """
    # No environment variable can repair an edge function: whatever is wrong is refused before it is built.
    parse_settings(settings)
    return (json.dumps(dict(settings), indent=1, sort_keys=True, allow_nan=False) + "\n").encode()
