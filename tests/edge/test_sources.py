"""What the edge reads: one signed GetParameters, one key set, credentials. Whatever else comes back is unavailability."""

import json
import math
import re
import time
import urllib.parse

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotocoreCredentials
from cognito_edge.credentials import credentials_from_environment, endpoint_of
from cognito_edge.errors import (
    ConfigurationUnavailableError,
    CredentialsUnavailableError,
    KeysUnavailableError,
    UnavailableError,
)
from cognito_edge.fetch import Answer, Client, FetchError, parse_endpoint
from cognito_edge.key_source import KeySource
from cognito_edge.parameter_source import ParameterSource
from cognito_edge.parameters import Pool as TrustedPool

from tests.support.fake_aws import PREFIX, FakeAws
from tests.support.gateways import CREDENTIALS, REGION, make_settings
from tests.support.keys_and_tokens import NOW, Pool
from tests.support.waiting import wait_until

POOL = Pool()
TRUSTED = TrustedPool(POOL.pool_id, "eu-west-1", frozenset({POOL.issuer}), frozenset({POOL.client_id}))


def make_client(timeout_s=5, max_answer_bytes=100_000):
    return Client(timeout_s=timeout_s, max_answer_bytes=max_answer_bytes)


def parameter_source(**changes):
    return ParameterSource(make_client(), make_settings(**changes))


# --- credentials ----------------------------------------------------------------------------------------------------


def test_credentials_are_read_from_the_environment_each_time(aws, monkeypatch):
    """Lambda renews them in place; the token may be absent, as for a user's own keys."""
    assert credentials_from_environment() == CREDENTIALS
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDOTHER")
    assert credentials_from_environment().access_key_id == "AKIDOTHER"
    monkeypatch.delenv("AWS_SESSION_TOKEN")
    assert credentials_from_environment().session_token is None
    monkeypatch.setenv("AWS_SESSION_TOKEN", "")
    assert credentials_from_environment().session_token is None


@pytest.mark.parametrize("name", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
@pytest.mark.parametrize("value", [None, ""])
def test_missing_credentials_are_named_and_never_shown(aws, monkeypatch, name, value):
    """Both halves are needed, and an empty one is missing; the message names both variables, and holds no value."""
    if value is None:
        monkeypatch.delenv(name)
    else:
        monkeypatch.setenv(name, value)
    with pytest.raises(CredentialsUnavailableError) as caught:
        credentials_from_environment()
    assert "AWS_ACCESS_KEY_ID" in caught.value.internal
    assert "AWS_SECRET_ACCESS_KEY" in caught.value.internal
    assert [part for part in CREDENTIALS if part in caught.value.internal + str(caught.value)] == []


@pytest.mark.parametrize("name", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"])
def test_credentials_are_the_environments_at_each_call(aws, monkeypatch, name):
    """A change of any one part counts at once, and so does its end."""
    monkeypatch.setenv(name, "another")
    assert "another" in credentials_from_environment()
    monkeypatch.delenv(name)
    if name == "AWS_SESSION_TOKEN":
        assert credentials_from_environment().session_token is None
        return
    with pytest.raises(CredentialsUnavailableError):
        credentials_from_environment()
    monkeypatch.setenv(name, "a third")
    assert "a third" in credentials_from_environment()


def test_credentials_do_not_show_in_representations():
    """A traceback or a debugger's print reveals the id alone."""
    assert "AKIDEXAMPLE" in repr(CREDENTIALS)
    assert CREDENTIALS.secret_access_key not in repr(CREDENTIALS)
    assert CREDENTIALS.session_token not in repr(CREDENTIALS)


# --- endpoints ------------------------------------------------------------------------------------------------------


def test_endpoints_are_the_real_ones_unless_the_sdks_variables_say_otherwise(monkeypatch):
    """A service's own variable wins over the general one, which wins over the real host."""
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_SSM"):
        monkeypatch.delenv(name, raising=False)
    host = "ssm.eu-central-1.amazonaws.com"
    assert (endpoint_of("SSM", host).authority, endpoint_of("SSM", host).scheme) == (host, "https")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    assert endpoint_of("SSM", host).port == 1
    monkeypatch.setenv("AWS_ENDPOINT_URL_SSM", "http://127.0.0.1:2")
    assert endpoint_of("SSM", host).port == 2
    monkeypatch.setenv("AWS_ENDPOINT_URL_SSM", "http://ssm.example")
    with pytest.raises(FetchError, match="plain http"):
        endpoint_of("SSM", host)


@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL_SSM", "AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER"])
def test_a_forbidden_endpoint_is_an_unavailability_that_the_log_explains(aws, monkeypatch, variable):
    """Plain http to another machine is never spoken; the error tells the operator why."""
    monkeypatch.setenv(variable, "http://192.0.2.1")
    of_ssm = variable.endswith("SSM")
    load = (
        (lambda: parameter_source().load(NOW))
        if of_ssm
        else (lambda: KeySource(make_client()).load(TRUSTED, POOL.issuer, NOW, math.inf))
    )
    with pytest.raises(UnavailableError) as caught:
        load()
    assert "plain http" in caught.value.internal
    assert "192.0.2.1" not in str(caught.value)


def test_the_real_hosts_are_asked_over_tls(aws, monkeypatch):
    """Without variables both calls go to AWS's own hosts, in the parameters' and in the pool's region."""
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    called = []

    class Recorder(Client):
        def start(self, call, deadline=math.inf):
            called.append((call.endpoint.scheme, call.endpoint.authority, call.target))
            raise FetchError("recorded")

    recorder = Recorder(timeout_s=1, max_answer_bytes=1)
    with pytest.raises(ConfigurationUnavailableError):
        ParameterSource(recorder, make_settings()).load(NOW)
    with pytest.raises(KeysUnavailableError):
        KeySource(recorder).load(TRUSTED, POOL.issuer, NOW, math.inf)
    assert called == [
        ("https", f"ssm.{REGION}.amazonaws.com", "/"),
        ("https", "cognito-idp.eu-west-1.amazonaws.com", f"/{POOL.pool_id}/.well-known/jwks.json"),
        ("https", "issuer-cognito-idp.eu-west-1.amazonaws.com", f"/{POOL.pool_id}/.well-known/jwks.json"),
    ]


# --- parameters -----------------------------------------------------------------------------------------------------


def test_the_parameters_are_read_by_one_call(aws):
    """One GetParameters for exactly the three names, without decryption."""
    configuration = parameter_source().load(NOW)
    assert configuration.pool.pool_id == POOL.pool_id
    [(path, headers, body)] = aws.ssm.requests
    assert path == "/"
    assert headers["x-amz-target"] == "AmazonSSM.GetParameters"
    assert headers["content-type"] == "application/x-amz-json-1.1"
    assert json.loads(body) == {
        "Names": [f"{PREFIX}/user-pool-id", f"{PREFIX}/client-id", f"{PREFIX}/policy"],
        "WithDecryption": False,
    }


def test_the_call_is_signed_as_botocore_signs_it(aws, monkeypatch):
    """The Authorization header is the one that AWS's own library makes for the same bytes and time."""
    parameter_source().load(NOW)
    [(_, headers, body)] = aws.ssm.requests
    request = AWSRequest(
        "POST",
        f"http://{urllib.parse.urlsplit(aws.url).netloc}/",
        data=body,
        headers={name: headers[name] for name in ("content-type", "x-amz-target")},
    )
    signer = SigV4Auth(
        BotocoreCredentials(CREDENTIALS.access_key_id, CREDENTIALS.secret_access_key, CREDENTIALS.session_token),
        "ssm",
        REGION,
    )
    request.context["timestamp"] = headers["x-amz-date"]
    request.headers["X-Amz-Date"] = headers["x-amz-date"]
    request.headers["X-Amz-Security-Token"] = headers["x-amz-security-token"]
    signature = signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request)
    assert headers["authorization"].endswith(f"Signature={signature}")
    assert f"Credential=AKIDEXAMPLE/20260921/{REGION}/ssm/aws4_request" in headers["authorization"]
    assert headers["x-amz-date"] == "20260921T141320Z"


def test_equal_parameters_are_parsed_once(aws):
    """The same values again are the same object; a changed value is another."""
    source = parameter_source()
    first = source.load(NOW)
    assert source.load(NOW + 60) is first
    aws.policy = {"version": 1}
    second = source.load(NOW + 120)
    assert second is not first
    aws.policy = None
    assert source.load(NOW + 180) is not second


def test_a_broken_policy_does_not_become_the_last_configuration(aws):
    """After a broken document the good one is still known as it was."""
    source = parameter_source()
    first = source.load(NOW)
    aws.policy = "{"
    with pytest.raises(ConfigurationUnavailableError, match="Nothing is wrong with your request"):
        source.load(NOW + 60)
    aws.policy = None
    assert source.load(NOW + 120) is first


def ssm_answers(monkeypatch, status, body):
    """Let SSM answer anything."""

    class Said:
        def result(self):
            return Answer(status, body if isinstance(body, bytes) else json.dumps(body).encode())

    monkeypatch.setattr(Client, "start", lambda self, call: Said())


def parameters(**values):
    return {"Parameters": [{"Name": f"{PREFIX}/{name}", "Value": value} for name, value in values.items()]}


GOOD = {"user-pool-id": POOL.pool_id, "client-id": POOL.client_id}


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (400, {"__type": "ThrottlingException", "message": "Rate exceeded"}, "400 ThrottlingException"),
        (400, {"__type": "com.amazonaws.ssm#AccessDeniedException", "Message": "x"}, "400 AccessDeniedException"),
        (400, {"__type": 5}, "400 5"),
        (403, {}, "403"),
        (500, {"__type": "InternalServerError"}, "500 InternalServerError"),
        (302, b"", "302"),
        (200, b"", "not valid JSON"),
        (200, b"<html>", "not valid JSON"),
        (200, b"[]", "not a JSON object"),
        (200, b'{"Parameters":[],"Parameters":[]}', "names a member twice"),
        (200, {}, "without a list of parameters"),
        (200, {"Parameters": None}, "without a list of parameters"),
        (200, {"Parameters": {}}, "without a list of parameters"),
        (200, {"Parameters": []}, "user-pool-id"),
        (200, {"Parameters": [None, 1, [], {}, {"Name": 1, "Value": "x"}, {"Name": "x"}]}, "user-pool-id"),
        (200, parameters(**{"client-id": "c"}), "user-pool-id"),
        (200, parameters(**{"user-pool-id": POOL.pool_id}), "client-id"),
        (200, parameters(**{**GOOD, "user-pool-id": "nonsense"}), "nonsense"),
        (200, parameters(**GOOD, policy="{"), "policy"),
        (200, parameters(**GOOD, policy='{"version":2}'), "version"),
        (
            200,
            {"Parameters": [{"Name": f"/other/{name}", "Value": value} for name, value in GOOD.items()]},
            "user-pool-id",
        ),
    ],
)
def test_whatever_is_no_configuration_is_unavailable_with_a_reason_for_the_log(aws, monkeypatch, status, body, reason):
    """Throttled, denied, broken, empty, foreign: 503 for the viewer, and the log knows which."""
    ssm_answers(monkeypatch, status, body)
    with pytest.raises(ConfigurationUnavailableError) as caught:
        parameter_source().load(NOW)
    assert reason in caught.value.internal
    assert f"parameters below {PREFIX}" in caught.value.internal
    assert reason not in str(caught.value)


def test_values_of_any_size_are_read_and_the_order_does_not_matter(aws, monkeypatch):
    """SSM promises no order; a foreign parameter in the answer is ignored."""
    answer = parameters(policy=json.dumps({"version": 1, "cut_off": {"jti": ["x" * 4_000]}}), **GOOD)
    answer["Parameters"].insert(1, {"Name": "/gateway-2/policy", "Value": "{"})
    ssm_answers(monkeypatch, 200, answer)
    assert parameter_source().load(NOW).policy.cut_off.jti == {"x" * 4_000}


def test_an_absent_policy_is_broken_where_one_is_required(aws):
    """A deleted parameter must not turn every rule into 'any ID token'."""
    assert parameter_source(policy_required=False).load(NOW).policy.rules == ()
    with pytest.raises(ConfigurationUnavailableError) as caught:
        parameter_source(policy_required=True).load(NOW)
    assert "policy: required, and absent" in caught.value.internal


# --- keys -----------------------------------------------------------------------------------------------------------


def test_keys_are_read_by_one_unsigned_get(aws):
    """The pool's well-known document, with no credentials: it is public."""
    keys = KeySource(make_client()).load(TRUSTED, POOL.issuer, NOW, math.inf)
    assert keys.get(POOL.id_kid) is not None
    [(path, headers, body)] = aws.cognito.requests
    assert path == f"/{POOL.pool_id}/.well-known/jwks.json"
    assert "authorization" not in headers
    assert headers["accept"] == "application/json"
    assert body == b""


def test_an_expected_pools_keys_are_asked_for_before_it_is_known(aws):
    """While the parameters are on their way; the pool that they name finds its keys on the way as well."""
    keys = KeySource(make_client())
    keys.prefetch(make_settings(expected_user_pool_id=POOL.pool_id), NOW)
    wait_until(lambda: aws.cognito.requests)
    assert keys.load(TRUSTED, POOL.issuer, NOW, math.inf).get(POOL.id_kid) is not None
    assert len(aws.cognito.requests) == 1
    keys.load(TRUSTED, POOL.issuer, NOW, math.inf)
    assert len(aws.cognito.requests) == 2, "what was asked early serves once"


@pytest.mark.parametrize(("later_s", "serves"), [(0, True), (5, True), (5.001, False), (7_200, False), (-1, False)])
def test_what_was_asked_early_serves_no_request_that_begins_later_than_one_can_last(aws, later_s, serves):
    """An environment may be frozen for hours after a cold start, and then gets the keys of that time."""
    keys = KeySource(make_client())
    keys.prefetch(make_settings(expected_user_pool_id=POOL.pool_id), NOW)
    wait_until(lambda: aws.cognito.requests)
    rotated = Pool(id_kid="rotated")
    aws.jwks[POOL.pool_id] = rotated.jwks()
    loaded = keys.load(TRUSTED, POOL.issuer, NOW + later_s, math.inf)
    expected, other = (POOL.id_kid, "rotated") if serves else ("rotated", POOL.id_kid)
    assert loaded.get(expected) is not None
    assert loaded.get(other) is None


def test_another_pools_keys_are_never_taken_for_the_named_ones(aws):
    """Expecting a pool is not trusting it: only the parameter counts."""
    other = Pool(pool_id="us-east-1_Other0001", id_kid="of-the-other-pool")
    aws.jwks[other.pool_id] = other.jwks()
    keys = KeySource(make_client())
    keys.prefetch(make_settings(expected_user_pool_id=other.pool_id), NOW)
    wait_until(lambda: aws.cognito.requests)
    loaded = keys.load(TRUSTED, POOL.issuer, NOW, math.inf)
    assert loaded.get(POOL.id_kid) is not None
    assert loaded.get(other.id_kid) is None


def test_keys_that_were_asked_for_too_early_are_asked_for_again(aws):
    """An early failure costs nothing but itself."""
    aws.cognito.mode = "error"
    keys = KeySource(make_client())
    keys.prefetch(make_settings(expected_user_pool_id=POOL.pool_id), NOW)
    wait_until(lambda: aws.cognito.requests)
    aws.cognito.mode = "ok"
    assert keys.load(TRUSTED, POOL.issuer, NOW, math.inf).get(POOL.id_kid) is not None


@pytest.mark.parametrize(
    ("mode", "reason"),
    [
        ("down", "ended without an answer"),
        ("error", "answered 500"),
        ("garbled", "not valid JSON"),
        ("throttled", "answered 400"),
        ("hang", r"no answer from|timed out"),
        ("drip", r"no answer from|timed out"),
        ("huge", "longer than"),
        ("redirect", "answered 302"),
    ],
)
def test_keys_that_cannot_be_read_are_unavailable_with_a_reason_for_the_log(aws, mode, reason):
    """Every way of failing is told to the log, with the pool's name; the viewer learns that it is not their fault."""
    aws.cognito.mode = mode
    with pytest.raises(KeysUnavailableError, match="Nothing is known to be wrong with your token") as caught:
        KeySource(make_client(timeout_s=0.3)).load(TRUSTED, POOL.issuer, NOW, math.inf)
    assert re.search(reason, caught.value.internal)
    assert f"keys of {POOL.pool_id}" in caught.value.internal


@pytest.mark.parametrize("document", [{"keys": []}, {}, {"keys": [{"kty": "EC", "kid": "x"}]}, {"message": "no"}])
def test_a_set_without_one_usable_key_counts_as_unread(aws, document):
    """It must not turn good tokens into bad ones."""
    aws.jwks[POOL.pool_id] = document
    with pytest.raises(KeysUnavailableError):
        KeySource(make_client()).load(TRUSTED, POOL.issuer, NOW, math.inf)


def test_a_set_with_unreadable_numbers_is_unavailable_and_no_crash(aws):
    """A key's numbers that decoders read differently are no numbers."""
    jwk = {**POOL.jwks()["keys"][0], "e": "AQA=B"}
    aws.jwks[POOL.pool_id] = {"keys": [jwk]}
    with pytest.raises(KeysUnavailableError):
        KeySource(make_client()).load(TRUSTED, POOL.issuer, NOW, math.inf)


def test_the_early_request_is_made_at_a_cold_start_alone(aws):
    """Every later reading of the parameters has keys at hand, or asks for them when they are needed."""
    client = make_client()
    keys = KeySource(client)
    settings = make_settings(expected_user_pool_id=POOL.pool_id)
    parameters = ParameterSource(client, settings, meanwhile=lambda now: keys.prefetch(settings, now))
    parameters.load(NOW)
    assert wait_until(lambda: len(aws.cognito.requests) == 1)
    parameters.load(NOW + 60)
    parameters.load(NOW + 120)
    assert len(aws.ssm.requests) == 3
    assert not wait_until(lambda: len(aws.cognito.requests) > 1, seconds=0.2)


# --- whose host is asked for a pool's keys ----------------------------------------------------------------------------

ORIGINAL = "cognito-idp.eu-west-1.amazonaws.com"
UPDATED = "issuer-cognito-idp.eu-west-1.amazonaws.com"
NAMED = "login.example.com"


class ByHost(Client):
    """A client for which servers on this machine stand under AWS's names; it remembers whom it called."""

    def __init__(self, servers, timeout_s=2):
        super().__init__(timeout_s=timeout_s, max_answer_bytes=100_000)
        self.servers = servers
        self.called = []

    def connect(self, endpoint, timeout_s):
        self.called.append(endpoint.host)
        if endpoint.host not in self.servers:
            raise OSError("no such host")
        return super().connect(parse_endpoint(self.servers[endpoint.host].url), timeout_s)


@pytest.fixture
def hosts(aws, monkeypatch):
    """Both of Cognito's hosts, each with a key of its own."""
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    aws.jwks[POOL.pool_id] = Pool(id_kid="of-original").jwks()
    other = FakeAws(Pool(id_kid="of-updated"))
    yield {ORIGINAL: aws, UPDATED: other}
    other.close()


def kid_from(client, host, deadline=math.inf, **pool):
    """Return whose keys a token of that host's issuer is judged by."""
    trusted = TRUSTED._replace(**pool)
    keys = KeySource(client).load(trusted, f"https://{host}/{POOL.pool_id}", NOW, deadline)
    return next(kid for kid in ("of-original", "of-updated", POOL.id_kid) if keys.get(kid) is not None)


@pytest.mark.parametrize(("host", "kid"), [(ORIGINAL, "of-original"), (UPDATED, "of-updated")])
def test_the_host_of_the_tokens_own_issuer_is_asked_first(hosts, host, kid):
    """Cognito publishes keys at the path of each issuer; no page says that both always carry the same."""
    client = ByHost(hosts)
    assert kid_from(client, host) == kid
    assert client.called == [host]


@pytest.mark.parametrize("mode", ["down", "error", "garbled", "throttled", "huge", "redirect", "hang", "drip"])
@pytest.mark.parametrize(
    ("host", "other", "kid"), [(ORIGINAL, UPDATED, "of-updated"), (UPDATED, ORIGINAL, "of-original")]
)
def test_the_other_host_is_asked_when_the_first_fails(hosts, mode, host, other, kid):
    """Whatever ails it: a pool with the updated issuer lives on when its primary region does not."""
    hosts[host].cognito.mode = mode
    client = ByHost(hosts, timeout_s=0.4)
    assert kid_from(client, host) == kid
    assert client.called == [host, other]


@pytest.mark.parametrize("document", [{"keys": []}, {"keys": [{"kty": "EC", "kid": "of-original"}]}, {}])
def test_a_set_without_a_usable_key_counts_as_a_failure_of_its_host(hosts, document):
    """The other one may have them."""
    hosts[ORIGINAL].jwks[POOL.pool_id] = document
    assert kid_from(ByHost(hosts), ORIGINAL) == "of-updated"


def test_a_host_that_does_not_exist_is_no_hindrance(hosts):
    """Not every pool has the updated issuer's host."""
    assert kid_from(ByHost({ORIGINAL: hosts[ORIGINAL]}), UPDATED) == "of-original"


@pytest.mark.parametrize(
    "issuer", ["https://login.example.com", "https://login.example.com/tenant", "https://login.example.com:443/x"]
)
def test_an_issuer_that_the_policy_names_is_asked_first_and_then_cognito(hosts, issuer):
    """The operator wrote it; nothing of the viewer's gets in."""
    named = FakeAws(Pool(id_kid=POOL.id_kid))
    try:
        client = ByHost({**hosts, NAMED: named})
        keys = KeySource(client).load(TRUSTED, issuer, NOW, math.inf)
        assert keys.get(POOL.id_kid) is not None
        assert client.called == [NAMED]
        assert named.cognito.requests[0][0] == f"/{POOL.pool_id}/.well-known/jwks.json"
        client = ByHost(hosts)
        assert KeySource(client).load(TRUSTED, issuer, NOW, math.inf).get("of-original") is not None
        assert client.called == [NAMED, ORIGINAL]
    finally:
        named.close()


@pytest.mark.parametrize("issuer", ["https://user@host/x", "https://[::1/x", "https:///x", "https://a b/x", "urn:x"])
def test_an_issuer_that_names_no_host_leaves_cognitos_own(hosts, issuer):
    """A policy may name any text; keys come from a server or not at all."""
    client = ByHost(hosts)
    assert KeySource(client).load(TRUSTED, issuer, NOW, math.inf).get("of-original") is not None
    assert client.called == [ORIGINAL]


def test_when_every_host_fails_the_log_hears_of_each(hosts):
    """Two reasons, one error, and nothing of it for the viewer."""
    hosts[ORIGINAL].cognito.mode = "error"
    hosts[UPDATED].cognito.mode = "garbled"
    with pytest.raises(KeysUnavailableError) as caught:
        kid_from(ByHost(hosts), UPDATED)
    assert re.search("not valid JSON.*answered 500", caught.value.internal)
    assert "500" not in str(caught.value)


@pytest.mark.parametrize(("left_s", "asked"), [(0.5, 2), (0.2, 1), (-1, 0)])
def test_nobody_is_waited_for_beyond_the_requests_deadline(hosts, left_s, asked):
    """Both hosts hang: an attempt takes its 0.3 s, the other what is left of the request's time."""
    for server in hosts.values():
        server.cognito.mode = "hang"
    client = ByHost(hosts, timeout_s=0.3)
    begun = time.monotonic()
    with pytest.raises(KeysUnavailableError):
        kid_from(client, ORIGINAL, deadline=begun + left_s)
    assert time.monotonic() - begun < max(left_s, 0) + 0.25
    assert len(client.called) == asked


@pytest.mark.parametrize("host", [ORIGINAL, UPDATED])
def test_what_was_asked_early_counts_whichever_issuer_the_token_names(hosts, host):
    """One key set a pool: a cold start does not ask twice."""
    client = ByHost(hosts)
    keys = KeySource(client)
    keys.prefetch(make_settings(expected_user_pool_id=POOL.pool_id), NOW)
    assert keys.load(TRUSTED, f"https://{host}/{POOL.pool_id}", NOW, math.inf).get("of-original") is not None
    assert client.called == [ORIGINAL]


def test_a_cold_start_connects_where_the_keys_most_likely_are(hosts):
    """The pool is not known yet, its region most likely is; the first reading finds the connection made."""
    regional = {f"cognito-idp.{REGION}.amazonaws.com": hosts[ORIGINAL]}
    client = ByHost(regional)
    keys = KeySource(client)
    keys.prefetch(make_settings(), NOW)
    assert wait_until(lambda: client._kept)
    pool = TRUSTED._replace(region=REGION)
    assert keys.load(pool, f"https://cognito-idp.{REGION}.amazonaws.com/{POOL.pool_id}", NOW, math.inf)
    assert client.called == list(regional)
