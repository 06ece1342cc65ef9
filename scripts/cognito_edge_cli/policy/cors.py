"""Does the policy's ``cors`` say the same as the distribution? One governs what the edge answers, the other the rest."""

from collections.abc import Iterable
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from cognito_edge.policy import Cors

from cognito_edge_cli.console import aws_code
from cognito_edge_cli.stack import DEFAULT_REGION, DEFAULT_STACK, Stack, client

_NOT_IN_DISTRIBUTION = (
    "the distribution adds no CORS headers, so that pages can read refusals and not the backend's answers; give the construct"
    " `cors=Cors(allow_origins=[…])` and deploy"
)
_NOT_IN_POLICY = (
    "the distribution has CORS and the policy has none: preflights are requests without a token, and refused; pages can call"
    " nothing"
)


def cors_remarks(stack: Stack, cors: Cors | None) -> list[str]:
    """Return how a policy's CORS and the distribution's response headers policies differ.

    Args:
        stack: Whose distribution.
        cors: The policy's.
    """
    try:
        found = list(_distributions_cors(stack))
    except (BotoCoreError, ClientError, LookupError) as error:
        if cors is None:
            return []
        why = aws_code(error) if isinstance(error, ClientError) else type(error).__name__
        return [f"could not be compared with the distribution's response headers policy ({why})"]
    if not found and cors is not None:
        return [_NOT_IN_DISTRIBUTION]
    if found and cors is None:
        return [_NOT_IN_POLICY]
    if cors is None:
        return []
    remarks = []
    for theirs in found:
        remarks += _compare("origins", cors.allow_origins, _items(theirs, "AccessControlAllowOrigins"))
        headers = {name.lower() for name in cors.allow_headers}
        their_headers = {name.lower() for name in _items(theirs, "AccessControlAllowHeaders")}
        remarks += _compare("headers", headers, their_headers)
    return list(dict.fromkeys(remarks))


def _compare(what: str, ours: Iterable[str], theirs: Iterable[str]) -> list[str]:
    remarks = []
    if only := sorted(set(ours) - set(theirs)):
        remarks.append(f"{what} in the policy that the distribution does not allow: {', '.join(only)}")
    if only := sorted(set(theirs) - set(ours)):
        remarks.append(f"{what} that the distribution allows and the policy does not: {', '.join(only)}")
    return remarks


def _distributions_cors(stack: Stack) -> Iterable[dict[str, Any]]:
    """Yield the CORS of each response headers policy of the distribution."""
    cloudfront = client(stack, "cloudfront", DEFAULT_REGION)
    config = cloudfront.get_distribution_config(Id=_distribution_id(stack))["DistributionConfig"]
    behaviors = [config["DefaultCacheBehavior"], *config.get("CacheBehaviors", {}).get("Items", [])]
    for policy_id in sorted({id_ for behavior in behaviors if (id_ := behavior.get("ResponseHeadersPolicyId"))}):
        headers_policy = cloudfront.get_response_headers_policy_config(Id=policy_id)["ResponseHeadersPolicyConfig"]
        if "CorsConfig" in headers_policy:
            yield headers_policy["CorsConfig"]


def _distribution_id(stack: Stack) -> str:
    if stack.distribution_id is not None:
        return stack.distribution_id
    # The local outputs do not name it; the emulator's stack does.
    stacks = client(stack, "cloudformation", DEFAULT_REGION).describe_stacks(StackName=DEFAULT_STACK)["Stacks"]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stacks[0].get("Outputs", [])}
    return str(outputs["DistributionId"])


def _items(cors: dict[str, Any], name: str) -> set[str]:
    return set(cors.get(name, {}).get("Items", []))
