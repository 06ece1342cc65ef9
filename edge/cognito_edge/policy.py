"""Who may do what: routes, rules, CORS, cut-offs, and which rule decides about a path.

``policy_document.py`` makes it, once for each version of the document.
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
        """Say whether the rule is about *method*, in exactly this spelling. HEAD follows GET."""
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


class PathRules(NamedTuple):
    """All rules of one path pattern.

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
            MethodNotAllowedError: No route does. A later, broader pattern is never looked at.
        """
        for route in self.routes:
            if route.takes(method):
                return route
        allow = ", ".join(self.allow)
        raise MethodNotAllowedError(f"{method} is not allowed here; {allow} are.", allow=self.allow)


_DEFAULT_RULES = PathRules("(default)", (), below=True, routes=(DEFAULT_ROUTE,), allow=METHODS)


class _Patterns:
    """Finds the first pattern that matches, when names are compared as *fold* leaves them."""

    def __init__(self, rules: Sequence[PathRules], fold: Callable[[str], str]) -> None:
        self._none = len(rules)
        self._exact: dict[Segments, int] = {}
        self._below: dict[Segments, int] = {}
        for number, each in enumerate(rules):
            patterns = self._below if each.below else self._exact
            patterns.setdefault(tuple(map(fold, each.segments)), number)
        self._longest = max(map(len, self._below), default=0)

    def first(self, segments: Segments) -> int:
        """Return the number of the first pattern that matches, or the number of patterns if none does."""
        found = self._exact.get(segments, self._none)
        for length in range(min(len(segments), self._longest) + 1):
            found = min(found, self._below.get(segments[:length], self._none))
        return found


class Policy:
    """A parsed policy document."""

    def __init__(
        self,
        rules: tuple[PathRules, ...] = (),
        issuers: tuple[Issuer, ...] = (),
        cors: Cors | None = None,
        leeway_s: int = 0,
        cut_off: CutOff = NO_CUT_OFF,
    ) -> None:
        self.rules = rules
        self.issuers = issuers
        self.cors = cors
        self.leeway_s = leeway_s
        self.cut_off = cut_off
        self._as_written = _Patterns(rules, str)
        self._folded = _Patterns(rules, fold)
        # Two patterns that differ in case alone are one to a server that ignores case.
        folded = [tuple(map(fold, each.segments)) for each in rules]
        self._folded_patterns = [*((names, each.below) for names, each in zip(folded, rules, strict=True)), None]
        self._has_capitals = any(names != each.segments for names, each in zip(folded, rules, strict=True))

    def rules_for(self, target: Target) -> PathRules:
        """Return the rules that decide about a target: those of the first pattern that matches.

        Raises:
            AmbiguousPathError: Another reading of its path than the one that counts falls to another pattern.
        """
        readings = target.readings
        number = self._as_written.first(readings[0].segments)
        # Skip plain lower-case paths: only a pattern with capitals could match differently.
        if self._has_capitals or len(readings) > 2 or readings[0].segments != readings[1].segments:
            for reading in readings:
                if not self._falls_to(number, reading) and not self._is_spelt_so(number, reading):
                    raise AmbiguousPathError(
                        "The path could be read as one that another rule protects: mind escapes, upper-case and look-alike "
                        "letters, ';', '+', '?', '#', a suffix such as '.json', and a '/', '.' or space at either end of a name."
                    )
        return self.rules[number] if number < len(self.rules) else _DEFAULT_RULES

    def _falls_to(self, number: int, reading: Reading) -> bool:
        if reading.folded:
            return self._folded_patterns[self._folded.first(reading.segments)] == self._folded_patterns[number]
        return self._as_written.first(reading.segments) == number

    def _is_spelt_so(self, number: int, reading: Reading) -> bool:
        """Say whether a reading falls elsewhere only because of how the rule's own pattern is spelt.

        A rule for ``/favicon.ico`` means that very name. It is judged as written, and what follows it in every reading.
        """
        if number == len(self.rules):
            return False
        segments, folded = reading
        as_written = self.rules[number].segments
        if not as_written or not is_settled(as_written):
            return False
        exact_names, folded_names = spellings((as_written,), len(self.rules[number].pattern))
        names_of = folded_names if folded else exact_names
        own = next(iter(names_of))
        return any(
            segments[: len(names)] == names and self._falls_to(number, Reading(own + segments[len(names) :], folded))
            for names in names_of
        )
