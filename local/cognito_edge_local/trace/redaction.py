"""Take the secrets out of what a request carried, so that the rest can be shown and kept.

An allow-list of names decides: any other header is shown by its size alone, and so is every body. Only the structure of a
query stays (names, separators, escapes of what is not a letter): signatures break on it. Then every value that was masked is
looked for in all other texts.
"""

import base64
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote_plus

from cognito_edge_local.launcher.console import masked, without_tokens

Headers = Iterable[tuple[bytes, bytes]]

DOTS = "···"
"""What stands for letters and digits of a query's values."""
MAX_VALUE_CHARS = 400
"""The most characters of one value."""
MAX_TEXT_CHARS = 8_000
"""The most characters of an explanation."""
MAX_HEADERS = 100
_SHORTEST_SECRET_CHARS = 6
_SHORTEST_QUERY_VALUE_CHARS = 3

_SHOWN = frozenset(
    """
    accept accept-charset accept-encoding accept-language accept-ranges access-control-allow-credentials
    access-control-allow-headers access-control-allow-methods access-control-allow-origin access-control-expose-headers
    access-control-max-age access-control-request-headers access-control-request-method age allow cache-control connection
    content-encoding content-language content-length content-range content-security-policy content-type date dnt etag expect
    expires host if-match if-modified-since if-none-match if-range if-unmodified-since keep-alive last-modified origin
    permissions-policy pragma priority range referrer-policy retry-after sec-fetch-dest sec-fetch-mode sec-fetch-site
    sec-fetch-user server strict-transport-security te transfer-encoding upgrade upgrade-insecure-requests user-agent vary
    via www-authenticate x-amz-cf-id x-amz-cf-pop x-amz-content-sha256 x-amz-date x-amz-source-account x-amz-source-arn
    x-amzn-errortype x-amzn-remapped-content-length x-amzn-remapped-www-authenticate x-amzn-requestid
    x-amzn-tls-cipher-suite x-amzn-tls-version x-amzn-trace-id x-cache x-cognito-client-id x-cognito-email
    x-cognito-groups x-cognito-issuer x-cognito-scopes x-cognito-sub x-cognito-token-use x-cognito-username
    x-content-type-options x-forwarded-for x-forwarded-host x-forwarded-port x-forwarded-proto x-frame-options
    """.split()  # noqa: SIM905 - a list this long reads best as text
)
"""Headers whose values are not secrets. x-cognito-claims is left out: it repeats the token's middle part."""
_SHOWN_PREFIXES = ("cloudfront-", "sec-ch-ua")
_URLS = frozenset({"location", "referer", "content-location"})

# Escapes of what is neither letter nor digit stay; runs of letters and digits, escaped or not, are taken out.
_PLAIN = re.compile(
    r"(?P<kept>%(?:[0-2][0-9a-f]|3[a-f]|40|5[b-e]|60|7[b-f]))"
    r"|(?:[a-z0-9_\u0080-\u00b6\u00b8-\u2025\u2027-\U0010ffff]|%(?:3[0-9]|4[1-9a-f]|5[0-9af]|6[1-9a-f]|7[0-9a]|[89a-f][0-9a-f]))+",
    re.IGNORECASE,
)


def text_of(raw: bytes) -> str:
    """Decode wire bytes for people: as ISO-8859-1 if they are not UTF-8."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def query_structure(query: str) -> str:
    """Return a query with the letters and digits of its values taken out.

    >>> query_structure("q=a%20b+c&flag&token=secret%2Fvalue&n=%41")
    'q=···%20···+···&flag&token=···%2F···&n=···'
    """
    pairs = []
    for pair in query.split("&"):
        name, equals, value = pair.partition("=")
        pairs.append(_cut(without_tokens(name)) + equals + structure(value))
    return _cut("&".join(pairs), MAX_TEXT_CHARS)


def structure(text: str) -> str:
    """Return a text with letters and digits taken out, of names and values alike.

    >>> structure("…cret%20word&token=abc")
    '…···%20···&···=···'
    """
    return _PLAIN.sub(lambda found: found["kept"] or DOTS, text)


def is_shown(name: str) -> bool:
    """Say by a header's lower-case name whether its value may be shown."""
    return name in _SHOWN or name.startswith(_SHOWN_PREFIXES)


def url_structure(url: str) -> str:
    """Return a URL without what its query and fragment say, and without a password.

    >>> url_structure("https://me:pw@example.com/a?code=123#x")
    'https://[masked]@example.com/a?code=···#···'
    """
    rest, hash_, _ = url.partition("#")
    place, mark, query = rest.partition("?")
    place = re.sub(r"(?<=//)[^/@]*@", "[masked]@", place)
    return _cut(without_tokens(place)) + mark + query_structure(query) + (hash_ + DOTS if hash_ else "")


def _cut(text: str, limit: int = MAX_VALUE_CHARS) -> str:
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text):,} characters)"


class Redaction:
    """Masks one request's parts and remembers what it masked, to find it again in texts that repeat it.

    That memory must not outlive the request's record.
    """

    def __init__(self) -> None:
        self._secrets: set[str] = set()
        self._query_values: set[str] = set()

    def __repr__(self) -> str:
        return f"Redaction({len(self._secrets)} secrets)"

    def headers(self, headers: Headers) -> list[list[str]]:
        """Return names and values, those of unknown names masked; at most ``MAX_HEADERS``."""
        shown = [[_cut(text_of(name), 200), self.header(text_of(name), text_of(value))] for name, value in headers]
        more = len(shown) - MAX_HEADERS
        return shown if more <= 0 else [*shown[:MAX_HEADERS], ["…", f"{more} more"]]

    def header(self, name: str, value: str) -> str:
        """Return a header's value as it may be shown."""
        lower = name.lower()
        if lower in _URLS:
            self.note_query(value.partition("?")[2].partition("#")[0])
            return url_structure(value)
        if is_shown(lower):
            return _cut(without_tokens(value))
        size = len(value.encode())
        if lower in {"authorization", "proxy-authorization"}:
            scheme, blank, credentials = value.partition(" ")
            self._note(credentials or scheme)
            self._secrets.update(part for part in credentials.split(".") if len(part) > _SHORTEST_SECRET_CHARS)
            known = scheme.lower() in {"bearer", "basic", "digest", "aws4-hmac-sha256"}
            return f"{scheme} {masked(len(credentials.encode()))}" if known and blank else masked(size)
        if lower in {"cookie", "set-cookie"}:
            return self._cookies(value, several=lower == "cookie")
        self._note(value)
        return masked(size)

    def _cookies(self, value: str, *, several: bool) -> str:
        crumbs = value.split(";")
        shown = []
        for crumb in crumbs if several else crumbs[:1]:
            name, equals, content = crumb.strip().partition("=")
            self._note(content.strip('" '))
            if not equals:
                self._note(name)
            shown.append(f"{_cut(without_tokens(name), 80)}={masked(len(content))}" if equals else masked(len(name)))
        attributes = [] if several else [crumb.strip() for crumb in crumbs[1:]]
        return _cut("; ".join([*shown, *map(without_tokens, attributes)]), MAX_TEXT_CHARS)

    def query(self, query: str) -> str:
        """Return a query's structure."""
        self.note_query(query)
        return query_structure(query)

    def note_query(self, query: str) -> None:
        """Remember a query's values, for texts that quote them."""
        for pair in query.split("&"):
            value = pair.partition("=")[2]
            self._query_values.update(v for v in (value, unquote_plus(value)) if len(v) >= _SHORTEST_QUERY_VALUE_CHARS)

    def path(self, path: str) -> str:
        """Return a path, as log lines and the console show it too, without what has a token's form."""
        return _cut(without_tokens(path), 2_048)

    def body(self, body: bytes, content_type: str = "") -> dict[str, Any]:
        """Return a body's size and type; what it says is never kept."""
        return {"bytes": len(body), "type": _cut(content_type, 100)}

    def text(self, text: str) -> str:
        """Return an explanation, cut, with everything that was masked so far taken out of it."""
        for value in sorted(self._query_values, key=len, reverse=True):
            text = text.replace(value, DOTS)
        return _cut(self._scrubbed(without_tokens(text)), MAX_TEXT_CHARS)

    def scrub(self, value: Any) -> Any:
        """Return a record without any secret that was masked in one place and repeated in another."""
        if isinstance(value, str):
            return self._scrubbed(value)
        if isinstance(value, Mapping):
            return {self._scrubbed(key): self.scrub(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.scrub(item) for item in value]
        return value

    def _note(self, secret: str) -> None:
        if len(secret) >= _SHORTEST_SECRET_CHARS:
            self._secrets |= {secret, unquote_plus(secret)}

    def _scrubbed(self, text: str) -> str:
        for secret in sorted(self._secrets, key=len, reverse=True):
            if secret in text:
                text = text.replace(secret, masked(len(secret)))
        return text


def function_event(event: Mapping[str, Any], redaction: Redaction) -> dict[str, Any]:
    """Return a payload-2.0 event as the function got it, in its own order, secrets masked and the body by its size.

    Source: Lambda Developer Guide, "Invoking Lambda function URLs", request payload format.
    """
    shown = dict(event)
    shown["rawPath"] = redaction.path(str(event.get("rawPath", "")))
    shown["rawQueryString"] = redaction.query(str(event.get("rawQueryString", "")))
    shown["headers"] = {name: redaction.header(name, str(value)) for name, value in event.get("headers", {}).items()}
    if "queryStringParameters" in event:
        shown["queryStringParameters"] = {
            without_tokens(name): structure(str(value)) for name, value in event["queryStringParameters"].items()
        }
    if "cookies" in event:
        shown["cookies"] = [redaction.header("cookie", str(cookie)) for cookie in event["cookies"]]
    if "body" in event:
        shown["body"] = masked(_event_body_bytes(event))
    context = shown["requestContext"] = dict(event.get("requestContext", {}))
    if "http" in context:
        context["http"] = {**context["http"], "path": redaction.path(str(context["http"].get("path", "")))}
    iam = context.get("authorizer", {}).get("iam")
    if iam:
        context["authorizer"] = {"iam": {**iam, "accessKey": masked(len(str(iam.get("accessKey", ""))))}}
    return shown


def _event_body_bytes(event: Mapping[str, Any]) -> int:
    body = str(event["body"])
    return len(base64.b64decode(body)) if event.get("isBase64Encoded") else len(body.encode())
