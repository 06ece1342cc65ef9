"""Who may do what: routes, rules, CORS, cut-offs, and which rule decides about a path  pure.

Made once per version of the policy document (``policy_document.py``), into tries whose walk costs one dictionary look-up
per path segment, however many routes there are.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from .errors import AmbiguousPathError, MethodNotAllowedError
from .readings import Reading, Segments, fold, is_settled, spellings
from .target import Target

# The seven methods that a CloudFront behavior can allow, in the order in which ``Allow`` lists them.
METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")


class Route(NamedTuple):
    """One rule.

    Attributes:
        name: Its place and path, for logs: ``routes[2] /admin/*``.
        methods: The methods it takes, or None for all of ``METHODS``.
        anyone: True: no token is needed.
        groups: The user has to be in one of them, or None.
        scopes: The token has to have all of them.
        token_use: Which kinds of token it takes.
        clients: The app clients whose tokens it takes, or None for all of the issuer's.
        issuers: The pools (ids or issuer URLs) whose tokens it takes, or None for the gateway's own pool alone.
    """

    name: str
    methods: frozenset[str] | None = None
    anyone: bool = False
    groups: tuple[str, ...] | None = None
    scopes: tuple[str, ...] = ()
    token_use: frozenset[str] = frozenset({"id"})
    clients: frozenset[str] | None = None
    issuers: frozenset[str] | None = None

    def takes(self, method: str) -> bool:
        """Say whether the rule is about *method*. HEAD follows GET; any other spelling of a method is none."""
        if self.methods is None:
            return method in METHODS
        return method in self.methods or (method == "HEAD" and "GET" in self.methods)


# A path that no rule matches needs a valid ID token of the gateway's own pool.
DEFAULT_ROUTE = Route(name="default")


class Issuer(NamedTuple):
    """One more pool whose tokens some route takes, or the spelling of the gateway's own.

    Attributes:
        pool_id: For example ``eu-west-1_AbCdEfGhI``.
        client_ids: Its app clients.
        issuer: The one ``iss`` it uses, or None for Cognito's two forms.
    """

    pool_id: str
    client_ids: frozenset[str]
    issuer: str | None


class Cors(NamedTuple):
    """Which web pages may read our answers (Fetch standard, "CORS protocol")."""

    allow_origins: frozenset[str]
    allow_headers: tuple[str, ...]
    max_age_s: int


class CutOff(NamedTuple):
    """Tokens ended before their time.

    Attributes:
        issued_before: Tokens with a smaller ``iat`` are out; 0 for none. Seconds since the epoch.
        signed_in_before: Tokens with a smaller ``auth_time`` are out; 0 for none. Seconds since the epoch.
        sub: Users who are out.
        origin_jti: Sign-ins that are out, with every token refreshed from them.
        jti: Single tokens that are out.
    """

    issued_before: int = 0
    signed_in_before: int = 0
    sub: frozenset[str] = frozenset()
    origin_jti: frozenset[str] = frozenset()
    jti: frozenset[str] = frozenset()


NO_CUT_OFF = CutOff()


class RouteGroup(NamedTuple):
    """All routes of one path pattern.

    Attributes:
        pattern: As written, for example ``/admin/*``.
        segments: Its names between slashes, without the final ``*``.
        below: True if the pattern ends in ``/*``.
        routes: In the order of the document.
        allow: Every method that some route takes, for the ``Allow`` header.
    """

    pattern: str
    segments: Segments
    below: bool
    routes: tuple[Route, ...]
    allow: tuple[str, ...]

    def route_for(self, method: str) -> Route:
        """Return the first route that takes *method*.

        Raises:
            MethodNotAllowedError: None does; a later, broader group is never looked at.
        """
        for route in self.routes:
            if route.takes(method):
                return route
        allow = ", ".join(self.allow)
        raise MethodNotAllowedError(f"{method} is not allowed here; {allow} are.", allow=self.allow)


# Paths whose group is remembered; at 8 KB each, what anyone can make us hold stays below 2 MB.
_MAX_DECIDED = 256

_DEFAULT_GROUP = RouteGroup("(default)", (), below=True, routes=(DEFAULT_ROUTE,), allow=METHODS)


class _Node:
    """One segment of a trie over patterns; numbers are group numbers, the smallest wins."""

    __slots__ = ("below", "children", "exact")

    def __init__(self, none: int) -> None:
        self.children: dict[str, _Node] = {}
        self.below = none
        self.exact = none


class _Trie:
    """Patterns by segment."""

    def __init__(self, groups: Sequence[RouteGroup], fold: Callable[[str], str]) -> None:
        self._none = len(groups)
        self._root = _Node(self._none)
        for number, group in enumerate(groups):
            node = self._root
            for segment in group.segments:
                node = node.children.setdefault(fold(segment), _Node(self._none))
            if group.below:
                node.below = min(node.below, number)
            else:
                node.exact = min(node.exact, number)

    def find(self, segments: Segments) -> int:
        """Return the number of the first group whose pattern matches, or the number of groups if none does."""
        node = self._root
        best = node.below
        for segment in segments:
            child = node.children.get(segment)
            if child is None:
                return best
            node = child
            best = min(best, node.below)
        return min(best, node.exact)


class Policy:
    """A parsed policy document; a class because the tries are built once and hidden. Nothing changes what it says."""

    __slots__ = (
        "_decided",
        "_exact",
        "_fold_keys",
        "_folded",
        "_mixed_case",
        "cors",
        "cut_off",
        "groups",
        "issuers",
        "leeway_s",
    )

    def __init__(
        self,
        groups: tuple[RouteGroup, ...] = (),
        issuers: tuple[Issuer, ...] = (),
        cors: Cors | None = None,
        leeway_s: int = 0,
        cut_off: CutOff = NO_CUT_OFF,
    ) -> None:
        self.groups = groups
        self.issuers = issuers
        self.cors = cors
        self.leeway_s = leeway_s
        self.cut_off = cut_off
        keys = [(tuple(fold(s) for s in group.segments), group.below) for group in groups]
        self._exact = _Trie(groups, str)
        self._folded = _Trie(groups, fold)
        self._fold_keys: tuple[object, ...] = (*keys, None)
        self._mixed_case = any(key[0] != group.segments for key, group in zip(keys, groups, strict=True))
        self._decided: dict[str, RouteGroup] = {}

    def group_for(self, target: Target) -> RouteGroup:
        """Return the group of routes that decides about a target.

        Raises:
            AmbiguousPathError: Another reading of its path than the one that counts falls to another group.
        """
        group = self._decided.get(target.path)
        if group is None:
            group = self._group_for(target.readings)
            if len(self._decided) >= _MAX_DECIDED:
                self._decided.clear()
            self._decided[target.path] = group
        return group

    def _group_for(self, readings: Sequence[Reading]) -> RouteGroup:
        number = self._exact.find(readings[0].segments)
        # A path with one reading in lower case can fall to another group only where patterns have upper case.
        if self._mixed_case or len(readings) > 2 or readings[0].segments != readings[1].segments:
            for reading in readings:
                if not self._falls_to(number, reading) and not self._is_spelt_so(number, reading):
                    raise AmbiguousPathError(
                        "The path could be read as one that another rule protects: mind escapes, upper-case and look-alike "
                        "letters, ';', '+', '?', '#', a suffix such as '.json', and a '/', '.' or space at either end of a name."
                    )
        return self.groups[number] if number < len(self.groups) else _DEFAULT_GROUP

    def _falls_to(self, number: int, reading: Reading) -> bool:
        if reading.folded:
            return self._fold_keys[self._folded.find(reading.segments)] == self._fold_keys[number]
        return self._exact.find(reading.segments) == number

    def _is_spelt_so(self, number: int, reading: Reading) -> bool:
        """Say whether a reading falls elsewhere only for what the rule's own pattern spells.

        Who writes a rule for ``/favicon.ico`` means that very name: it is judged as written, and what follows it in every way.
        """
        if number == len(self.groups):
            return False
        segments, folded = reading
        as_written = self.groups[number].segments
        if not as_written or not is_settled(as_written):
            return False
        exact_names, folded_names = spellings((as_written,), len(self.groups[number].pattern))
        names_of = folded_names if folded else exact_names
        own = next(iter(names_of))
        return any(
            segments[: len(names)] == names and self._falls_to(number, Reading(own + segments[len(names) :], folded))
            for names in names_of
        )
