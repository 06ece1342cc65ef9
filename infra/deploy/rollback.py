"""``cdk_cli rollback``: have the distribution run an earlier version of the edge function."""

import argparse

from . import teardown
from .deployment import REGION, STACK, Deployment, RefusedError, say


def rollback(deployment: Deployment, options: argparse.Namespace) -> None:
    """Have the distribution run an earlier version of the edge function; nothing else changes.

    Raises:
        RefusedError: There is no such version, or the person does not want it.
    """
    outputs = deployment.outputs()
    if outputs is None:
        raise RefusedError(f"there is no stack {STACK} in {REGION}; nothing to go back from")
    cloudfront, distribution_id = deployment.client("cloudfront"), outputs["DistributionId"]
    function_arn = outputs["EdgeFunctionVersionArn"].rpartition(":")[0]
    running = [
        arn for arn in teardown.running_versions(cloudfront, distribution_id) if arn.startswith(f"{function_arn}:")
    ]
    if not running:
        raise RefusedError(
            f"distribution {distribution_id} runs no version of {function_arn}; `make deploy` puts it right"
        )
    current = max(int(arn.rpartition(":")[2]) for arn in running)
    numbers = teardown.numbered_versions(deployment.client("lambda"), function_arn)
    wanted = options.to if options.to is not None else max((one for one in numbers if one < current), default=None)
    listed = ", ".join(map(str, numbers))
    if wanted is None:
        raise RefusedError(
            f"version {current} is the oldest that is left (of {listed}); deploy an earlier commit instead"
        )
    if wanted not in numbers:
        raise RefusedError(f"there is no version {wanted} of {function_arn}; there are {listed}")
    if not deployment.confirm(
        f"Have {distribution_id} run version {wanted} of the edge function instead of {current}?"
    ):
        raise RefusedError("nothing was changed")
    teardown.point_to(cloudfront, distribution_id, version_arn=f"{function_arn}:{wanted}")
    say(
        f"rollback: version {wanted} is on its way to every edge (minutes); the policy and the parameters are untouched"
    )
    if options.wait and not teardown.wait_until_deployed(cloudfront, distribution_id):
        say(f"rollback: CloudFront is still at it; `aws cloudfront wait distribution-deployed --id {distribution_id}`")
    say(f"rollback: done. Forward again: `rollback --to {current}`. The next `make deploy` with a change takes over.")
