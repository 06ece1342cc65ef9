"""A second, naive reading of the policy document, to hold the edge's against.

Written from design section 8 (and section 5 for what a path may mean) alone, before and without looking at edge/:
no index, no caching, no early return; every rule is one plain sentence of the design turned into one plain `if`.
It returns *every* reason for which a request is refused, so that the order of the edge's checks is not its business:
the edge must allow exactly when there is no reason, and must name one of the reasons when it refuses.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

ALLOWED: frozenset[str] = frozenset()
CLOCKS_DIFFER_S = 300  # "iat, nbf and auth_time may lie up to 300 s ahead" (section 6)


@dataclass(frozen=True)
class Pool:
    """The pool of contract C5: the one whose tokens a route without `issuers` takes."""

    pool_id: str
    client_ids: tuple[str, ...]

    @property
    def issuers(self) -> set[str]:
        """Both forms of C5."""
        region = self.pool_id.split("_")[0]
        return {
            f"https://cognito-idp.{region}.amazonaws.com/{self.pool_id}",
            f"https://issuer-cognito-idp.{region}.amazonaws.com/{self.pool_id}",
        }


@dataclass(frozen=True)
class Ask:
    """One request, as a viewer sends it: the raw path, and the claims of a token whose signature is in order."""

    method: str
    path: str
    claims: dict[str, Any] | None = None
    headers: dict[str, str] = field(default_factory=dict)


def reasons(document: dict[str, Any] | None, ask: Ask, *, pool: Pool, now: float) -> frozenset[str]:
    """Every code with which this request may be refused; none means that it must be let through."""
    document = document or {}
    unclear = path_reasons(document, ask.path)
    if unclear:
        return unclear
    if is_preflight(document, ask):
        return ALLOWED
    return route_reasons(document, ask, pool=pool, now=now)


def is_preflight(document: dict[str, Any], ask: Ask) -> bool:
    """Without `cors` in the policy OPTIONS is a method like any other."""
    names = {name.lower() for name in ask.headers}
    return (
        "cors" in document
        and ask.method == "OPTIONS"
        and {
            "origin",
            "access-control-request-method",
        }
        <= names
    )


def route_reasons(document: dict[str, Any], ask: Ask, *, pool: Pool, now: float) -> frozenset[str]:
    """The group, its first route for the method, and then the token against that route."""
    group = group_of(document, once_decoded(ask.path))
    if group is None:
        route: dict[str, Any] = {}  # "A path that matches nothing needs a valid ID token of C5's pool."
    else:
        takers = [
            route for route in document["routes"] if route["path"] == group and takes(route.get("methods"), ask.method)
        ]
        if not takers:
            return frozenset({"method_not_allowed"})
        route = takers[0]
    if route.get("allow") == "anyone":
        return ALLOWED
    if ask.claims is None:
        return frozenset({"missing_token"})
    return token_reasons(document, route, ask.claims, pool=pool, now=now)


def takes(methods: list[str] | None, method: str) -> bool:
    """HEAD follows GET."""
    return methods is None or method in methods or (method == "HEAD" and "GET" in methods)


# --- paths ------------------------------------------------------------------------------------------------------------


def path_reasons(document: dict[str, Any], raw: str) -> frozenset[str]:
    """Refuse what cannot be read, and what two backends could read as two different groups."""
    if re.search(r"%(?![0-9A-Fa-f]{2})", raw):
        return frozenset({"malformed_url"})
    found = set()
    settled = group_of(document, once_decoded(raw))
    for reading, any_case in readings(raw):
        if "\0" in reading or "\\" in reading or any(is_step(name) for name in reading.split("/")):
            found.add("ambiguous_path")
        other = group_of(document, reading, any_case=any_case)
        # Who writes two rules that differ in case alone says that the backend tells them apart (docs/policy.md).
        if any_case and other is not None and settled is not None and other.casefold() == settled.casefold():
            continue
        if other != settled:
            found.add("ambiguous_path")
    return frozenset(found)


def is_step(name: str) -> bool:
    """A dot segment, or what becomes one when a server drops dots and spaces at its end one by one."""
    return "." in name and not name.strip(". ")


def readings(raw: str) -> list[tuple[str, bool]]:
    """What some backend may take the path for, and whether that backend ignores case."""
    once = once_decoded(raw)
    raw = fully = as_bytes(raw)
    while unescape(fully) != fully:
        fully = unescape(fully)
    literal = merged(unescape(re.sub("%2[fF]", "\x01", raw)))  # a slash that is part of a name
    plain = [once, literal, merged(fully)]
    plain += [merged(re.sub(r";[^/]*", "", reading)) for reading in list(plain)]
    plain += [re.sub(r"[/. ]+$", "", reading) or "/" for reading in list(plain)]
    return [(reading, False) for reading in plain] + [(reading, True) for reading in plain]


def once_decoded(raw: str) -> str:
    """Segments decoded once, then merged."""
    return merged(unescape(as_bytes(raw)))


def unescape(text: str) -> str:
    """Percent-decode once, byte by byte."""
    return re.sub(r"%([0-9A-Fa-f]{2})", lambda match: chr(int(match[1], 16)), text)


def as_bytes(text: str) -> str:
    """Write each byte of UTF-8 as one character, so that text and escapes can be compared."""
    return "".join(chr(byte) for byte in text.encode())


def merged(path: str) -> str:
    """Several slashes are one."""
    return re.sub(r"/+", "/", path)


def group_of(document: dict[str, Any], path: str, *, any_case: bool = False) -> str | None:
    """The first pattern that covers the path: routes with the same pattern are one group."""
    for route in document.get("routes", []):
        pattern = as_bytes(route["path"])
        if covers(any_cased(pattern), any_cased(path)) if any_case else covers(pattern, path):
            return str(route["path"])
    return None


def any_cased(text: str) -> str:
    """Make texts equal that differ in case alone; bytes that are no UTF-8 have no case."""
    return text.encode("latin-1").decode("utf-8", "surrogateescape").casefold()


def covers(pattern: str, path: str) -> bool:
    """A pattern ending in `/*` covers the bare path and everything below it."""
    if pattern.endswith("/*"):
        return path == pattern[:-2] or path.startswith(pattern[:-1])
    return path == pattern


# --- tokens -----------------------------------------------------------------------------------------------------------


def token_reasons(
    document: dict[str, Any], route: dict[str, Any], claims: dict[str, Any], *, pool: Pool, now: float
) -> frozenset[str]:
    """Everything about this token that this route does not take."""
    found = set()
    leeway = document.get("leeway_s", 0)
    use = claims.get("token_use")
    client = claims.get("aud") if use == "id" else claims.get("client_id")
    trusted = clients_by_issuer(document, pool)

    if claims["iss"] not in trusted:
        found.add("wrong_issuer")
    else:
        named = route.get("issuers")
        here = own_issuers(document, pool) if named is None else issuers_of(document, named, pool)
        if claims["iss"] not in here:
            found.add("wrong_issuer")
        if client not in trusted[claims["iss"]]:
            found.add("wrong_client")  # "client ids belong to their issuer"
    if "clients" in route and client not in route["clients"]:
        found.add("wrong_client")
    if use not in route.get("token_use", ["id"]):
        found.add("wrong_token_use")
    if claims["exp"] <= now - leeway:
        found.add("expired")
    if any(claims.get(name, 0) > now + max(leeway, CLOCKS_DIFFER_S) for name in ("iat", "nbf", "auth_time")):
        found.add("not_yet_valid")
    if "groups" in route and not set(route["groups"]) & set(claims.get("cognito:groups", [])):
        found.add("missing_group")
    if not set(route.get("scopes", [])) <= set(claims.get("scope", "").split(" ")):
        found.add("insufficient_scope")
    return frozenset(found | cut_off_reasons(document.get("cut_off", {}), claims))


def cut_off_reasons(cut_off: dict[str, Any], claims: dict[str, Any]) -> set[str]:
    """A token is cut off when its claim is smaller, or when it is named."""
    found = set()
    if claims["iat"] < cut_off.get("issued_before", 0):
        found.add("revoked")
    if cut_off.get("signed_in_before", 0):
        if "auth_time" not in claims:
            found.add("missing_claim")
        elif claims["auth_time"] < cut_off["signed_in_before"]:
            found.add("revoked")
    for name in ("sub", "origin_jti", "jti"):
        if claims.get(name) in cut_off.get(name, []):
            found.add("revoked")
    return found


def clients_by_issuer(document: dict[str, Any], pool: Pool) -> dict[str, tuple[str, ...]]:
    """`issuers` adds pools to the one of C5, and may say more of that one itself."""
    found = dict.fromkeys(own_issuers(document, pool), pool.client_ids)
    for entry in document.get("issuers", []):
        for issuer in forms(entry):
            found[issuer] = (*found.get(issuer, ()), *entry["client_ids"])
    return found


def own_issuers(document: dict[str, Any], pool: Pool) -> set[str]:
    """C5's two forms, "unless the policy names the issuer itself"."""
    for entry in document.get("issuers", []):
        if entry["user_pool_id"] == pool.pool_id:
            return forms(entry)
    return pool.issuers


def issuers_of(document: dict[str, Any], named: list[str], pool: Pool) -> set[str]:
    """The issuers that a route names, by pool id or by issuer."""
    own = own_issuers(document, pool)
    found = set(own) if pool.pool_id in named or own & set(named) else set()
    for entry in document.get("issuers", []):
        if entry["user_pool_id"] in named or forms(entry) & set(named):
            found |= forms(entry)
    return found


def forms(entry: dict[str, Any]) -> set[str]:
    """C5's two forms, "unless the policy names the issuer itself"."""
    if "issuer" in entry:
        return {entry["issuer"]}
    return Pool(entry["user_pool_id"], ()).issuers
