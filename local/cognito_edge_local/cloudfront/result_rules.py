"""Judges what the edge function returned: a request to send on, or a response of its own; each broken rule has a name.

Where AWS documents a rule but not what happens when it is broken, the twin refuses: what passes here passes there.
Sources: ``cloudfront/rules.py``.
"""

import base64
import binascii
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from . import rules
from .behaviors import Origin
from .forwarding import Header, OriginRequest
from .origin_request_event import text_of
from .rules import RuleViolationError

_FAILED = "The Lambda function result failed validation: "
_ADDED_DISALLOWED = _FAILED + "The function tried to add a blacklisted header."
_CHANGED_READ_ONLY = _FAILED + "The function tried to add, delete, or change a read-only header."
_BAD_HEADER = _FAILED + "The function returned an invalid header."
_BAD_BODY = _FAILED + "The body is not a string, is not an object, or exceeds the maximum size."
_BAD_REQUEST = _FAILED + "The function returned an invalid request object."
_BAD_RESPONSE = _FAILED + "The function returned an invalid response object."
_BAD_ORIGIN = _FAILED + "The function returned an invalid origin."
_NOT_JSON_OBJECT = "The Lambda function returned an invalid json output, the output must be an object type."

_KNOWN_SSL_PROTOCOLS = frozenset({"TLSv1.3", "TLSv1.2", "TLSv1.1", "TLSv1", "SSLv3"})


@dataclass(frozen=True, slots=True)
class GeneratedResponse:
    """The function's own answer, in place of the origin's."""

    status: int
    headers: tuple[Header, ...]
    body: bytes = field(repr=False)


def judge(result: Any, event: Mapping[str, Any], sent: OriginRequest) -> OriginRequest | GeneratedResponse:
    """Check the result against every documented rule, and turn it into what happens next.

    Args:
        result: What the function returned, after JSON.
        event: The event as it was given to the function.
        sent: The request that the event was made from; its bytes are used again for all that was not changed.

    Raises:
        RuleViolationError: A rule is broken.
    """
    if not isinstance(result, dict):
        kind = "null" if result is None else type(result).__name__
        raise RuleViolationError("result-object", _NOT_JSON_OBJECT, f"expected a request or a response, got {kind}")
    try:
        if "status" in result:
            return _generated(result)
        return _request(result, event["Records"][0]["cf"]["request"], sent)
    except UnicodeEncodeError:
        raise RuleViolationError("unicode", _BAD_REQUEST, "a text has half a surrogate pair; it has no UTF-8") from None


# --- a request ---------------------------------------------------------------------------------------------------


def _request(result: Mapping[str, Any], shown: Mapping[str, Any], sent: OriginRequest) -> OriginRequest:
    for name in ("method", "clientIp"):
        if name in result and result[name] != shown[name]:
            raise RuleViolationError("read-only-field", _BAD_REQUEST, f"{name} is read-only and was changed")
    uri, query = _uri(result.get("uri")), _query(result.get("querystring"))
    size = len(uri.encode()) + len(query.encode())
    if size >= rules.URI_AND_QUERY_MUST_STAY_BELOW:
        limit = rules.URI_AND_QUERY_MUST_STAY_BELOW
        raise RuleViolationError(
            "uri-length", _BAD_REQUEST, f"uri and querystring have {size} bytes, not below {limit}"
        )
    headers = _headers(result.get("headers"))
    _check_added(headers)
    _check_read_only(headers, shown["headers"])
    return replace(
        sent,
        uri=_unchanged_or_utf8(uri, sent.uri),
        query=_unchanged_or_utf8(query, sent.query),
        headers=_with_original_bytes(headers, sent.headers),
        body=_body(result.get("body"), shown.get("body")),
        origin=_origin(result.get("origin", shown["origin"]), shown["origin"], sent.origin, headers),
    )


def _uri(uri: Any) -> str:
    if not isinstance(uri, str) or not uri.startswith("/"):
        raise RuleViolationError("uri-slash", _BAD_REQUEST, "uri must be a string that begins with a slash")
    for char, name in ((" ", "a space"), ("?", "a question mark; the query belongs into querystring"), ("#", "a #")):
        if char in uri:
            raise RuleViolationError("uri-characters", _BAD_REQUEST, f"uri contains {name}")
    if found := rules.control_character(uri):
        raise RuleViolationError("uri-characters", _BAD_REQUEST, f"uri contains the control character {found}")
    return uri


def _query(query: Any) -> str:
    if not isinstance(query, str):
        raise RuleViolationError("query-string", _BAD_REQUEST, "querystring must be a string; empty without a query")
    # "the query string … can't contain spaces, control characters, or the fragment identifier (#)"
    for char, name in ((" ", "a space"), ("#", "a #")):
        if char in query:
            raise RuleViolationError("query-characters", _BAD_REQUEST, f"querystring contains {name}")
    if found := rules.control_character(query):
        raise RuleViolationError(
            "query-characters", _BAD_REQUEST, f"querystring contains the control character {found}"
        )
    return query


def _unchanged_or_utf8(text: str, original: bytes) -> bytes:
    """Return an unchanged value as it came; a changed one as the UTF-8 of its text."""
    return original if text == text_of(original) else text.encode()


def _with_original_bytes(headers: Mapping[str, list[tuple[str, str]]], sent: tuple[Header, ...]) -> tuple[Header, ...]:
    originals: dict[tuple[str, str], bytes] = {}
    for raw_name, raw_value in sent:
        originals[raw_name.decode("latin-1").lower(), text_of(raw_value)] = raw_value
    return tuple(
        (key.encode(), originals.get((name, value), value.strip().encode()))
        for name, entries in headers.items()
        for key, value in entries
    )


def _body(body: Any, shown: Mapping[str, Any] | None) -> bytes | None:
    """Return what replaces the viewer's body; None sends that one on, all of it, whatever ``data`` says."""
    if body is None:
        return None
    if not isinstance(body, dict):
        raise RuleViolationError("body-object", _BAD_BODY, f"body is a {type(body).__name__}, not an object")
    action = body.get("action", "read-only")
    if action not in ("read-only", "replace"):
        raise RuleViolationError("body-action", _BAD_BODY, 'body.action must be "read-only" or "replace"')
    if shown is not None and body.get("inputTruncated", shown["inputTruncated"]) != shown["inputTruncated"]:
        raise RuleViolationError("read-only-field", _BAD_BODY, "body.inputTruncated is read-only and was changed")
    if action == "read-only":
        return None
    if shown is None:
        detail = "body was replaced, but the behavior's association does not include the body"
        raise RuleViolationError("body-not-included", _BAD_BODY, detail)
    encoding, data = body.get("encoding", "base64"), body.get("data", "")
    if encoding not in ("base64", "text") or not isinstance(data, str):
        raise RuleViolationError("body-encoding", _BAD_BODY, 'body.encoding must be "base64" or "text", data a string')
    largest = rules.MAX_REPLACED_BASE64_BYTES if encoding == "base64" else rules.MAX_REPLACED_TEXT_BYTES
    if (size := len(data.encode())) > largest:
        detail = f"body.data has {size} bytes; a replaced body may have {largest} as {encoding}"
        raise RuleViolationError("body-size", _BAD_BODY, detail)
    return _base64(data, _BAD_BODY, "body.data") if encoding == "base64" else data.encode()


# --- a response --------------------------------------------------------------------------------------------------


def _generated(result: Mapping[str, Any]) -> GeneratedResponse:
    status = result["status"]
    if not (isinstance(status, str) and status.isascii() and status.isdigit() and 200 <= int(status) <= 599):
        detail = 'status must be a string from "200" to "599"'
        raise RuleViolationError("response-status", _BAD_RESPONSE, detail)
    description = result.get("statusDescription", "")
    if not isinstance(description, str) or rules.control_character(description):
        detail = "statusDescription must be a string without control characters"
        raise RuleViolationError("response-status", _BAD_RESPONSE, detail)
    headers = _headers(result.get("headers", {}))
    _check_added(headers)
    for name in headers:
        if name in rules.READ_ONLY:
            raise RuleViolationError("read-only-header", _CHANGED_READ_ONLY, f"{name} cannot be set in a response")
    body, encoding = result.get("body", ""), result.get("bodyEncoding", "text")
    if not isinstance(body, str) or encoding not in ("text", "base64"):
        raise RuleViolationError("body-encoding", _BAD_BODY, 'body must be a string, bodyEncoding "text" or "base64"')
    decoded = _base64(body, _BAD_BODY, "body") if encoding == "base64" else body.encode()
    if decoded and status in {"204", "304"}:
        raise RuleViolationError("response-body", _BAD_BODY, f"an answer with status {status} has no body")
    entries = [(name, value) for name, values in headers.items() for _, value in values]
    size = len(body.encode()) + len(description) + sum(len(name) + len(value.encode()) for name, value in entries)
    if size > rules.MAX_GENERATED_RESPONSE_BYTES:
        limit = rules.MAX_GENERATED_RESPONSE_BYTES
        detail = f"headers and body have {size} bytes; a generated response may have {limit}"
        raise RuleViolationError("response-size", _BAD_RESPONSE, detail)
    flat = tuple((key.encode(), value.strip().encode()) for values in headers.values() for key, value in values)
    return GeneratedResponse(int(status), flat, decoded)


def _base64(data: str, sentence: str, where: str) -> bytes:
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raise RuleViolationError("base64", sentence, f"{where} is not valid base64") from None


# --- headers -----------------------------------------------------------------------------------------------------


def _headers(headers: Any) -> dict[str, list[tuple[str, str]]]:
    """Check the form of ``headers``: ``{lower-case name: [{"key": optional name, "value": string}, …]}``."""
    if not isinstance(headers, dict):
        raise RuleViolationError("headers-object", _BAD_HEADER, "headers must be an object")
    return {name: _header(name, entries) for name, entries in headers.items()}


def _header(name: str, entries: Any) -> list[tuple[str, str]]:
    if not rules.is_token(name):
        raise RuleViolationError("header-name", _BAD_HEADER, f"{name!r} is not a header name")
    if name != name.lower():
        # "The keys in the headers object are lowercase versions of the header names"; two spellings of one name would
        # be two headers, and it is not known which one counts.
        raise RuleViolationError("header-name-case", _BAD_HEADER, f"{name} must be written in lower case")
    if not isinstance(entries, list):
        raise RuleViolationError("header-entries", _BAD_HEADER, f"{name} must be a list of key and value objects")
    return [_entry(name, entry) for entry in entries]


def _entry(name: str, entry: Any) -> tuple[str, str]:
    if not isinstance(entry, dict) or not isinstance(entry.get("value"), str):
        detail = f"an entry of {name} is not an object with a string as its value"
        raise RuleViolationError("header-entries", _BAD_HEADER, detail)
    key = entry.get("key", name.title())  # "the header key that is inserted automatically … initial capitalization"
    if not isinstance(key, str) or not key.isascii() or key.lower() != name:
        raise RuleViolationError("header-key", _BAD_HEADER, f"the key of an entry of {name} is another name")
    if found := rules.control_character(entry["value"], tab_allowed=True):
        detail = f"invalid character : '{found}' in header value, headerName : {name}"
        raise RuleViolationError("header-value", _BAD_HEADER, detail)
    return key, entry["value"]


def _check_added(headers: Mapping[str, Any]) -> None:
    for name in headers:
        if rules.is_disallowed(name):
            detail = f"the function tried to add a blacklisted header in headers, headerName : {name}"
            raise RuleViolationError("disallowed-header", _ADDED_DISALLOWED, detail)


def _check_read_only(headers: Mapping[str, list[tuple[str, str]]], shown: Mapping[str, list[dict[str, str]]]) -> None:
    for name in sorted(rules.READ_ONLY):
        before = [entry["value"] for entry in shown.get(name, [])]
        after = [value for _, value in headers.get(name, [])]
        if before != after:
            verb = "add" if not before else "change" if after else "delete"
            detail = f"the function tried to {verb} read-only header, headerName : {name}"
            raise RuleViolationError("read-only-header", _CHANGED_READ_ONLY, detail)


# --- the origin --------------------------------------------------------------------------------------------------


def _origin(result: Any, shown: Mapping[str, Any], sent: Origin, headers: Mapping[str, Any]) -> Origin:
    if not isinstance(result, dict) or len(result) != 1 or not set(result) <= {"custom", "s3"}:
        raise RuleViolationError("origin", _BAD_ORIGIN, 'origin must have exactly one of "custom" and "s3"')
    kind = "custom" if "custom" in result else "s3"
    fields = result[kind]
    if not isinstance(fields, dict):
        raise RuleViolationError("origin", _BAD_ORIGIN, f"origin.{kind} must be an object")
    custom_headers = _custom_headers(fields.get("customHeaders", {}), headers)
    if result == shown:
        return sent
    domain, path = _domain(fields.get("domainName")), _path(fields.get("path"))
    if kind == "s3":
        return replace(sent, kind="s3", domain_name=domain, path=path, custom_headers=custom_headers)
    protocol, ssl_protocols = fields.get("protocol"), fields.get("sslProtocols")
    if protocol not in ("http", "https"):
        raise RuleViolationError("origin-protocol", _BAD_ORIGIN, 'origin.custom.protocol must be "http" or "https"')
    if (
        not isinstance(ssl_protocols, list)
        or not ssl_protocols
        or not set(map(str, ssl_protocols)) <= _KNOWN_SSL_PROTOCOLS
    ):
        known = ", ".join(sorted(_KNOWN_SSL_PROTOCOLS))
        raise RuleViolationError("origin-protocol", _BAD_ORIGIN, f"origin.custom.sslProtocols must be some of {known}")
    port = _number(fields, "port", 1, 65_535)
    if port not in {80, 443} and port < 1024:
        raise RuleViolationError("origin-port", _BAD_ORIGIN, "origin.custom.port must be 80, 443, or 1024 to 65535")
    read_timeout = _number(fields, "readTimeout", 1, 120)
    keepalive_timeout = _number(fields, "keepaliveTimeout", 1, 120)
    completion = sent.completion_timeout_s
    if fields.get("responseCompletionTimeout") != shown.get("custom", {}).get("responseCompletionTimeout"):
        completion = _number(fields, "responseCompletionTimeout", read_timeout, 3600)
    return replace(
        sent,
        kind="custom",
        domain_name=domain,
        path=path,
        custom_headers=custom_headers,
        protocol=protocol,
        port=port,
        ssl_protocols=tuple(ssl_protocols),
        read_timeout_s=read_timeout,
        keepalive_timeout_s=keepalive_timeout,
        completion_timeout_s=completion,
    )


def _domain(domain: Any) -> str:
    wrong = None
    if not isinstance(domain, str) or not domain:
        wrong = "must be a string and not empty"
    elif ":" in domain:
        wrong = "must not contain a colon"
    elif len(domain) > rules.MAX_ORIGIN_DOMAIN_CHARS:
        wrong = f"has {len(domain)} characters; {rules.MAX_ORIGIN_DOMAIN_CHARS} are allowed"
    elif _is_ipv4(domain):
        wrong = "must not be an IPv4 address"
    if wrong:
        raise RuleViolationError("origin-domain", _BAD_ORIGIN, f"origin domainName {wrong}")
    return str(domain)


def _is_ipv4(domain: str) -> bool:
    try:
        ipaddress.IPv4Address(domain)
    except ValueError:
        return False
    return True


def _path(path: Any) -> str:
    wrong = None
    if not isinstance(path, str):
        wrong = "must be a string; empty for none"
    elif path and (not path.startswith("/") or path.endswith("/")):
        wrong = "must begin with a slash and not end with one"
    elif len(path) > rules.MAX_ORIGIN_PATH_CHARS:
        wrong = f"has {len(path)} characters; {rules.MAX_ORIGIN_PATH_CHARS} are allowed"
    elif not path.isascii() or " " in path or rules.control_character(path):
        wrong = "must be URL-encoded"
    if wrong:
        raise RuleViolationError("origin-path", _BAD_ORIGIN, f"origin path {wrong}")
    return str(path)


def _number(fields: Mapping[str, Any], name: str, smallest: int, largest: int) -> int:
    value = fields.get(name)
    if type(value) is not int or not smallest <= value <= largest:
        detail = f"origin.custom.{name} must be a whole number from {smallest} to {largest}"
        raise RuleViolationError("origin-number", _BAD_ORIGIN, detail)
    return value


def _custom_headers(custom: Any, headers: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    checked = _headers(custom)
    for name in checked:
        if rules.cannot_be_custom_header(name):
            raise RuleViolationError("custom-header", _ADDED_DISALLOWED, f"{name} cannot be in origin customHeaders")
        if name in headers:
            detail = f"{name} is in request.headers and in origin customHeaders"
            raise RuleViolationError("custom-header", _BAD_HEADER, detail)
    return tuple((key, value) for entries in checked.values() for key, value in entries)
