"""The policy in the running local system: changed with the script, live within its lifetime, and not to be walked around."""

import base64
import hashlib
import json
import re
import time
from functools import cache

import boto3
import pytest
from botocore.config import Config

from tests.e2e.conftest import System
from tests.support import own_stack
from tests.support.policy_oracle import unreadable_reasons
from tests.support.waiting import wait_until

pytestmark = pytest.mark.e2e

GUARDED = {
    "version": 1,
    "routes": [
        {"path": "/public/*", "allow": "anyone"},
        {"path": "/admin/*", "methods": ["GET", "POST"], "groups": ["admins"]},
        {"path": "/api/echo/*", "groups": ["admins"]},
        {"path": "/api/whoami", "methods": ["GET"]},
    ],
}


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    """A system of its own: its edge reads the parameters every second instead of every minute.

    It has no site, so that every path there is, and not only what CloudFront sorts under ``/api/``, comes to the edge.
    """
    with own_stack.running(tmp_path_factory.mktemp("live"), None) as running:
        yield System(running.process)


@pytest.fixture(autouse=True)
def restored(live):
    """Put the policy back after each test that changed it, by hand, and let the edge read it."""
    before = in_ssm(live)
    yield
    if in_ssm(live) != before:
        by_hand(live, before)
        live.turn(edge="restart")
    assert live.curl("/api/whoami", token=live.token).status == 200


@cache
def _client(url: str, region: str):
    return boto3.client(
        "ssm",
        endpoint_url=url,
        region_name=region,
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(proxies={}),
    )


def _ssm(live):
    return _client(live.outputs["aws_endpoint_url"], live.outputs["region"])


def in_ssm(live) -> str:
    name = f"{live.outputs['parameter_prefix']}/policy"
    return _ssm(live).get_parameter(Name=name)["Parameter"]["Value"]


def by_hand(live, text: str) -> None:
    """Write into SSM what the script would not."""
    name = f"{live.outputs['parameter_prefix']}/policy"
    _ssm(live).put_parameter(Name=name, Value=text, Type="String", Overwrite=True)


def put(live, document: object, *options: str):
    """Write a policy as a person would."""
    text = document if isinstance(document, str) else json.dumps(document)
    return live.script("policy.py", "put", "-", "--local", "--yes", *options, stdin=text)


def in_force(live, document: object) -> None:
    """Write a policy, and wait for its lifetime."""
    done = put(live, document)
    assert done.returncode == 0, done.stderr
    time.sleep(own_stack.TAKEN_UP_S)


def given(live, document: object) -> None:
    """Let a policy be in force before a test of something else begins: a cold edge reads it before its first answer."""
    by_hand(live, json.dumps(document))
    live.turn(edge="restart")


def code(answer) -> str:
    """Return "sent on" for what reached the backend, whatever it said, and the refusal's code otherwise."""
    if answer.headers.get("content-type") != ["application/problem+json"] or answer.status == 404:
        return "sent on"  # 404 is the backend's: the gateway has none
    return answer.json["code"]


def log_lines(live) -> list[dict]:
    lines = (live.process.state_dir / "edge.log").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines if line.startswith("{")]


def is_cached(live, token: str) -> bool:
    """Use a token, and say whether the edge has known it by now, this time or before."""
    assert live.curl("/api/whoami", token=token).status == 200
    sub_hash = hashlib.sha256(_claims(token)["sub"].encode()).hexdigest()[:16]
    return any(line["cache"]["tokens"] == "hit" for line in log_lines(live) if line.get("sub_hash") == sub_hash)


def with_groups(live, *groups: str) -> str:
    """A token of the demo user with these groups, signed by the emulated pool's own key."""
    return live.mint({**_claims(live.token), "cognito:groups": list(groups)})


def _claims(token: str) -> dict:
    payload = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


# --- changes ----------------------------------------------------------------------------------------------------------


def test_a_policy_that_is_put_is_in_force_within_its_lifetime_without_a_restart(live):
    """The same processes before and after; the same token, which the edge has verified already."""
    assert live.curl("/api/whoami", token=live.token).status == 200
    running = live.process.look()
    in_force(live, {"version": 1, "routes": [{"path": "/api/whoami", "groups": ["admins"]}]})
    answer = live.curl("/api/whoami", token=live.token)
    assert (answer.status, code(answer)) == (403, "missing_group")
    assert live.curl("/api/whoami", token=with_groups(live, "admins")).status == 200
    in_force(live, {"version": 1, "routes": [{"path": "/api/whoami", "allow": "anyone"}]})
    assert code(live.curl("/api/whoami")) == "sent on"
    assert live.curl("/api/echo").status == 401
    assert set(running) <= set(live.process.look())


def test_show_test_history_and_revert_work_on_the_running_system(live):
    """What the script says about a request is what the gateway does with it."""
    before = in_ssm(live)
    in_force(live, GUARDED)
    shown = live.script("policy.py", "show", "--local")
    assert json.loads(shown.stdout) == GUARDED
    for path in ("/api/whoami", "/api/echo", "/admin", "/Admin", "/nothing"):
        told = live.script("policy.py", "test", "GET", path, "--local", "--token-file", "-", stdin=live.token)
        done = code(live.curl(path, token=live.token))
        assert "signature checked with the keys of" in told.stdout or done == "ambiguous_path"
        assert (told.returncode == 0) == (done == "sent on"), told.stdout
        assert done == "sent on" or done in told.stdout
    history = live.script("policy.py", "history", "--local").stdout.splitlines()
    assert "in force" in history[0]
    reverted = live.script("policy.py", "revert", "--local", "--yes")
    assert reverted.returncode == 0, reverted.stderr
    assert in_ssm(live) == before


def test_a_broken_policy_is_refused_by_the_script(live):
    """With its line; nothing is written."""
    before = in_ssm(live)
    done = put(live, '{"version": 1,\n "routes": [{"path": "/api/*", "group": ["admins"]}]}')
    assert done.returncode == 1
    assert "-:2:32: error: routes[0].group: unknown key 'group'" in done.stderr
    assert in_ssm(live) == before


def test_a_broken_policy_written_by_hand_leaves_the_last_good_one_in_force_and_is_logged(live):
    """Neither open nor down; every fault stands in the edge's log."""
    given(live, GUARDED)
    user, admin = live.token, with_groups(live, "admins")
    assert code(live.curl("/api/echo", token=user)) == "missing_group"
    already = len(log_lines(live))
    by_hand(live, '{"version": 1, "routes": [{"path": "/*", "allow": "everyone"}], "leeway": 5}')
    time.sleep(own_stack.TAKEN_UP_S)
    assert code(live.curl("/api/echo", token=user)) == "missing_group"
    assert live.curl("/api/echo", token=admin).status == 200
    assert live.curl("/api/whoami").status == 401
    lines = log_lines(live)[already:]
    failures = [line for line in lines if line.get("event") == "refresh_failed"]
    assert failures
    assert failures[0]["what"] == "configuration"
    assert "policy: unknown key 'leeway'" in failures[0]["reason"]
    assert "routes[0].allow: must be 'anyone'" in failures[0]["reason"]
    assert [line["cache"]["configuration"] for line in lines if "cache" in line] == ["stale"] * 3


def test_a_deleted_policy_opens_nothing(live):
    """The construct sets policy_required: absent is broken, and the rules stay."""
    given(live, GUARDED)
    assert code(live.curl("/api/echo", token=live.token)) == "missing_group"
    text = in_ssm(live)
    _ssm(live).delete_parameter(Name=f"{live.outputs['parameter_prefix']}/policy")
    try:
        time.sleep(own_stack.TAKEN_UP_S)
        assert code(live.curl("/api/echo", token=live.token)) == "missing_group"
        said = live.script("policy.py", "show", "--local").stderr
        assert "it was deleted" in said
    finally:
        by_hand(live, text)


def test_a_cut_off_stops_a_token_that_is_cached(live):
    """Verified, remembered, used twice; and out within the lifetime, by each of three claims. No token is ever printed."""
    tokens = {
        by: live.mint({**_claims(live.token), "sub": f"thief-{by}", "origin_jti": f"origin-{by}", "jti": f"jti-{by}"})
        for by in ("origin_jti", "jti", "sub")
    }
    for token in tokens.values():
        # Twice, as a rule; a policy that another test has written may empty the cache in between.
        assert wait_until(lambda token=token: is_cached(live, token))
    for by, token in tokens.items():
        done = live.script("policy.py", "cut-off", "--local", "--yes", "--token-file", "-", "--by", by, stdin=token)
        assert done.returncode == 0, done.stderr
        assert not any(part in done.stderr + done.stdout for part in token.split("."))
    cut_off = json.loads(in_ssm(live))["cut_off"]
    assert cut_off == {"origin_jti": ["origin-origin_jti"], "jti": ["jti-jti"], "sub": ["thief-sub"]}
    time.sleep(own_stack.TAKEN_UP_S)
    for token in tokens.values():
        answer = live.curl("/api/whoami", token=token)
        assert (answer.status, code(answer)) == (401, "revoked")
    assert live.curl("/api/whoami", token=live.token).status == 200


def test_a_cut_off_by_time_stops_everybody_until_they_sign_in_again(live):
    """``now`` is now: tokens of before are out, tokens of after are in."""
    claims = _claims(live.token)
    done = live.script(
        "policy.py", "cut-off", "--local", "--yes", "--issued-before", "now", "--signed-in-before", "now"
    )
    assert done.returncode == 0, done.stderr
    time.sleep(own_stack.TAKEN_UP_S)
    assert code(live.curl("/api/whoami", token=live.token)) == "revoked"
    refreshed = live.mint({**claims, "iat": int(time.time())})
    assert code(live.curl("/api/whoami", token=refreshed)) == "revoked"
    signed_in = live.mint({**claims, "iat": int(time.time()), "auth_time": int(time.time())})
    assert live.curl("/api/whoami", token=signed_in).status == 200


def test_a_token_that_is_not_genuine_cuts_nobody_off(live):
    """Changed after it was signed."""
    header, payload, signature = live.token.split(".")
    before = in_ssm(live)
    forged = f"{header}.{payload}.{signature[:-8]}AAAAAAAA"
    done = live.script("policy.py", "cut-off", "--local", "--yes", "--token-file", "-", stdin=forged)
    assert done.returncode == 1
    assert "invalid_signature" in done.stderr
    assert in_ssm(live) == before


# --- ways around a rule -----------------------------------------------------------------------------------------------

# The list, and what it stands for: dots, slashes and spaces at the end, other cases.
BYPASSES = [
    *("/%61dmin", "/%2Fadmin", "/admin%2Fx", "/public/../admin", "/public%2f..%2fadmin", "/public/%252e%252e/admin"),
    *(
        "//admin",
        "/admin;x",
        "/admin.",
        "/admin..",
        "/admin/.",
        "/admin/",
        "/admin//",
        "/admin%20",
        "/Admin",
        "/ADMIN/x",
    ),
    *(
        "/aDmIn/",
        "/%41dmin",
        "/public/..;/admin",
        "/public/%2e%2e/admin",
        "/public/..%5cadmin",
        "/./admin",
        "/%2561dmin",
    ),
    *("/admin%2e", "/admin%3Bx", "/;/admin", "/public/x/../../admin", "/admin/x;y", "/admin%00", "/%2e/admin"),
]
# These mean /admin to every server: the rule decides. All others are unclear and refused for all.
MEANT = {"/%61dmin", "//admin", "/admin/", "/admin//", "/admin/x;y"}


@pytest.fixture(scope="module")
def tokens(live):
    """A stranger, a user, an admin."""
    return {"stranger": None, "user": live.token, "admin": with_groups(live, "admins")}


def test_no_spelling_of_a_guarded_path_gets_past_its_rule(live, tokens):
    """Raw targets from curl, with every method that matters, for a stranger and for a user without the group."""
    given(live, GUARDED)
    already = len(log_lines(live))
    wrong = []
    for path in BYPASSES:
        for method in ("GET", "HEAD", "OPTIONS"):
            for who in ("stranger", "user"):
                method_option = ["--head"] if method == "HEAD" else ["-X", method]
                answer = live.curl(path, *method_option, token=tokens[who])
                if who == "stranger":  # learns of no rule, only of what is wrong with every path of that kind
                    expected = 400 if unreadable_reasons(path) or re.search("%c0", path, re.IGNORECASE) else 401
                else:
                    expected = {"OPTIONS": 405}.get(method, 403) if path in MEANT else 400
                if answer.status != expected:
                    wrong.append((method, path, who, answer.status, expected))
    assert wrong == []
    decisions = {line.get("decision") for line in log_lines(live)[already:] if "decision" in line}
    assert decisions == {"refuse"}


def test_what_means_the_guarded_path_is_under_its_rule_for_admins_too(live, tokens):
    """The accepting half: an admin gets through with the meant spellings, and with no unclear one."""
    given(live, GUARDED)
    for path in BYPASSES:
        expected = "sent on" if path in MEANT else "ambiguous_path"
        assert code(live.curl(path, token=tokens["admin"])) == expected, path


def test_the_rule_of_a_path_that_exists_is_not_walked_around_either(live, tokens):
    """With a backend that answers: nothing of it is seen without the group."""
    given(live, GUARDED)
    for path in ("/api/echo", "/api/%65cho", "/api//echo", "//api/echo", "/api/echo/", "/api/echo/x"):
        assert code(live.curl(path, token=tokens["user"])) == "missing_group", path
        assert code(live.curl(path, token=tokens["admin"])) == "sent on", path
    for path in (
        "/api/ECHO",
        "/api/echo;x",
        "/api%2Fecho",
        "/api/echo.",
        "/api/./echo",
        "/api/whoami/../echo",
        "/api/%2565cho",
    ):
        for who in ("user", "admin"):
            assert code(live.curl(path, token=tokens[who])) == "ambiguous_path", path


def test_methods_are_part_of_the_rule(live, tokens):
    """HEAD follows GET; a method that no route takes is 405 with Allow, for all who proved who they are."""
    given(live, GUARDED)
    assert live.curl("/api/whoami", "--head", token=tokens["user"]).status == 200
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
        for who in ("user", "admin"):
            answer = live.curl("/api/whoami", "-X", method, token=tokens[who])
            assert (answer.status, answer.headers["allow"]) == (405, ["GET, HEAD"]), (method, who)
        assert code(live.curl("/api/whoami", "-X", method)) == "missing_token"


# --- cors -------------------------------------------------------------------------------------------------------------


def test_preflights_are_answered_without_a_token_and_without_the_backend(live):
    """From the edge; another origin gets nothing that permits anything."""
    given(live, {**GUARDED, "cors": {"allow_origins": ["https://app.example.com"]}})
    ask = ("-X", "OPTIONS", "-H", "Access-Control-Request-Method: POST", "-H")
    answer = live.curl("/admin/x", *ask, "Origin: https://app.example.com")
    assert answer.status == 204
    assert answer.headers["access-control-allow-origin"] == ["https://app.example.com"]
    assert answer.headers["access-control-allow-methods"] == ["GET, HEAD, OPTIONS, POST, PUT, PATCH, DELETE"]
    assert log_lines(live)[-1]["decision"] == "preflight"
    answer = live.curl("/admin/x", *ask, "Origin: https://evil.example.com")
    assert answer.status == 204
    assert not [name for name in answer.headers if name.startswith("access-control-")]
    refused = live.curl("/admin/x", "-H", "Origin: https://app.example.com")
    assert refused.status == 401
    assert refused.headers["access-control-allow-origin"] == ["https://app.example.com"]


def test_put_compares_cors_with_the_running_distribution(live):
    """The emulator's distribution has none, so pages could not read the backend's answers."""
    done = put(live, {"version": 1, "cors": {"allow_origins": ["https://app.example.com"]}})
    assert done.returncode == 0
    assert "warning: cors: the distribution adds no CORS headers" in done.stderr
