"""Fuzz the target: any path and query has one canonical form or is refused, and no spelling slips past a rule.

Run: ``make fuzz``
"""

import re
from urllib.parse import parse_qsl, unquote, unquote_to_bytes

from tests.fuzz.engine import expect, instrumented, run
from tests.support.framework_readers import READERS

with instrumented():
    from cognito_edge.errors import BadRequestError
    from cognito_edge.policy_document import parse_policy
    from cognito_edge.target import MAX_TARGET_CHARACTERS, Target, canonical_target

POLICY = parse_policy(
    '{"version":1,"routes":[{"path":"/admin/*","groups":["a"]},{"path":"/api/Users","groups":["b"]},'
    '{"path":"/public/*","allow":"anyone"}]}'
)
WIRE_PATH = re.compile(r"/(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-F]{2})*")
WIRE_QUERY = re.compile(r"(?:[A-Za-z0-9._~=&-]|%[0-9A-F]{2})*")

SEEDS = (
    b"/admin/x?a=b",
    b"/%61dmin/a%2Fb?q=a+b&q=%c3%a9&flag&&x[0]=1",
    b"/public/..%2fadmin?",
    b"/public/%2e%2e/admin",
    b"/public;x/%252e%252e%252fadmin/",
    b"/Admin./x ?X-Amz-Date=1",
    b"/%20admin.json/%3Fx?",
    b"/adm%C4%B1n+;x.tar.gz%01",
    b"/%EF%BD%81dmin%23/x",
    b"//admin//x?=1",
    b"/caf\xc3\xa9/\xf0\x9f\x98\x80?\xc3\xa9=%ff",
)
WORDS = (
    b"/admin",
    b"/public/",
    b"%2F",
    b"%2f",
    b"%5c",
    b"%25",
    b"%2e",
    b"..",
    b"%00",
    b"%C0%AE",
    b";",
    b"//",
    b".json",
    b"+",
    b"%3F",
    b"%23",
    b"%20",
    b"%01",
    b"%C4%B1",
    b"%EF%BD%81",
    b"%C2%A0",
    b"?",
    b"&",
)


def target(data: bytes) -> None:
    """Split at the first question mark, as HTTP does, and put both sides into canonical form."""
    uri, _, query = data.decode("utf-8", "surrogateescape" if len(data) % 2 else "replace").partition("?")
    try:
        result = canonical_target(uri, query)
    except BadRequestError as error:
        expect(error.code in ("malformed_url", "ambiguous_path"), error)
        expect(len(str(error)) < 400, error)
        return
    path = result.path
    assert WIRE_PATH.fullmatch(path), path
    assert WIRE_QUERY.fullmatch(result.query), result.query
    assert "//" not in path
    assert len(path) + len(result.query) <= MAX_TARGET_CHARACTERS
    assert not any(segment in (".", "..") for segment in unquote(path).split("/"))
    assert "\\" not in unquote(path)
    assert "\0" not in unquote(path)
    # Canonical means: once more changes nothing.
    again = canonical_target(path, result.query)
    assert (again.path, again.query, again.readings) == (path, result.query, result.readings)
    # The query still says what it said.
    assert parse_qsl(result.query, keep_blank_values=True) == parse_qsl(query, keep_blank_values=True, errors="strict")
    assert not any(name.lower().startswith("x-amz-") for name, _ in parse_qsl(result.query, keep_blank_values=True))
    check_rules(result)


def check_rules(target: Target) -> None:
    """Hold the rules to what any server could read in the path, by a decoder of our own."""
    try:
        group = POLICY.rules_for(target)
    except BadRequestError as error:
        expect(error.code == "ambiguous_path", error)
        return
    path = target.path
    data = path.encode("ascii")
    for _ in range(8):
        text = re.sub(r"/+", "/", data.decode("latin-1").lower())
        first = text.split("/")[1].partition(";")[0].rstrip(". ")
        assert (first == "admin") <= (group.pattern == "/admin/*"), (path, group.pattern)
        data = unquote_to_bytes(data)
    for reader in READERS:
        method_and_resource = reader("GET", path, {})
        if method_and_resource is not None and method_and_resource[1].split("/")[1] == "admin":
            assert group.pattern == "/admin/*", (path, reader.__name__, group.pattern)
    if group.pattern == "/public/*":
        assert unquote(path).lower().startswith("/public")


if __name__ == "__main__":
    run(target, SEEDS, WORDS, max_len=512)
