"""``EdgeGateway``: a Cognito login in front of Lambda function URLs, as one construct for any CDK app in Python."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .cors import Cors
    from .gateway import EdgeGateway
    from .site import Site

__all__ = ["Cors", "EdgeGateway", "Site"]

_MODULES = {"Cors": "cors", "EdgeGateway": "gateway", "Site": "site"}


def __getattr__(name: str) -> object:
    """Import a construct when it is first used: ``bundling`` also runs where ``aws_cdk`` is not installed."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_MODULES[name]}", __name__), name)
