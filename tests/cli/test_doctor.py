"""scripts/doctor.py without a system: every code explained, tokens judged offline, policies read, and what could not be looked at.

tests/e2e/test_doctor.py breaks a running system; here is what can be decided without one.
"""

import json
import subprocess
import sys
from datetime import datetime
from email.utils import formatdate
from pathlib import Path
from types import SimpleNamespace

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from cognito_edge import errors
from cognito_edge.errors import GatewayError, KeysUnavailableError
from cognito_edge.jwks import parse_jwks
from cognito_edge_cli.console import ScriptError
from cognito_edge_cli.doctor import refusals as refusals_page
from cognito_edge_cli.doctor.canonical import canonical_of, compared, masked
from cognito_edge_cli.doctor.checks import calls, distribution, logs, parameters
from cognito_edge_cli.doctor.checks.functions import RUNTIMES_PAGE
from cognito_edge_cli.doctor.command import PROBES, STEPS, examine
from cognito_edge_cli.doctor.permissions import Says, open_to_all, says
from cognito_edge_cli.doctor.refusals import explained, refusals
from cognito_edge_cli.doctor.report import Check, Outcome, Probe, document, failed, passed, result, text, unseen, warned
from cognito_edge_cli.doctor.system import Answer, FunctionUrl, Parameters, System, UnseenError
from cognito_edge_cli.main import main
from cognito_edge_cli.stack import Stack

from tests.support.keys_and_tokens import NOW, Pool, compact, rsa_key

PROJECT = Path(__file__).parents[2]
POOL = Pool()
STRANGER = Pool(pool_id="eu-west-1_Stranger1")
STACK = Stack(
    name="local",
    user_pool_id=POOL.pool_id,
    client_id=POOL.client_id,
    hosted_ui="http://127.0.0.1:9",
    parameter_prefix="/gateway",
    aws_endpoint_url="http://127.0.0.1:9",
)
DEPLOYED = Stack(
    name="Gateway",
    user_pool_id=POOL.pool_id,
    client_id=POOL.client_id,
    hosted_ui="https://login.example.com",
    parameter_prefix="/gateway",
    profile="work",
)
EVERYBODY_SIGNED_IN = {"version": 1, "routes": [{"path": "/*"}]}


def codes_of(error: type[GatewayError]) -> dict[str, int]:
    """Return every code with its status, from the tree of errors."""
    found = {error.code: error.status}
    for child in error.__subclasses__():  # families have no code of their own, and show the base's
        found = codes_of(child) | found
    return found


CODES = codes_of(errors.GatewayError)


def make_system(
    policy: object = EVERYBODY_SIGNED_IN,
    *,
    token: str | UnseenError = "unused",
    path: str = "/api/whoami",
    stack: Stack = STACK,
    **values: str,
) -> System:
    """Return a system whose parameters are at hand; nothing else of it can be read."""
    system = System(stack, stack_region="us-east-1", path=path, token=token, clock=lambda: NOW)
    given = {"user-pool-id": POOL.pool_id, "client-id": POOL.client_id, "policy": json.dumps(policy), **values}
    system.once("parameters", lambda: Parameters(given, 0.0))
    return system


def look(system: System, check: str) -> list:
    """Return what a check finds, as the script would."""
    (probe,) = [probe for probe in PROBES if probe.id == check]
    return verdicts_of(probe, system)


def verdicts_of(probe: Probe, system: System) -> list:
    """Return what a probe finds, or what kept it from looking."""
    return [found.verdict for found in examine(system, [probe])]


@pytest.fixture
def keys(monkeypatch):
    """The pool's keys at hand, or an outage: set ``keys.fail``."""

    class Keys:
        fail = False

        def __call__(self, _stack, pool):
            if self.fail:
                raise KeysUnavailableError("no answer")
            assert pool.pool_id == POOL.pool_id
            return parse_jwks(json.dumps(POOL.jwks()).encode())

    made = Keys()
    monkeypatch.setattr(parameters, "keys_of", made)
    return made


# --- codes --------------------------------------------------------------------------------------------------------------


def test_every_code_is_explained_with_the_status_it_has():
    """docs/refusals.md is the one place; a new code without a row there fails here."""
    assert {code: refusal.status for code, refusal in refusals().items()} == CODES


@pytest.mark.parametrize("code", sorted(CODES))
def test_the_script_explains_a_code_without_asking_any_system(code, capsys):
    """What it means and what to do, as the page says."""
    assert main(["doctor", "--code", code]) == 0
    printed = capsys.readouterr().out
    assert f"{CODES[code]} {code}\n  means  {refusals()[code].means}\n  do     {refusals()[code].do}\n" in printed
    assert "the same" not in refusals()[code].do.split()[:2]


def test_an_unknown_code_is_wrong_usage_and_the_known_ones_are_named(capsys):
    """Status 2; a slip of the finger is put right at once."""
    assert main(["doctor", "--code", "expird"]) == 2
    assert "those are malformed_request, " in capsys.readouterr().err


def test_a_page_without_the_table_is_said_to_be_so(monkeypatch, tmp_path):
    """Rather than that every code is unknown."""
    page = tmp_path / "refusals.md"
    page.write_text("nothing\n")
    monkeypatch.setattr(refusals_page, "PAGE", page)
    refusals.cache_clear()
    with pytest.raises(ScriptError, match="no table"):
        explained("expired")
    page.unlink()
    with pytest.raises(ScriptError, match="cannot be read"):
        explained("expired")
    refusals.cache_clear()


# --- the token, judged here -----------------------------------------------------------------------------------------------

ID = {"kid": POOL.id_kid, "alg": "RS256"}
JUDGED = {
    "malformed_token": (EVERYBODY_SIGNED_IN, lambda: "letmein"),
    "unsupported_algorithm": (
        EVERYBODY_SIGNED_IN,
        lambda: compact(POOL.key(POOL.id_kid), {**ID, "alg": "HS256"}, POOL.id_claims()),
    ),
    "unknown_key": (EVERYBODY_SIGNED_IN, lambda: compact(rsa_key("x"), {**ID, "kid": "other"}, POOL.id_claims())),
    "invalid_signature": (EVERYBODY_SIGNED_IN, lambda: compact(rsa_key("x"), ID, POOL.id_claims())),
    "expired": (EVERYBODY_SIGNED_IN, lambda: POOL.id_token(exp=NOW)),
    "not_yet_valid": (EVERYBODY_SIGNED_IN, lambda: POOL.id_token(iat=NOW + 301)),
    "wrong_issuer": (EVERYBODY_SIGNED_IN, STRANGER.id_token),
    "wrong_client": (EVERYBODY_SIGNED_IN, lambda: POOL.id_token(aud="2other")),
    "wrong_token_use": (EVERYBODY_SIGNED_IN, POOL.access_token),
    "missing_claim": (EVERYBODY_SIGNED_IN, lambda: POOL.id_token(sub=None)),
    "revoked": ({**EVERYBODY_SIGNED_IN, "cut_off": {"issued_before": NOW}}, POOL.id_token),
    "missing_group": ({"version": 1, "routes": [{"path": "/*", "groups": ["admins"]}]}, POOL.id_token),
    "insufficient_scope": (
        {"version": 1, "routes": [{"path": "/*", "token_use": ["access"], "scopes": ["orders/read"]}]},
        POOL.access_token,
    ),
    "method_not_allowed": ({"version": 1, "routes": [{"path": "/*", "methods": ["POST"]}]}, POOL.id_token),
}


@pytest.mark.parametrize("code", JUDGED)
def test_a_token_that_would_be_refused_is_named_with_its_code_and_what_to_do(keys, code):
    """The gateway's own code judges, with real keys; the page says what to do."""
    policy, token = JUDGED[code]
    assert not keys.fail
    (verdict,) = look(make_system(policy, token=token()), "token.judged")
    assert verdict.outcome is Outcome.FAIL
    assert verdict.found.startswith(f"{CODES[code]} {code} (")
    assert verdict.fix.startswith(f"{refusals()[code].means}: {refusals()[code].do}")


@pytest.mark.parametrize(
    ("path", "code"),
    [("/api/%zz", "malformed_url"), ("/api/../x", "ambiguous_path"), ("/api/..%2fx", "ambiguous_path")],
)
def test_a_path_that_would_be_refused_is_named(keys, path, code):
    """It is not the token's fault."""
    assert not keys.fail
    (verdict,) = look(make_system(token=POOL.id_token(), path=path), "token.judged")
    assert verdict.found.startswith(f"400 {code} (")


def test_a_good_token_passes_and_says_by_which_rule(keys):
    """The accepted half of the table above."""
    assert not keys.fail
    system = make_system(token=POOL.id_token())
    assert look(system, "token.judged") == [passed("GET /api/whoami is allowed (rule routes[0] /*)")]
    (verdict,) = look(system, "keys.kid")
    assert verdict.outcome is Outcome.PASS


def test_a_token_that_a_public_path_ignores_is_a_warning(keys):
    """The caller gets through, without an identity."""
    assert not keys.fail
    policy = {"version": 1, "routes": [{"path": "/*", "allow": "anyone"}]}
    (verdict,) = look(make_system(policy, token=POOL.id_token(exp=NOW)), "token.judged")
    assert verdict.outcome is Outcome.WARN
    assert "(expired)" in verdict.found


def test_unreadable_keys_fail_their_own_check_and_the_judgement(keys):
    """One cause, named where it is; the check of the kid does not guess."""
    keys.fail = True
    system = make_system(token=POOL.id_token())
    outcomes = {check: look(system, check)[0].outcome for check in ("keys.readable", "keys.kid", "token.judged")}
    assert outcomes == {"keys.readable": Outcome.FAIL, "keys.kid": Outcome.UNSEEN, "token.judged": Outcome.FAIL}
    assert "503 keys_unavailable" in look(system, "token.judged")[0].found


def test_a_token_is_shown_by_the_logs_hash_of_its_user_alone(keys):
    """Neither the token nor the user's id is printed."""
    assert not keys.fail
    token = POOL.id_token()
    (verdict,) = look(make_system(token=token), "token.present")
    assert "id token of user " in verdict.found
    assert POOL.id_claims()["sub"] not in verdict.found
    assert token not in repr(verdict)


def test_broken_parameters_are_no_verdict_on_the_token(keys):
    """What cannot be judged is said to be so, and points to the cause."""
    assert not keys.fail
    system = make_system("no object", token=POOL.id_token())
    (verdict,) = look(system, "token.judged")
    assert (verdict.outcome, verdict.fix) == (Outcome.UNSEEN, "see parameters.* and policy.*")
    assert look(system, "policy.valid")[0].outcome is Outcome.FAIL


@pytest.mark.parametrize(
    ("seconds", "outcome"),
    [(60, Outcome.PASS), (61, Outcome.WARN), (300, Outcome.WARN), (301, Outcome.FAIL), (-301, Outcome.FAIL)],
)
def test_the_clock_is_judged_at_one_and_at_five_minutes(seconds, outcome):
    """Five minutes is what SigV4 allows."""
    system = System(STACK, stack_region="us-east-1", path="/", token="", clock=lambda: NOW)
    system.once("parameters", lambda: Parameters({}, float(seconds)))
    (verdict,) = look(system, "clock.here")
    assert verdict.outcome is outcome
    assert ("slow" if seconds > 0 else "fast") in verdict.found or outcome is Outcome.PASS


def test_a_clock_that_is_so_wrong_that_aws_refuses_everything_is_named_all_the_same():
    """The refusal of a signature of another time has a Date as well."""
    system = System(DEPLOYED, stack_region="us-east-1", path="/", token="", clock=lambda: NOW + 900)
    meta = {"HTTPHeaders": {"date": formatdate(NOW, usegmt=True)}}
    response = {"Error": {"Code": "InvalidSignatureException", "Message": "Signature not yet current"}}

    def refuse(**_named):
        raise ClientError({**response, "ResponseMetadata": meta}, "GetParameters")

    system.once("client ssm us-east-1", lambda: SimpleNamespace(get_parameters=refuse))
    (verdict,) = look(system, "clock.here")
    assert (verdict.outcome, "900 s fast" in verdict.found) == (Outcome.FAIL, True)
    (verdict,) = look(system, "parameters.readable")
    assert verdict.outcome is Outcome.UNSEEN


# --- answers ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", sorted(CODES))
def test_every_refusal_of_the_gateways_is_named_with_what_to_do(code):
    """The call with the token: its code, its detail, the request's id, the page's advice."""
    body = json.dumps({"code": code, "detail": "Because.", "request_id": "r-1"})
    answer = Answer(CODES[code], {"content-type": "application/problem+json"}, body)
    verdict = calls._refused(make_system(stack=DEPLOYED), answer)
    assert verdict.outcome is Outcome.FAIL
    assert verdict.found == f"{CODES[code]} {code}: Because. (request r-1)"
    assert refusals()[code].do in verdict.fix


@pytest.mark.parametrize(
    ("status", "headers", "body", "backends"),
    [
        (200, {}, "{}", True),
        (404, {"x-amzn-requestid": "1"}, '{"code": "not_found"}', True),
        (500, {"x-amzn-requestid": "1"}, "", True),
        (403, {"content-type": "application/problem+json"}, '{"code": "not_owner"}', True),
        (401, {"content-type": "application/problem+json"}, '{"code": "expired"}', False),
        (403, {"x-amzn-errortype": "AccessDeniedException"}, '{"Message": "Forbidden"}', False),
        (403, {}, '{"message": "The request signature we calculated …"}', False),
        (403, {"server": "AmazonS3"}, "<Error/>", False),
        (502, {}, "", False),
        (503, {"x-cache": "LambdaExecutionError from cloudfront"}, "", False),
    ],
)
def test_the_backends_answers_are_told_from_those_on_the_way(status, headers, body, backends):
    """A backend's 403 is not the gateway's affair."""
    assert calls._is_backends(Answer(status, headers, body)) is backends


def test_an_answer_shows_nothing_of_its_body():
    """It may say who the caller is."""
    assert "jane" not in repr(Answer(200, {}, '{"username": "jane"}'))


def answering(answer: Answer, policy: object = EVERYBODY_SIGNED_IN, **named: object) -> System:
    """Return a system whose gateway gives this answer to every call."""
    system = make_system(policy, token=POOL.id_token(), stack=DEPLOYED, **named)
    for with_token in (True, False):
        system.once(f"call {with_token}", lambda: answer)
    return system


PUBLIC = {"version": 1, "routes": [{"path": "/*", "allow": "anyone"}]}
REFUSED = {
    "www-authenticate": 'Bearer realm="x"',
    "content-type": "application/problem+json",
    "cache-control": "no-store",
}
MISSING = Answer(401, REFUSED, '{"code": "missing_token"}')


@pytest.mark.parametrize(
    ("answer", "policy", "outcome"),
    [
        (MISSING, EVERYBODY_SIGNED_IN, Outcome.PASS),
        (Answer(401, {}, '{"code": "missing_token"}'), EVERYBODY_SIGNED_IN, Outcome.FAIL),
        (Answer(200, {}, "{}"), EVERYBODY_SIGNED_IN, Outcome.FAIL),
        (Answer(200, {}, "{}"), PUBLIC, Outcome.PASS),
        (MISSING, PUBLIC, Outcome.FAIL),
        (Answer(403, {"server": "CloudFront"}, "<html>"), EVERYBODY_SIGNED_IN, Outcome.FAIL),
    ],
)
def test_a_call_without_a_token_is_refused_where_the_policy_says_so(keys, answer, policy, outcome):
    """And let in where it is public."""
    assert not keys.fail
    (verdict,) = look(answering(answer, policy), "gateway.missing-token")
    assert verdict.outcome is outcome


@pytest.mark.parametrize(
    ("answer", "outcome", "words"),
    [
        (Answer(200, {}, "{}"), Outcome.PASS, "200, from the backend"),
        (Answer(404, {}, '{"code": "not_found"}'), Outcome.PASS, "404, from the backend"),
        (Answer(500, {"x-amzn-requestid": "1"}, ""), Outcome.WARN, "the function failed"),
        (
            Answer(401, REFUSED, '{"code": "expired"}'),
            Outcome.FAIL,
            "the same token, by the parameters as they are now, is let in",
        ),
        (Answer(503, REFUSED, '{"code": "keys_unavailable"}'), Outcome.FAIL, "503 keys_unavailable"),
        (
            Answer(502, {"x-cache": "LambdaExecutionError from cloudfront"}, ""),
            Outcome.FAIL,
            "failed or ran out of time",
        ),
        (Answer(403, {"server": "AmazonS3"}, "<Error/>"), Outcome.FAIL, "403 from AmazonS3"),
        (
            Answer(403, {"x-amzn-errortype": "InvalidSignatureException"}, '{"message": "The request signature we …"}'),
            Outcome.FAIL,
            "AWS did not send its canonical request",
        ),
    ],
)
def test_a_call_with_the_token_names_who_answered(keys, answer, outcome, words):
    """The backend, the gateway, CloudFront, Lambda's door or a bucket."""
    assert not keys.fail
    system = answering(answer)
    url = FunctionUrl("abc.lambda-url.us-east-1.on.aws", "us-east-1", "arn:aws:lambda:us-east-1:1:function:api", {})
    system.once("function URLs", lambda: [url])
    (verdict,) = look(system, "gateway.call")
    assert verdict.outcome is outcome
    assert words in verdict.found


@pytest.mark.parametrize(
    ("headers", "outcome"),
    [
        ({}, Outcome.PASS),
        ({"x-cache": "Miss from cloudfront"}, Outcome.PASS),
        ({"x-cache": "RefreshHit from cloudfront"}, Outcome.FAIL),
        ({"age": "0"}, Outcome.FAIL),
    ],
)
def test_an_answer_from_a_cache_is_recognised(headers, outcome):
    """By either header."""
    system = answering(Answer(200, headers, ""))
    system.once("outputs", lambda: {"DistributionId": "E1"})
    (verdict,) = look(system, "gateway.uncached")
    assert verdict.outcome is outcome


# --- what could not be looked at ----------------------------------------------------------------------------------------


def refusing(code: str):
    """Return a look that AWS refuses."""

    def look(_system):
        raise ClientError({"Error": {"Code": code, "Message": "No."}}, "GetRole")

    return look


@pytest.mark.parametrize("code", ["AccessDenied", "AccessDeniedException", "UnauthorizedOperation"])
def test_what_aws_does_not_show_is_neither_right_nor_wrong(code):
    """And the permission that is wanted is named."""
    (verdict,) = verdicts_of(Probe("edge.trust", "x", refusing(code)), make_system())
    assert verdict.outcome is Outcome.UNSEEN
    assert verdict.fix.startswith("allow GetRole to the AWS credentials")


def test_no_answer_is_neither_right_nor_wrong():
    """The network is not the system's fault."""

    def silent(_system):
        raise EndpointConnectionError(endpoint_url="http://127.0.0.1:9")

    (verdict,) = verdicts_of(Probe("edge.trust", "x", silent), make_system())
    assert verdict.outcome is Outcome.UNSEEN


def test_a_fault_of_one_check_hides_nothing_of_the_others_and_says_where_it_is():
    """Without the error's own words, which could hold anything."""

    def stumbles(_system):
        raise KeyError("eyJsecret")

    (verdict,) = verdicts_of(Probe("edge.trust", "x", stumbles), make_system())
    assert verdict.outcome is Outcome.UNSEEN
    assert verdict.found.startswith("the doctor itself failed: KeyError at test_doctor.py:")
    assert "eyJ" not in repr(verdict)


def test_what_was_seen_before_the_view_was_cut_off_is_kept():
    """Half a list is said, and that it is half."""

    def half(_system):
        yield failed("one is wrong", "mend it")
        raise UnseenError("the other is hidden", "ask")

    verdicts = verdicts_of(Probe("url.auth", "x", half), make_system())
    assert [verdict.outcome for verdict in verdicts] == [Outcome.FAIL, Outcome.UNSEEN]


RIGHT, WORTH, WRONG, HIDDEN = passed("a"), warned("b", "c"), failed("d", "e"), unseen("f", "g")


@pytest.mark.parametrize(
    ("verdicts", "outcome"),
    [
        ([RIGHT], Outcome.PASS),
        ([RIGHT, WORTH], Outcome.PASS),
        ([RIGHT, HIDDEN], Outcome.UNSEEN),
        ([HIDDEN, WRONG], Outcome.FAIL),
        ([], Outcome.UNSEEN),
    ],
)
def test_what_could_not_be_looked_at_never_counts_as_right(verdicts, outcome):
    """Nothing seen is nothing said."""
    probe = Probe("edge.trust", "x", lambda _system: [])
    assert result([Check(probe, verdict) for verdict in verdicts]) is outcome


def test_the_json_report_has_its_documented_shape():
    """Programs read it: version 1."""
    checks = [Check(Probe("edge.trust", "a role", lambda _system: []), failed("none", "make one", subject="role"))]
    assert document("local", "2026-01-01T00:00:00Z", checks) == {
        "version": 1,
        "system": "local",
        "time": "2026-01-01T00:00:00Z",
        "result": "fail",
        "counts": {"pass": 0, "warn": 0, "fail": 1, "could_not_look": 0},
        "checks": [
            {
                "id": "edge.trust",
                "step": "edge",
                "subject": "role",
                "outcome": "fail",
                "expected": "a role",
                "found": "none",
                "fix": "make one",
            }
        ],
    }


def test_the_list_says_what_was_expected_found_and_is_to_be_done_and_colours_for_terminals_alone():
    """What is right takes one line."""
    probe = Probe("edge.trust", "a role", lambda _system: [])
    checks = [Check(probe, passed("good")), Check(probe, failed("line 1\nline 2", "do this")), Check(probe, HIDDEN)]
    printed = text(checks, colour=False)
    assert "ok    edge.trust                good\n" in printed
    assert (
        "expected  a role\n          found     line 1\n                    line 2\n          do        do this\n"
        in printed
    )
    assert printed.endswith(
        "1 right, 0 to think about, 1 wrong, 1 that could not be looked at (which is not the same as right)"
    )
    assert "\x1b[31m\x1b[1mFAIL\x1b[0m" in text(checks, colour=True)
    assert "\x1b" not in printed


def test_other_peoples_words_do_not_steer_the_terminal():
    """Answers, names and policies come from anywhere; JSON escapes them by itself."""
    probe = Probe("edge.trust", "a role", lambda _system: [])
    assert "\x1b" not in text([Check(probe, failed("\x1b[2Jgone\r", "\x07"))], colour=False)


def test_a_token_is_never_sent_in_the_clear():
    """Loopback is no network."""
    system = make_system(stack=DEPLOYED)
    with pytest.raises(UnseenError, match="in the clear"):
        system.fetch("http://gateway.example.com/api", "token")


# --- distribution, permissions ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("status", "outcome"), [("Deployed", Outcome.PASS), ("InProgress", Outcome.WARN)])
def test_a_distribution_that_is_being_replicated_is_a_reason_to_wait(status, outcome):
    """The emulator knows no other status than Deployed."""
    system = make_system(stack=DEPLOYED)
    system.once("distribution", lambda: {"Id": "E1", "Status": status, "DistributionConfig": {}})
    (verdict,) = look(system, "distribution.replicated")
    assert verdict.outcome is outcome
    assert ("aws cloudfront wait distribution-deployed --id E1 --region us-east-1 --profile work" in verdict.fix) is (
        outcome is Outcome.WARN
    )


def behaviors_of(*origins: dict, groups: tuple[dict, ...] = (), **behavior: object) -> System:
    """Return a deployed system with one behavior, which leads to the first origin."""
    system = make_system(stack=DEPLOYED)
    system.once("outputs", lambda: {"EdgeFunctionVersionArn": EDGE + ":3"})
    config = {
        "Origins": {"Items": list(origins)},
        "OriginGroups": {"Items": list(groups)},
        "DefaultCacheBehavior": {"TargetOriginId": "one", **behavior},
    }
    system.once("distribution", lambda: {"DistributionConfig": config})
    return system


EDGE = "arn:aws:lambda:us-east-1:123456789012:function:edge"
URL = {"Id": "one", "DomainName": "abc.lambda-url.eu-west-1.on.aws"}
RUNS = {
    "LambdaFunctionAssociations": {"Items": [{"LambdaFunctionARN": EDGE + ":3", "EventType": "origin-request"}]},
}
BUCKET = {"Id": "one", "DomainName": "site.s3.us-east-1.amazonaws.com", "S3OriginConfig": {"OriginAccessIdentity": ""}}
GROUP = {"Id": "one", "Members": {"Items": [{"OriginId": "two"}, {"OriginId": "three"}]}}


@pytest.mark.parametrize(
    ("system", "outcome", "word"),
    [
        (behaviors_of(URL, **RUNS), Outcome.PASS, "runs at origin-request"),
        (behaviors_of(URL), Outcome.FAIL, "no token is checked"),
        (behaviors_of({**URL, "Id": "two"}, groups=(GROUP,)), Outcome.FAIL, "no token is checked"),
        (behaviors_of({**BUCKET, "OriginAccessControlId": "OAC"}), Outcome.PASS, "public site"),
        (behaviors_of({**BUCKET, "S3OriginConfig": {"OriginAccessIdentity": "x"}}), Outcome.PASS, "public site"),
        (behaviors_of(BUCKET), Outcome.WARN, "without an origin access control"),
        (behaviors_of({"Id": "one", "DomainName": "www.example.com"}), Outcome.WARN, "without the gateway"),
    ],
    ids=["guarded", "unguarded", "unguarded-group", "site", "site-oai", "open-site", "elsewhere"],
)
def test_a_public_site_is_told_from_an_unguarded_function(system, outcome, word):
    """A bucket behind OAC is meant to be public; a function URL without the edge function never is."""
    verdict = look(system, "behavior.function")[0]
    assert verdict.outcome is outcome
    assert word in verdict.found


FORWARDED = {"QueryStringsConfig": {"QueryStringBehavior": "all"}}


@pytest.mark.parametrize(
    ("headers", "lack"),
    [
        ({"HeaderBehavior": "allExcept", "Headers": {"Items": ["Host"]}}, ""),
        ({"HeaderBehavior": "allExcept", "Headers": {"Items": ["host", "X-Other"]}}, ""),
        ({"HeaderBehavior": "allExcept", "Headers": {"Items": ["X-Other"]}}, "viewer's Host"),
        ({"HeaderBehavior": "allExcept", "Headers": {"Items": ["Host", "Authorization"]}}, "leaves out Authorization"),
        ({"HeaderBehavior": "allViewer"}, "viewer's Host"),
        ({"HeaderBehavior": "none"}, "Authorization never arrives"),
        ({"HeaderBehavior": "whitelist", "Headers": {"Items": ["Accept"]}}, "Authorization never arrives"),
        ({"HeaderBehavior": "whitelist", "Headers": {"Items": ["Authorization"]}}, "only some headers"),
        ({"HeaderBehavior": "whitelist", "Headers": {"Items": ["Authorization", "Host"]}}, "viewer's Host"),
    ],
)
def test_an_origin_request_policy_as_good_as_the_managed_one_passes(headers, lack):
    """And each other one is told what it lacks."""
    found = distribution._lacks({"HeadersConfig": headers, **FORWARDED})
    assert lack in found
    assert bool(found) is bool(lack)


def test_a_policy_that_drops_queries_is_told_so():
    """Backends would not see them."""
    headers = {"HeaderBehavior": "allExcept", "Headers": {"Items": ["Host"]}}
    assert "drops query strings" in distribution._lacks({"HeadersConfig": headers})


FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:api"
ROLE = "arn:aws:iam::123456789012:role/edge"
THIS = "arn:aws:cloudfront::123456789012:distribution/E1"
BOTH = [
    {
        "Effect": "Allow",
        "Action": "lambda:InvokeFunctionUrl",
        "Resource": FUNCTION,
        "Condition": {"StringEquals": {"lambda:FunctionUrlAuthType": "AWS_IAM"}},
    },
    {
        "Effect": "Allow",
        "Action": ["lambda:InvokeFunction"],
        "Resource": [FUNCTION],
        "Condition": {"Bool": {"lambda:InvokedViaFunctionUrl": "true"}},
    },
]


def by_cloudfront(source: str) -> list[dict]:
    """Return the statements of mode oac."""
    tied = {"ArnLike": {"AWS:SourceArn": source}}
    return [
        {
            **statement,
            "Principal": {"Service": "cloudfront.amazonaws.com"},
            "Condition": {**statement["Condition"], **tied},
        }
        for statement in BOTH
    ]


def with_function(*, control: str = "", role: list[dict] = (), own: list[dict] = ()) -> System:
    """Return a deployed system with one function URL."""
    system = make_system(stack=DEPLOYED)
    url = FunctionUrl("abc.lambda-url.us-east-1.on.aws", "us-east-1", FUNCTION, {})
    origin = {"Id": "api", "DomainName": url.host, "OriginAccessControlId": control}
    system.once("outputs", lambda: {"EdgeRoleArn": ROLE})
    system.once("distribution", lambda: {"ARN": THIS, "DistributionConfig": {"Origins": {"Items": [origin]}}})
    system.once("function URLs", lambda: [url])
    system.once("role statements", lambda: list(role))
    system.once(f"policy {FUNCTION}", lambda: list(own))
    return system


@pytest.mark.parametrize(
    ("system", "outcome"),
    [
        (with_function(role=BOTH), Outcome.PASS),
        (with_function(role=BOTH[:1]), Outcome.FAIL),
        (with_function(role=BOTH[1:]), Outcome.FAIL),
        (with_function(role=[*BOTH, {"Effect": "Deny", "Action": "lambda:*", "Resource": "*"}]), Outcome.FAIL),
        (with_function(own=[{**one, "Principal": {"AWS": ROLE}} for one in BOTH]), Outcome.PASS),
        (with_function(own=[{**one, "Principal": {"AWS": ROLE + "2"}} for one in BOTH]), Outcome.FAIL),
        (with_function(control="OAC", own=by_cloudfront(THIS)), Outcome.PASS),
        (with_function(control="OAC", own=by_cloudfront(THIS)[:1]), Outcome.FAIL),
        (with_function(control="OAC", own=by_cloudfront(THIS + "2")), Outcome.FAIL),
        (with_function(control="OAC", role=BOTH), Outcome.FAIL),
    ],
    ids=[
        "both",
        "url-only",
        "invoke-only",
        "denied",
        "own-policy",
        "other-role",
        "oac",
        "oac-half",
        "oac-other",
        "oac-role",
    ],
)
def test_both_permissions_are_wanted_of_whoever_signs(system, outcome):
    """The edge role's or the function's policy with sigv4; the function's, for this distribution, with oac."""
    (verdict,) = look(system, "url.permissions")
    assert verdict.outcome is outcome


INVOKE = {"action": "lambda:InvokeFunction", "resource": FUNCTION, "context": {"lambda:invokedviafunctionurl": "true"}}


def statement(**changes: object) -> dict:
    """A statement that allows it, with one thing changed."""
    return {"Effect": "Allow", "Action": "lambda:InvokeFunction", "Resource": FUNCTION, **changes}


@pytest.mark.parametrize(
    ("statements", "said"),
    [
        ([], Says.NO),
        ([statement()], Says.YES),
        ([statement(Action="lambda:invoke*", Resource="*")], Says.YES),
        ([statement(Action="lambda:InvokeFunctionUrl")], Says.NO),
        ([statement(Resource=FUNCTION + ":live")], Says.NO),
        ([statement(NotAction="lambda:Delete*", Action=[])], Says.YES),
        ([statement(Condition={"Bool": {"lambda:InvokedViaFunctionUrl": "True"}})], Says.YES),
        ([statement(Condition={"Bool": {"lambda:InvokedViaFunctionUrl": "false"}})], Says.NO),
        ([statement(Condition={"IpAddress": {"aws:SourceIp": "192.0.2.0/24"}})], Says.UNSURE),
        ([statement(Condition={"StringEquals": {"aws:PrincipalTag/team": "a"}}), statement()], Says.YES),
        ([statement(), statement(Effect="Deny")], Says.DENIED),
        ([statement(), statement(Effect="Deny", Condition={"DateLessThan": {"aws:CurrentTime": "2030"}})], Says.UNSURE),
        ([statement(Effect="Deny", Action="s3:*"), statement()], Says.YES),
    ],
)
def test_policies_are_read_as_iam_does_or_not_at_all(statements, said):
    """What is not understood is unsure, never allowed."""
    assert says(statements, **INVOKE) is said


@pytest.mark.parametrize(
    ("changes", "open_"),
    [
        ({"Principal": "*"}, True),
        ({"Principal": {"AWS": "*"}}, True),
        ({"Principal": "*", "Condition": {"StringEquals": {"lambda:FunctionUrlAuthType": "NONE"}}}, True),
        ({"Principal": "*", "Condition": {"StringEquals": {"lambda:FunctionUrlAuthType": "AWS_IAM"}}}, False),
        ({"Principal": "*", "Condition": {"StringEquals": {"aws:SourceAccount": "123456789012"}}}, False),
        ({"Principal": {"AWS": ROLE}}, False),
        ({"Principal": "*", "Effect": "Deny"}, False),
    ],
)
def test_a_statement_for_everybody_is_found(changes, open_):
    """``NONE`` is what the console adds when somebody switches authentication off."""
    assert list(open_to_all([statement(Sid="s", **changes)])) == (["s"] if open_ else [])


# --- the edge function ----------------------------------------------------------------------------------------------------


def at(day: str) -> float:
    """Return noon of a day, seconds since the epoch."""
    return datetime.fromisoformat(f"{day}T12:00:00+00:00").timestamp()


def edge_with(now: float = NOW, **configuration: object) -> System:
    """Return a deployed system whose edge function has this configuration."""
    system = System(DEPLOYED, stack_region="us-east-1", path="/", token="", clock=lambda: now)
    system.once("parameters", lambda: Parameters({}, 0.0))
    system.once("outputs", lambda: {"EdgeFunctionVersionArn": EDGE + ":3", "EdgeRoleArn": ROLE})
    system.once("distribution", lambda: {"DistributionConfig": {"DefaultCacheBehavior": {"TargetOriginId": "x"}}})
    good = {"Runtime": "python3.13", "Timeout": 10, "MemorySize": 512}
    system.once(f"edge {EDGE}:3", lambda: {**good, **configuration})
    return system


@pytest.mark.parametrize(
    ("day", "outcome"),
    [
        ("2029-01-01", Outcome.PASS),
        ("2029-01-02", Outcome.WARN),
        ("2029-06-29", Outcome.WARN),
        ("2029-06-30", Outcome.FAIL),
    ],
)
def test_a_runtimes_end_is_told_half_a_year_ahead(day, outcome):
    """Python 3.13 is deprecated on 2029-06-30."""
    (verdict,) = look(edge_with(at(day)), "edge.runtime")
    assert verdict.outcome is outcome


def test_a_runtime_that_the_table_does_not_know_is_to_be_looked_up():
    """The table has a date of its own."""
    (verdict,) = look(edge_with(Runtime="python3.99"), "edge.runtime")
    assert (verdict.outcome, RUNTIMES_PAGE in verdict.fix) == (Outcome.WARN, True)


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({}, Outcome.PASS),
        ({"Environment": {"Variables": {}}}, Outcome.PASS),
        ({"Environment": {"Variables": {"A": "secret"}}}, Outcome.FAIL),
        ({"Layers": [{"Arn": "x"}]}, Outcome.FAIL),
        ({"VpcConfig": {"VpcId": ""}}, Outcome.PASS),
        ({"VpcConfig": {"VpcId": "vpc-1"}}, Outcome.FAIL),
        ({"TracingConfig": {"Mode": "PassThrough"}}, Outcome.PASS),
        ({"TracingConfig": {"Mode": "Active"}}, Outcome.FAIL),
        ({"PackageType": "Image"}, Outcome.FAIL),
        ({"Architectures": ["arm64"]}, Outcome.FAIL),
        ({"Timeout": 30}, Outcome.PASS),
        ({"Timeout": 31}, Outcome.FAIL),
        ({"Timeout": 6}, Outcome.PASS),
        ({"Timeout": 5}, Outcome.WARN),
        ({"MemorySize": 256}, Outcome.PASS),
        ({"MemorySize": 255}, Outcome.WARN),
        ({"EphemeralStorage": {"Size": 512}}, Outcome.PASS),
        ({"EphemeralStorage": {"Size": 513}}, Outcome.FAIL),
    ],
)
def test_what_lambda_at_edge_does_not_take_is_found(changes, outcome):
    """Each with its pair at the boundary; values of variables are not shown."""
    (verdict,) = look(edge_with(**changes), "edge.limits")
    assert verdict.outcome is outcome
    assert "secret" not in repr(verdict)


@pytest.mark.parametrize(
    ("allowed", "outcome"),
    [
        (["ssm:*", "lambda:*"], Outcome.PASS),
        (["ssm:*", "lambda:InvokeFunctionUrl"], Outcome.FAIL),
        (["lambda:*"], Outcome.FAIL),
    ],
)
def test_a_permissions_boundary_has_to_allow_what_the_function_does(allowed, outcome):
    """A role may do what both allow."""
    system = with_function(role=BOTH)
    system.once("role", lambda: {"PermissionsBoundary": {"PermissionsBoundaryArn": "arn:aws:iam::1:policy/b"}})
    statements = [{"Effect": "Allow", "Action": allowed, "Resource": "*"}]
    system.managed_statements = lambda _arn: statements
    (verdict,) = look(system, "edge.boundary")
    assert verdict.outcome is outcome


@pytest.mark.parametrize(
    ("kind", "behavior", "role", "outcome"),
    [
        ("lambda", "always", [], Outcome.PASS),
        ("s3", "always", [], Outcome.FAIL),
        ("lambda", "no-override", [], Outcome.FAIL),
        ("lambda", "always", BOTH, Outcome.WARN),
    ],
)
def test_cloudfront_signs_always_or_the_edge_function_does(kind, behavior, role, outcome):
    """Mode oac; a role that may call as well is a sign of two minds."""
    system = with_function(control="OAC", role=role)
    config = {"OriginAccessControlOriginType": kind, "SigningBehavior": behavior}
    answer = {"OriginAccessControl": {"OriginAccessControlConfig": config}}
    system.once("client cloudfront us-east-1", lambda: SimpleNamespace(get_origin_access_control=lambda **_: answer))
    (verdict,) = look(system, "url.signer")
    assert verdict.outcome is outcome


# --- logs -----------------------------------------------------------------------------------------------------------------


def line(second: int, **fields: object) -> dict:
    """One line of the edge's log."""
    return {"time": f"2026-09-21T14:00:{second:02d}.000Z", **fields}


FAILED = line(1, event="refresh_failed", what="keys", reason="no answer")


@pytest.mark.parametrize(
    ("lines", "unmended"),
    [
        ([], []),
        ([FAILED], ["keys"]),
        ([FAILED, line(2, cache={"keys": "hit"})], ["keys"]),
        ([FAILED, line(2, cache={"keys": "miss"}, status=503)], ["keys"]),
        ([FAILED, line(2, cache={"keys": "miss"}, status=None)], []),
        ([FAILED, line(2, cache={"configuration": "miss"})], ["keys"]),
        ([line(0, cache={"keys": "miss"}), FAILED], ["keys"]),
    ],
)
def test_a_failure_is_told_until_the_thing_was_read_again(lines, unmended):
    """What is over wakes no one at night."""
    assert list(logs._unmended(lines, since=0)) == unmended


def test_failures_of_yesterday_are_not_told():
    """An hour back."""
    assert logs._unmended([FAILED], since=at("2026-09-22")) == {}


# --- canonical requests ---------------------------------------------------------------------------------------------------


def test_awss_canonical_request_is_found_in_its_words():
    """A message without one gives an empty list."""
    message = (
        "…\n\nThe Canonical String for this request should have been\n'GET\n/\n\nhost:h\n\nhost\nabc'\n\nThe String…"
    )
    assert canonical_of(message) == ["GET", "/", "", "host:h", "", "host", "abc"]
    assert canonical_of("The request signature we calculated does not match the signature you provided.") == []


def test_secrets_differ_visibly_without_being_shown():
    """The digest tells two values apart."""
    shown = compared(["x-amz-security-token:one", "a"], ["x-amz-security-token:two", "a"])
    assert "one" not in shown.replace("no one", "")
    assert "two" not in shown
    assert "> AWS x-amz-security-token:(masked: 3 characters, " in shown
    assert "first difference: line 1" in shown
    assert masked("x-cognito-email:jane@example.com") != masked("x-cognito-email:john@example.com")


def test_equal_canonical_requests_are_said_to_be_equal():
    """Then the key is wrong, or something changed on the way."""
    assert "the two are the same" in compared(["GET", "/"], ["GET", "/"])


def test_a_line_more_is_a_difference():
    """On either side."""
    assert "> we  (no such line)" in compared(["GET", "/"], ["GET"])
    assert "> AWS (no such line)" in compared(["GET"], ["GET", "/"])


# --- command line ---------------------------------------------------------------------------------------------------------


def test_help_has_examples_and_the_exit_status():
    """As a person starts it."""
    done = subprocess.run(
        [sys.executable, str(PROJECT / "scripts" / "doctor.py"), "--help"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    assert "python scripts/doctor.py --local" in done.stdout
    assert "Exit status: 0 all is right" in done.stdout


@pytest.mark.parametrize(
    "argv",
    [
        ["--only", "nonsense"],
        ["--path", "api"],
        ["--token-file", "x", "--no-sign-in"],
        ["--local", "--stack", "x"],
    ],
)
def test_wrong_usage_ends_with_status_2(argv, capsys):
    """Before anything is looked at."""
    assert main(["doctor", *argv]) == 2
    assert "Error: " in capsys.readouterr().err


def test_commands_to_type_name_the_same_system():
    """A fix for the wrong stack would break another one."""
    deployed = System(DEPLOYED, stack_region="eu-west-1", path="/", token="", clock=lambda: NOW)
    assert (
        deployed.command("policy show") == "cognito-edge policy show --stack Gateway --region eu-west-1 --profile work"
    )
    assert make_system().command("policy show") == "cognito-edge policy show --local"
    assert "--endpoint-url http://127.0.0.1:9 " in make_system().aws("ssm x", "us-east-1")


def test_each_check_has_a_name_of_its_own_and_a_place_in_the_list():
    """Names are stable: programs and people refer to them."""
    names = [probe.id for probe in PROBES]
    assert len(set(names)) == len(names)
    assert {probe.step for probe in PROBES} == set(STEPS)
