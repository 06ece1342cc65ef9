"""Does an IAM policy allow one action, under the conditions that matter for function URLs?

Not IAM's whole logic: what this project's policies consist of, and "unsure" for everything else, never "yes".
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any, Final

Statement = Mapping[str, Any]

_EQUALS: Final = frozenset({"StringEquals", "StringLike", "ArnEquals", "ArnLike", "Bool", "StringEqualsIgnoreCase"})


class Says(StrEnum):
    """What policies say about one action."""

    YES = "allowed"
    NO = "not allowed"
    DENIED = "denied"
    UNSURE = "allowed under conditions that the doctor does not know"


def says(
    statements: Sequence[Statement],
    *,
    action: str,
    resource: str,
    context: Mapping[str, str],
    principal: str | None = None,
) -> Says:
    """Return what statements say about an action.

    Args:
        statements: Of identity policies, or of one resource policy.
        action: For example ``lambda:InvokeFunction``.
        resource: ARN of what is called.
        context: Condition keys that are known, with their values; names in lower case.
        principal: Who calls, for a resource policy: an ARN or a service; None for identity policies.
    """
    best = Says.NO
    for statement in statements:
        if principal is not None and not _is_for(statement, principal):
            continue
        if not _names(statement, "Action", action, fold=True) or not _names(statement, "Resource", resource):
            continue
        fits = _fits(statement.get("Condition") or {}, context)
        if fits is False:
            continue
        if statement.get("Effect") == "Deny":
            if fits:
                return Says.DENIED
            best = Says.UNSURE
        elif best is not Says.UNSURE or fits:
            best = Says.YES if fits else Says.UNSURE if best is Says.NO else best
    return best


def open_to_all(statements: Sequence[Statement]) -> Iterator[str]:
    """Yield the names of statements that let everyone in who finds the function's URL."""
    for statement in statements:
        conditions = _flat(statement.get("Condition") or {})
        everyone = _is_for(statement, "*", exactly=True)
        signed = conditions.get("lambda:functionurlauthtype") == ["AWS_IAM"]
        tied = any(key in conditions for key in ("aws:sourcearn", "aws:sourceaccount", "aws:principalorgid"))
        if statement.get("Effect") == "Allow" and everyone and not signed and not tied:
            yield str(statement.get("Sid", "without a Sid"))


def _is_for(statement: Statement, principal: str, *, exactly: bool = False) -> bool:
    named = statement.get("Principal")
    values: list[Any] = []
    for value in named.values() if isinstance(named, Mapping) else [named]:
        values += value if isinstance(value, list) else [value]
    return principal in values or (not exactly and "*" in values)


def _names(statement: Statement, key: str, wanted: str, *, fold: bool = False) -> bool:
    if f"Not{key}" in statement:
        return not _names({key: statement[f"Not{key}"]}, key, wanted, fold=fold)
    patterns = statement.get(key, [])
    return any(
        _matches(pattern, wanted, fold=fold) for pattern in ([patterns] if isinstance(patterns, str) else patterns)
    )


def _matches(pattern: str, text: str, *, fold: bool = False) -> bool:
    expression = "".join({"*": ".*", "?": "."}.get(character) or re.escape(character) for character in pattern)
    return re.fullmatch(expression, text, re.IGNORECASE if fold else 0) is not None


def _flat(condition: Mapping[str, Any]) -> dict[str, list[str]]:
    return {
        key.lower(): [str(one) for one in (value if isinstance(value, list) else [value])]
        for keys in condition.values()
        for key, value in keys.items()
    }


def _fits(condition: Mapping[str, Any], context: Mapping[str, str]) -> bool | None:
    """Say whether conditions hold; None where one is of a kind, or about something, that is not known here."""
    unsure = False
    for operator, keys in condition.items():
        for key, value in keys.items():
            if operator not in _EQUALS or key.lower() not in context:
                unsure = True
                continue
            wanted = [str(one) for one in (value if isinstance(value, list) else [value])]
            # A key that is known to be absent has the value "", which matches nothing.
            if not any(_matches(one, context[key.lower()], fold=operator == "Bool") for one in wanted):
                return False
    return None if unsure else True
