"""A second, naive reading of the policy document, to hold the edge's against.

Written from the documents alone (docs/policy.md, and docs/contracts.md for what a path may mean), before the edge's and without
looking at it: no index, no caching, no early return. Every rule is one plain sentence turned into one plain ``if``.
It returns *every* reason to refuse a request, so that the order of the edge's checks does not matter: the edge must allow
exactly when there is no reason, and must name one of the reasons when it refuses.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_to_bytes

ALLOWED: frozenset[str] = frozenset()
CLOCKS_DIFFER_S = 300  # how far ahead iat, nbf and auth_time may lie


@dataclass(frozen=True)
class Pool:
    """The pool of contract C5: the one whose tokens a route without ``issuers`` takes."""

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
    unreadable = unreadable_reasons(ask.path)
    if unreadable:
        return unreadable
    if is_preflight(document, ask):
        return ALLOWED
    held = unclear_reasons(document, ask.path) or method_reasons(document, ask)
    if held:
        return stranger_reasons(document, ask, pool=pool, now=now) or held
    return route_reasons(document, ask, pool=pool, now=now)


def path_reasons(document: dict[str, Any], raw: str) -> frozenset[str]:
    """Everything that may be wrong with a path under these rules."""
    return unreadable_reasons(raw) or unclear_reasons(document, raw)


def stranger_reasons(document: dict[str, Any], ask: Ask, *, pool: Pool, now: float) -> frozenset[str]:
    """Contract C6: who has proved nothing learns nothing of the rules; any trusted pool's valid token is a proof."""
    if ask.claims is None:
        return frozenset({"missing_token"})
    trusted = clients_by_issuer(document, pool)
    anywhere = {"issuers": list(trusted), "token_use": ["id", "access"]}
    return token_reasons(document, anywhere, ask.claims, pool=pool, now=now)


def is_preflight(document: dict[str, Any], ask: Ask) -> bool:
    """Without ``cors`` in the policy OPTIONS is a method like any other."""
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
    """The first route for the method, and then the token against that route."""
    route = takers(document, ask)[0]
    if route.get("allow") == "anyone":
        return ALLOWED
    if ask.claims is None:
        return frozenset({"missing_token"})
    return token_reasons(document, route, ask.claims, pool=pool, now=now)


def method_reasons(document: dict[str, Any], ask: Ask) -> frozenset[str]:
    """If none of the group's routes takes the method, the answer is 405."""
    return ALLOWED if takers(document, ask) else frozenset({"method_not_allowed"})


def takers(document: dict[str, Any], ask: Ask) -> list[dict[str, Any]]:
    """The routes of the path's group that take the method."""
    group = group_of(document, once_decoded(ask.path))
    if group is None:
        return [{}]  # "A path that matches nothing needs a valid ID token of C5's pool."
    return [route for route in document["routes"] if route["path"] == group and takes(route.get("methods"), ask.method)]


def takes(methods: list[str] | None, method: str) -> bool:
    """HEAD follows GET."""
    return methods is None or method in methods or (method == "HEAD" and "GET" in methods)


# --- paths ------------------------------------------------------------------------------------------------------------


def unreadable_reasons(raw: str) -> frozenset[str]:
    """Refuse what cannot be read, or is dangerous whatever the rules are."""
    if re.search(r"%(?![0-9A-Fa-f]{2})", raw):
        return frozenset({"malformed_url"})
    for reading, _ in readings(raw):
        if "\0" in reading or "\\" in reading or any(is_step(name) for name in reading.split("/")):
            return frozenset({"ambiguous_path"})
    return ALLOWED


def unclear_reasons(document: dict[str, Any], raw: str) -> frozenset[str]:
    """Refuse what two backends could read as two different groups."""
    settled = group_of(document, once_decoded(raw))
    for reading, any_case in readings(raw):
        other = group_of(document, reading, any_case=any_case)
        # Who writes two rules that differ in case alone says that the backend tells them apart (docs/policy.md).
        if any_case and other is not None and settled is not None and any_cased(other) == any_cased(settled):
            continue
        if other != settled and not is_spelt_so(document, settled, reading, any_case=any_case):
            return frozenset({"ambiguous_path"})
    return ALLOWED


def is_spelt_so(document: dict[str, Any], pattern: str | None, reading: str, *, any_case: bool) -> bool:
    """A rule for ``/favicon.ico`` is about that very name: only what stands below a pattern can be read in other ways."""
    base = (pattern or "").removesuffix("/*")
    if base != re.sub(r";[^/]*", "", base) or base != trimmed(base):
        return False  # such a pattern is a mistake: servers take what it names for something else
    forms = changed([base, unicodedata.normalize("NFKC", base)]) if base else []
    if any_case:
        forms, reading = [any_cased(form) for form in forms], any_cased(reading)
    for form in forms:
        below = reading[len(form) :]
        if reading.startswith(form) and (below == "" or below.startswith("/")):
            other = group_of(document, base + below, any_case=any_case)
            if other == pattern or (any_case and other is not None and any_cased(other) == any_cased(str(pattern))):
                return True
    return False


# White space and control characters, as the Unicode database has them, and the byte order mark, which JavaScript trims.
BLANKS = (
    "".join(chr(code) for code in range(0x10000) if chr(code).isspace() or unicodedata.category(chr(code)) == "Cc")
    + "\ufeff"
)


def is_step(name: str) -> bool:
    """A dot segment, or what becomes one when a server drops dots and spaces at its end one by one."""
    return "." in name and not name.strip("." + BLANKS)


def readings(raw: str) -> list[tuple[str, bool]]:
    """What some backend may take the path for, and whether that backend ignores case and compatible forms."""
    once = fully = unescape(raw)
    while unescape(fully) != fully:
        fully = unescape(fully)
    literal = unescape(re.sub("%2[fF]", "\ue000", raw))  # a slash that is part of a name: no letter, no blank
    decoded = [once, literal, fully]
    compatible = [unicodedata.normalize("NFKC", text) for text in decoded]
    return [(path, False) for path in changed(decoded)] + [(path, True) for path in changed(decoded + compatible)]


def changed(decoded: list[str]) -> list[str]:
    """Any of the changes that docs/contracts.md lists, each made or not."""
    found = [merged(path) for path in decoded]
    found += [re.sub(r"(?s)[?#].*", "", path) for path in found]
    found += [merged(re.sub(r";[^/]*", "", path)) for path in found]
    found += [path.replace("+", " ") for path in found]
    found += [trimmed(path) for path in found]
    found += [re.sub(r"\.[^./]*$", "", path) if not re.search(r"/\.+[^./]*$", path) else path for path in found]
    found += [trimmed(path) for path in found]
    return list(dict.fromkeys(found))


def trimmed(path: str) -> str:
    """White space and control characters at either end of a name, dots at its end, and a final slash are dropped."""
    names = [name.lstrip(BLANKS).rstrip("." + BLANKS) if name.strip(".") else name for name in path.split("/")]
    return "/" + "/".join(name for name in names if name)


def once_decoded(raw: str) -> str:
    """Segments decoded once, then merged."""
    return merged(unescape(raw))


def unescape(text: str) -> str:
    """Percent-decode once; bytes that are no UTF-8 are kept."""
    return unquote_to_bytes(text.encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape")


def merged(path: str) -> str:
    """Several slashes are one."""
    return re.sub(r"/+", "/", path)


def group_of(document: dict[str, Any], path: str, *, any_case: bool = False) -> str | None:
    """The first pattern that covers the path: routes with the same pattern are one group."""
    for route in document.get("routes", []):
        pattern = str(route["path"])
        if covers(any_cased(pattern), any_cased(path)) if any_case else covers(pattern, path):
            return pattern
    return None


def any_cased(text: str) -> str:
    """Make texts equal that differ in case or in compatible forms alone; dotless and dotted i are i."""
    text = unicodedata.normalize("NFKC", text).replace("\u0130", "i").replace("\u0131", "i")
    return unicodedata.normalize("NFKC", text.upper().casefold())


def covers(pattern: str, path: str) -> bool:
    """A pattern ending in ``/*`` covers the bare path and everything below it."""
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
    """``issuers`` adds pools to the one of C5, and may say more of that one itself."""
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
