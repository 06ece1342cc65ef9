"""What happens when SSM or the key endpoint fails: good callers stay in, bad ones stay out, everyone gets an answer.

The fault table of issue "Tokens and keys": each fault at a cold start and later, for parameters and for keys.
"""

import json
import re
import time

import pytest
from cognito_edge.errors import CredentialsUnavailableError, KeysUnavailableError
from cognito_edge.gateway import Gateway
from cognito_edge.http1 import AnswerReader, HttpError
from cognito_edge.parameters import parse_parameters

from tests.support.events import headers_of, is_forwarded, make_event, problem_of
from tests.support.fake_aws import PREFIX
from tests.support.gateways import CREDENTIALS, Faults, make_settings, make_system
from tests.support.keys_and_tokens import NOW, Pool, b64url, compact, jwk_of

POOL = Pool()
# Contract C6: every request ends within 5 s, whatever is down.
BOUND_S = 5

# How a service can fail, and what the log has to say about it.
FAULTS = {
    "down": "ended without an answer",
    "error": "500",
    "garbled": "not valid JSON",
    "throttled": "400",
    "hang": r"within 0\.2 s|timed out",
    "drip": r"within 0\.2 s|timed out",
    "huge": "longer than",
    "redirect": "302",
}
SETTINGS_LIFETIME_S = 72.001  # 60 s and the most jitter
KEYS_LIFETIME_S = 3_960.001  # 3,600 s and the most jitter
DAY_S = 86_400


@pytest.fixture
def system(aws):
    """A cold gateway."""
    return make_system()


@pytest.fixture
def faults(aws):
    """A cold gateway whose services can be slow one at a time."""
    return Faults.make(aws)


def good(now=NOW, **changes):
    """A token that is good for as long as Cognito may make one, a day."""
    return POOL.id_token(now, **{"exp": int(now) + DAY_S, **changes})


def code_of(result):
    return "" if is_forwarded(result) else problem_of(result)["code"]


def timed(system, **request):
    """Send a request, and hold its time against the contract."""
    before = time.monotonic()
    result = system(**request)
    assert time.monotonic() - before < BOUND_S
    return result


def check_unavailable(result, code, internal):
    """A 503 that says when to come back, does not blame the caller, and tells the viewer nothing of the inside."""
    assert result["status"] == "503"
    problem = problem_of(result)
    assert problem["code"] == code
    headers = headers_of(result)
    assert 1 <= int(headers["retry-after"]) <= 11
    assert headers["cache-control"] == "no-store"
    assert "www-authenticate" not in headers
    assert internal not in json.dumps(result)
    assert "127.0.0.1" not in json.dumps(result)


# --- cold -----------------------------------------------------------------------------------------------------------


def test_a_cold_start_makes_one_call_each(aws, system):
    """SSM once, the key endpoint once, over one connection; then nothing for the settings' lifetime."""
    for second in range(40):
        assert is_forwarded(system(token=good(sub=f"user-{second}"), now=NOW + second))
    assert (aws.ssm.calls, aws.cognito.calls) == (1, 1)
    assert aws.connections == 1  # both are the same host here, and so the same connection
    assert system.log[0]["cache"] == {"configuration": "miss", "keys": "miss", "tokens": "miss"}
    assert system.log[1]["cache"] == {"configuration": "hit", "keys": "hit", "tokens": "miss"}


def test_connections_are_reused_for_later_reads(aws, system):
    """An hour with a request a minute: many reads, one connection."""
    for minute in range(60):
        assert is_forwarded(system(token=good(), now=NOW + 80 * minute))
    assert aws.ssm.calls == 60
    assert aws.cognito.calls in (2, 3)  # a lifetime of an hour, more or less, within 80 minutes
    assert aws.connections == 1


def test_a_request_that_needs_no_keys_reads_none(aws, system):
    """Without a token, with an unreadable one or one of a stranger's pool, Cognito is not asked."""
    stranger = Pool("eu-west-1_Stranger1")
    for token in (None, "x.y.z", POOL.id_token().rpartition(".")[0], stranger.id_token()):
        assert system(token=token)["status"] == "401"
    assert (aws.ssm.calls, aws.cognito.calls) == (1, 0)


@pytest.mark.parametrize("mode", FAULTS)
def test_parameters_that_cannot_be_read_at_a_cold_start(faults, mode):
    """SSM fails before anything was ever read: closed, 503, with the reason in the log; then it recovers by itself."""
    aws, system = faults.aws, faults.system
    with faults.of("ssm", mode):
        check_unavailable(timed(system, token=good()), "configuration_unavailable", "GetParameters")
        # Within the cool-down the gateway does not ask again.
        assert code_of(timed(system, token=good(), now=NOW + 9)) == "configuration_unavailable"
        assert aws.ssm.calls == 1
    failure, *requests = system.log
    assert (failure["event"], failure["what"]) == ("refresh_failed", "configuration")
    assert len(requests) == 2
    for request in requests:
        assert (request["decision"], request["status"]) == ("error", 503)
        assert PREFIX in request["reason"]
    assert all(re.search(FAULTS[mode], entry["reason"]) for entry in system.log)
    # After it the next request finds out that all is well.
    assert code_of(timed(system, token=good(), now=NOW + 10)) == ""


@pytest.mark.parametrize("mode", FAULTS)
def test_keys_that_cannot_be_read_at_a_cold_start(faults, mode):
    """The key endpoint fails before any key was read: 503 and never a 401, for good and bad signatures alike."""
    system = faults.system
    forged = good()[:-8] + "AAAAAAAA"
    with faults.of("cognito", mode) as cognito:
        check_unavailable(timed(system, token=good()), "keys_unavailable", POOL.pool_id)
        assert code_of(timed(system, token=forged, now=NOW + 1)) == "keys_unavailable"
        assert cognito.calls == 1
        # What can be told without keys is told all the same.
        assert code_of(timed(system, now=NOW + 1)) == "missing_token"
        assert code_of(timed(system, token="x.y", now=NOW + 1)) == "malformed_token"
    failure, request, *_ = system.log
    assert (failure["event"], failure["what"]) == ("refresh_failed", "keys")
    for entry in (failure, request):
        assert re.search(FAULTS[mode], entry["reason"])
        assert POOL.pool_id in entry["reason"]
    assert code_of(timed(system, token=good(), now=NOW + 10)) == ""
    assert code_of(timed(system, token=forged, now=NOW + 10)) == "invalid_signature"


def test_both_down_at_a_cold_start(aws, system):
    """Even then an answer comes within the time limit."""
    aws.ssm.mode = aws.cognito.mode = "hang"
    assert code_of(timed(system, token=good())) == "configuration_unavailable"


def test_the_slowest_cold_start_stays_within_the_bound(aws, system):
    """With the longest attempts that settings allow, and keys that never come."""
    aws.cognito.mode = "hang"
    assert code_of(timed(system, token=good())) == "keys_unavailable"


def test_keys_are_waited_for_within_the_requests_5_seconds():
    """Whichever host is being asked: what is read after that comes too late."""
    left = []

    def load_keys(_pool, _issuer, _now, deadline):
        left.append(deadline - time.monotonic())
        raise KeysUnavailableError("No.")

    configuration = parse_parameters({"user-pool-id": POOL.pool_id, "client-id": POOL.client_id}, policy_required=False)
    gateway = Gateway(
        make_settings(),
        load_configuration=lambda _now: configuration,
        load_keys=load_keys,
        credentials=lambda: CREDENTIALS,
        log=lambda _line: None,
    )
    assert code_of(gateway.handle(make_event(token=good()), NOW)) == "keys_unavailable"
    assert 4 < left[0] <= 4.5


# --- warm -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", FAULTS)
def test_parameters_that_cannot_be_read_later(faults, mode):
    """With a last good configuration everyone stays in, and out, as before; one attempt a cool-down."""
    system = faults.system
    assert is_forwarded(system(token=good()))
    later = NOW + SETTINGS_LIFETIME_S
    with faults.of("ssm", mode) as ssm:
        for second in range(10):
            assert code_of(timed(system, token=good(), now=later + second)) == ""
            assert code_of(timed(system, token=good(exp=NOW), now=later + second)) == "expired"
        assert ssm.calls <= 3  # the first, and one attempt: a kept connection that fails is tried anew once
    assert {entry["cache"]["configuration"] for entry in system.log[-5:]} == {"stale"}
    assert [entry["what"] for entry in system.log if entry.get("event")] == ["configuration"]
    assert code_of(timed(system, token=good(), now=later + 10)) == ""
    assert system.log[-1]["cache"]["configuration"] == "miss"


@pytest.mark.parametrize("mode", FAULTS)
def test_keys_that_cannot_be_read_later(faults, mode):
    """With a last good key set good users stay in, new tokens included; bad tokens stay out."""
    system = faults.system
    assert is_forwarded(system(token=good()))
    later = NOW + KEYS_LIFETIME_S
    with faults.of("cognito", mode) as cognito:
        for second in range(10):
            assert code_of(timed(system, token=good(sub=f"user-{second}"), now=later + second)) == ""
            assert code_of(timed(system, token=good()[:-8] + "AAAAAAAA", now=later + second)) == "invalid_signature"
        assert cognito.calls <= 3
    assert {entry["cache"]["keys"] for entry in system.log[-5:]} == {"stale"}
    assert code_of(timed(system, token=good(), now=later + 10)) == ""
    assert system.log[-1]["cache"]["keys"] == "miss"


@pytest.mark.parametrize("service", ["ssm", "cognito"])
def test_a_last_good_value_serves_for_its_written_time_and_no_longer(aws, system, service):
    """Lifetime and a day of staleness: then it is 503, not a value from the distant past."""
    assert is_forwarded(system(token=good()))
    limit = DAY_S + (60 if service == "ssm" else 3_600)
    if service == "ssm":
        aws.ssm.mode = "error"
    else:
        aws.cognito.mode = "error"
    last = NOW + limit
    assert code_of(system(token=good(last), now=last)) == ""
    past = last + 11
    check_unavailable(
        system(token=good(past), now=past),
        "configuration_unavailable" if service == "ssm" else "keys_unavailable",
        "answered 500",
    )


def test_the_maximum_ages_are_settings(aws):
    """Without staleness an outage shows at the end of the lifetime."""
    system = make_system(settings_max_stale_s=0, keys_max_stale_s=0, settings_lifetime_s=1, keys_lifetime_s=1)
    assert is_forwarded(system(token=good()))
    aws.cognito.mode = "error"
    assert code_of(system(token=good(), now=NOW + 30)) == "keys_unavailable"
    aws.ssm.mode = "error"
    assert code_of(system(token=good(), now=NOW + 60)) == "configuration_unavailable"


def test_an_outage_after_a_refusal_is_no_excuse(aws, system):
    """A token that is bad for another reason than its key is refused as before while keys cannot be read again."""
    assert is_forwarded(system(token=good()))
    aws.cognito.mode = aws.ssm.mode = "down"
    later = NOW + KEYS_LIFETIME_S
    for token, code in (
        (good(exp=NOW), "expired"),
        (good(aud="other"), "wrong_client"),
        (good(iss="https://thief.example"), "wrong_issuer"),
        (POOL.access_token(exp=NOW + DAY_S), "wrong_token_use"),
        (None, "missing_token"),
    ):
        assert code_of(system(token=token, now=later)) == code


# --- rotation and unknown kids --------------------------------------------------------------------------------------

NEW_KEY = Pool(id_kid="id-key-2")


def rotate(aws):
    """Publish the pool's next key beside the old ones, as Cognito would."""
    aws.jwks[POOL.pool_id] = {"keys": [*POOL.jwks()["keys"], jwk_of(NEW_KEY.key("id-key-2"), "id-key-2")]}


def test_a_rotation_is_found_by_the_first_token_of_the_new_key(aws, system):
    """The new key counts at once: an unknown kid has the set read again."""
    assert is_forwarded(system(token=good()))
    rotate(aws)
    assert code_of(system(token=NEW_KEY.id_token(), now=NOW + 10)) == ""
    assert system.log[-1]["cache"]["keys"] == "miss"
    assert code_of(system(token=good(), now=NOW + 11)) == ""
    assert aws.cognito.calls == 2


def test_a_rotation_within_the_cooldown_is_found_at_its_end(aws, system):
    """Until then the kid is unknown, which costs a retry and no outage."""
    assert is_forwarded(system(token=good()))
    rotate(aws)
    assert code_of(system(token=NEW_KEY.id_token(), now=NOW + 9)) == "unknown_key"
    assert code_of(system(token=NEW_KEY.id_token(), now=NOW + 10)) == ""


def test_a_rotation_during_an_outage_is_an_outage(aws, system):
    """A kid that could be new, while the keys cannot be read: 503, and never a 401."""
    assert is_forwarded(system(token=good()))
    rotate(aws)
    aws.cognito.mode = "down"
    check_unavailable(system(token=NEW_KEY.id_token(), now=NOW + 10), "keys_unavailable", POOL.pool_id)
    check_unavailable(system(token=NEW_KEY.id_token(), now=NOW + 15), "keys_unavailable", POOL.pool_id)
    assert code_of(system(token=good(), now=NOW + 15)) == ""
    aws.cognito.mode = "ok"
    assert code_of(system(token=NEW_KEY.id_token(), now=NOW + 20)) == ""


def of_unknown_kid(number):
    """Make a token of a key that the pool does not have; its signature is never looked at."""
    header, payload = ({"kid": f"kid-{number}", "alg": "RS256"}, POOL.id_claims())
    return ".".join([*(b64url(json.dumps(part).encode()) for part in (header, payload)), "A" * 342])


def test_a_thousand_unknown_kids_cost_one_fetch_a_cooldown(aws, system):
    """A hundred seconds with ten unknown kids each: eleven fetches, and good users served in between."""
    assert is_forwarded(system(token=good()))
    for number in range(1_000):
        token = of_unknown_kid(number)
        assert code_of(system(token=token, now=NOW + number / 10)) == "unknown_key"
        if number % 100 == 0:
            assert code_of(system(token=good(), now=NOW + number / 10)) == ""
    assert aws.cognito.calls <= 11


def test_a_flood_of_unknown_kids_at_a_cold_start_costs_one_fetch(aws, system):
    """The first of them reads the set; the rest are judged by it."""
    for number in range(100):
        assert code_of(system(token=of_unknown_kid(number))) == "unknown_key"
    assert aws.cognito.calls == 1


def test_a_removed_key_is_dropped_at_the_next_good_refresh(aws, system):
    """Its tokens pass until then, are refused after it, and the other key goes on."""
    access = compact(
        POOL.key(POOL.access_kid), {"kid": POOL.access_kid, "alg": "RS256"}, POOL.id_claims(exp=NOW + DAY_S)
    )
    assert is_forwarded(system(token=good()))
    aws.jwks[POOL.pool_id] = {"keys": [jwk_of(POOL.key(POOL.access_kid), POOL.access_kid)]}
    assert code_of(system(token=good(), now=NOW + 3_000)) == ""
    aws.cognito.mode = "down"
    assert code_of(system(token=good(), now=NOW + KEYS_LIFETIME_S)) == ""
    aws.cognito.mode = "ok"
    for token, code in ((good(), "unknown_key"), (good(sub="new"), "unknown_key"), (access, "")):
        assert code_of(system(token=token, now=NOW + KEYS_LIFETIME_S + 10)) == code


def test_a_set_that_lost_all_its_keys_is_an_outage(aws, system):
    """An empty document must not sign everyone out."""
    assert is_forwarded(system(token=good()))
    aws.jwks[POOL.pool_id] = {"keys": [{"kty": "EC", "kid": "x"}]}
    later = NOW + KEYS_LIFETIME_S
    assert code_of(system(token=good(), now=later)) == ""
    assert system.log[-1]["cache"]["keys"] == "stale"
    assert "none of the key set's 1 keys" in system.log[-2]["reason"]


def test_one_pools_outage_is_not_another_pools(aws):
    """Each pool's keys have a life of their own."""
    other = Pool("eu-west-1_OtherPool", "2other456789client")
    aws.pools[other.pool_id] = other
    aws.policy = {
        "version": 1,
        "routes": [{"path": "/other/*", "issuers": [other.pool_id]}],
        "issuers": [{"user_pool_id": other.pool_id, "client_ids": [other.client_id]}],
    }
    aws.jwks[other.pool_id] = b"{"
    system = make_system()
    assert code_of(system(token=other.id_token(), uri="/other/x")) == "keys_unavailable"
    assert code_of(system(token=good())) == ""
    del aws.jwks[other.pool_id]
    assert code_of(system(token=other.id_token(), uri="/other/x", now=NOW + 10)) == ""


# --- policy ---------------------------------------------------------------------------------------------------------

BROKEN_POLICIES = [
    "",
    "{",
    "null",
    "[]",
    '{"version":2}',
    '{"version":1,"routes":[{"path":"/x","groups":[]}]}',
    '{"version":1,"surprise":true}',
    '{"version":1,"version":1}',
    '{"version":1,"issuers":[{"user_pool_id":[],"client_ids":["c"]}]}',
    '{"version":1,"issuers":[{"user_pool_id":{"a":1},"client_ids":["c"]}]}',
    '{"version":1,"issuers":[{"user_pool_id":null,"client_ids":["c"]},{"user_pool_id":null,"client_ids":["c"]}]}',
    '{"version":1,"routes":' + "[" * 3_000 + "]" * 3_000 + "}",
    '{"version":1,"leeway_s":' + "9" * 5_000 + "}",
    "\ufeff" + '{"version":1}',
]


@pytest.mark.parametrize("document", BROKEN_POLICIES)
def test_a_broken_policy_never_replaces_a_good_one(aws, system, document):
    """Rules and cut-offs go on as they were; the log says what is wrong; a repaired document is taken."""
    aws.policy = {"version": 1, "routes": [{"path": "/admin/*", "groups": ["admins"]}]}
    assert is_forwarded(system(token=good()))
    aws.policy = document
    later = NOW + SETTINGS_LIFETIME_S
    assert code_of(system(token=good(), now=later)) == ""
    assert code_of(system(token=good(), uri="/admin/x", now=later)) == "missing_group"
    assert system.log[-1]["cache"]["configuration"] == "stale"
    [failure] = [entry for entry in system.log if entry.get("event") == "refresh_failed"]
    assert "policy: " in failure["reason"]
    aws.policy = {"version": 1, "routes": [{"path": "/admin/*", "groups": ["staff"]}]}
    staff = good(**{"cognito:groups": ["staff"]})
    assert code_of(system(token=staff, uri="/admin/x", now=later + 10)) == ""


@pytest.mark.parametrize("document", BROKEN_POLICIES)
def test_a_broken_policy_at_a_cold_start_is_closed(aws, system, document):
    """With nothing good to fall back on the gateway lets no one in."""
    aws.policy = document
    check_unavailable(system(token=good()), "configuration_unavailable", "policy")
    assert "policy: " in system.log[-1]["reason"]


@pytest.mark.parametrize("name", ["user-pool-id", "client-id"])
def test_a_missing_or_broken_id_is_like_a_broken_policy(aws, system, name):
    """The last good ids stay; a cold start is closed."""
    assert is_forwarded(system(token=good()))
    saved = aws.parameters.pop(f"{PREFIX}/{name}")
    assert code_of(system(token=good(), now=NOW + SETTINGS_LIFETIME_S)) == ""
    assert name in next(entry["reason"] for entry in system.log if entry.get("event"))
    assert code_of(make_system()(token=good())) == "configuration_unavailable"
    aws.parameters[f"{PREFIX}/{name}"] = saved
    assert code_of(system(token=good(), now=NOW + SETTINGS_LIFETIME_S + 10)) == ""


def test_an_absent_policy_where_one_is_required(aws):
    """Deleting the parameter opens nothing: cold it is closed, and warm the last good one stays."""
    system = make_system(policy_required=True)
    check_unavailable(system(token=good()), "configuration_unavailable", "policy")
    aws.policy = {"version": 1, "routes": [{"path": "/admin/*", "groups": ["admins"]}]}
    assert code_of(system(token=good(), uri="/admin/x", now=NOW + 10)) == "missing_group"
    aws.policy = None
    later = NOW + 10 + SETTINGS_LIFETIME_S
    assert code_of(system(token=good(), uri="/admin/x", now=later)) == "missing_group"
    assert code_of(system(token=good(), now=later)) == ""
    assert system.log[-1]["cache"]["configuration"] == "stale"


def test_an_absent_policy_where_none_is_required(aws, system):
    """No policy means: any valid ID token, every path."""
    assert code_of(system(token=good(), uri="/anything/x")) == ""
    assert code_of(system(token=POOL.access_token(), uri="/anything/x")) == "wrong_token_use"


def test_another_pool_replaces_the_first_within_the_lifetime(aws, system):
    """After the ids have changed the old pool's users are out and the new pool's in."""
    other = Pool("us-east-1_NextPool1", "5next6789client")
    aws.pools[other.pool_id] = other
    assert is_forwarded(system(token=good()))
    aws.parameters.update({f"{PREFIX}/user-pool-id": other.pool_id, f"{PREFIX}/client-id": other.client_id})
    later = NOW + SETTINGS_LIFETIME_S
    assert code_of(system(token=good(), now=later)) == "wrong_issuer"
    assert code_of(system(token=other.id_token(), now=later)) == ""


# --- clocks, credentials, paths open to anyone ----------------------------------------------------------------------


@pytest.mark.parametrize("off_s", [-240, 240])
def test_an_edge_whose_clock_is_four_minutes_off(aws, off_s):
    """Fresh tokens pass in both directions, and the signature carries the edge's own time."""
    system = make_system()
    token = POOL.id_token(iat=NOW, auth_time=NOW, exp=NOW + 300)
    result = system(token=token, now=NOW + off_s)
    assert is_forwarded(result)
    assert headers_of(result)["x-amz-date"] == time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(NOW + off_s))


@pytest.mark.parametrize("off_s", [-240, -7_200, 240])
def test_a_clock_that_jumps_stops_nothing(aws, system, off_s):
    """A gateway whose clock is set goes on, and reads what it needs again."""
    assert is_forwarded(system(token=good(NOW)))
    assert code_of(system(token=good(NOW + off_s), now=NOW + off_s)) == ""
    assert code_of(system(token=good(NOW + off_s), now=NOW + off_s + 1)) == ""


@pytest.mark.parametrize("name", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
def test_missing_credentials_at_a_cold_start(aws, system, monkeypatch, name):
    """Nothing can be read without them: 503 with the reason in the log, and no call is made."""
    monkeypatch.delenv(name)
    check_unavailable(system(token=good()), "credentials_unavailable", "AWS_SECRET_ACCESS_KEY")
    assert name in system.log[-1]["reason"]
    assert aws.ssm.calls == 0


def test_credentials_that_go_missing_later(aws):
    """What was read still serves, but nothing can be signed: 503 for good tokens, 401 for bad ones as ever."""
    there = [True]

    def credentials():
        if not there[0]:
            raise CredentialsUnavailableError("The gateway has no credentials to sign with.", internal="gone")
        return CREDENTIALS

    system = make_system(credentials=credentials)
    assert is_forwarded(system(token=good()))
    there[0] = False
    check_unavailable(system(token=good()), "credentials_unavailable", "gone")
    assert code_of(system(token=good(exp=NOW))) == "expired"
    there[0] = True
    assert is_forwarded(system(token=good()))


@pytest.mark.parametrize("mode", ["down", "garbled", "hang"])
def test_a_public_path_stays_public_while_keys_cannot_be_read(faults, mode):
    """It needs no keys: a token that cannot be checked gives no identity there, and no refusal."""
    faults.aws.policy = {"version": 1, "routes": [{"path": "/public/*", "allow": "anyone"}]}
    with faults.of("cognito", mode):
        for token in (None, good(), "x.y.z"):
            result = timed(faults.system, token=token, uri="/public/x")
            assert is_forwarded(result)
            assert not any(name.startswith("x-cognito-") for name in result["headers"])
    assert {entry["decision"] for entry in faults.system.log if "decision" in entry} == {"forward"}


def test_a_refresh_that_fails_is_logged_once_an_attempt_with_its_reason(aws, system):
    """An hour of SSM's outage: one line for each attempt, none of them holding a secret."""
    assert is_forwarded(system(token=good()))
    aws.ssm.mode = "throttled"
    for second in range(0, 300, 5):
        system(token=good(), now=NOW + 100 + second)
    failures = [entry for entry in system.log if entry.get("event") == "refresh_failed"]
    assert len(failures) == 30
    assert all("ThrottlingException" in entry["reason"] and entry["level"] == "ERROR" for entry in failures)
    assert "wJalrXUtnFEMI" not in "".join(system.lines)
    assert "session-token" not in "".join(system.lines)


def test_a_long_answer_does_not_fill_the_log(aws, monkeypatch):
    """A server that talks nonsense at length is quoted in part: no line of tens of kilobytes for each request."""

    def nonsense(self, data):
        raise HttpError("x" * 60_000)

    monkeypatch.setattr(AnswerReader, "feed", nonsense)
    system = make_system()
    for second in range(3):
        assert system(token=good(), now=NOW + second)["status"] == "503"
    assert max(len(line) for line in system.lines) < 4_000
