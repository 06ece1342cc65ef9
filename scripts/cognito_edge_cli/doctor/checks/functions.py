"""Checks of the doctor: the edge function and its role, and the function URLs: who may call them, and who signs."""

import shlex
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from typing import Final

from botocore.exceptions import ClientError
from cognito_edge.parameters import CLIENT_ID, POLICY, USER_POOL_ID

from cognito_edge_cli.console import aws_code
from cognito_edge_cli.doctor.permissions import Says, open_to_all, says
from cognito_edge_cli.doctor.report import Probe, Verdict, failed, passed, unseen, warned
from cognito_edge_cli.doctor.system import Document, FunctionUrl, System, as_list
from cognito_edge_cli.stack import DEFAULT_REGION

from .distribution import behaviors

RUNTIMES_PAGE: Final = "https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.html"
DEPRECATED_ON: Final = {
    "python3.8": date(2024, 10, 14),
    "python3.9": date(2025, 12, 15),
    "python3.10": date(2026, 10, 31),
    "python3.11": date(2027, 6, 30),
    "python3.12": date(2028, 10, 31),
    "python3.13": date(2029, 6, 30),
    "python3.14": date(2029, 6, 30),
}
"""When Lambda deprecates a runtime: no security updates any more; a month or two later no updates of functions either.

Source: RUNTIMES_PAGE, as of 2026-11.
"""
_SOON_DAYS: Final = 180

# Source: https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/lambda-at-edge-function-restrictions.html
# and cloudfront-limits.html
_UNSUPPORTED: Final = {
    "Layers": "layers",
    "DeadLetterConfig": "a dead-letter queue",
    "FileSystemConfigs": "a file system",
    "KMSKeyArn": "a KMS key",
}
_MAX_TIMEOUT_S: Final = 30
_MIN_TIMEOUT_S: Final = 6  # the handler ends every request within 5 s by itself
_MIN_MEMORY_MB: Final = 256
_MAX_STORAGE_MB: Final = 512
_SERVICES: Final = ("lambda.amazonaws.com", "edgelambda.amazonaws.com")
_CLOUDFRONT: Final = "cloudfront.amazonaws.com"
_PERMISSIONS: Final = ("lambda:InvokeFunctionUrl", "lambda:InvokeFunction")


# --- the edge function --------------------------------------------------------------------------------------------------


def _versions(system: System) -> list[str]:
    """Return the versions that the behaviors run; the deployed one where none runs any."""
    arns = [one["LambdaFunctionARN"] for behavior in behaviors(system) for one in behavior.ours]
    return list(dict.fromkeys(arns)) or [system.output("EdgeFunctionVersionArn")]


def _number(arn: str) -> str:
    return f"version {arn.rpartition(':')[2]}"


def _runtime(system: System) -> Iterator[Verdict]:
    today = datetime.fromtimestamp(system.now, UTC).date()
    for arn in _versions(system):
        runtime = system.edge_configuration(arn).get("Runtime", "none")
        until = DEPRECATED_ON.get(runtime)
        fix = (
            "take a release of this project with a newer runtime (infra/cognito_edge_cdk names it), then deploy; dates:"
            f" {RUNTIMES_PAGE}"
        )
        if until is None:
            yield warned(
                f"{runtime}: not in the doctor's table of runtimes",
                f"look it up: {RUNTIMES_PAGE}",
                subject=_number(arn),
            )
        elif until <= today:
            yield failed(
                f"{runtime} is deprecated since {until}: no security updates, and soon no deployment that changes the function",
                fix,
                subject=_number(arn),
            )
        elif (until - today).days < _SOON_DAYS:
            yield warned(
                f"{runtime} is deprecated on {until}, in {(until - today).days} days", fix, subject=_number(arn)
            )
        else:
            yield passed(f"{runtime}, until {until}", subject=_number(arn))


def _limits(system: System) -> Iterator[Verdict]:
    for arn in _versions(system):
        configuration = system.edge_configuration(arn)
        fix = f"remove it from the function; {system.again}"
        faults = list(_limit_faults(configuration))
        for fault in faults:
            yield failed(fault, fix, subject=_number(arn))
        timeout_s, memory_mb = configuration.get("Timeout", 3), configuration.get("MemorySize", 128)
        if timeout_s < _MIN_TIMEOUT_S:
            yield warned(
                f"a timeout of {timeout_s} s: the function needs up to 5 s to say what is down; cut off earlier, viewers get"
                " CloudFront's 503 without a reason",
                f"10 s, as EdgeGateway sets it; {system.again}",
                subject=_number(arn),
            )
        if memory_mb < _MIN_MEMORY_MB:
            yield warned(
                f"{memory_mb} MB: CPU comes in proportion, and a cold start takes more than a second",
                f"512 MB, as EdgeGateway sets it; {system.again}",
                subject=_number(arn),
            )
        if not faults and timeout_s >= _MIN_TIMEOUT_S and memory_mb >= _MIN_MEMORY_MB:
            yield passed(f"{memory_mb} MB, {timeout_s} s, no environment variables", subject=_number(arn))


def _limit_faults(configuration: Document) -> Iterator[str]:
    if names := sorted(configuration.get("Environment", {}).get("Variables", {})):
        yield (
            f"environment variables ({', '.join(names)}): Lambda@Edge takes none, CloudFront refuses the association"
        )
    for key, what in _UNSUPPORTED.items():
        if configuration.get(key):
            yield f"{what}: not supported by Lambda@Edge, CloudFront refuses the association"
    if configuration.get("VpcConfig", {}).get("VpcId"):
        yield "a VPC: not supported by Lambda@Edge, CloudFront refuses the association"
    if configuration.get("TracingConfig", {}).get("Mode") == "Active":
        yield "X-Ray tracing: not supported by Lambda@Edge, CloudFront refuses the association"
    if configuration.get("PackageType", "Zip") != "Zip":
        yield "a container image: Lambda@Edge takes zip archives only"
    architectures = configuration.get("Architectures") or ["x86_64"]
    if architectures != ["x86_64"]:
        yield f"built for {', '.join(architectures)}: Lambda@Edge runs x86_64 only"
    if configuration.get("Timeout", 3) > _MAX_TIMEOUT_S:
        yield f"a timeout of {configuration['Timeout']} s: Lambda@Edge allows {_MAX_TIMEOUT_S} s"
    if configuration.get("EphemeralStorage", {}).get("Size", _MAX_STORAGE_MB) > _MAX_STORAGE_MB:
        yield f"more than {_MAX_STORAGE_MB} MB of /tmp: not supported by Lambda@Edge"


def _trust(system: System) -> Iterator[Verdict]:
    trusted = {
        service
        for statement in as_list(system.role["AssumeRolePolicyDocument"].get("Statement"))
        if statement.get("Effect") == "Allow" and isinstance(statement.get("Principal"), dict)
        for service in as_list(statement["Principal"].get("Service"))
    }
    name = system.role["RoleName"]
    if missing := [service for service in _SERVICES if service not in trusted]:
        yield failed(
            f"role {name} does not trust {' and '.join(missing)}: the function cannot be replicated, or not be run",
            f"trust both in the role's trust policy; {system.again}",
        )
    else:
        yield passed(f"{name} trusts both")


def _parameter_access(system: System) -> Iterator[Verdict]:
    verdict = {
        name: says(
            system.role_statements, action="ssm:GetParameters", resource=_parameter_arn(system, name), context={}
        )
        for name in (USER_POOL_ID, CLIENT_ID, POLICY)
    }
    if all(said is Says.YES for said in verdict.values()):
        yield passed("ssm:GetParameters on all three")
        return
    for name, said in verdict.items():
        if said is Says.UNSURE:
            yield unseen(
                f"ssm:GetParameters on {name}: {said}",
                "read the role's policies: " + _role_policies(system),
                subject=name,
            )
        elif said is not Says.YES:
            yield failed(
                f"ssm:GetParameters on {name} is {said}: a new edge answers 503 configuration_unavailable, a running one in a"
                " day",
                f"allow it in the role's policy (GetParameters, not GetParameter); {system.again}",
                subject=name,
            )


def _parameter_arn(system: System, name: str) -> str:
    account = system.output("EdgeRoleArn").split(":")[4]
    prefix = system.stack.parameter_prefix.removeprefix("/")
    return f"arn:aws:ssm:{system.stack.parameter_region}:{account}:parameter/{prefix}/{name}"


def _role_policies(system: System) -> str:
    return system.aws(f"iam list-role-policies --role-name {system.role['RoleName']}", DEFAULT_REGION)


# --- function URLs ------------------------------------------------------------------------------------------------------


def _auth(system: System) -> Iterator[Verdict]:
    for url in system.function_urls:
        auth = url.config.get("AuthType")
        if auth == "AWS_IAM":
            yield passed("AWS_IAM: unsigned requests are refused", subject=url.name)
        else:
            yield failed(
                f"auth type {auth}: whoever knows https://{url.host}/ walks around the gateway",
                system.aws(
                    f"lambda update-function-url-config --function-name {url.name.partition(':')[0]} --auth-type AWS_IAM",
                    url.region,
                ),
                subject=url.name,
            )


def _cors(system: System) -> Iterator[Verdict]:
    for url in system.function_urls:
        if url.config.get("Cors"):
            yield failed(
                f"CORS of its own ({', '.join(sorted(url.config['Cors']))}): it doubles the headers that CloudFront adds, and"
                " browsers refuse answers that have two",
                f"remove cors=… from the function URL, and give cors=Cors(…) to EdgeGateway; {system.again}",
                subject=url.name,
            )
        else:
            yield passed("none of its own", subject=url.name)


def _open(system: System) -> Iterator[Verdict]:
    for url in system.function_urls:
        names = list(open_to_all(system.resource_statements(url)))
        for name in names:
            yield failed(
                f"statement {name} of its policy lets everyone call it",
                system.aws(
                    f"lambda remove-permission --function-name {url.name.partition(':')[0]} --statement-id {shlex.quote(name)}",
                    url.region,
                ),
                subject=url.name,
            )
        if not names:
            yield passed("no statement for everyone", subject=url.name)


def _access_control(system: System, url: FunctionUrl) -> str:
    """Return the id of the origin access control of a URL's origin; "" where CloudFront does not sign."""
    origins = system.distribution["DistributionConfig"].get("Origins", {}).get("Items", [])
    return next((one.get("OriginAccessControlId") or "" for one in origins if one["DomainName"] == url.host), "")


def _signer(system: System) -> Iterator[Verdict]:
    for url in system.function_urls:
        control = _access_control(system, url)
        if not control:
            yield passed("the edge function signs (mode sigv4)", subject=url.name)
            continue
        client = system.client("cloudfront", DEFAULT_REGION)
        config = client.get_origin_access_control(Id=control)["OriginAccessControl"]["OriginAccessControlConfig"]
        kind, behavior = config.get("OriginAccessControlOriginType"), config.get("SigningBehavior")
        fix = f"give it origin type lambda and signing behavior always; {system.again}"
        if kind != "lambda":
            yield failed(f"origin access control {control} is for {kind}, not for lambda", fix, subject=url.name)
        elif behavior != "always":
            yield failed(
                f"origin access control {control} signs '{behavior}': a viewer's Authorization decides whether the request is signed",
                fix,
                subject=url.name,
            )
        elif _role_says(system, url, _PERMISSIONS[0]) is Says.YES:
            yield warned(
                f"both sign: the edge role may call the URL, and CloudFront ({control}) puts its own signature in place of"
                " the edge function's",
                "choose one: signing='sigv4' without an origin access control, or signing='oac' (docs/adr/0006-signing-modes.md)",
                subject=url.name,
            )
        else:
            yield passed(f"CloudFront signs (mode oac, {control})", subject=url.name)


_CONTEXT: Final = {
    "lambda:InvokeFunctionUrl": {"lambda:functionurlauthtype": "AWS_IAM", "lambda:invokedviafunctionurl": ""},
    "lambda:InvokeFunction": {"lambda:functionurlauthtype": "", "lambda:invokedviafunctionurl": "true"},
}
"""Condition keys of a call through a function URL; each action has a key of its own."""


def _role_says(system: System, url: FunctionUrl, action: str) -> Says:
    """Say whether the edge role may do something to a function: by its own policies, or by the function's."""
    own = says(system.role_statements, action=action, resource=url.function_arn, context=_CONTEXT[action])
    if own in (Says.YES, Says.DENIED):
        return own
    theirs = says(
        system.resource_statements(url),
        action=action,
        resource=url.function_arn,
        context=_CONTEXT[action],
        principal=system.output("EdgeRoleArn"),
    )
    return theirs if theirs is not Says.NO else own


def _distribution_says(system: System, url: FunctionUrl, action: str) -> Says:
    context = {
        **_CONTEXT[action],
        "aws:sourcearn": system.distribution.get("ARN", ""),
        "aws:sourceaccount": system.output("EdgeRoleArn").split(":")[4],
    }
    return says(
        system.resource_statements(url),
        action=action,
        resource=url.function_arn,
        context=context,
        principal=_CLOUDFRONT,
    )


def _permissions(system: System) -> Iterator[Verdict]:
    for url in system.function_urls:
        if _access_control(system, url):
            who, where, ask = "CloudFront, for this distribution,", "the function's own policy", _distribution_says
        else:
            role = system.output("EdgeRoleArn").rpartition("/")[2]
            who, where, ask = f"the edge role {role}", "the role's policy", _role_says
        said = {action: ask(system, url, action) for action in _PERMISSIONS}
        yield _permission(said, url, who=who, where=where, again=system.again)


def _permission(said: dict[str, Says], url: FunctionUrl, *, who: str, where: str, again: str) -> Verdict:
    wrong = [action for action, answer in said.items() if answer in (Says.NO, Says.DENIED)]
    if wrong:
        shown = " and ".join(f"{action} ({said[action]})" for action in wrong)
        return failed(
            f"{who} lacks {shown}. Function URLs want both permissions since October 2025; every request gets Lambda's 403"
            " 'Forbidden. For troubleshooting Function URL authorization issues, see …'",
            f"add {' and '.join(wrong)} on {url.function_arn} to {where}; {again}",
            subject=url.name,
        )
    if unsure := [action for action, answer in said.items() if answer is Says.UNSURE]:
        return unseen(
            f"{who} has {' and '.join(unsure)} under conditions that are not known here",
            f"read {where}; EdgeGateway's own statements have no such conditions",
            subject=url.name,
        )
    return passed(f"both, by {where}", subject=url.name)


def _boundary(system: System) -> Iterator[Verdict]:
    """A role may do what both its policies and its boundary allow."""
    boundary = system.role.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn")
    if not boundary:
        yield passed("no permissions boundary")
        return
    statements = system.managed_statements(boundary)
    needed: list[tuple[str, str, dict[str, str]]] = [("ssm:GetParameters", _parameter_arn(system, POLICY), {})]
    needed += [
        (action, url.function_arn, _CONTEXT[action])
        for url in system.function_urls
        if not _access_control(system, url)
        for action in _PERMISSIONS
    ]
    said = {
        action: says(statements, action=action, resource=resource, context=context)
        for action, resource, context in needed
    }
    if lacking := [action for action, answer in said.items() if answer in (Says.NO, Says.DENIED)]:
        yield failed(
            f"the permissions boundary {boundary} does not allow {', '.join(lacking)}: what the role's policies allow counts"
            " for nothing",
            "have it allowed by whoever keeps the boundary; it also has to allow logs:CreateLogGroup, logs:CreateLogStream and"
            " logs:PutLogEvents",
        )
    elif Says.UNSURE in said.values():
        yield unseen(
            f"the permissions boundary {boundary} has conditions that are not known here",
            f"it has to allow {', '.join(said)}: ask whoever keeps it",
        )
    else:
        yield passed(f"the permissions boundary {boundary} allows what is needed")


def refused(error: ClientError) -> bool:
    """Say whether AWS refused for want of permission."""
    code = aws_code(error)
    return "AccessDenied" in code or "Unauthorized" in code or "NotAuthorized" in code


PROBES: Final[Sequence[Probe]] = (
    Probe("edge.runtime", "a runtime that Lambda supports for half a year and more", _runtime),
    Probe(
        "edge.limits",
        "what Lambda@Edge allows: no environment variables, x86_64, 30 s; and enough time and memory",
        _limits,
    ),
    Probe("edge.trust", "a role that lambda.amazonaws.com and edgelambda.amazonaws.com may assume", _trust),
    Probe("edge.parameters", "a role that may read the three parameters", _parameter_access),
    Probe("edge.boundary", "no permissions boundary, or one that allows what the function does", _boundary),
    Probe("url.auth", "auth type AWS_IAM", _auth),
    Probe("url.cors", "no CORS of the function URL's own", _cors),
    Probe("url.open", "a function policy that admits named callers alone", _open),
    Probe("url.signer", "one signer: the edge function, or CloudFront's origin access control", _signer),
    Probe("url.permissions", "lambda:InvokeFunctionUrl and lambda:InvokeFunction for whoever signs", _permissions),
)
