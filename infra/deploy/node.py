"""The Node that CDK's JavaScript runs under: the one that came with the Python packages."""

import os

from .npm import node


def use_bundled_node() -> None:
    """Point jsii at the bundled Node, unless ``JSII_NODE`` names another. Call it before ``aws_cdk`` is imported."""
    # The ``node`` on the PATH may be missing or too old.
    if node().is_file():
        os.environ.setdefault("JSII_NODE", str(node()))
