"""Explain a signature that does not match: which common mistake gives the caller's signature, and where it shows.

The caller's canonical request is not on the wire; its signature is. So every usual mistake, and every pair of them, is
tried until one gives that signature; then both canonical requests are known and can be laid side by side. If none
does, ours alone is shown, with what to check. Session tokens, cookies and authorizations are masked.
"""

import hashlib
import hmac
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, product
from urllib.parse import quote, unquote_to_bytes

from .principals import Credential
from .sigv4 import (
    AXES,
    Authorization,
    axes_of,
    canonical_headers,
    canonical_pairs,
    canonical_path,
    canonical_query,
    join_canonical,
    show,
    signature,
)
from .wire import WireRequest

_EDGE_BODY = 1024 * 1024
_COLUMN = 64
_MASKED = frozenset({b"x-amz-security-token", b"authorization", b"cookie", b"proxy-authorization"})
_CHANGED_ON_THE_WAY = (
    b"via",
    b"x-forwarded-for",
    b"accept-encoding",
    b"content-length",
    b"user-agent",
    b"te",
    b"connection",
    b"x-amzn-trace-id",
    b"transfer-encoding",
)
"""Headers that CloudFront and other proxies add to, rewrite or drop (platform facts, section 2)."""

_JS_SAFE = "-._~!'()*"  # what encodeURIComponent leaves alone, though SigV4 encodes it
_MAX_MISTAKES = 2


@dataclass(frozen=True)
class _Parts:
    """A canonical request in its five parts."""

    method: bytes
    path: bytes
    query: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    payload_hash: bytes

    def joined(self) -> bytes:
        return join_canonical(
            method=self.method,
            path=self.path,
            query=self.query,
            headers=list(self.headers),
            payload_hash=self.payload_hash,
        )


_Variant = tuple[str, dict[str, object]]
"""What the caller did, and the parts of the canonical request that it gives."""


def explain(request: WireRequest, authorization: Authorization, credential: Credential, hosts: tuple[str, ...]) -> str:
    """Return what to print on the console about a signature that does not match.

    Args:
        request: What was on the wire.
        authorization: The caller's, parsed.
        credential: The caller's key.
        hosts: The names that the caller may have meant by ``host``.
    """
    ours = _Parts(
        method=request.method,
        path=canonical_path(request.path),
        query=canonical_query(request.query),
        headers=tuple(canonical_headers(request, authorization.signed_headers)),
        payload_hash=request.body_sha256,
    )
    found = _find(request, authorization, credential, ours, hosts)
    if found is None:
        return "\n".join([*_alone(ours), *_hints(authorization)])
    mistakes, theirs = found
    if not mistakes:
        return "the caller signed exactly what is on the wire:\n" + "\n".join(_alone(ours)[1:])
    return "\n".join([f"the caller's signature fits this: {'; and '.join(mistakes)}", *_side_by_side(ours, theirs)])


def _find(
    request: WireRequest,
    authorization: Authorization,
    credential: Credential,
    ours: _Parts,
    hosts: tuple[str, ...],
) -> tuple[tuple[str, ...], _Parts] | None:
    """Return the fewest mistakes that give the caller's signature, and the canonical request they give."""
    amz_date = request.header(b"x-amz-date") or b""
    dimensions = _dimensions(request, authorization, ours, hosts)
    for count in range(_MAX_MISTAKES + 1):
        for chosen in combinations(dimensions, count):
            for variants in product(*chosen):
                changes: dict[str, object] = {}
                for _, change in variants:
                    changes.update(change)
                theirs = _Parts(**{**ours.__dict__, **changes})
                candidate = signature(
                    theirs.joined(),
                    secret_access_key=credential.secret_access_key,
                    amz_date=amz_date,
                    scope=authorization.scope,
                )
                if hmac.compare_digest(candidate, authorization.signature):
                    return tuple(description for description, _ in variants), theirs
    return None


def _dimensions(
    request: WireRequest, authorization: Authorization, ours: _Parts, hosts: tuple[str, ...]
) -> list[list[_Variant]]:
    """Return the usual mistakes about each part that would give something else than ours."""

    def differing(variants: Iterator[_Variant]) -> list[_Variant]:
        return [
            (description, change)
            for description, change in variants
            if any(getattr(ours, part) != value for part, value in change.items())
        ]

    return [
        differing(_path_variants(request, authorization)),
        differing(_query_variants(request, authorization)),
        differing(_payload_variants(request)),
        differing(_header_variants(request, authorization, ours, hosts)),
        differing(_method_variants()),
    ]


def _path_variants(request: WireRequest, authorization: Authorization) -> Iterator[_Variant]:
    path, decoded = request.path, unquote_to_bytes(request.path)
    touched = [
        axis for axis in axes_of(request, authorization.signed_headers) if axis in {"slashes", "dots", "path-hex"}
    ]
    for count in range(1, len(touched) + 1):
        for axes in combinations(touched, count):
            description = "; ".join(f"other reading of {AXES[axis][0]}" for axis in axes)
            yield description, {"path": canonical_path(path, frozenset(axes))}
    yield "the path encoded once, not twice (as for S3)", {"path": quote(decoded, safe="/-._~").encode()}
    yield "the path signed as it was sent, not encoded again", {"path": path}
    yield "the path signed decoded", {"path": decoded}
    yield "the path decoded, and its result encoded twice", {"path": canonical_path(canonical_path(decoded))}
    yield "the path encoded three times", {"path": canonical_path(canonical_path(path))}
    yield "the path encoded without ! ' ( ) * (encodeURIComponent)", {"path": quote(path, safe="/" + _JS_SAFE).encode()}
    yield "the path left out, '/' signed", {"path": b"/"}
    if path.endswith(b"/"):
        yield "the path signed without its final '/'", {"path": canonical_path(path[:-1] or b"/")}
    else:
        yield "the path signed with a final '/'", {"path": canonical_path(path + b"/")}
    if request.query:
        target = path + b"?" + request.query
        yield "the query signed as part of the path", {"path": canonical_path(target), "query": b""}
        yield "the query signed as part of the path, as sent", {"path": target, "query": b""}


def _query_variants(request: WireRequest, authorization: Authorization) -> Iterator[_Variant]:
    query = request.query
    mine = ("plus", "semicolon", "bare-name", "empty-pair", "empty-name", "escapes", "utf-8")
    touched = [axis for axis in axes_of(request, authorization.signed_headers) if axis in mine]
    for count in (1, 2):
        for axes in combinations(touched, count):
            description = "; ".join(f"other reading of {AXES[axis][0]}" for axis in axes)
            yield description, {"query": canonical_query(query, frozenset(axes))}
    yield "the query signed as it was sent, neither sorted nor encoded", {"query": query}
    yield "the query sorted, but not encoded", {"query": b"&".join(sorted(query.split(b"&")))}
    pairs = [(name, value or b"") for name, value in canonical_pairs(query)]
    yield "the query encoded, but not sorted", {"query": b"&".join(name + b"=" + value for name, value in pairs)}
    yield "the query left out", {"query": b""}
    for which, kept in (("last", dict(pairs)), ("first", dict(reversed(pairs)))):
        yield (
            f"of each repeated query name only the {which} value",
            {"query": b"&".join(name + b"=" + value for name, value in sorted(kept.items()))},
        )
    plain = [[unquote_to_bytes(part) for part in pair] for pair in pairs]
    yield (
        "the query encoded without ! ' ( ) * (encodeURIComponent)",
        {"query": b"&".join(b"=".join(quote(part, safe=_JS_SAFE).encode() for part in pair) for pair in sorted(plain))},
    )


def _payload_variants(request: WireRequest) -> Iterator[_Variant]:
    body = request.body
    stated = request.header(b"x-amz-content-sha256")
    texts: list[tuple[str, bytes]] = [
        ("an empty body's hash", b""),
        ("the hash of the body's text, bytes that are not UTF-8 replaced", body.decode(errors="replace").encode()),
        ("the hash of the first 1 MiB alone (all that an edge function sees)", body[:_EDGE_BODY]),
        ("the hash of the body's base64", b64encode(body)),
        ("the hash of the body without its final line end", body.rstrip(b"\r\n")),
    ]
    hashes = {what: hashlib.sha256(text).hexdigest().encode() for what, text in texts}
    for what, digest in hashes.items():
        yield f"{what} was signed, not the body's", {"payload_hash": digest}
    yield "UNSIGNED-PAYLOAD was signed, not the body's hash", {"payload_hash": b"UNSIGNED-PAYLOAD"}
    if stated is not None and stated not in hashes.values():
        yield "the hash stated in x-amz-content-sha256 was signed, of another body", {"payload_hash": stated}


def _header_variants(
    request: WireRequest, authorization: Authorization, ours: _Parts, hosts: tuple[str, ...]
) -> Iterator[_Variant]:
    def with_value(name: bytes, value: bytes) -> dict[str, object]:
        return {"headers": tuple((key, value if key == name else mine) for key, mine in ours.headers)}

    sent_host = request.header(b"host") or b""
    for host in dict.fromkeys([*(name.encode() for name in hosts), sent_host.partition(b":")[0], sent_host + b":443"]):
        yield f"host was {show(host)} when it was signed", with_value(b"host", host)
    yield (
        "blanks inside header values kept, not collapsed",
        {"headers": tuple(canonical_headers(request, authorization.signed_headers, frozenset({"blanks"})))},
    )
    for name in authorization.signed_headers:
        earlier, comma, _ = (request.header(name) or b"").rpartition(b",")
        if comma:
            yield f"{show(name)} had one entry less when it was signed", with_value(name, earlier.strip(b" "))


def _method_variants() -> Iterator[_Variant]:
    for method in (b"GET", b"HEAD", b"POST"):
        yield f"the method was {method.decode()} when it was signed", {"method": method}


# --- print ------------------------------------------------------------------------------------------------------------


def _lines(parts: _Parts) -> list[str]:
    """Return the canonical request in printable lines, secrets masked."""
    headers = [f"{show(name)}:{'*** masked ***' if name in _MASKED else show(value)}" for name, value in parts.headers]
    names = ";".join(show(name) for name, _ in parts.headers)
    return [show(parts.method), show(parts.path), show(parts.query), *headers, "", names, show(parts.payload_hash)]


def _side_by_side(ours: _Parts, theirs: _Parts) -> list[str]:
    """Return both canonical requests as two columns, the first difference marked."""
    width = 2 + _COLUMN
    rows = [f"    {'ours, from the wire':<{width}}theirs, by their signature"]
    marked = False
    for left, right in zip(_lines(ours), _lines(theirs), strict=True):
        if left == right or marked:
            flag = "  " if left == right else "* "
            rows.append(f"  {flag}{_cut(left, 0):<{width}}{_cut(right, 0)}")
            continue
        marked = True
        position = next(
            (at for at, (mine, other) in enumerate(zip(left, right, strict=False)) if mine != other),
            min(len(left), len(right)),
        )
        start = max(0, position - _COLUMN // 2) if max(len(left), len(right)) > _COLUMN else 0
        lead = 1 if start else 0  # the ellipsis before a line that is cut at its beginning
        rows.append(f"  > {_cut(left, start):<{width}}{_cut(right, start)}")
        caret = " " * (position - start + lead) + "^"
        rows.append(f"    {caret:<{width}}{caret} first difference, character {position + 1}")
    return rows


def _cut(line: str, start: int) -> str:
    room = _COLUMN - (1 if start else 0)
    shown = line[start : start + room]
    if len(line) > start + room:
        shown = shown[:-1] + "…"
    return ("…" if start else "") + shown


def _alone(ours: _Parts) -> list[str]:
    return [
        "no usual mistake gives the caller's signature. The canonical request, from the wire:",
        *(f"    {line}" for line in _lines(ours)),
    ]


def _hints(authorization: Authorization) -> list[str]:
    changeable = [show(name) for name in authorization.signed_headers if name in _CHANGED_ON_THE_WAY]
    hints = ["check: the secret access key; what the signer put into each line above"]
    if changeable:
        hints.append(f"check: proxies change these signed headers, leave them unsigned: {', '.join(changeable)}")
    return hints
