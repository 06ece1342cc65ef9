"""``EdgeGateway``: a Cognito login in front of Lambda function URLs, as one construct for any CDK app in Python."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .cors import Cors
    from .gateway import EdgeGateway
    from .site import Site

__all__ = ["Cors", "EdgeGateway", "Site"]


def __getattr__(name: str) -> object:
    """Import a construct when it is first asked for: ``bundling`` needs no ``aws_cdk``."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = {"Cors": "cors", "EdgeGateway": "gateway", "Site": "site"}[name]
    return getattr(importlib.import_module(f".{module}", __name__), name)
