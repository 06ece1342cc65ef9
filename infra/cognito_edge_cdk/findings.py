"""Findings of CDK's validation (cdk-nag's AwsSolutions pack) that are answered with a reason instead of a change."""

from collections.abc import Mapping

import aws_cdk as cdk
from constructs import IConstruct

_PACK = "AwsSolutions"


def acknowledge(construct: IConstruct, reasons: Mapping[str, str]) -> None:
    """Answer findings about *construct* and what is below it.

    Args:
        construct: Where the finding is made.
        reasons: Why the finding is right but not followed, by rule and finding, such as ``AwsSolutions-COG2``.
    """
    for rule, reason in reasons.items():
        cdk.Validations.of(construct).acknowledge(cdk.Acknowledgment(id=f"{_PACK}::{rule}", reason=reason))
