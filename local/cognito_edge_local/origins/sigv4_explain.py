"""Explain a signature that does not match: which common mistake gives the caller's signature, and where it shows.

The caller's canonical request is not on the wire; its signature is. So each usual mistake, and each pair of them, is
tried until one gives that signature; then both canonical requests are known and are laid side by side. If no mistake
does, ours alone is shown, with what to check. Session tokens, cookies and authorizations are masked.
"""

import hashlib
import hmac
from collections.abc import Iterator
from itertools import combinations
from os.path import commonprefix
from typing import Any
from urllib.parse import quote, unquote_to_bytes

from . import sigv4
from .principals import Credential
from .wire import WireRequest

Parts = dict[str, Any]
"""The parts of a canonical request, as ``join_canonical`` takes them."""

_EDGE_BODY_BYTES = 1024 * 1024
_COLUMN = 64
_WIDTH = _COLUMN + 2
_MASKED = frozenset({b"x-amz-security-token", b"authorization", b"cookie", b"proxy-authorization"})
_CHANGED_ON_THE_WAY = frozenset(
    b"via x-forwarded-for accept-encoding content-length user-agent te connection x-amzn-trace-id transfer-encoding".split()
)
"""Headers that CloudFront and other proxies add to, rewrite or drop."""
_JS_SAFE = "-._~!'()*"  # what encodeURIComponent leaves alone, though SigV4 encodes it


def explain(
    request: WireRequest, authorization: sigv4.Authorization, credential: Credential, hosts: tuple[str, ...]
) -> str:
    """Return what to print on the console about a signature that does not match.

    Args:
        request: What was on the wire.
        authorization: The caller's, parsed.
        credential: The caller's key.
        hosts: The names that the caller may have meant by ``host``.
    """
    ours = _canonical(request, authorization, sigv4.DOCUMENTED)
    alone = [f"    {line}" for line in _lines(ours)]
    mistakes = [
        (what, changed)
        for what, parts in _usual_mistakes(request, authorization, ours, hosts)
        if (changed := {name: value for name, value in parts.items() if value != ours[name]})
    ]
    for count in range(3):
        for made in combinations(mistakes, count):
            if count == 2 and made[0][1].keys() <= made[1][1].keys():
                continue  # the second alone was tried
            theirs = ours.copy()
            for _, changed in made:
                theirs |= changed
            candidate = sigv4.signature(
                sigv4.join_canonical(**theirs),
                secret_access_key=credential.secret_access_key,
                amz_date=request.header(b"x-amz-date") or b"",
                scope=authorization.scope,
            )
            if not hmac.compare_digest(candidate, authorization.signature):
                continue
            if not made:
                return "\n".join(["the caller signed exactly what is on the wire:", *alone])
            named = "; and ".join(what for what, _ in made)
            return "\n".join([f"the caller's signature fits this: {named}", *_side_by_side(ours, theirs)])
    title = "no usual mistake gives the caller's signature. The canonical request, from the wire:"
    hints = ["check: the secret access key; what the signer put into each line above"]
    if changeable := [sigv4.show(name) for name in authorization.signed_headers if name in _CHANGED_ON_THE_WAY]:
        hints.append(f"check: proxies change these signed headers, leave them unsigned: {', '.join(changeable)}")
    return "\n".join([title, *alone, *hints])


def _canonical(request: WireRequest, authorization: sigv4.Authorization, reading: sigv4.Reading) -> Parts:
    return {
        "method": request.method,
        "path": sigv4.canonical_path(request.path, reading),
        "query": sigv4.canonical_query(request.query, reading),
        "headers": sigv4.canonical_headers(request, authorization.signed_headers, reading),
        "payload_hash": request.body_sha256,
    }


def _usual_mistakes(
    request: WireRequest, authorization: sigv4.Authorization, ours: Parts, hosts: tuple[str, ...]
) -> Iterator[tuple[str, Parts]]:
    """Yield what callers do, and the parts of the canonical request that come of it."""
    touched = sigv4.axes_of(request, authorization.signed_headers)
    for count in (1, 2):
        for axes in combinations(touched, count):
            what = "; ".join(f"other reading of {sigv4.AXES[axis][0]}" for axis in axes)
            yield what, _canonical(request, authorization, frozenset(axes))

    path, decoded = request.path, unquote_to_bytes(request.path)
    yield "the path encoded once, not twice (as for S3)", {"path": quote(decoded, safe="/-._~").encode()}
    yield "the path signed as it was sent, not encoded again", {"path": path}
    yield "the path signed decoded", {"path": decoded}
    yield "the path encoded three times", {"path": sigv4.canonical_path(sigv4.canonical_path(path))}
    yield "the path encoded without ! ' ( ) * (encodeURIComponent)", {"path": quote(path, safe="/" + _JS_SAFE).encode()}
    yield "the path left out, '/' signed", {"path": b"/"}
    yield "the path signed with a final '/'", {"path": sigv4.canonical_path(path + b"/")}
    yield "the path signed without its final '/'", {"path": sigv4.canonical_path(path.removesuffix(b"/") or b"/")}

    query = request.query
    yield "the query signed as part of the path", {"path": sigv4.canonical_path(path + b"?" + query), "query": b""}
    pairs = [(name, value or b"") for name, value in sigv4.canonical_pairs(query)]
    plain = sorted([unquote_to_bytes(part) for part in pair] for pair in pairs)
    yield "the query signed as it was sent, neither sorted nor encoded", {"query": query}
    yield "the query encoded, but not sorted", {"query": _joined(pairs)}
    yield "the query left out", {"query": b""}
    yield "of each repeated query name only the last value", {"query": _joined(sorted(dict(pairs).items()))}
    yield "of each repeated query name only the first value", {"query": _joined(sorted(dict(pairs[::-1]).items()))}
    js = [(quote(name, safe=_JS_SAFE).encode(), quote(value, safe=_JS_SAFE).encode()) for name, value in plain]
    yield "the query encoded without ! ' ( ) * (encodeURIComponent)", {"query": _joined(js)}

    body = request.body
    for what, text in (
        ("an empty body's hash", b""),
        ("the hash of the body's text, bytes that are not UTF-8 replaced", body.decode(errors="replace").encode()),
        ("the hash of the first 1 MiB alone (all that an edge function sees)", body[:_EDGE_BODY_BYTES]),
        ("the hash of the body without its final line end", body.rstrip(b"\r\n")),
    ):
        yield f"{what} was signed, not the body's", {"payload_hash": hashlib.sha256(text).hexdigest().encode()}
    yield "UNSIGNED-PAYLOAD was signed, not the body's hash", {"payload_hash": b"UNSIGNED-PAYLOAD"}
    if stated := request.header(b"x-amz-content-sha256"):
        yield "the hash stated in x-amz-content-sha256 was signed, of another body", {"payload_hash": stated}

    signed = dict(ours["headers"])
    bare = [host.partition(":")[0] for host in hosts]
    for host in dict.fromkeys([*hosts, *bare, f"{bare[0]}:443"]):
        yield f"host was {host} when it was signed", {"headers": list((signed | {b"host": host.encode()}).items())}
    for name in authorization.signed_headers:
        earlier, comma, _ = (request.header(name) or b"").rpartition(b",")
        if comma:
            fewer = list((signed | {name: earlier.strip(b" ")}).items())
            yield f"{sigv4.show(name)} had one entry less when it was signed", {"headers": fewer}
    for method in (b"GET", b"HEAD", b"POST"):
        yield f"the method was {method.decode()} when it was signed", {"method": method}


def _joined(pairs: list[tuple[bytes, bytes]]) -> bytes:
    return b"&".join(name + b"=" + value for name, value in pairs)


# --- print ------------------------------------------------------------------------------------------------------------


def _lines(parts: Parts) -> list[str]:
    """Return the canonical request in printable lines, secrets masked."""
    headers = [
        (sigv4.show(name), "*** masked ***" if name in _MASKED else sigv4.show(value))
        for name, value in parts["headers"]
    ]
    return [
        *(sigv4.show(parts[name]) for name in ("method", "path", "query")),
        *(f"{name}:{value}" for name, value in headers),
        "",
        ";".join(name for name, _ in headers),
        sigv4.show(parts["payload_hash"]),
    ]


def _side_by_side(ours: Parts, theirs: Parts) -> list[str]:
    """Return both canonical requests as two columns, the first difference marked."""
    rows = [f"    {'ours, from the wire':<{_WIDTH}}theirs, by their signature"]
    marked = False
    for left, right in zip(_lines(ours), _lines(theirs), strict=True):
        if left == right or marked:
            flag = " " if left == right else "*"
            rows.append(f"  {flag} {_cut(left):<{_WIDTH}}{_cut(right)}")
            continue
        marked = True
        at = len(commonprefix([left, right]))  # noqa: RUF071 - characters are meant
        start = max(0, at - _COLUMN // 2) if max(len(left), len(right)) > _COLUMN else 0
        rows.append(f"  > {_cut(left, start):<{_WIDTH}}{_cut(right, start)}")
        caret = " " * (at - start + bool(start)) + "^"
        rows.append(f"    {caret:<{_WIDTH}}{caret} first difference, character {at + 1}")
    return rows


def _cut(line: str, start: int = 0) -> str:
    """Return a column's worth of *line*, with an ellipsis wherever it is cut."""
    shown = ("…" if start else "") + line[start:]
    return shown if len(shown) <= _COLUMN else shown[: _COLUMN - 1] + "…"
