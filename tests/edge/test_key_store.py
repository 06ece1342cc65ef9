"""edge/cognito_edge/key_store.py: each pool's keys by themselves, rotation found by the kid, and a bounded number of pools."""

import json

import pytest
from cognito_edge.errors import KeysUnavailableError
from cognito_edge.jwks import parse_jwks
from cognito_edge.key_store import KeyStore
from cognito_edge.parameters import Pool as TrustedPool

from tests.support.gateways import make_settings
from tests.support.keys_and_tokens import NOW, jwk_of, rsa_key

ISSUER = "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Pool0"
DEADLINE = 4.5


class Source:
    """Every pool's key set; counts reads by pool."""

    def __init__(self):
        self.kids = ("k",)
        self.failure = None
        self.reads = []

    def __call__(self, pool, issuer, _now, deadline):
        self.told = (issuer, deadline)
        self.reads.append(pool.pool_id)
        if self.failure:
            raise self.failure
        return parse_jwks(json.dumps({"keys": [jwk_of(rsa_key("store"), kid) for kid in self.kids]}).encode())


def pool(number=0):
    return TrustedPool(f"eu-west-1_Pool{number}", "eu-west-1", frozenset(), frozenset())


@pytest.fixture
def source():
    return Source()


@pytest.fixture
def store(source):
    return KeyStore(source, make_settings())


def test_each_pool_is_read_by_itself(store, source):
    """One pool's keys are never another's, and one read never counts for another."""
    first, _ = store.current(pool(1), ISSUER, NOW, DEADLINE)
    second, _ = store.current(pool(2), ISSUER, NOW, DEADLINE)
    assert first is not second
    assert store.current(pool(1), ISSUER, NOW, DEADLINE) == (first, "hit")
    assert source.reads == ["eu-west-1_Pool1", "eu-west-1_Pool2"]


def test_a_known_kid_reads_nothing(store, source):
    """The usual case asks no server."""
    assert store.with_kid(pool(), "k", ISSUER, NOW, DEADLINE)[1] == "miss"
    assert store.with_kid(pool(), "k", ISSUER, NOW + 60, DEADLINE)[1] == "hit"
    assert len(source.reads) == 1


def test_an_unknown_kid_reads_again_after_the_cooldown(store, source):
    """Within it the set that was read stands; after it a rotated set is found."""
    store.with_kid(pool(), "k", ISSUER, NOW, DEADLINE)
    source.kids = ("k", "new")
    assert store.with_kid(pool(), "new", ISSUER, NOW + 9, DEADLINE)[0].get("new") is None
    keys, state = store.with_kid(pool(), "new", ISSUER, NOW + 10, DEADLINE)
    assert keys.get("new") is not None
    assert state == "miss"
    assert len(source.reads) == 2


def test_an_unknown_kid_in_a_set_that_was_read_just_now_is_unknown(store, source):
    """A cold start with a bad token reads once and not twice."""
    keys, state = store.with_kid(pool(), "unknown", ISSUER, NOW, DEADLINE)
    assert keys.get("unknown") is None
    assert state == "miss"
    assert len(source.reads) == 1


def test_an_unknown_kid_while_nobody_can_look_is_unavailable(store, source):
    """It could be the next key: that is no reason to call a token bad."""
    store.with_kid(pool(), "k", ISSUER, NOW, DEADLINE)
    source.failure = KeysUnavailableError("No.", internal="down")
    for later in (10, 15):
        with pytest.raises(KeysUnavailableError):
            store.with_kid(pool(), "new", ISSUER, NOW + later, DEADLINE)
    assert store.with_kid(pool(), "k", ISSUER, NOW + 15, DEADLINE)[1] == "hit"
    assert len(source.reads) == 2


def test_the_number_of_pools_is_bounded(store, source):
    """However often an operator changes pools, old ones do not pile up; their keys are simply read again."""
    for number in range(193):
        store.current(pool(number), ISSUER, NOW, DEADLINE)
        assert len(store._by_pool) <= 64
    assert store.current(pool(0), ISSUER, NOW, DEADLINE)[1] == "miss"


@pytest.mark.parametrize("kid", ["k", "unknown"])
def test_who_is_asked_first_and_until_when_is_handed_on(store, source, kid):
    """At the first reading and at one for an unknown kid: the token says which host, the request how long."""
    store.with_kid(pool(), "k", "https://first.example/x", NOW, 1.5)
    assert source.told == ("https://first.example/x", 1.5)
    later = NOW + (60 if kid == "unknown" else 7_200)
    store.with_kid(pool(), kid, "https://second.example/x", later, 2.5)
    assert source.told == ("https://second.example/x", 2.5)
