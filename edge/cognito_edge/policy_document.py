"""The policy document, JSON -> a ``Policy``, or every fault in it.

Anything unknown makes the whole document broken: a rule that is silently not applied is an open door.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from .claims import LAST_SECOND
from .policy import METHODS, Cors, CutOff, Issuer, PathRules, Policy, Route
from .strict_json import StrictJsonError, parse_object

TOKEN_USES = ("id", "access")
MAX_LEEWAY_S = 300
MAX_AGE_S = 86_400

# Patterns stay texts: compiling one takes a tenth of a millisecond of a cold start, and most documents need two or three.
_ORIGIN = r"https?://(?:[a-z0-9.-]+|\[[0-9a-f:]+\])(?::[0-9]{1,5})?"
_HEADER_NAME = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"  # RFC 9110 §5.1: token
_POOL_ID = r"[a-z]{2}(?:-[a-z]+)+-[0-9]+_[0-9A-Za-z]+"
_CLIENT_ID = r"[0-9A-Za-z_+]{1,128}"
_ISSUER = r"https?://[!-~]+"
_CONTROL = r"[\x00-\x1f\x7f\\]"


class PolicyError(ValueError):
    """The document is broken; the message names every fault, each with its place in the document.

    Attributes:
        faults: The same, one by one.
    """

    def __init__(self, *faults: str) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


def parse_policy(document: str) -> Policy:
    """Parse and check a policy document.

    Args:
        document: The value of the SSM parameter ``P/policy``.

    Raises:
        PolicyError: Naming every fault at once, each with its place.

    >>> parse_policy('{"version": 1, "routes": [{"path": "/public/*", "allow": "anyone"}]}').rules[0].pattern
    '/public/*'
    """
    try:
        root = parse_object(document.encode("utf-8"))
    except (StrictJsonError, UnicodeEncodeError) as error:
        raise PolicyError(f"the policy is {error}") from error
    return _Parser().policy(root)


class _Parser:
    """Walks the document once, collecting faults."""

    def __init__(self) -> None:
        self.faults: list[str] = []

    def policy(self, root: Mapping[str, Any]) -> Policy:
        self._keys(
            "policy", root, ("version", "routes", "issuers", "cors", "leeway_s", "cut_off"), required=("version",)
        )
        if "version" in root and (type(root["version"]) is not int or root["version"] != 1):
            self._fault("version", "1", root["version"])
        routes = [
            self._route(f"routes[{number}]", item)
            for number, item in enumerate(self._list("routes", root.get("routes", [])))
        ]
        issuers = tuple(
            self._issuer(f"issuers[{number}]", item)
            for number, item in enumerate(self._list("issuers", root.get("issuers", [])))
        )
        if len({issuer.pool_id for issuer in issuers}) < len(issuers):
            self.faults.append("issuers: each user_pool_id may stand once; give one entry all its client_ids")
        cors = self._cors(root["cors"]) if "cors" in root else None
        leeway_s = self._integer("leeway_s", root.get("leeway_s", 0), MAX_LEEWAY_S)
        cut_off = self._cut_off(root.get("cut_off", {}))
        if self.faults:
            raise PolicyError(*self.faults)
        return Policy(_by_path(routes), issuers, cors, leeway_s, cut_off)

    def _route(self, place: str, item: Any) -> tuple[str, Route]:
        item = self._keys(
            place,
            item,
            ("path", "methods", "allow", "groups", "scopes", "token_use", "clients", "issuers"),
            required=("path",),
        )
        pattern = item.get("path", "/")
        if fault := _pattern_fault(pattern):
            self._fault(f"{place}.path", fault, pattern)
            pattern = "/"
        anyone = "allow" in item
        if anyone and item["allow"] != "anyone":
            self._fault(f"{place}.allow", "'anyone', or absent", item["allow"])
        for key in ("groups", "scopes", "clients", "issuers"):
            if anyone and key in item:
                self.faults.append(f"{place}: 'allow': 'anyone' and '{key}' contradict each other; remove one")
        return pattern, Route(
            name=f"{place} {pattern}",
            methods=frozenset(self._texts(f"{place}.methods", item["methods"], one_of=METHODS))
            if "methods" in item
            else None,
            anyone=anyone,
            groups=self._texts(f"{place}.groups", item["groups"]) if "groups" in item else None,
            scopes=self._texts(f"{place}.scopes", item["scopes"]) if "scopes" in item else (),
            token_use=frozenset(self._texts(f"{place}.token_use", item.get("token_use", ["id"]), one_of=TOKEN_USES)),
            clients=frozenset(self._texts(f"{place}.clients", item["clients"])) if "clients" in item else None,
            issuers=frozenset(self._texts(f"{place}.issuers", item["issuers"])) if "issuers" in item else None,
        )

    def _issuer(self, place: str, item: Any) -> Issuer:
        item = self._keys(
            place, item, ("user_pool_id", "client_ids", "issuer"), required=("user_pool_id", "client_ids")
        )
        pool_id = item.get("user_pool_id", "")
        if "user_pool_id" in item and not is_pool_id(pool_id):
            self._fault(f"{place}.user_pool_id", "a user pool id such as eu-west-1_AbCdEfGhI", pool_id)
            pool_id = place
        clients = self._texts(f"{place}.client_ids", item["client_ids"]) if "client_ids" in item else ()
        for client in clients:
            if not is_client_id(client):
                self._fault(f"{place}.client_ids", "app client ids", client)
        issuer = item.get("issuer")
        if "issuer" in item and not (isinstance(issuer, str) and re.fullmatch(_ISSUER, issuer)):
            self._fault(f"{place}.issuer", "a URL, as it stands in iss", issuer)
        return Issuer(pool_id, frozenset(clients), issuer)

    def _cors(self, item: Any) -> Cors:
        item = self._keys("cors", item, ("allow_origins", "allow_headers", "max_age_s"), required=("allow_origins",))
        origins = self._texts("cors.allow_origins", item["allow_origins"]) if "allow_origins" in item else ()
        for origin in origins:
            if origin != "*" and not re.fullmatch(_ORIGIN, origin):
                self._fault(
                    "cors.allow_origins", "origins such as https://app.example.com, without a path, or *", origin
                )
        headers = self._texts("cors.allow_headers", item.get("allow_headers", ["authorization", "content-type"]))
        for header in headers:
            if not re.fullmatch(_HEADER_NAME, header):
                self._fault("cors.allow_headers", "header names", header)
        return Cors(frozenset(origins), headers, self._integer("cors.max_age_s", item.get("max_age_s", 600), MAX_AGE_S))

    def _cut_off(self, item: Any) -> CutOff:
        item = self._keys("cut_off", item, ("issued_before", "signed_in_before", "sub", "origin_jti", "jti"))
        times = {
            key: self._integer(f"cut_off.{key}", item.get(key, 0), LAST_SECOND)
            for key in ("issued_before", "signed_in_before")
        }
        names = {
            key: frozenset(self._texts(f"cut_off.{key}", item.get(key, []), empty=True))
            for key in ("sub", "origin_jti", "jti")
        }
        return CutOff(**times, **names)  # type: ignore[arg-type]

    def _keys(self, place: str, item: Any, known: Sequence[str], required: Sequence[str] = ()) -> Mapping[str, Any]:
        if not isinstance(item, Mapping):
            self._fault(place, "an object", item)
            return {}
        for key in item:
            if key not in known:
                self.faults.append(f"{place}: unknown key {_shown(key)}; the keys are {', '.join(known)}")
        for key in required:
            if key not in item:
                self.faults.append(f"{place}: {key} is required, and absent")
        return item

    def _list(self, place: str, value: Any) -> list[Any]:
        if isinstance(value, list):
            return value
        self._fault(place, "a list", value)
        return []

    def _texts(
        self, place: str, value: Any, *, one_of: Sequence[str] | None = None, empty: bool = False
    ) -> tuple[str, ...]:
        items = self._list(place, value)
        if not items and not empty and isinstance(value, list):
            self.faults.append(f"{place}: an empty list would let no one in; name something or remove the key")
        for text in items:
            if not isinstance(text, str) or not text:
                self._fault(place, "texts that are not empty", text)
            elif one_of is not None and text not in one_of:
                self._fault(place, f"one of {', '.join(one_of)}", text)
        return tuple(text for text in items if isinstance(text, str))

    def _integer(self, place: str, value: Any, most: int) -> int:
        if type(value) is int and 0 <= value <= most:
            return value
        self._fault(place, f"a whole number from 0 to {most}", value)
        return 0

    def _fault(self, place: str, expected: str, value: Any) -> None:
        self.faults.append(f"{place}: must be {expected}, not {_shown(value)}")


def is_pool_id(value: object) -> bool:
    """Say whether *value* is a user pool id: region, underscore, letters and digits."""
    return isinstance(value, str) and len(value) <= 55 and re.fullmatch(_POOL_ID, value) is not None


def is_client_id(value: object) -> bool:
    """Say whether *value* is an app client id."""
    return isinstance(value, str) and re.fullmatch(_CLIENT_ID, value) is not None


def _pattern_fault(pattern: Any) -> str | None:
    """Say what a pattern has to be when *pattern* is not one."""
    if not isinstance(pattern, str) or not pattern.startswith("/"):
        return "a path that begins with '/'"
    path = pattern.removesuffix("/*")
    if "*" in path:
        return "a path in which '*' stands only as a final '/*'"
    if re.search(_CONTROL, path):
        return "a path without control characters or backslashes"
    names = path.split("/")[1:]
    if "" in names[:-1] or (pattern != path and "" in names):
        return "a path without '//'"
    if "." in names or ".." in names:
        return "a path without '.' and '..' segments"
    return None


def _by_path(routes: Sequence[tuple[str, Route]]) -> tuple[PathRules, ...]:
    by_pattern: dict[str, list[Route]] = {}
    for pattern, route in routes:
        by_pattern.setdefault(pattern, []).append(route)
    rules = []
    for pattern, members in by_pattern.items():
        path = pattern.removesuffix("/*")
        rules.append(
            PathRules(
                pattern=pattern,
                segments=tuple(path.split("/")[1:]),
                below=path != pattern,
                routes=tuple(members),
                allow=tuple(method for method in METHODS if any(route.takes(method) for route in members)),
            )
        )
    return tuple(rules)


def _shown(value: Any) -> str:
    """Show a value of the document, which its writer knows, shortened."""
    text = repr(value)
    return text if len(text) <= 80 else text[:79] + "…"
