"""A small IAM evaluator: may this principal do this action on this resource? It denies what it does not know.

Source: IAM User Guide, "Policy evaluation logic" and "IAM JSON policy elements" (Effect, Principal, Action, Resource,
Condition operators). Not evaluated: service control policies, permissions boundaries, session policies, policy
variables, numeric and date operators, set operators. A statement that needs one of them is "unknown": an unknown Allow
allows nothing, an unknown Deny denies, and the reason is reported either way.
"""

import enum
import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .principals import Statement

_ELEMENTS = frozenset(
    {
        "Sid",
        "Effect",
        "Principal",
        "NotPrincipal",
        "Action",
        "NotAction",
        "Resource",
        "NotResource",
        "Condition",
    }
)
_ARN_PARTS = 6  # arn:partition:service:region:account:resource


@dataclass(frozen=True, slots=True)
class AccessRequest:
    """What is asked of IAM: one action of one principal on one resource.

    Attributes:
        action: ``service:Name``.
        resource: ARN.
        principal_arn: The caller's session ARN (``arn:aws:sts::…:assumed-role/ROLE/SESSION``).
        role_arn: The caller's role ARN; its path may be left out, since role names are unique in an account.
        account_id: The caller's account.
        resource_account_id: The resource's account.
        context: Condition keys (any case) and their value, None for a key that is known to be absent. A key that
            is not listed at all is unknown.
        service: The service principal that asks; None where a role does.
    """

    action: str
    resource: str
    principal_arn: str
    role_arn: str
    account_id: str
    resource_account_id: str
    context: Mapping[str, str | None]
    service: str | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What IAM says, and why.

    Attributes:
        allowed: True only if an Allow was found and no Deny.
        reason: One sentence for the person who has to change a policy.
        notes: What could not be evaluated, each with the statement it stands in.
    """

    allowed: bool
    reason: str
    notes: tuple[str, ...] = field(default=())


class _Match(enum.Enum):
    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


class _UnknownError(Exception):
    """A statement needs something that this evaluator does not know."""


def evaluate(request: AccessRequest, *, identity: Sequence[Statement], resource: Sequence[Statement]) -> Decision:
    """Decide one request by the caller's identity policies and the resource's policy.

    Steps:
        1. An explicit Deny in either wins.
        2. In one account either side may allow; a resource policy that names the whole account only hands the
           question back to the identity policies.
        3. A service has no identity policies: the resource policy has to name it.
        4. Across accounts both sides have to allow.

    Args:
        request: What is asked.
        identity: Statements of all policies of the caller's role.
        resource: Statements of the resource's policy.
    """
    notes: list[str] = []
    sides = {
        "identity policy": [(statement, _judge_identity(statement, request, notes)) for statement in identity],
        "resource policy": [(statement, _judge_resource(statement, request, notes)) for statement in resource],
    }
    for side, judged in sides.items():  # (1)
        for statement, match in judged:
            if statement.get("Effect") != "Allow" and match is not _Match.NO:
                return Decision(
                    allowed=False,
                    reason=f"{request.action} is denied by {_name(statement)} of the {side}",
                    notes=tuple(notes),
                )
    allowing = {
        side: [s for s, match in judged if match is _Match.YES and s.get("Effect") == "Allow"]
        for side, judged in sides.items()
    }
    if request.account_id == request.resource_account_id:  # (2)
        direct = [s for s in allowing["resource policy"] if not _only_names_account(s, request)]
        for side, by in (("identity policy", allowing["identity policy"]), ("resource policy", direct)):
            if by:
                reason = f"{request.action} is allowed by {_name(by[0])} of the {side}"
                return Decision(allowed=True, reason=reason, notes=tuple(notes))
        return Decision(
            allowed=False,
            reason=f"neither the caller's identity policy nor the resource policy allows {request.action} "
            f"on {request.resource} under these conditions",
            notes=tuple(notes),
        )
    if request.service is not None:  # (3)
        by_policy = allowing["resource policy"]
        return Decision(
            allowed=bool(by_policy),
            reason=f"{request.action} is allowed by {_name(by_policy[0])} of the resource policy"
            if by_policy
            else f"the resource policy does not let {request.service} do {request.action} on {request.resource} "
            f"for {request.context.get('aws:SourceArn')}",
            notes=tuple(notes),
        )
    missing = [side for side, statements in allowing.items() if not statements]  # (4)
    return Decision(
        allowed=not missing,
        reason=f"{request.action} across accounts needs both policies; "
        + (f"missing: {' and '.join(missing)}" if missing else "both allow it"),
        notes=tuple(notes),
    )


def _name(statement: Statement) -> str:
    """Return how to find a statement again: its Sid, or its Effect and actions."""
    sid = statement.get("Sid")
    if sid:
        return f"statement {sid!r}"
    return f"a statement ({statement.get('Effect')} {statement.get('Action', statement.get('NotAction'))})"


def _judge_identity(statement: Statement, request: AccessRequest, notes: list[str]) -> _Match:
    def principal() -> bool:
        if "Principal" in statement or "NotPrincipal" in statement:
            raise _UnknownError("an identity policy has no Principal")
        return True

    return _judge(statement, request, notes, principal)


def _judge_resource(statement: Statement, request: AccessRequest, notes: list[str]) -> _Match:
    def principal() -> bool:
        if "NotPrincipal" in statement:
            raise _UnknownError("NotPrincipal is not evaluated")
        return _principal_matches(statement.get("Principal"), request)

    return _judge(statement, request, notes, principal)


def _judge(
    statement: Statement, request: AccessRequest, notes: list[str], principal_matches: Callable[[], bool]
) -> _Match:
    """Say whether one statement speaks of the request; what cannot be evaluated is noted."""
    try:
        if not _action_matches(statement, request.action) or not _resource_matches(statement, request.resource):
            return _Match.NO
        unknown_elements = sorted(statement.keys() - _ELEMENTS)
        if unknown_elements:
            raise _UnknownError(f"unknown element {unknown_elements[0]!r}")
        if statement.get("Effect") not in {"Allow", "Deny"}:
            raise _UnknownError(f"Effect is {statement.get('Effect')!r}")
        matches = principal_matches() and _conditions_match(statement.get("Condition") or {}, request.context)
    except _UnknownError as unknown:
        outcome = "allows nothing" if statement.get("Effect") == "Allow" else "counts as a Deny"
        notes.append(f"{_name(statement)}: {unknown}; it {outcome} here")
        return _Match.UNKNOWN
    return _Match.YES if matches else _Match.NO


# --- elements ---------------------------------------------------------------------------------------------------------


def _listed(value: Any) -> list[str]:
    """Return the strings of an element that may be one value or a list."""
    values = value if isinstance(value, list) else [value]
    return [str(item).lower() if isinstance(item, bool) else str(item) for item in values]


def _glob(pattern: str, text: str, *, ignore_case: bool = False) -> bool:
    """Match IAM's wildcards: ``*`` any run, ``?`` one character; nothing else is special (no ``[…]``, as in fnmatch)."""
    expression = "".join(".*" if c == "*" else "." if c == "?" else re.escape(c) for c in pattern)
    return re.fullmatch(expression, text, re.DOTALL | (re.IGNORECASE if ignore_case else 0)) is not None


def _action_matches(statement: Statement, action: str) -> bool:
    if "Action" in statement:
        # "the prefix and the action name are case insensitive" (IAM JSON policy elements: Action).
        return any(_glob(pattern, action, ignore_case=True) for pattern in _listed(statement["Action"]))
    if "NotAction" in statement:
        return not any(_glob(pattern, action, ignore_case=True) for pattern in _listed(statement["NotAction"]))
    raise _UnknownError("it has neither Action nor NotAction")


def _resource_matches(statement: Statement, resource: str) -> bool:
    for element, wanted in (("Resource", True), ("NotResource", False)):
        if element in statement:
            patterns = _listed(statement[element])
            if any("${" in pattern for pattern in patterns):
                raise _UnknownError("policy variables are not evaluated")
            return any(_resource_glob(pattern, resource) for pattern in patterns) is wanted
    raise _UnknownError("it has neither Resource nor NotResource")


def _resource_glob(pattern: str, resource: str) -> bool:
    if pattern == "*":
        return True
    parts = pattern.split(":", _ARN_PARTS - 1)
    # "If you specify an incomplete ARN […] AWS automatically completes the ARN by adding wildcard characters (*) to
    # all missing fields." (IAM JSON policy elements: Resource)
    return _arn_like(":".join(parts + ["*"] * (_ARN_PARTS - len(parts))), resource)


def _arn_like(pattern: str, arn: str) -> bool:
    """Match each of an ARN's six parts on its own: a ``*`` of one part never reaches into the next."""
    pattern_parts, arn_parts = pattern.split(":", _ARN_PARTS - 1), arn.split(":", _ARN_PARTS - 1)
    if len(pattern_parts) != _ARN_PARTS or len(arn_parts) != _ARN_PARTS:
        return False
    return all(_glob(part, given) for part, given in zip(pattern_parts, arn_parts, strict=True))


def _service_principals(principal: Any) -> list[str]:
    """Return the services that a Principal element names."""
    return _listed(principal["Service"]) if isinstance(principal, dict) and "Service" in principal else []


def _aws_principals(principal: Any) -> list[str]:
    """Return the AWS principals that a Principal element names; federations are left out."""
    if principal == "*":
        return ["*"]
    if isinstance(principal, dict):
        return _listed(principal["AWS"]) if "AWS" in principal else []
    raise _UnknownError("a resource policy needs a Principal")


def _names_account(name: str, account_id: str) -> bool:
    return name == account_id or re.fullmatch(rf"arn:[\w-]+:iam::{re.escape(account_id)}:root", name) is not None


def _names_caller(name: str, request: AccessRequest) -> bool:
    """Say whether a principal is everyone, the caller's session or the caller's role (wildcards do not exist here)."""
    if name in {"*", request.principal_arn}:
        return True
    role = re.fullmatch(r"arn:([\w-]+):iam::(\d{12}):role/(?:.*/)?([^/]+)", name)
    return role is not None and f"arn:{role[1]}:iam::{role[2]}:role/{role[3]}" == request.role_arn


def _principal_matches(principal: Any, request: AccessRequest) -> bool:
    if request.service is not None:
        # "*" is everyone, services included.
        return "*" in _aws_principals(principal) or request.service in _service_principals(principal)
    return any(
        _names_caller(name, request) or _names_account(name, request.account_id) for name in _aws_principals(principal)
    )


def _only_names_account(statement: Statement, request: AccessRequest) -> bool:
    return not any(_names_caller(name, request) for name in _aws_principals(statement.get("Principal")))


# --- conditions -------------------------------------------------------------------------------------------------------


def _ip_in(network: str, address: str) -> bool:
    try:
        return ipaddress.ip_address(address) in ipaddress.ip_network(network, strict=False)
    except ValueError as error:
        raise _UnknownError(f"{network!r} is not an address range") from error


_OPERATORS: dict[str, Callable[[str, str], bool]] = {
    "stringequals": lambda pattern, value: pattern == value,
    "stringequalsignorecase": lambda pattern, value: pattern.lower() == value.lower(),
    "stringlike": _glob,
    "bool": lambda pattern, value: pattern.lower() == value.lower(),
    # "ArnEquals and ArnLike behave identically." (IAM JSON policy elements: Condition operators)
    "arnequals": _arn_like,
    "arnlike": _arn_like,
    "ipaddress": _ip_in,
}
_NEGATED = {
    "stringnotequals": "stringequals",
    "stringnotequalsignorecase": "stringequalsignorecase",
    "stringnotlike": "stringlike",
    "arnnotequals": "arnequals",
    "arnnotlike": "arnlike",
    "notipaddress": "ipaddress",
}


def _conditions_match(block: Mapping[str, Mapping[str, Any]], context: Mapping[str, str | None]) -> bool:
    """Evaluate a Condition block: operators and keys are ANDed, the values of one key ORed.

    Every operator is evaluated, so that an unknown one is noticed even beside one that is false.
    """
    known = {key.lower(): value for key, value in context.items()}
    results = [
        _condition_matches(operator, key, _listed(wanted), known)
        for operator, keys in block.items()
        for key, wanted in keys.items()
    ]
    return all(results)


def _condition_matches(operator: str, key: str, wanted: Iterable[str], known: Mapping[str, str | None]) -> bool:
    if key.lower() not in known:
        raise _UnknownError(f"condition key {key!r} is unknown")
    value = known[key.lower()]
    patterns = list(wanted)
    if any("${" in pattern for pattern in patterns):
        raise _UnknownError("policy variables are not evaluated")
    name = operator.lower()
    if name == "null":
        return any((pattern.lower() == "true") is (value is None) for pattern in patterns)
    if_exists = name.endswith("ifexists")
    name = name.removesuffix("ifexists")
    negated = name in _NEGATED
    compare = _OPERATORS.get(_NEGATED.get(name, name))
    if compare is None:
        raise _UnknownError(f"condition operator {operator!r} is unknown")
    if value is None:
        # "If the key that you specify in a policy condition is not present in the request context, the values do not
        # match and the condition is false. If the policy condition requires that the key is not matched […] and the
        # right key is not present, the condition is true." (Condition operators)
        return negated or if_exists
    return any(compare(pattern, value) for pattern in patterns) is not negated
