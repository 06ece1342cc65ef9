"""Acknowledge findings of cdk-nag's AwsSolutions pack with a reason, where nothing is to be changed."""

from collections.abc import Mapping

import aws_cdk as cdk
from constructs import IConstruct

_PACK = "AwsSolutions"


def acknowledge(construct: IConstruct, reasons: Mapping[str, str]) -> None:
    """Acknowledge findings about *construct* and the constructs below it.

    Args:
        construct: The construct that the findings are about.
        reasons: Why nothing is changed, by finding, such as ``AwsSolutions-COG2``.
    """
    for rule, reason in reasons.items():
        cdk.Validations.of(construct).acknowledge(cdk.Acknowledgment(id=f"{_PACK}::{rule}", reason=reason))
