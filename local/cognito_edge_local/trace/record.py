"""Turn what the twin, the edge's log and the door saw of one request into the parts of its record, without secrets."""

import datetime as dt
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from cognito_edge_local.cloudfront.distribution import Exchange
from cognito_edge_local.origins.function_url import Visit
from cognito_edge_local.origins.principals import Credential
from cognito_edge_local.origins.sigv4 import SignatureRefusedError, canonical_request, parse_authorization, show
from cognito_edge_local.origins.wire import WireRequest

from .redaction import DOTS, MAX_VALUE_CHARS, Redaction, function_event, is_shown, structure, text_of

Record = dict[str, Any]

# The edge's steps in order, as its log names them, and what each one decides. It logs "keys" only for tokens that it has not
# seen before.
EDGE_STEPS = {
    "configuration": "parameters and policy",
    "rule": "path and query in canonical form, and their rule",
    "keys": "the pool's signing keys",
    "token": "token: signature, claims, what the rule asks",
    "sign": "hash of the body, identity headers, signature",
}
_DOOR_STEPS = {
    "target": "host and target",
    "signature": "signature over what arrived",
    "permission": "both IAM permissions",
    "event": "size of the event",
    "function": "the function runs",
}
_OWN_FIELDS = ("time", "decision", "code", "rule", "client_id", "sub_hash", "reason", "ignored_token", "claims_omitted")
# As ``origins/sigv4_explain.py`` lays them out.
_CANONICAL_TITLES = (
    "theirs, by their signature",
    "The canonical request, from the wire:",
    "exactly what is on the wire:",
)
_QUERY_ROW = 2
_SECOND_COLUMN = 70
_FUNCTION_FAILED = "the function failed"


def step(where: str, what: str, verdict: str, ms: float | None = None, note: str = "") -> Record:
    """Return one line of a request's way.

    Args:
        where: Who looked: CloudFront, edge, function URL, function.
        what: At what.
        verdict: ``passed``, ``refused``, ``failed``, or ``answered``.
        ms: Milliseconds it took; None if not measured.
        note: One sentence more.
    """
    return {"where": where, "what": what, "verdict": verdict, "ms": None if ms is None else round(ms, 3), "note": note}


def iso(seconds: float) -> str:
    """Return a time as the edge's log writes it.

    >>> iso(1_700_000_000.25)
    '2023-11-14T22:13:20.250Z'
    """
    moment = dt.datetime.fromtimestamp(int(seconds * 1000) / 1000, dt.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


# --- the twin ---------------------------------------------------------------------------------------------------------


def parts_of_exchange(exchange: Exchange) -> Record:
    """Return what the twin saw: what arrived, what left the edge, the answer."""
    redaction = Redaction()
    viewer = exchange.viewer
    record: Record = {
        "time": iso(exchange.started_at),
        "method": viewer.method,
        "path": redaction.path(text_of(viewer.path)),
        "status": exchange.status or None,
        "answered_by": exchange.answered_by,
        "ms": round(exchange.duration_ms, 1),
        "arrived": {
            "line": f"{viewer.method} {redaction.path(text_of(viewer.path))}"
            + (f"?{redaction.query(text_of(viewer.query))}" if viewer.query else "")
            + f" HTTP/{viewer.http_version}",
            "headers": redaction.headers(viewer.headers),
            "behavior": exchange.pattern,
        },
        "answer": {"status": exchange.status or None, "headers": redaction.headers(exchange.response_headers)},
    }
    if exchange.sent is not None:
        path, mark, query = text_of(exchange.sent.target).partition("?")
        record["sent"] = {
            "line": f"{exchange.sent.method} {redaction.path(path)}{mark}{redaction.query(query) if mark else ''}",
            "origin": exchange.sent.origin.domain_name,
            "headers": redaction.headers(exchange.wire_headers),
        }
    record["problem"] = redaction.text(exchange.problem)
    record["cloudfront"] = _twin_steps(exchange, record["problem"])
    scrubbed: Record = redaction.scrub(record)
    return scrubbed


def _twin_steps(exchange: Exchange, problem: str) -> list[Record]:
    if not exchange.pattern:
        return [step("CloudFront", "the request itself", "refused", note=problem)]
    steps = [step("CloudFront", f"behavior {exchange.pattern}", "passed")]
    if exchange.answered_by == "cloudfront" and problem:
        steps.append(step("CloudFront", "CloudFront's own rules", "refused", note=problem))
    return steps


# --- the edge function ------------------------------------------------------------------------------------------------


def parts_of_line(line: Mapping[str, Any]) -> Record:
    """Return what a line of the edge's log says (contract C8). It holds no secrets, but is cut to size."""
    redaction = Redaction()
    fields = {name: _plain(line[name]) for name in _OWN_FIELDS if name in line}
    cache = {str(name): _plain(state) for name, state in _mapping(line.get("cache")).items()}
    return {
        "time": str(line.get("time", "")),
        "method": str(line.get("method", "")),
        "path": redaction.path(str(line.get("path", ""))),
        "edge": {**fields, "cache": cache, "steps": _edge_steps(line, cache)},
        "code": fields.get("code"),
        "decision": fields.get("decision"),
    }


def _edge_steps(line: Mapping[str, Any], cache: Mapping[str, Any]) -> list[Record]:
    taken = _mapping(line.get("ms"))
    caches = {"configuration": cache.get("configuration"), "keys": cache.get("keys"), "token": cache.get("tokens")}
    steps = []
    for name, ms in taken.items():
        state = caches.get(name)
        note = f"cache: {state}" if state else ""
        steps.append(step("edge", EDGE_STEPS.get(name, str(name)), "passed", _number(ms), note))
    decision = line.get("decision")
    if decision in ("refuse", "error"):
        # Steps are noted when they have ended: the one that refused is the first that is not there.
        missing = next((name for name in EDGE_STEPS if name not in taken and name != "keys"), "sign")
        verdict = "refused" if decision == "refuse" else "failed"
        steps.append(step("edge", EDGE_STEPS[missing], verdict, note=str(line.get("code", ""))))
    elif decision in ("preflight", "metadata"):
        steps.append(step("edge", f"answers by itself: {decision}", "answered"))
    return steps


def event_of_line(line: Mapping[str, Any]) -> Record:
    """Return the record of a log line that belongs to no request, such as a failed refresh."""
    what = " ".join(str(line[name]) for name in ("event", "what") if name in line)
    return {
        "time": str(line.get("time", "")),
        "method": "",
        "path": f"edge: {what[:MAX_VALUE_CHARS]}",
        "status": None,
        "code": str(line.get("event", "")),
        "decision": str(line.get("level", "")),
        "ms": None,
        "problem": Redaction().text(str(line.get("reason", ""))),
    }


# --- the door ---------------------------------------------------------------------------------------------------------


def parts_of_visit(visit: Visit) -> Record:
    """Return what the function URL saw: canonical request, verdicts, the event, the answer."""
    redaction = Redaction()
    door: Record = {"status": visit.status, "request_id": visit.request_id, "ms": round(visit.duration_ms, 1)}
    if visit.request is not None:
        door |= _signature(visit.request, redaction)
        door["body"] = redaction.body(visit.request.body, text_of(visit.request.header(b"content-type") or b""))
    if visit.credential is not None:
        door["caller"] = visit.credential.principal_arn
        _note_credential(visit.credential, redaction)
    if visit.event is not None:
        door["event"] = function_event(visit.event, redaction)
    if visit.answer is not None:
        headers = redaction.headers(visit.answer.headers)
        kind = next((value for name, value in headers if name.lower() == "content-type"), "")
        door["answer"] = {"headers": headers, "body": redaction.body(visit.answer.body, kind)}
    why = visit.why
    if why.startswith(_FUNCTION_FAILED):  # what a function says about its failure may quote the body
        why = f"{why.partition(':')[0]}; its own words are on the console of `make run`"
    door["why"] = redaction.text(_explained(why, door.get("signed_headers", [])))
    door["steps"] = _door_steps(visit)
    scrubbed: Record = redaction.scrub(door)
    return scrubbed


def _explained(why: str, signed_headers: list[str]) -> str:
    """Return an explanation in which the canonical requests (``origins/sigv4_explain.py``) have no values that are secrets.

    They repeat the query and every signed header, encoded anew and cut to columns: a search for what was masked elsewhere
    would miss it there. A row is known by its place: method, path, query, one for each signed header.
    """
    before, found, after = next(
        (parts for title in _CANONICAL_TITLES if (parts := why.partition(title))[1]), (why, "", "")
    )
    if not found:
        return why
    rest_of_title, *rows = after.split("\n")
    shown, place = [], 0
    for row in rows:
        if "^ first difference" in row:
            shown.append(row)
            continue
        name = "?" if place == _QUERY_ROW else next(iter(signed_headers[place - _QUERY_ROW - 1 :][:1]), "")
        secret = place == _QUERY_ROW or (_QUERY_ROW < place <= _QUERY_ROW + len(signed_headers) and not is_shown(name))
        shown.append(_masked_row(row, name) if secret else row)
        place += 1
    return "\n".join([before + found + rest_of_title, *shown])


def _masked_row(row: str, name: str) -> str:
    """Return a row of one or two columns, its flag kept."""
    columns = [row[4:_SECOND_COLUMN], row[_SECOND_COLUMN:]] if len(row) > _SECOND_COLUMN else [row[4:]]
    hidden = [
        structure(column) if name == "?" else f"{name}:{DOTS}" if column.strip() else column for column in columns
    ]
    return row[:4] + "".join(f"{column:<{_SECOND_COLUMN - 4}}" for column in hidden).rstrip()


def direct_call_summary(visit: Visit) -> Record:
    """Return the summary of a call that did not come through CloudFront."""
    request = visit.request
    return {
        "time": iso(visit.started_at),
        "method": text_of(request.method) if request else "",
        "path": Redaction().path(text_of(request.path)) if request else "",
        "status": visit.status or None,
        "answered_by": "function URL, called directly",
        "code": None,
        "decision": "direct",
        "ms": round(visit.duration_ms, 1),
    }


def _note_credential(credential: Credential, redaction: Redaction) -> None:
    # Nothing shown should hold them; if anything ever does, it is taken out.
    for secret in (credential.secret_access_key, credential.session_token or ""):
        redaction.header("x-secret", secret)


def _door_steps(visit: Visit) -> list[Record]:
    steps = [step("function URL", _DOOR_STEPS[name], "passed", ms) for name, ms in visit.steps.items()]
    if visit.why:
        missing = next((name for name in _DOOR_STEPS if name not in visit.steps), "function")
        verdict = "failed" if visit.status >= 500 else "refused"
        steps.append(step("function URL", _DOOR_STEPS[missing], verdict))
    return steps


def _signature(request: WireRequest, redaction: Redaction) -> Record:
    """Return the canonical request and the string to sign, by the documented reading; empty without a signature."""
    value = request.header(b"authorization") or b""
    redaction.header("authorization", text_of(value))
    try:
        authorization = parse_authorization(value)
    except SignatureRefusedError:
        return {}
    canonical = canonical_request(request, authorization.signed_headers)
    digest = hashlib.sha256(canonical).hexdigest()
    method, path, query, *headers, blank, names, payload_hash = (show(line) for line in canonical.split(b"\n"))
    shown = [
        f"{name}:{redaction.header(name, value)}" for name, _, value in (header.partition(":") for header in headers)
    ]
    return {
        "canonical_request": [method, redaction.path(path), redaction.query(query), *shown, blank, names, payload_hash],
        "string_to_sign": [
            "AWS4-HMAC-SHA256",
            show(request.header(b"x-amz-date") or b""),
            show(authorization.scope),
            digest,
        ],
        "signed_headers": [show(name) for name in authorization.signed_headers],
    }


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return Redaction().text(value)[: 2 * MAX_VALUE_CHARS]
    return value if isinstance(value, (bool, int, float)) or value is None else json.dumps(value)[:MAX_VALUE_CHARS]


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None
