"""scripts/policy.py: errors at their line, decisions explained, and no change that was not seen and meant."""

import base64
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cognito_edge_cli import console
from cognito_edge_cli import stack as stacks
from cognito_edge_cli.console import Questions
from cognito_edge_cli.main import main
from cognito_edge_cli.policy.check import Ids, Severity, check
from cognito_edge_cli.policy.located_json import JsonError, locate, parse_place

from tests.support.fake_stack import DISTRIBUTION_ID, POLICY, PREFIX, FakeStack
from tests.support.keys_and_tokens import NOW, compact, rsa_key

PROJECT = Path(__file__).parents[2]
GOOD = """\
{"version": 1,
 "routes": [
   {"path": "/health", "methods": ["GET"], "allow": "anyone"},
   {"path": "/admin/*", "groups": ["admins"]}
 ]}
"""


@pytest.fixture
def stack():
    """SSM and a user pool on a loopback port."""
    with FakeStack() as fake:
        yield fake


@pytest.fixture
def run(stack, monkeypatch, tmp_path, capsys):
    """Run the script against a local system: (exit status, stdout, stderr)."""
    (tmp_path / "outputs.json").write_text(json.dumps(stack.outputs))
    monkeypatch.setattr(stacks, "LOCAL_FOLDER", tmp_path)
    monkeypatch.setattr(console, "has_terminal", lambda: False)

    def run(command, *argv, stdin="", local=True, now=NOW):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        status = main(["policy", command, *argv, *(["--local"] if local else [])], clock=lambda: now)
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


@pytest.fixture
def write(tmp_path):
    """Write a file and return its name."""

    def write(content, name="policy.json"):
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return str(path)

    return write


def calls(stack):
    """Return the names of the calls that changed something."""
    return [call for call, _ in stack.log if call == "PutParameter"]


# --- places -----------------------------------------------------------------------------------------------------------


def test_places_of_values_and_names_are_lines_and_columns_from_one():
    """As editors count."""
    document = locate('{\n  "a": [1,\n   {"b": "x"}],\n  "é": 2}')
    assert document.where(("a", 1, "b")) == (3, 10)
    assert document.where(("a", 1, "b"), key=True) == (3, 5)
    assert document.where(("é",)) == (4, 8)
    assert document.where(("a", 7, "nothing")) == (2, 8)


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        ("", 1, 1, "ends too early"),
        ('{"a": 1,}', 1, 9, "comma too many"),
        ('{"a"\n 1}', 2, 2, "':' is expected after 'a'"),
        ('{"a": 1\n "b": 2}', 2, 2, "',' or '}' is expected"),
        ('{"a": [1 2]}', 1, 10, "',' or ']' is expected"),
        ('{"a": tru}', 1, 7, "a value is expected here"),
        ('{"a": NaN}', 1, 7, "NaN is no JSON number"),
        ('{"a": 1,\n "a": 2}', 2, 2, "'a' is given twice"),
        ('{"a": "x\ny"}', 1, 9, "invalid control character"),
        ('{"a": "\\ud800"}', 1, 7, "no Unicode text"),
        ("[1]", 1, 1, "has to be an object"),
        ('{"a": [1', 1, 9, "ends too early"),
        ('{"a": "x', 1, 7, "unterminated string"),
        ("{} x", 1, 4, "after the end"),
        ("\ufeff{}", 1, 1, "byte order mark"),
        ("[" * 100_000, 1, 1, "nested too deep"),
    ],
)
def test_text_that_is_no_json_is_told_with_its_place(text, line, column, message):
    """Where a person has to look, in words that do not need a specification."""
    with pytest.raises(JsonError) as caught:
        locate(text)
    assert (caught.value.line, caught.value.column) == (line, column)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "place"),
    [("version", ("version",)), ("routes[12].path", ("routes", 12, "path")), ("cut_off.sub", ("cut_off", "sub"))],
)
def test_places_are_read_as_the_edge_writes_them(text, place):
    """So that a message of the parser leads to a line."""
    assert parse_place(text) == place


# --- check ------------------------------------------------------------------------------------------------------------


def found(document, ids=None):
    """Return (severity, line, field, message) of everything that is found."""
    text = document if isinstance(document, str) else json.dumps(document)
    return [(f.severity, f.line, f.field, f.message) for f in check(text, ids, now=NOW)]


def only(document, ids=None):
    (finding,) = found(document, ids)
    return finding


@pytest.mark.parametrize(
    ("document", "line", "column", "field", "message"),
    [
        ('{"version": 1,\n "leeway_s": 900}', 2, 14, "leeway_s", "must be a whole number from 0 to 300, not 900"),
        ('{"version": 1,\n "rules": []}', 2, 2, "rules", "unknown key 'rules'"),
        (
            '{"version": 1, "routes": [\n {"path": "/a", "group": ["x"]}]}',
            2,
            17,
            "routes[0].group",
            "unknown key 'group'",
        ),
        ('{"version": 1, "routes": [\n {"groups": ["x"]}]}', 2, 2, "routes[0]", "path is required"),
        (
            '{"version": 1, "routes": [{"path": "/a", "methods": ["GET",\n "get"]}]}',
            2,
            2,
            "routes[0].methods[1]",
            "must be one of GET",
        ),
        (
            '{"version": 1, "cors": {"allow_origins": ["*",\n  "x"]}}',
            2,
            3,
            "cors.allow_origins[1]",
            "must be origins such as",
        ),
        ('{\n "routes": []}', 1, 1, "", "version is required"),
        (
            '{"version": 1, "issuers": [{"user_pool_id": "eu-west-1_A",\n "client_ids": ["a b"]}]}',
            2,
            17,
            "issuers[0].client_ids[0]",
            "must be app client ids",
        ),
    ],
)
def test_errors_point_at_line_column_and_field(document, line, column, field, message):
    """The very name or item that is wrong, not only the rule around it."""
    (finding,) = check(document, None, now=NOW)
    assert (finding.severity, finding.line, finding.column, finding.field) == (Severity.BROKEN, line, column, field)
    assert message in finding.message
    assert finding.shown("p.json").startswith(f"p.json:{line}:{column}: error: ")


def test_every_error_is_found_in_one_go_in_the_order_of_lines():
    """Parser's words, split into findings: also where they contain semicolons."""
    text = '{"version": 2,\n "routes": [{"path": "a"},\n {"path": "/b", "allow": "anyone", "groups": ["x"], "y": 1}],\n "leeway_s": -1}'
    assert [(line, field) for _, line, field, _ in found(text)] == [
        (1, "version"),
        (2, "routes[0].path"),
        (3, "routes[1]"),
        (3, "routes[1].y"),
        (4, "leeway_s"),
    ]


def routes(*items):
    return {"version": 1, "routes": list(items)}


@pytest.mark.parametrize(
    ("document", "field", "message"),
    [
        (
            routes({"path": "/a/*"}, {"path": "/a/b/*", "groups": ["x"]}),
            "routes[1].path",
            "routes[0] /a/* stands before it",
        ),
        (routes({"path": "/*"}, {"path": "/a"}), "routes[1].path", "routes[0] /* stands before it"),
        (routes({"path": "/*"}, {"path": "/*", "groups": ["x"]}), "routes[1]", "every method it takes is taken"),
        (
            routes({"path": "/a/*", "methods": ["GET"]}, {"path": "/a/*", "methods": ["HEAD"]}),
            "routes[1]",
            "every method it takes is taken",
        ),
        (
            routes(
                {"path": "/a/*", "methods": ["GET"]},
                {"path": "/a/*", "methods": ["POST"]},
                {"path": "/a/*", "methods": ["POST", "HEAD"]},
            ),
            "routes[2]",
            "every method it takes is taken",
        ),
        (routes({"path": "/a/"}), "routes[0].path", "Write /a/* for both"),
        (routes({"path": "/caf%C3%A9/*"}), "routes[0].path", "written decoded"),
        (routes({"path": "/a;v=1/*"}), "routes[0].path", "has a ';'"),
        (routes({"path": "/a./*"}), "routes[0].path", "or a dot at its end"),
        (routes({"path": "/ a/*"}), "routes[0].path", "a space at either end"),
        ({"version": 1, "cut_off": {"issued_before": NOW + 2}}, "cut_off.issued_before", "lies in the future"),
        ({"version": 1, "cut_off": {"signed_in_before": NOW * 2}}, "cut_off.signed_in_before", "not milliseconds"),
    ],
)
def test_rules_that_never_apply_and_cut_offs_that_lock_all_out_are_mistakes(document, field, message):
    """The edge would take them; they are hardly meant."""
    severity, _, where, said = only(document)
    assert (severity, where) == (Severity.MISTAKE, field)
    assert message in said


@pytest.mark.parametrize(
    "document",
    [
        routes({"path": "/a/b/*"}, {"path": "/a/*"}, {"path": "/*"}),
        routes({"path": "/a"}, {"path": "/a/*"}),
        routes({"path": "/a/*", "methods": ["HEAD"]}, {"path": "/a/*", "methods": ["GET"]}),
        routes({"path": "/a/*", "methods": ["GET"]}, {"path": "/a/*"}),
        routes({"path": "/"}),
        routes({"path": "/café/*"}),
        routes({"path": "/a.b/*"}),
        {"version": 1, "cut_off": {"issued_before": NOW + 1, "signed_in_before": NOW}},
    ],
)
def test_documents_that_are_fine_are_fine(document):
    """The accepting half of each of the above."""
    assert found(document) == []


@pytest.mark.parametrize(
    ("document", "field", "message"),
    [
        (routes({"path": "/a/*", "allow": "anyone"}), "routes[0].allow", "public: anyone may call /a/* (every method)"),
        (routes({"path": "/a", "methods": ["GET"], "allow": "anyone"}), "routes[0].allow", "/a (GET, HEAD)"),
        (routes({"path": "/a/*", "scopes": ["x"]}), "routes[0].scopes", 'Add "token_use": ["access"]'),
        (
            routes({"path": "/a/*", "scopes": ["x"], "token_use": ["access", "id"]}),
            "routes[0].token_use",
            "leave out 'id'",
        ),
        (
            routes({"path": "/a/*", "scopes": ["a b"], "token_use": ["access"]}),
            "routes[0].scopes",
            "no token has the scope 'a b'",
        ),
        (
            {"version": 1, "cors": {"allow_origins": ["https://a.example"], "allow_headers": ["x-a", "*"]}},
            "cors.allow_headers[1]",
            "write authorization itself",
        ),
        (routes({"path": "/a", "groups": ["x"]}), "routes[0].path", "write /a/* for both"),
        (routes({"path": "/A/*"}, {"path": "/a/*"}), "routes[1].path", "differs from routes[0] /A/* in case alone"),
        (routes({"path": "/a?b=1"}), "routes[0].path", "a query is no part of the path"),
        (routes({"path": "/a/*", "issuers": ["eu-west-1_X"]}), "routes[0].issuers", "has to be the gateway's own pool"),
        ({"version": 1, "cors": {"allow_origins": ["*"]}}, "cors.allow_origins[0]", "pages of every origin"),
        ({"version": 1, "cors": {"allow_origins": ["http://a.example"]}}, "cors.allow_origins[0]", "plain http"),
    ],
)
def test_what_is_public_or_less_than_it_seems_is_a_warning(document, field, message):
    """It may be meant; it is never silent."""
    severity, _, where, said = only(document)
    assert (severity, where) == (Severity.WARNING, field)
    assert message in said


@pytest.mark.parametrize(
    "document",
    [
        routes({"path": "/a/*", "scopes": ["x"], "token_use": ["access"]}),
        routes({"path": "/a", "groups": ["x"]}, {"path": "/a/*", "groups": ["y"]}),
        {"version": 1, "cors": {"allow_origins": ["https://a.example", "http://localhost:3000"]}},
    ],
)
def test_no_warning_without_a_reason(document):
    """No one reads warnings that are always there."""
    assert found(document) == []


def test_pools_of_rules_are_checked_where_the_own_pool_is_known():
    """The same words as in the edge's log, at the line of the rule."""
    document = routes({"path": "/a/*", "issuers": ["eu-west-1_Own", "eu-west-1_X"]})
    severity, _, field, message = only(document, Ids("eu-west-1_Own", "c"))
    assert (severity, field) == (Severity.BROKEN, "routes[0].issuers[1]")
    assert "'eu-west-1_X' is no user_pool_id or issuer of this gateway" in message


@pytest.mark.parametrize(
    ("size", "severity"),
    [(4_096, None), (4_097, Severity.WARNING), (8_192, Severity.WARNING), (8_193, Severity.BROKEN)],
)
def test_sizes_are_those_of_ssm_in_bytes(size, severity):
    """4,096 for a standard parameter, 8,192 for an advanced one; an é is two bytes."""
    text = '{"version": 1, "cut_off": {"sub": ["é' + "x" * (size - 42) + '"]}}'
    assert len(text.encode()) == size
    assert [finding[0] for finding in found(text)] == ([severity] if severity else [])


def test_check_prints_findings_on_stdout_and_fails_on_errors_alone(run, write):
    """Warnings do not fail a build; errors do."""
    status, out, err = run("check", write(GOOD), local=False)
    assert status == 0
    assert out.endswith("3:53: warning: routes[0].allow: public: anyone may call /health (GET, HEAD) without a token\n")
    assert "good, 2 rules" in err
    status, out, err = run("check", write(GOOD.replace("admins", "")), local=False)
    assert status == 1
    assert ":4:36: error: routes[1].groups[0]: must be texts that are not empty" in out
    assert "good" not in err


def test_check_reads_standard_input(run):
    """For pipes."""
    assert run("check", "-", stdin=GOOD, local=False)[0] == 0


@pytest.mark.parametrize("content", [b"\xff", None])
def test_file_that_cannot_be_read_is_an_error_and_no_traceback(run, tmp_path, content):
    """Named, with the reason."""
    file = tmp_path / "policy.json"
    if content is not None:
        file.write_bytes(content)
    status, _, err = run("check", str(file), local=False)
    assert status == 1
    assert str(file) in err


# --- test -------------------------------------------------------------------------------------------------------------


def claims_file(write, stack, **changes):
    return write(stack.pool.id_claims(**changes), "claims.json")


@pytest.mark.parametrize(
    ("method", "path", "groups", "status", "decision", "rule"),
    [
        (
            "GET",
            "/admin/x",
            ["admins"],
            0,
            "allowed: sent on to the backend, with the caller's identity",
            "routes[1] /admin/* (line 4)",
        ),
        ("GET", "/admin/x", [], 3, "refused: 403 missing_group", "routes[1] /admin/* (line 4)"),
        ("GET", "/other", [], 0, "allowed", "none matches the path"),
        ("GET", "/Admin", ["admins"], 3, "refused: 400 ambiguous_path", "none; the request was over before"),
        ("POST", "/health", ["admins"], 3, "refused: 405 method_not_allowed", "those for /health"),
        ("get", "/health?x=1", [], 0, "with the caller's identity", "routes[0] /health (line 3)"),
    ],
)
def test_a_request_is_explained_offline(run, write, stack, method, path, groups, status, decision, rule):
    """Rule with its line, decision and reason; no system is asked, and nothing is sent."""
    claims = claims_file(write, stack, **{"cognito:groups": groups})
    got, out, _ = run("test", method, path, "--file", write(GOOD), "--claims", claims, local=False)
    assert got == status, out
    assert decision in out
    assert rule in out
    assert "SIGNATURE NOT CHECKED" in out
    assert stack.log == []


def test_a_request_without_a_token_is_explained(run, write):
    """What the caller would be told, challenge included."""
    status, out, _ = run("test", "GET", "/x", "--file", write(GOOD), local=False)
    assert status == 3
    assert "caller    no one: no token" in out
    assert "refused: 401 missing_token" in out
    assert 'WWW-Authenticate: Bearer realm="gateway"' in out


def test_a_preflight_is_explained(run, write):
    """Allowed and other origins, by --origin."""
    file = write({"version": 1, "cors": {"allow_origins": ["https://a.example"]}})
    arguments = ("test", "OPTIONS", "/x", "--file", file, "--origin")
    assert "the page may call with GET" in run(*arguments, "https://a.example", local=False)[1]
    assert "will not let that page call" in run(*arguments, "https://b.example", local=False)[1]


def test_a_token_is_checked_with_the_pools_keys_under_the_policy_in_force(run, stack, write):
    """With a system the signature counts, and is said to have been checked."""
    stack.write(POLICY, GOOD)
    token = stack.pool.id_token(**{"cognito:groups": ["admins"]})
    status, out, _ = run("test", "GET", "/admin", "--token-file", "-", stdin=token)
    assert status == 0
    assert "policy    version 2 of local" in out
    assert f"signature checked with the keys of {stack.pool.pool_id}" in out
    forged = compact(rsa_key("mallory"), {"kid": stack.pool.id_kid, "alg": "RS256"}, stack.pool.id_claims())
    status, out, _ = run("test", "GET", "/admin", "--token-file", write(forged, "token"))
    assert status == 3
    assert "401 invalid_signature" in out


def test_without_keys_the_answer_says_that_nothing_was_checked(run, stack):
    """The decision is explained all the same, as if the signature were right."""
    stack.keys_answer = (503, b"")
    status, out, _ = run("test", "GET", "/x", "--token-file", "-", stdin=stack.pool.id_token())
    assert status == 0
    assert "SIGNATURE NOT CHECKED (the keys cannot be read" in out


@pytest.mark.parametrize("form", ["{}", "Bearer {}\n", "Authorization: Bearer {}\r\n"])
def test_tokens_are_read_in_the_forms_that_get_token_prints(run, stack, form):
    """Bare, and as a header line."""
    assert run("test", "GET", "/x", "--token-file", "-", stdin=form.format(stack.pool.id_token()))[0] == 0


def test_offline_pools_can_be_stated(run, write, stack):
    """The gateway's own pool is the token's, unless something else is said."""
    arguments = ("test", "GET", "/x", "--file", write({"version": 1}), "--claims", claims_file(write, stack))
    assert run(*arguments, local=False)[0] == 0
    status, out, _ = run(*arguments, "--user-pool-id", "eu-west-1_Other", local=False)
    assert (status, "wrong_issuer" in out) == (3, True)
    status, out, _ = run(*arguments, "--client-id", "other", local=False)
    assert (status, "wrong_client" in out) == (3, True)


def test_a_partners_token_is_not_taken_for_the_own_pools(run, write, stack):
    """A pool that the document lists is one more, so that the own one is unknown offline, and that is said."""
    document = {"version": 1, "issuers": [{"user_pool_id": stack.pool.pool_id, "client_ids": [stack.pool.client_id]}]}
    status, out, _ = run(
        "test", "GET", "/x", "--file", write(document), "--claims", claims_file(write, stack), local=False
    )
    assert (status, "wrong_issuer" in out) == (3, True)
    assert "name it with --user-pool-id" in out


def test_a_broken_document_is_not_tried(run, write):
    """Its faults, with their lines, instead of a decision."""
    status, out, err = run("test", "GET", "/x", "--file", write('{"version": 1,\n "x": 1}'), local=False)
    assert (status, out) == (1, "")
    assert "policy.json:2:2: error: x: unknown key 'x'" in err


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (("TRACE", "/x"), "is not one of 'get', 'head', "),
        (("GET", "x"), "expected a path"),
        (("GET", "https://a.example/x"), "expected a path"),
        (("GET", "/a b"), "expected a path"),
        (("GET", "/a#b"), "expected a path"),
    ],
)
def test_what_is_no_request_is_wrong_usage(run, argv, message):
    """Status 2, with what was expected."""
    status, _, err = run("test", *argv)
    assert status == 2
    assert message in err


# --- show, history ----------------------------------------------------------------------------------------------------


def test_show_prints_the_document_alone_as_it_is(run, stack):
    """So that it can be redirected into a file, edited and put back."""
    stack.write(POLICY, GOOD)
    status, out, err = run("show")
    assert (status, out) == (0, GOOD)
    assert f"{POLICY} of local, version 2" in err
    assert run("show", "1")[1] == '{"version": 1}\n'
    status, _, err = run("show", "9")
    assert status == 1
    assert "There is no version 9; SSM has 1 to 2" in err


def test_history_lists_versions_newest_first_and_says_which_are_broken(run, stack):
    """Number, time, size, tier, state, and who."""
    stack.write(POLICY, "{", by="arn:aws:iam::111122223333:user/eve")
    stack.write(POLICY, GOOD)
    status, out, _ = run("history")
    assert status == 0
    lines = [line.split("\t") for line in out.splitlines()]
    assert [line[0] for line in lines] == ["3", "2", "1"]
    assert [line[4] for line in lines] == ["in force", "earlier, broken", "earlier"]
    assert lines[1] == [
        "2",
        "2026-09-21T14:13:22Z",
        "1",
        "standard",
        "earlier, broken",
        "arn:aws:iam::111122223333:user/eve",
    ]


@pytest.mark.parametrize(
    "command", [("show",), ("history",), ("revert",), ("cut-off", "--sub", "x"), ("test", "GET", "/x")]
)
def test_deleted_parameter_is_told_with_what_it_means(run, stack, command):
    """Nothing is open; and how to get one again."""
    del stack.parameters[POLICY]
    status, _, err = run(*command)
    assert status == 1
    assert "it was deleted" in err
    assert "503" in err


# --- put --------------------------------------------------------------------------------------------------------------


def test_put_shows_the_difference_and_writes_the_file_as_it_is(run, stack, write):
    """Byte for byte, over the version that was read."""
    status, out, err = run("put", write(GOOD), "--yes")
    assert (status, out) == (0, "")
    assert stack.policy == GOOD
    assert stack.parameters[POLICY][-1]["Version"] == 2
    assert '+      "path": "/admin/*",' in err
    assert "--- /cognito-edge-gateway/policy version 1" in err
    assert "Version 2 is written" in err


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ("{", "ends too early"),
        ('{"version": 1, "route": []}', "1:16: error: route: unknown key"),
        (json.dumps(routes({"path": "/*"}, {"path": "/a"})), "never applies"),
        (json.dumps(routes({"path": "/a", "issuers": ["eu-west-1_X"]})), "is no user_pool_id or issuer"),
    ],
)
def test_put_refuses_what_is_broken_or_never_applies(run, stack, write, document, said):
    """--yes or not: nothing is written."""
    status, _, err = run("put", write(document), "--yes")
    assert status == 1
    assert said in err
    assert "Nothing was written" in err
    assert calls(stack) == []


def test_put_without_a_terminal_wants_yes(run, stack, write):
    """No one was asked, so no one agreed."""
    status, _, err = run("put", write(GOOD))
    assert status == 1
    assert "Add --yes" in err
    assert calls(stack) == []


@pytest.mark.parametrize(("typed", "written"), [("yes", True), ("Y", True), ("no", False), ("maybe", False)])
def test_put_asks(run, stack, write, monkeypatch, typed, written):
    """After the difference was shown."""
    monkeypatch.setattr(Questions, "text", lambda _self, _prompt: typed)
    status, _, _ = run("put", write(GOOD))
    assert (status == 0) is written
    assert (stack.policy == GOOD) is written


def test_put_of_the_same_writes_nothing(run, stack, write):
    """No version for nothing."""
    status, _, err = run("put", write('{"version": 1}'), "--yes")
    assert status == 0
    assert "says exactly this already" in err
    assert calls(stack) == []


def test_put_makes_a_parameter_that_was_deleted(run, stack, write):
    """Without overwriting what somebody else may have made meanwhile."""
    del stack.parameters[POLICY]
    assert run("put", write(GOOD), "--yes")[0] == 0
    assert stack.policy == GOOD
    assert [data["Overwrite"] for call, data in stack.log if call == "PutParameter"] == [False]


BIG = {"version": 1, "cut_off": {"sub": [f"{number:036}" for number in range(104)]}}
"""Above 4,096 bytes with spaces between, below without."""


def test_put_of_more_than_a_standard_parameter_takes_says_so_and_offers_both_ways(run, stack, write):
    """Compact, or advanced; never silently either."""
    text = json.dumps(BIG, indent=1)
    assert len(text) > 4_096 > len(json.dumps(BIG, separators=(",", ":")))
    status, _, err = run("put", write(text), "--yes")
    assert status == 1
    assert "--compact" in err
    assert "--advanced" in err
    assert calls(stack) == []
    assert run("put", write(text), "--yes", "--compact")[0] == 0
    assert stack.parameters[POLICY][-1]["Tier"] == "Standard"
    assert json.loads(stack.policy) == BIG
    assert run("put", write(text), "--yes", "--advanced")[0] == 0
    assert (stack.parameters[POLICY][-1]["Tier"], stack.policy) == ("Advanced", text)


def test_an_advanced_parameter_stays_one(run, stack, write):
    """SSM has no way back, and refuses to go it."""
    stack.write(POLICY, json.dumps(BIG, indent=1), "Advanced")
    assert run("put", write(GOOD), "--yes", "--drop-cut-offs")[0] == 0
    assert stack.parameters[POLICY][-1]["Tier"] == "Advanced"


def test_put_notices_a_version_that_was_written_between_reading_and_writing(run, stack, write, monkeypatch):
    """Somebody else's change is not undone by a difference that did not show it."""
    monkeypatch.setattr(
        Questions, "text", lambda _self, _prompt: stack.write(POLICY, '{"version": 1, "leeway_s": 9}') and "yes"
    )
    status, _, err = run("put", write(GOOD))
    assert status == 1
    assert "version 2 has been written meanwhile, by arn:aws:iam::111122223333:user/ops" in err
    assert "leeway_s" in stack.policy


def test_put_says_that_the_parameter_was_deleted_meanwhile(run, stack, write, monkeypatch):
    """No version was written, and there is none to look at."""
    monkeypatch.setattr(Questions, "text", lambda _self, _prompt: stack.parameters.pop(POLICY) and "yes")
    status, _, err = run("put", write(GOOD))
    assert status == 1
    assert "was deleted meanwhile. Put the document again" in err
    assert POLICY not in stack.parameters


def test_put_names_a_version_that_it_overtook_in_the_last_moment(run, stack, write):
    """SSM cannot refuse it, so it is told afterwards."""
    stack.meanwhile = lambda: stack.write(POLICY, '{"version": 1, "leeway_s": 9}')
    status, _, err = run("put", write(GOOD), "--yes")
    assert status == 1
    assert "version 2, written in the same moment by someone else, is thereby out of force" in err


def test_put_does_not_overwrite_a_parameter_that_appears_in_the_last_moment(run, stack, write):
    """Made by somebody else, after it had been deleted."""
    del stack.parameters[POLICY]
    stack.meanwhile = lambda: stack.write(POLICY, '{"version": 1, "leeway_s": 9}')
    status, _, err = run("put", write(GOOD), "--yes")
    assert status == 1
    assert "has been made meanwhile" in err
    assert "leeway_s" in stack.policy


CUT = {"version": 1, "cut_off": {"issued_before": 1_700_000_000, "sub": ["stolen"]}}


def test_put_does_not_let_in_again_what_is_cut_off_unless_told(run, stack, write):
    """The file in the repository rarely knows what happened at night."""
    stack.write(POLICY, json.dumps(CUT))
    status, _, err = run("put", write(GOOD), "--yes")
    assert status == 1
    assert "issued_before 1700000000; sub stolen" in err
    assert calls(stack) == []
    assert run("put", write(GOOD), "--yes", "--keep-cut-offs")[0] == 0
    assert json.loads(stack.policy) == {**json.loads(GOOD), "cut_off": CUT["cut_off"]}
    assert run("put", write(GOOD), "--yes", "--drop-cut-offs")[0] == 0
    assert stack.policy == GOOD


@pytest.mark.parametrize(
    "now",
    [{"issued_before": 1_700_000_001, "sub": ["stolen"]}, {"issued_before": 1_700_000_000, "sub": ["a", "stolen"]}],
)
def test_put_of_more_cut_offs_needs_no_leave(run, stack, write, now):
    """Only letting in again does."""
    stack.write(POLICY, json.dumps(CUT))
    assert run("put", write({"version": 1, "cut_off": now}), "--yes")[0] == 0


CORS = {"version": 1, "cors": {"allow_origins": ["https://a.example"]}}


@pytest.mark.parametrize(
    ("document", "distribution", "said"),
    [
        (CORS, None, "the distribution adds no CORS headers"),
        (
            CORS,
            (["https://b.example"], ["Authorization", "content-type"]),
            "in the policy that the distribution does not allow: https://a",
        ),
        (
            CORS,
            (["https://a.example", "https://c.example"], ["authorization", "content-type"]),
            "and the policy does not: https://c",
        ),
        (
            CORS,
            (["https://a.example"], ["authorization"]),
            "headers in the policy that the distribution does not allow: content-type",
        ),
        (CORS, (["https://a.example"], ["Authorization", "Content-Type"]), None),
        ({"version": 1}, (["https://a.example"], []), "the distribution has CORS and the policy has none"),
        ({"version": 1, "leeway_s": 1}, None, None),
    ],
)
@pytest.mark.parametrize("command", ["put", "check"])
def test_cors_that_differs_from_the_distributions_is_a_warning(
    run, stack, write, document, distribution, said, command
):
    """Two places have to say the same; a difference would show only in a browser's console."""
    stack.cors = distribution
    status, _, err = run(command, write(document), *(["--yes"] if command == "put" else []))
    assert status == 0
    if said is None:
        assert "warning" not in err
    else:
        assert "warning: cors: " in err
        assert said in err


def test_cors_that_cannot_be_compared_is_said_and_stops_nothing(run, stack, write):
    """Whoever may write the policy need not be allowed to read the distribution."""
    stack.stack_outputs.clear()
    status, _, err = run("put", write(CORS), "--yes")
    assert status == 0
    assert "could not be compared with the distribution's response headers policy (ValidationError)" in err


# --- cut-off ----------------------------------------------------------------------------------------------------------


def cut_off_of(stack):
    return json.loads(stack.policy)["cut_off"]


def test_cut_off_of_users_adds_to_what_is_there(run, stack):
    """Everything else stays as it was; nothing is listed twice."""
    stack.write(POLICY, json.dumps({**json.loads(GOOD), **CUT}))
    assert run("cut-off", "--sub", "a", "--sub", "stolen", "--yes")[0] == 0
    assert json.loads(stack.policy) == {
        **json.loads(GOOD),
        "cut_off": {"issued_before": 1_700_000_000, "sub": ["stolen", "a"]},
    }


@pytest.mark.parametrize(
    ("when", "seconds"),
    [
        ("now", NOW + 1),
        ("2026-09-21T14:13:20Z", NOW),
        ("2026-09-21T16:13:20+02:00", NOW),
        (str(NOW), NOW),
        ("1", 1),
    ],
)
@pytest.mark.parametrize("option", ["issued-before", "signed-in-before"])
def test_cut_off_takes_now_iso_and_seconds(run, stack, option, when, seconds):
    """``now`` includes the running second: ``iat`` has no fractions."""
    assert run("cut-off", f"--{option}", when, "--yes", now=NOW + 0.9)[0] == 0
    assert cut_off_of(stack) == {option.replace("-", "_"): seconds}


@pytest.mark.parametrize(
    "when", ["tomorrow", "2026-09-21T14:13:20", str(NOW + 60), str(NOW * 1000), "0", "-1", "\uff12"]
)
def test_cut_off_refuses_times_that_are_none_or_to_come(run, stack, when):
    """Without a zone it could be any of 26 hours; in the future it would lock everybody out."""
    status, _, err = run("cut-off", f"--issued-before={when}")
    assert status == 2
    assert "--issued-before" in err
    assert calls(stack) == []


def test_cut_off_never_moves_back(run, stack):
    """That would let tokens in again."""
    stack.write(POLICY, json.dumps(CUT))
    status, _, err = run("cut-off", "--issued-before", "1699999999", "--yes")
    assert status == 1
    assert "1700000000 (2023-11-14T22:13:20Z) already" in err
    assert calls(stack) == []


@pytest.mark.parametrize(("by", "name"), [((), "origin_jti"), (("--by", "jti"), "jti"), (("--by", "sub"), "sub")])
@pytest.mark.parametrize("use", ["id", "access"])
def test_cut_off_of_a_token_takes_its_sign_in_or_what_is_said(run, stack, by, name, use):
    """Verified with the pool's keys; and neither token nor claim is printed that need not be."""
    token = stack.pool.id_token() if use == "id" else stack.pool.access_token()
    claims = stack.pool.id_claims() if use == "id" else stack.pool.access_claims()
    status, out, err = run("cut-off", "--token-file", "-", *by, "--yes", stdin=token)
    assert (status, out) == (0, "")
    assert cut_off_of(stack) == {name: [claims[name]]}
    assert "The token is genuine" in err
    assert not any(part in err for part in token.split("."))


def test_cut_off_takes_a_token_that_has_expired(run, stack):
    """Its sign-in may live on in refreshed ones."""
    token = stack.pool.id_token(now=NOW - 90_000)
    status, _, err = run("cut-off", "--token-file", "-", "--yes", stdin=token)
    assert status == 0
    assert "It expired by itself at" in err
    assert "origin_jti" in cut_off_of(stack)


def _unsigned(pool):
    header, payload, _ = pool.id_token().split(".")
    return f"{header}.{payload}.{base64.urlsafe_b64encode(b'x' * 256).decode().rstrip('=')}"


@pytest.mark.parametrize(
    ("token_of", "code"),
    [
        (_unsigned, "invalid_signature"),
        (
            lambda pool: compact(rsa_key("mallory"), {"kid": pool.id_kid, "alg": "RS256"}, pool.id_claims()),
            "invalid_signature",
        ),
        (lambda pool: compact(pool.key(pool.id_kid), {"kid": "x", "alg": "RS256"}, pool.id_claims()), "unknown_key"),
        (lambda pool: pool.id_token(iss="https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Other"), "wrong_issuer"),
        (lambda pool: pool.id_token(aud="other"), "wrong_client"),
        (lambda pool: pool.id_token(exp="soon"), "malformed_token"),
    ],
)
def test_cut_off_believes_no_token_that_is_not_genuine(run, stack, token_of, code):
    """Else whoever can have a token looked at could cut off any user."""
    token = token_of(stack.pool)
    status, _, err = run("cut-off", "--token-file", "-", "--yes", stdin=token)
    assert status == 1
    assert code in err
    assert not any(part in err for part in token.split("."))
    assert calls(stack) == []


def test_cut_off_without_keys_cuts_off_no_one(run, stack):
    """It says so, and what to do instead."""
    stack.keys_answer = (503, b"")
    status, _, err = run("cut-off", "--token-file", "-", "--yes", stdin=stack.pool.id_token())
    assert status == 1
    assert "keys_unavailable" in err
    assert "--sub" in err
    assert calls(stack) == []


def test_cut_off_of_a_token_without_the_claim_says_what_else(run, stack):
    """Tokens of machine clients have no origin_jti."""
    token = stack.pool.access_token(origin_jti=None)
    status, _, err = run("cut-off", "--token-file", "-", "--by", "origin_jti", "--yes", stdin=token)
    assert status == 1
    assert "the token has no origin_jti" in err
    assert run("cut-off", "--token-file", "-", "--yes", stdin=token)[0] == 0
    assert cut_off_of(stack) == {"jti": [stack.pool.access_claims()["jti"]]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "standard input holds no token"),
        ("not a token", "standard input holds no token"),
        ("a.b", "the token cannot be relied on (malformed_token"),
        ("x" * 100_000, "standard input holds no token"),
    ],
    ids=["nothing", "words", "two-parts", "too-long"],
)
def test_cut_off_of_what_is_no_token_repeats_nothing_of_it(run, stack, content, message):
    """It could be a password in the wrong pipe."""
    status, _, err = run("cut-off", "--token-file", "-", "--yes", stdin=content)
    assert status == 1
    assert message in err
    assert not content or content not in err


def test_cut_off_works_while_a_rule_that_never_applies_is_in_force(run, stack):
    """An emergency does not wait for a tidy document."""
    stack.write(POLICY, json.dumps(routes({"path": "/*"}, {"path": "/a"})))
    assert run("cut-off", "--sub", "x", "--yes")[0] == 0


def test_cut_off_with_a_broken_policy_in_ssm_says_what_is_wrong(run, stack):
    """There is nothing that it could add to: edges run on the last good one."""
    stack.write(POLICY, '{"version": 1, "x": 1}')
    status, _, err = run("cut-off", "--sub", "x", "--yes")
    assert status == 1
    assert "version 2 is broken" in err
    assert "1:16: error: x: unknown key" in err


@pytest.mark.parametrize("argv", [(), ("--by", "jti"), ("--by", "email", "--token-file", "-")])
def test_cut_off_wants_to_know_what(run, argv):
    """Wrong usage, before anything is read."""
    assert run("cut-off", *argv)[0] == 2


@pytest.mark.parametrize(
    ("option", "hint"),
    [("--issued-before", "--signed-in-before asks everybody"), ("--signed-in-before", "missing_claim")],
)
def test_cut_off_by_time_says_what_it_does_not_do(run, option, hint):
    """A refresh gets around the first; machines have no auth_time for the second."""
    assert hint in run("cut-off", option, "now", "--yes")[2]


# --- revert -----------------------------------------------------------------------------------------------------------


def test_revert_goes_back_to_the_last_version_that_said_something_else(run, stack):
    """As a new version, text and all."""
    stack.write(POLICY, GOOD)
    stack.write(POLICY, '{"version": 1, "leeway_s": 5}')
    stack.write(POLICY, '{"leeway_s": 5, "version": 1}')
    status, _, err = run("revert", "--yes")
    assert status == 0
    assert stack.policy == GOOD
    assert "Going back to version 2, as version 5" in err


def test_revert_goes_back_to_a_version_by_its_number(run, stack):
    """Also twice."""
    stack.write(POLICY, GOOD)
    assert run("revert", "1", "--yes")[0] == 0
    assert stack.policy == '{"version": 1}'
    assert run("revert", "2", "--yes")[0] == 0
    assert stack.policy == GOOD


def test_revert_keeps_cut_offs_made_since_unless_told(run, stack):
    """Going back to yesterday's rules must not let last night's thief in."""
    stack.write(POLICY, json.dumps({**json.loads(GOOD), **CUT}))
    status, _, err = run("revert", "1", "--yes")
    assert status == 0
    assert "sub stolen" in err
    assert json.loads(stack.policy) == CUT
    assert run("revert", "1", "--yes", "--drop-cut-offs")[0] == 0
    assert json.loads(stack.policy) == {"version": 1}


def test_revert_refuses_a_broken_version(run, stack):
    """It never was in force at any edge."""
    stack.write(POLICY, "{}")
    stack.write(POLICY, GOOD)
    status, _, err = run("revert", "2", "--yes")
    assert status == 1
    assert "version 2 is broken" in err
    assert stack.policy == GOOD


def test_revert_leaves_a_broken_version_behind(run, stack):
    """What it is most needed for: somebody wrote by hand."""
    stack.write(POLICY, GOOD)
    stack.write(POLICY, "{ broken")
    assert run("revert", "--yes")[0] == 0
    assert stack.policy == GOOD


def test_revert_with_nowhere_to_go_says_so(run, stack):
    """One version, or several that say the same."""
    status, _, err = run("revert", "--yes")
    assert status == 1
    assert "No earlier version" in err


# --- a deployed stack ---------------------------------------------------------------------------------------------------


@pytest.fixture
def deployed(stack, monkeypatch):
    """A stack whose parameters stand in another region than the edge's."""
    for name in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", stack.url)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
    stack.stack_outputs["Mine"] = {
        "LoginUrl": stack.url,
        "UserPoolId": stack.pool.pool_id,
        "ClientId": stack.pool.client_id,
        "ParameterPrefix": PREFIX,
        "Region": "eu-central-1",
        "DistributionId": DISTRIBUTION_ID,
    }
    return stack


def test_parameters_are_read_and_written_in_their_own_region(run, deployed, write):
    """Which is not always us-east-1; the stack's output says."""
    assert run("put", write(GOOD), "--yes", "--stack", "Mine", local=False)[0] == 0
    assert deployed.policy == GOOD
    scopes = {call: headers["authorization"].split("/")[2:4] for call, headers in deployed.headers}
    assert scopes["PutParameter"] == ["eu-central-1", "ssm"]
    assert scopes["DescribeStacks"] == ["us-east-1", "cloudformation"]


def test_cors_is_compared_with_the_deployed_distribution(run, deployed, write):
    """Found by the stack's output."""
    deployed.cors = (["https://b.example"], ["authorization", "content-type"])
    _, _, err = run("check", write(CORS), "--stack", "Mine", local=False)
    assert "origins in the policy that the distribution does not allow: https://a.example" in err


# --- the rest ---------------------------------------------------------------------------------------------------------


def test_a_parameter_of_the_stack_that_is_missing_is_named(run, stack, write):
    """The template makes them; somebody has deleted one."""
    del stack.parameters[f"{PREFIX}/client-id"]
    status, _, err = run("put", write(GOOD), "--yes")
    assert status == 1
    assert f"{PREFIX}/client-id" in err


def test_faults_of_the_parser_are_split_as_the_edge_joins_them():
    """One finding each; this breaks when the parser's wording changes its form."""
    text = json.dumps({"version": 2, "leeway_s": "x", "cut_off": {"sub": 1}, "cors": {}, "issuers": [1], "routes": [2]})
    assert len(found(text)) == 6
    assert len(found(text, Ids("eu-west-1_A", "c"))) == 6


def test_script_runs_as_a_file_from_any_folder(tmp_path):
    """As a person starts it; --help names every command."""
    done = subprocess.run(
        [sys.executable, str(PROJECT / "scripts" / "policy.py"), "--help"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "200"},
    )
    assert done.returncode == 0, done.stderr
    for command in ("show", "check", "test", "put", "cut-off", "history", "revert"):
        assert f"\n  {command}" in done.stdout
