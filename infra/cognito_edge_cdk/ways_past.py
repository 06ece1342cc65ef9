"""Rules against ways past the gateway: other distributions, function URLs and permissions that lead to its functions.

A resource counts by what it leads to (``references.py``), not by its name. Every rule yields sentences that say what was
found, why it is refused, and what to change. ``docs/security.md`` says what no rule can see.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from .references import (
    ACCOUNT,
    Place,
    Stage,
    Template,
    having,
    leads_to,
    place_of,
    places,
    references,
    same_region,
    texts,
)

# Source: https://docs.aws.amazon.com/lambda/latest/api/API_AddPermission.html
_FUNCTION: Final = re.compile(
    r"(?:arn:[^:]*:lambda:(?P<region>[^:]*):[^:]*:function:|[^:]*:function:)?(?P<name>[A-Za-z0-9_-]+)(?::[^:]*)?"
)
_SERVICE: Final = re.compile(r"[a-z0-9-]+(?:\.[a-z0-9<>-]+)*\.(?:amazonaws\.com(?:\.cn)?|amazon\.com)")
# Every action by which a function URL can be called, in lower case: IAM ignores case.
_CALLS_URLS: Final = {"*", "lambda:*", "lambda:invokefunctionurl"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Inside:
    """One gateway's distribution, and the functions behind it.

    Attributes:
        distribution: The gateway's distribution.
        path: Its construct path, for messages.
        urls: The construct paths of the function URLs, by ``Place.reference``.
        functions: The construct path of each function's URL; keys as ``functions_of`` returns them.
    """

    distribution: Place
    path: str
    urls: Mapping[str, str]
    functions: Mapping[str, str]


def functions_of(value: Any, here: Template, stage: Stage, seen: frozenset[str] = frozenset()) -> set[str]:
    """Return the functions that a value names: by reference, name or ARN, through URLs, aliases and versions.

    Args:
        value: Part of a template.
        here: The template in which it stands.
        stage: All templates.
        seen: References that are being followed already, so that circles end.

    Returns:
        The reference of each function's resource. For a function that the stage does not hold: region and name, or the
        reference that leads out of the stage.
    """
    found: set[str] = set()
    for text in texts(value, here, stage):
        for reference in set(references(text)) - seen:
            place = place_of(reference, stage)
            if place and place.type in ("AWS::Lambda::Url", "AWS::Lambda::Alias", "AWS::Lambda::Version"):
                target = place.properties.get("TargetFunctionArn") or place.properties.get("FunctionName")
                found |= functions_of(target, place.template, stage, seen | {reference})
            else:
                found.add(reference)
        if named := _FUNCTION.fullmatch(text):
            region = named["region"] or here.region
            found |= _called(named["name"], region, stage) or {f"{region} {named['name']}"}
    return found


def _called(name: str, region: str | None, stage: Stage) -> set[str]:
    """Return the references of the functions in the stage that have this name."""
    return {
        place.reference
        for place in places(stage, "AWS::Lambda::Function")
        if same_region(place.template.region, region)
        and name in texts(place.properties.get("FunctionName"), place.template, stage)
    }


def other_distribution_faults(stage: Stage, inside: Inside) -> Iterator[str]:
    """Yield every other distribution that leads to a function URL behind the gateway."""
    for place in places(stage, "AWS::CloudFront::Distribution", "AWS::CloudFront::DistributionTenant"):
        if place == inside.distribution:
            continue
        # DNSName is an older name of DomainName. A tenant's parameters complete the hosts of its distribution.
        hosts = [one[key] for key in ("DomainName", "DNSName") for one in having(key, place.properties)]
        reached = leads_to([*hosts, place.properties.get("Parameters")], place.template, stage)
        for url in sorted(reached & inside.urls.keys()):
            yield (
                f"distribution {place.label} leads to {inside.urls[url]}, which is behind the gateway {inside.path}: it does "
                "not run this gateway's edge function, even if it is another EdgeGateway's; remove that origin, and give "
                "further paths to this EdgeGateway in functions={…}"
            )


def other_url_faults(stage: Stage, inside: Inside) -> Iterator[str]:
    """Yield every further function URL of a function behind the gateway."""
    for place in places(stage, "AWS::Lambda::Url"):
        if place.reference in inside.urls:
            continue
        target = place.properties.get("TargetFunctionArn")
        for function in sorted(functions_of(target, place.template, stage) & inside.functions.keys()):
            yield (
                f"function URL {place.label} (auth type {place.properties.get('AuthType')}) leads to the same function as "
                f"{inside.functions[function]}, which is behind the gateway: its callers pass no token check; remove it, or "
                "give it to EdgeGateway in functions={…} as well"
            )


def permission_faults(stage: Stage, inside: Inside) -> Iterator[str]:
    """Yield every permission on a function behind the gateway that lets others past the gateway.

    IAM policies are not judged: principals of the same account are trusted. Services that invoke the function with events
    of their own (S3, EventBridge) are the owner's choice, and pass.
    """
    for place in places(stage, "AWS::Lambda::Permission"):
        named = functions_of(place.properties.get("FunctionName"), place.template, stage)
        for function in sorted(named & inside.functions.keys()):
            for fault in _permission_faults(place, stage, inside):
                yield (
                    f"permission {place.label} on the function of {inside.functions[function]}, which is behind the gateway, "
                    f"lets in {fault}"
                )


def _permission_faults(place: Place, stage: Stage, inside: Inside) -> Iterator[str]:
    def each(name: str) -> set[str]:
        return texts(place.properties.get(name), place.template, stage)

    if "NONE" in each("FunctionUrlAuthType"):
        yield "anyone without a signature (FunctionUrlAuthType NONE), past the token check; remove it"
        return
    for principal in sorted(each("Principal") or {""}):
        service = principal.lower()
        if principal == "*":
            whom = ", ".join(f"everyone in {one}" for one in sorted(each("PrincipalOrgID"))) or "anyone"
            yield f"{whom} (Principal *), past the token check; remove it, or name the service or role that needs it"
        elif service.startswith("cloudfront."):
            yield from _cloudfront_faults(each("SourceArn"), inside)
        elif _SERVICE.fullmatch(service):
            if any(action.lower() in _CALLS_URLS or references(action) for action in each("Action")):
                yield (
                    f"{principal} through the function URL, which no service but CloudFront calls; give it "
                    "action='lambda:InvokeFunction', or remove it"
                )
        elif not _is_own(principal, place.template, stage):
            yield (
                f"{principal or 'an unknown principal'}: the construct cannot see that it belongs to this account, and "
                "another account could call past the token check; remove it, or write this account as AWS::AccountId"
            )


def _cloudfront_faults(sources: set[str], inside: Inside) -> Iterator[str]:
    distribution = inside.distribution
    ours = f"arn:aws:cloudfront::{distribution.template.account or ACCOUNT}:distribution/{distribution.reference}"
    for source in sorted((sources or {""}) - {ours}):
        yield (
            f"CloudFront on behalf of {source or 'any distribution in the world'}, not of {inside.path} alone; remove it, "
            "since EdgeGateway makes the permissions it needs, or give it that distribution's distribution_arn as source_arn"
        )


def _is_own(principal: str, here: Template, stage: Stage) -> bool:
    """Say whether a principal certainly belongs to the account that the template is deployed to."""
    account = principal
    if principal.startswith("arn:"):
        account = [*principal.split(":"), "", "", "", ""][4]
    elif principal in references(principal):
        place = place_of(principal, stage)
        if place and place.type in ("AWS::IAM::Role", "AWS::IAM::User"):
            account = place.template.account or ACCOUNT
    return account == (here.account or ACCOUNT)
