"""What is wrong with a policy document, and where: what the edge would refuse, rules that never apply, what is open.

The edge's own parser and matcher judge; this module adds the line, the column, and what a parser cannot know: a rule that
never applies, or an open door, is hardly what was meant.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import quote, urlsplit

from cognito_edge.errors import AmbiguousPathError
from cognito_edge.parameters import CLIENT_ID, POLICY, USER_POOL_ID, Configuration, ParametersError, parse_parameters
from cognito_edge.policy import METHODS, PathRules, Policy, Route
from cognito_edge.policy_document import PolicyError, parse_policy
from cognito_edge.target import canonical_target

from cognito_edge_cli.console import ScriptError
from cognito_edge_cli.stack import LOOPBACK_HOSTS

from .located_json import JsonError, Located, Place, locate, parse_place

STANDARD_BYTES = 4_096
"""The longest value of a standard parameter of SSM. Source: AWS General Reference, Systems Manager quotas."""

ADVANCED_BYTES = 8_192
"""The longest value of an advanced one, which costs $0.05 a month."""

# scope-token   RFC 6749 §3.3
_SCOPE = re.compile(r"[!#-\[\]-~]+")

# The edge joins its faults into one line; each begins with its place in the document.
_NEXT_FAULT = re.compile(r"; (?=(?:policy|version|(?:routes|issuers)(?:\[\d+\])?|cors|leeway_s|cut_off)(?:\.\w+)?: )")
_ROUTE_NAME = re.compile(r"(?:policy: )?(routes\[\d+\]) [^\x00]*?: issuers: ")
_UNKNOWN_KEY = re.compile(r"unknown key (['\"].*['\"…]); the keys are ")


class Severity(StrEnum):
    """How bad it is: ``broken``, the edge would not take the document; ``mistake``, it would, but ``put`` does not."""

    BROKEN = "broken"
    MISTAKE = "mistake"
    WARNING = "warning"


@dataclass(frozen=True)
class Finding:
    """One thing to say about a document.

    Attributes:
        severity: How bad it is.
        line: Counted from 1.
        column: Counted from 1.
        field: Where in the document, as in ``routes[2].path``.
        message: What was expected, what is there, what to do.
    """

    severity: Severity
    line: int
    column: int
    field: str
    message: str

    def shown(self, name: str) -> str:
        """Write it as compilers do, so that editors can jump to it.

        Args:
            name: The file's name.
        """
        kind = "warning" if self.severity is Severity.WARNING else "error"
        field = f"{self.field}: " if self.field else ""
        return f"{name}:{self.line}:{self.column}: {kind}: {field}{self.message}"


@dataclass(frozen=True)
class Ids:
    """The gateway's own pool, as it stands in the other two parameters.

    Attributes:
        user_pool_id: Value of ``P/user-pool-id``.
        client_id: Value of ``P/client-id``.
    """

    user_pool_id: str
    client_id: str


def check(text: str, ids: Ids | None, *, now: float) -> list[Finding]:
    """Return everything there is to say about a document, in the order of its lines.

    Args:
        text: The document.
        ids: The gateway's own pool; None when it is not known, and names of pools cannot be checked.
        now: Seconds since the epoch.
    """
    try:
        document = locate(text)
    except JsonError as error:
        return [Finding(Severity.BROKEN, error.line, error.column, "", str(error))]
    findings = [_finding(document, *fault) for fault in _size(text)]
    faults = list(_faults(text, ids))
    findings += [_fault(document, fault) for fault in faults]
    if not faults:
        policy = parse_policy(text)
        findings += [_finding(document, *remark) for remark in _remarks(policy, document, ids, now)]
    return sorted(findings, key=lambda finding: (finding.line, finding.column))


def configuration_of(text: str, ids: Ids, source: str, *, now: float) -> Configuration:
    """Return what the edge would make of a document.

    Args:
        text: The document.
        ids: The gateway's own pool.
        source: What to call the document.
        now: Seconds since the epoch.

    Raises:
        ScriptError: It is broken; the message names every fault.
    """
    try:
        values = {USER_POOL_ID: ids.user_pool_id, CLIENT_ID: ids.client_id, POLICY: text}
        return parse_parameters(values, policy_required=True)
    except ParametersError as error:
        faults = [finding for finding in check(text, ids, now=now) if finding.severity is Severity.BROKEN]
        shown = "\n".join(f"  {fault.shown(source)}" for fault in faults) or f"  {error}"
        raise ScriptError(f"{source} is broken; edges go on with the last good policy:\n{shown}") from None


_Remark = tuple[Severity, Place, str]


def _remark(severity: Severity, place: Place, message: str) -> _Remark:
    return severity, place, message


def _finding(document: Located, severity: Severity, place: Place, message: str) -> Finding:
    return Finding(severity, *document.where(place), _shown(place), message)


def _shown(place: Place) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in place).removeprefix(".")


def _size(text: str) -> Iterator[_Remark]:
    size = len(text.encode())
    if size > ADVANCED_BYTES:
        yield _remark(
            Severity.BROKEN,
            (),
            f"the document has {size:,} bytes; SSM takes {STANDARD_BYTES:,} in a standard parameter and "
            f"{ADVANCED_BYTES:,} in an advanced one. Shorten it: --compact leaves out spaces; merge rules of the same path",
        )
    elif size > STANDARD_BYTES:
        yield _remark(
            Severity.WARNING,
            (),
            f"the document has {size:,} bytes, more than the {STANDARD_BYTES:,} of a standard parameter: `put` wants "
            "--compact (which leaves out spaces) or --advanced (a parameter of up to 8,192 bytes, $0.05 a month)",
        )


# --- what the edge refuses ----------------------------------------------------------------------------------------------


def _faults(text: str, ids: Ids | None) -> list[str]:
    """Return what the edge finds, one fault each, as the edge words it."""
    try:
        if ids is None:
            parse_policy(text)
        else:
            values = {USER_POOL_ID: ids.user_pool_id, CLIENT_ID: ids.client_id, POLICY: text}
            parse_parameters(values, policy_required=True)
    except PolicyError as error:
        return list(error.faults)
    except ParametersError as error:
        return _NEXT_FAULT.split(str(error).removeprefix(f"{POLICY}: "))
    return []


def _fault(document: Located, fault: str) -> Finding:
    """Find the place of a fault: of the name or the list item that it is about, if there is one."""
    if route := _ROUTE_NAME.match(fault):  # "routes[0] /path: issuers: 'x' is no user_pool_id …"
        fault = f"{route[1]}.issuers: {fault[route.end() :]}"
    field, _, message = fault.partition(": ")
    place = () if field == POLICY else parse_place(field)
    if unknown := _UNKNOWN_KEY.match(message):
        for key in document.at(place) or ():
            if _excerpt(key) == unknown[1]:
                return Finding(
                    Severity.BROKEN, *document.where((*place, key), key=True), _shown((*place, key)), message
                )
    value = document.at(place)
    if isinstance(value, list):
        for number, item in enumerate(value):
            if message.endswith(f"not {_excerpt(item)}") or message.startswith(f"{_excerpt(item)} is "):
                place = (*place, number)
                break
    return Finding(Severity.BROKEN, *document.where(place), _shown(place), message)


def _excerpt(value: object) -> str:
    """Show a value as the edge's messages do."""
    text = repr(value)
    return text if len(text) <= 80 else text[:79] + "…"


# --- what the edge takes, and is hardly meant ---------------------------------------------------------------------------


def _remarks(policy: Policy, document: Located, ids: Ids | None, now: float) -> Iterator[_Remark]:
    for group in policy.rules:
        yield from _unreachable(policy, group)
        yield from _group(policy, group)
        for route in group.routes:
            yield from _route(group, route)
    yield from _case(policy)
    if ids is None:
        yield from _strangers(policy)
    if policy.cors is not None:
        yield from _cors(document)
    yield from _cut_off(policy, now)


def route_place(route: Route) -> Place:
    """Return where a route stands: its name begins with that."""
    return parse_place(route.name.partition(" ")[0])


def _unreachable(policy: Policy, group: PathRules) -> Iterator[_Remark]:
    """Ask the edge's own matcher for the paths that the pattern is about."""
    place = (*route_place(group.routes[0]), "path")
    found = [_matched(policy, path) for path in _samples(group)]
    if group in found:
        taken: set[str] = set()
        for route in group.routes:
            methods = {method for method in METHODS if route.takes(method)}
            if methods <= taken:
                yield _remark(
                    Severity.MISTAKE,
                    route_place(route),
                    f"never applies: every method it takes is taken by an earlier rule for {group.pattern}, and the first "
                    "one decides. Give the earlier ones `methods`, put this one before them, or remove it",
                )
            taken |= methods
        return
    earlier = next((other for other in found if other is not None), None)
    if earlier is not None:
        yield _remark(
            Severity.MISTAKE,
            place,
            f"never applies: {_shown(route_place(earlier.routes[0]))} {earlier.pattern} stands before it and covers all of "
            f"{group.pattern}, and the first pattern that matches decides. Put the narrower one first",
        )
    elif group.pattern.endswith("/") and group.pattern != "/":
        yield _remark(
            Severity.MISTAKE,
            place,
            f"never applies: {group.pattern} and {group.pattern.rstrip('/')} are the same to many servers, so that a path "
            f"under one of them alone is refused as ambiguous. Write {group.pattern}* for both and everything below",
        )
    else:
        yield _remark(
            Severity.MISTAKE,
            place,
            "never applies: other servers read such a path as another one, so that it is refused as ambiguous. Patterns are "
            "written decoded ('é', not '%C3%A9'), and no name in them has a ';', a space at either end, or a dot at its end",
        )


def _samples(group: PathRules) -> list[str]:
    path = quote("/" + "/".join(group.segments), safe="/")
    return [path, f"{path.rstrip('/')}/x"] if group.below else [path]


def _matched(policy: Policy, path: str) -> PathRules | None:
    """Return the group that decides about a path; None if the path is refused as ambiguous."""
    try:
        return policy.rules_for(canonical_target(path, ""))
    except AmbiguousPathError:
        return None


def _group(policy: Policy, group: PathRules) -> Iterator[_Remark]:
    place = (*route_place(group.routes[0]), "path")
    if "?" in group.pattern:
        yield _remark(
            Severity.WARNING,
            place,
            "a query is no part of the path: this matches a path that has an escaped '?' in it",
        )
    guarded = any(route.groups or route.scopes for route in group.routes)
    if not group.below and guarded and not group.pattern.endswith("/") and not _is_covered_below(policy, group):
        yield _remark(
            Severity.WARNING,
            place,
            f"covers {group.pattern} alone and nothing below it; write {group.pattern}/* for both",
        )


def _is_covered_below(policy: Policy, group: PathRules) -> bool:
    """Say whether some pattern is about what lies below an exact one."""
    length = len(group.segments)
    return any(
        other is not group and len(other.segments) >= length and other.segments[:length] == group.segments
        for other in policy.rules
    )


def _route(group: PathRules, route: Route) -> Iterator[_Remark]:
    place = route_place(route)
    if route.anyone:
        methods = "every method" if route.methods is None else ", ".join(m for m in METHODS if route.takes(m))
        yield _remark(
            Severity.WARNING,
            (*place, "allow"),
            f"public: anyone may call {group.pattern} ({methods}) without a token",
        )
    elif unknown := [scope for scope in route.scopes if not _SCOPE.fullmatch(scope)]:
        yield _remark(
            Severity.WARNING,
            (*place, "scopes"),
            f"shuts everyone out: no token has the scope {unknown[0]!r}; scopes have no spaces, quotes or characters beyond ASCII",
        )
    elif route.scopes and "access" not in route.token_use:
        yield _remark(
            Severity.WARNING,
            (*place, "scopes"),
            'shuts everyone out: ID tokens of Cognito have no scopes. Add "token_use": ["access"]',
        )
    elif route.scopes and "id" in route.token_use:
        yield _remark(
            Severity.WARNING,
            (*place, "token_use"),
            "ID tokens of Cognito have no scopes, so only access tokens get in here; leave out 'id'",
        )


def _case(policy: Policy) -> Iterator[_Remark]:
    seen: dict[str, PathRules] = {}
    for group in policy.rules:
        other = seen.setdefault(group.pattern.casefold(), group)
        if other is not group:
            yield _remark(
                Severity.WARNING,
                (*route_place(group.routes[0]), "path"),
                f"differs from {_shown(route_place(other.routes[0]))} {other.pattern} in case alone: right only if the "
                "backend tells upper case from lower",
            )


def _strangers(policy: Policy) -> Iterator[_Remark]:
    """Name the issuers that have to be the gateway's own pool, where that is not known."""
    known = {entry.pool_id for entry in policy.issuers} | {entry.issuer for entry in policy.issuers}
    for group in policy.rules:
        for route in group.routes:
            for name in sorted(set(route.issuers or ()) - known):
                if not any(name.endswith(f".amazonaws.com/{entry.pool_id}") for entry in policy.issuers):
                    yield _remark(
                        Severity.WARNING,
                        (*route_place(route), "issuers"),
                        f"{name!r} is not in `issuers`, and so has to be the gateway's own pool; --local or --stack checks",
                    )


def _cors(document: Located) -> Iterator[_Remark]:
    for number, origin in enumerate(document.value["cors"]["allow_origins"]):
        place = ("cors", "allow_origins", number)
        parts = urlsplit(origin)
        if origin == "*":
            yield _remark(
                Severity.WARNING,
                place,
                "public: pages of every origin may read preflights and refusals; name origins",
            )
        elif parts.scheme == "http" and parts.hostname not in LOOPBACK_HOSTS:
            yield Severity.WARNING, place, f"{origin} is plain http: whoever can change that page can use its tokens"
    for number, header in enumerate(document.value["cors"].get("allow_headers", ())):
        if header == "*":
            yield _remark(
                Severity.WARNING,
                ("cors", "allow_headers", number),
                "no browser takes '*' for Authorization, so no page can send a token: write authorization itself",
            )


def _cut_off(policy: Policy, now: float) -> Iterator[_Remark]:
    for name, verb in (("issued_before", "issued"), ("signed_in_before", "signed in")):
        when = getattr(policy.cut_off, name)
        if when > now + 1:
            yield _remark(
                Severity.MISTAKE,
                ("cut_off", name),
                f"lies in the future, which shuts everyone out, however freshly {verb}; the unit is seconds since 1970, not "
                f"milliseconds, and it is {int(now)} now",
            )


def worst(findings: Sequence[Finding]) -> Severity | None:
    """Return the worst severity among findings, or None."""
    for severity in Severity:
        if any(finding.severity is severity for finding in findings):
            return severity
    return None
