"""edge/cognito_edge/parameters.py: three SSM values -> the pools that are trusted, and every fault at once."""

import json

import pytest
from cognito_edge.parameters import ParametersError, parse_parameters
from hypothesis import given
from hypothesis import strategies as st

POOL_ID = "eu-west-1_AbCdEfGhI"
OTHER_ID = "us-east-1_OtherPool"
CLIENT = "1example23456789client"
ISSUER = f"https://cognito-idp.eu-west-1.amazonaws.com/{POOL_ID}"


def parse(policy=None, *, policy_required=False, pool_id=POOL_ID, client_id=CLIENT, **values):
    values |= {"user-pool-id": pool_id, "client-id": client_id}
    if policy is not None:
        values["policy"] = policy if isinstance(policy, str) else json.dumps({"version": 1, **policy})
    return parse_parameters({k: v for k, v in values.items() if v is not None}, policy_required=policy_required)


def faults_of(*args, **kwargs):
    with pytest.raises(ParametersError) as caught:
        parse(*args, **kwargs)
    return str(caught.value)


# --- ids ------------------------------------------------------------------------------------------------------------


def test_a_pool_is_trusted_under_both_of_cognitos_issuers():
    """ORIGINAL and UPDATED: a pool uses one of them, and may be switched."""
    configuration = parse()
    assert set(configuration.pools_by_issuer) == {ISSUER, ISSUER.replace("https://", "https://issuer-")}
    assert set(configuration.pools_by_issuer.values()) == {configuration.pool}
    assert (configuration.pool.pool_id, configuration.pool.region) == (POOL_ID, "eu-west-1")
    assert configuration.pool.client_ids == {CLIENT}


@pytest.mark.parametrize("pool_id", [POOL_ID, f" {POOL_ID}\n", "us-gov-west-1_A", "ap-southeast-2_" + "a" * 40])
def test_pool_ids_that_are_accepted(pool_id):
    """Region, underscore, letters and digits; space around it does no harm."""
    assert parse(pool_id=pool_id).pool.pool_id == pool_id.strip()


@pytest.mark.parametrize(
    "pool_id",
    [
        None,
        "",
        "x",
        "eu-west-1",
        "eu-west-1_",
        "_AbC",
        "eu-west-1-AbC",
        "eu-west-1_Ab/C",
        "eu-west-1_Ab C",
        "EU-WEST-1_A",
        f"{POOL_ID},{OTHER_ID}",
        "evil.example/_x",
        "eu-west-1_" + "a" * 60,
    ],
)
def test_pool_ids_that_are_refused(pool_id):
    """The id becomes part of a URL: nothing else may."""
    assert "user-pool-id: must be a user pool id such as" in faults_of(pool_id=pool_id)


@pytest.mark.parametrize(
    ("client_id", "expected"),
    [
        (CLIENT, {CLIENT}),
        ("a,b", {"a", "b"}),
        (" a , b ", {"a", "b"}),
        ("a,a", {"a"}),
        ("a_b+c", {"a_b+c"}),
        ("a" * 128, {"a" * 128}),
    ],
)
def test_client_ids_that_are_accepted(client_id, expected):
    """One, or several joined by commas."""
    assert parse(client_id=client_id).pool.client_ids == expected


@pytest.mark.parametrize("client_id", [None, "", " ", ",", "a,", ",a", "a,,b", "a b", "a;b", "a" * 129, "*", '["a"]'])
def test_client_ids_that_are_refused(client_id):
    """An empty entry or a foreign character is a fault, and never 'any client'."""
    assert "client-id: must be an app client id or several joined by ','" in faults_of(client_id=client_id)


# --- policy ---------------------------------------------------------------------------------------------------------


def test_without_a_policy_any_id_token_passes_unless_one_is_required():
    """Absence means something only where the version was told so."""
    assert parse().policy.rules == ()
    assert "policy: required, and absent" in faults_of(policy_required=True)
    assert parse({}, policy_required=True).policy.rules == ()


def test_an_empty_policy_is_broken_and_not_absent():
    """A parameter that exists holds a document."""
    for text in ("", " ", "null", "{}", "[]"):
        assert "policy: " in faults_of(text)


def test_every_fault_is_named_at_once():
    """Ids and document together."""
    text = faults_of({"surprise": 1}, pool_id="x", client_id="")
    for part in ("user-pool-id: ", "client-id: ", "policy: ", "surprise"):
        assert part in text


def test_the_values_are_kept_to_tell_whether_they_changed():
    """A copy: what the caller does to its own dict changes nothing."""
    values = {"user-pool-id": POOL_ID, "client-id": CLIENT}
    configuration = parse_parameters(values, policy_required=False)
    values["client-id"] = "other"
    assert configuration.source == {"user-pool-id": POOL_ID, "client-id": CLIENT}


# --- more pools -----------------------------------------------------------------------------------------------------


def issuer_entry(pool_id=OTHER_ID, **changes):
    return {"user_pool_id": pool_id, "client_ids": ["other"], **changes}


def test_a_second_pool_has_clients_of_its_own():
    """Client ids belong to their issuer: neither pool's are the other's."""
    configuration = parse({"issuers": [issuer_entry()]})
    other = configuration.pools_by_issuer[f"https://cognito-idp.us-east-1.amazonaws.com/{OTHER_ID}"]
    assert other.client_ids == {"other"}
    assert other.region == "us-east-1"
    assert configuration.pool.client_ids == {CLIENT}
    assert len(configuration.pools_by_issuer) == 4


def test_the_gateways_own_pool_may_be_given_more_clients_and_another_issuer():
    """An entry for the pool of the parameter adds to it; an issuer of its own replaces both forms."""
    configuration = parse({"issuers": [issuer_entry(POOL_ID, issuer="https://auth.example.com")]})
    assert configuration.pool.client_ids == {CLIENT, "other"}
    assert set(configuration.pools_by_issuer) == {"https://auth.example.com"}


def test_two_pools_may_not_share_an_issuer():
    """One could speak for the other."""
    assert "two pools have the same issuer" in faults_of({"issuers": [issuer_entry(issuer=ISSUER)]})
    same = [issuer_entry(issuer="https://x.example"), issuer_entry("eu-west-1_Third", issuer="https://x.example")]
    assert "two pools have the same issuer" in faults_of({"issuers": same})


def test_a_pool_stands_once():
    """Two entries of one pool would leave it open which clients count."""
    assert "each user_pool_id may stand once" in faults_of({"issuers": [issuer_entry(), issuer_entry()]})


@pytest.mark.parametrize(
    "name", [POOL_ID, OTHER_ID, ISSUER, f"https://issuer-cognito-idp.us-east-1.amazonaws.com/{OTHER_ID}"]
)
def test_a_route_may_name_a_known_pool_by_id_or_issuer(name):
    """Both names mean the pool."""
    routes = [{"path": "/x", "issuers": [name]}]
    assert parse({"routes": routes, "issuers": [issuer_entry()]}).policy.rules[0].routes[0].issuers == {name}


def test_a_route_that_names_an_unknown_pool_is_a_fault():
    """Such a rule would let no one in; the message lists what is known."""
    text = faults_of({"routes": [{"path": "/x", "issuers": ["eu-west-1_Typo"]}]})
    assert "routes[0] /x: issuers: 'eu-west-1_Typo' is no user_pool_id or issuer of this gateway" in text
    assert POOL_ID in text


VALUE = st.one_of(st.text(max_size=40), st.sampled_from([POOL_ID, CLIENT, '{"version":1}', "a,b", ""]))


@given(st.dictionaries(st.sampled_from(["user-pool-id", "client-id", "policy", "x"]), VALUE), st.booleans())
def test_any_values_are_a_configuration_or_a_parameters_error(values, policy_required):
    """No text makes another exception."""
    try:
        configuration = parse_parameters(values, policy_required=policy_required)
    except ParametersError:
        return
    assert configuration.pool.client_ids


JSON = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(0, 400),
        st.sampled_from(["/x/*", "GET", "id", "anyone", OTHER_ID, "https://x.example", ""]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(
                [
                    *("version", "routes", "path", "methods", "allow", "groups", "scopes", "token_use", "clients"),
                    *("issuers", "user_pool_id", "client_ids", "issuer", "cors", "allow_origins", "leeway_s", "jti"),
                ]
            ),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["routes", "issuers", "cors", "leeway_s", "cut_off"]), JSON))
def test_any_policy_is_a_configuration_or_a_parameters_error(policy):
    """No document of the policy's own words makes another exception."""
    fault = ""
    try:
        parse(policy)
    except ParametersError as error:
        fault = str(error)
    assert fault == "" or "policy: " in fault
