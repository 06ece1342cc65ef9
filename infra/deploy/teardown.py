"""The edge function's versions at CloudFront and Lambda: which one runs, and how they are deleted.

CloudFront deletes an edge function's replicas some hours after the last distribution let go of it, and until then no
version of the function can be deleted: a stack that tried would fail. So the stack retains function and versions, and
the first ``destroy`` that runs late enough deletes them.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from botocore.exceptions import ClientError

_DEPLOYED_WITHIN_S: Final = 1_800
_LOOK_EVERY_S: Final = 10.0

Say = Callable[[str], None]


def let_go(cloudfront: Any, distribution_id: str, say: Say) -> None:
    """Switch the distribution off and take the edge function from its behaviors, in one change.

    It has to be switched off: with an origin access control, CloudFront would sign every request to a behavior without its
    edge function.

    Args:
        cloudfront: A boto3 client.
        distribution_id: The distribution; nothing happens if it is gone.
        say: Prints a line.
    """
    try:
        answer = cloudfront.get_distribution_config(Id=distribution_id)
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchDistribution":
            raise
        say(f"destroy: distribution {distribution_id} is gone already")
        return
    config = _complete(answer["DistributionConfig"])
    associated = [behavior for behavior in behaviors(config) if _associations(behavior)]
    if not associated and not config["Enabled"]:
        return
    config["Enabled"] = False
    for behavior in associated:
        behavior["LambdaFunctionAssociations"] = {"Quantity": 0}
    cloudfront.update_distribution(Id=distribution_id, IfMatch=answer["ETag"], DistributionConfig=config)
    say(f"destroy: distribution {distribution_id} is switched off, and has let go of its edge function")


def point_to(cloudfront: Any, distribution_id: str, *, version_arn: str) -> None:
    """Have every behavior that runs another version of this function run this one.

    Args:
        cloudfront: A boto3 client.
        distribution_id: The distribution.
        version_arn: The version, ``arn:aws:lambda:us-east-1:…:function:name:7``.
    """
    function = version_arn.rpartition(":")[0]
    answer = cloudfront.get_distribution_config(Id=distribution_id)
    config = _complete(answer["DistributionConfig"])
    for behavior in behaviors(config):
        for association in _associations(behavior):
            if association["LambdaFunctionARN"].rpartition(":")[0] == function:
                association["LambdaFunctionARN"] = version_arn
    cloudfront.update_distribution(Id=distribution_id, IfMatch=answer["ETag"], DistributionConfig=config)


def wait_until_deployed(cloudfront: Any, distribution_id: str) -> bool:
    """Wait until every edge has the distribution's last change; False if that takes longer than half an hour."""
    give_up = time.monotonic() + _DEPLOYED_WITHIN_S
    while cloudfront.get_distribution(Id=distribution_id)["Distribution"]["Status"] != "Deployed":
        if time.monotonic() > give_up:
            return False
        time.sleep(_LOOK_EVERY_S)
    return True


def behaviors(config: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return every behavior of a distribution's configuration."""
    return [config["DefaultCacheBehavior"], *((config.get("CacheBehaviors") or {}).get("Items") or [])]


def _complete(config: dict[str, Any]) -> dict[str, Any]:
    """Fill in what the API wants back: CloudFront always returns it, emulators do not."""
    for origin in config["Origins"]["Items"]:
        custom = origin.get("CustomOriginConfig")
        if custom:
            custom.setdefault("HTTPPort", 80)
            custom.setdefault("HTTPSPort", 443)
    return config


def _associations(behavior: Mapping[str, Any]) -> list[dict[str, Any]]:
    return list((behavior.get("LambdaFunctionAssociations") or {}).get("Items") or [])


def running_versions(cloudfront: Any, distribution_id: str) -> list[str]:
    """Return the ARNs of the function versions that the distribution runs."""
    config = cloudfront.get_distribution_config(Id=distribution_id)["DistributionConfig"]
    found = [association["LambdaFunctionARN"] for one in behaviors(config) for association in _associations(one)]
    return sorted(set(found))


def numbered_versions(lambda_client: Any, function_arn: str) -> list[int]:
    """Return the numbers of a function's versions, oldest first."""
    pages = lambda_client.get_paginator("list_versions_by_function").paginate(FunctionName=function_arn)
    numbers = [version["Version"] for page in pages for version in page["Versions"]]
    return sorted(int(number) for number in numbers if number.isdigit())


def edge_functions(lambda_client: Any, stack: str) -> Iterator[str]:
    """Yield the names of the edge functions that a stack of this name left, now or on an earlier day.

    The stack is gone, so only the names are left to go by: CloudFormation names a function after its stack and its
    logical id.
    """
    for page in lambda_client.get_paginator("list_functions").paginate():
        for function in page["Functions"]:
            if function["FunctionName"].startswith(f"{stack}-GatewayEdgeFunction"):
                yield function["FunctionName"]


def delete_edge_functions(lambda_client: Any, stack: str, say: Say) -> list[str]:
    """Delete a stack's edge functions, and return the names of those that still have replicas."""
    waiting = []
    for name in list(edge_functions(lambda_client, stack)):
        try:
            lambda_client.delete_function(FunctionName=name)
        except ClientError as error:
            # "Lambda was unable to delete arn:…:1 because it is a replicated function."
            if error.response["Error"]["Code"] != "InvalidParameterValueException":
                raise
            waiting.append(name)
        else:
            say(f"destroy: deleted the edge function {name} and its versions")
    return waiting
