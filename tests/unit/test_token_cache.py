"""edge/token_cache.py: bounded in entries and bytes, least recently used out first, keyed by digest."""

import hashlib

import pytest

import edge.verify
from edge import token_cache
from edge.token_cache import MAX_TOKEN_BYTES, TokenCache, Verified, digest_of
from tests.fakes import NOW, Pool
from tests.systems import patient_system


def entry(name):
    """Make an entry; the cache looks at none of its fields."""
    return Verified(claims=name, pool=None, keys=None, identity=None, sub_hash="")


def keys_of(cache):
    return list(cache._entries)


def test_what_was_put_is_found_until_it_is_discarded():
    """Put, get, discard, get."""
    cache = TokenCache(10)
    cache.put(b"a", entry("a"), 100)
    assert cache.get(b"a").claims == "a"
    assert cache.get(b"b") is None
    cache.discard(b"a")
    cache.discard(b"a")
    assert cache.get(b"a") is None
    assert (len(cache), cache._bytes) == (0, 0)


def test_the_number_of_entries_is_bounded():
    """One more than the limit pushes one out."""
    cache = TokenCache(3)
    for name in (b"a", b"b", b"c"):
        cache.put(name, entry(name), 1)
    assert len(cache) == 3
    cache.put(b"d", entry(b"d"), 1)
    assert keys_of(cache) == [b"b", b"c", b"d"]


def test_the_least_recently_used_goes_first():
    """A look-up counts as use."""
    cache = TokenCache(2)
    cache.put(b"a", entry("a"), 1)
    cache.put(b"b", entry("b"), 1)
    cache.get(b"a")
    cache.put(b"c", entry("c"), 1)
    assert cache.get(b"a") is not None
    assert cache.get(b"b") is None


def test_the_bytes_are_bounded(monkeypatch):
    """Tokens of together at most the limit fit; one byte more pushes the oldest out, as many as it takes."""
    monkeypatch.setattr(token_cache, "MAX_TOKEN_BYTES", 100)
    cache = TokenCache(1_000)
    cache.put(b"a", entry("a"), 50)
    cache.put(b"b", entry("b"), 50)
    assert len(cache) == 2
    cache.put(b"c", entry("c"), 1)
    assert keys_of(cache) == [b"b", b"c"]
    cache.put(b"d", entry("d"), 100)
    assert keys_of(cache) == [b"d"]
    assert cache._bytes == 100


def test_a_token_larger_than_the_whole_cache_is_not_kept(monkeypatch):
    """It pushes everything out and itself as well, and the books are even."""
    monkeypatch.setattr(token_cache, "MAX_TOKEN_BYTES", 100)
    cache = TokenCache(10)
    cache.put(b"a", entry("a"), 101)
    assert (len(cache), cache._bytes) == (0, 0)


def test_putting_a_token_again_counts_its_bytes_once():
    """An entry is replaced, not added."""
    cache = TokenCache(10)
    for _ in range(5):
        cache.put(b"a", entry("a"), 7)
    assert (len(cache), cache._bytes) == (1, 7)


def test_clear_forgets_everything():
    """After a change of policy nothing is left."""
    cache = TokenCache(10)
    cache.put(b"a", entry("a"), 7)
    cache.clear()
    assert (len(cache), cache._bytes, cache.get(b"a")) == (0, 0, None)


def test_a_size_of_zero_switches_the_cache_off():
    """Nothing is ever kept."""
    cache = TokenCache(0)
    cache.put(b"a", entry("a"), 7)
    assert (len(cache), cache._bytes, cache.get(b"a")) == (0, 0, None)


def test_tokens_are_known_by_their_sha256():
    """Neither the cache nor a dump of it holds a token."""
    assert digest_of("a.b.c") == hashlib.sha256(b"a.b.c").digest()


def test_the_default_bounds_hold_a_usual_edge():
    """2,000 tokens of 2 KB fit into the bytes, so that for usual tokens the number is what counts."""
    assert MAX_TOKEN_BYTES >= 2_000 * 2_048


# --- in the gateway -------------------------------------------------------------------------------------------------


def test_a_token_is_verified_once(gateway, monkeypatch):
    """The second use of a token does no RSA."""
    checks = []
    real = edge.verify.check_signature
    monkeypatch.setattr(edge.verify, "check_signature", lambda *args: checks.append(1) or real(*args))
    token = Pool().id_token()
    for _ in range(5):
        assert "status" not in gateway(token=token)
    assert len(checks) == 1
    assert [entry["cache"]["tokens"] for entry in gateway.log] == ["miss", "hit", "hit", "hit", "hit"]


def test_refused_tokens_are_not_kept(gateway):
    """Bad tokens cannot push good ones out."""
    pool = Pool()
    for number in range(5):
        gateway(token=pool.id_token(exp=NOW - number))
        gateway(token=f"{pool.id_token()}A")
    assert len(gateway.gateway._tokens) == 0


@pytest.mark.parametrize("size", [0, 1, 3])
def test_the_setting_bounds_the_cache(aws, size):
    """verified_tokens is the number of tokens that are remembered; 0 is none."""
    system = patient_system(verified_tokens=size)
    for number in range(5):
        assert "status" not in system(token=Pool().id_token(sub=f"user-{number}"))
    assert len(system.gateway._tokens) == size


def test_another_policy_empties_the_cache(aws, gateway):
    """After a change everything is verified again; an equal policy read again changes nothing."""
    token = Pool().id_token()
    gateway(token=token)
    gateway(token=token, now=NOW + 75)
    assert gateway.log[-1]["cache"] == {"configuration": "miss", "keys": "hit", "tokens": "hit"}
    aws.policy = {"version": 1, "leeway_s": 1}
    gateway(token=token, now=NOW + 150)
    assert gateway.log[-1]["cache"]["tokens"] == "miss"


def test_other_keys_empty_the_cache_and_equal_ones_do_not(aws, gateway):
    """A rotation has every token verified again; the same keys read again have not."""
    pool = Pool()
    token = pool.id_token(exp=NOW + 20_000)
    gateway(token=token)
    gateway(token=token, now=NOW + 4_000)
    assert gateway.log[-1]["cache"] == {"configuration": "miss", "keys": "miss", "tokens": "hit"}
    aws.jwks[pool.pool_id] = {"keys": [*pool.jwks()["keys"], *Pool(id_kid="new").jwks()["keys"][:1]]}
    gateway(token=token, now=NOW + 8_000)
    assert gateway.log[-1]["cache"] == {"configuration": "miss", "keys": "miss", "tokens": "miss"}
    assert gateway.log[-1]["decision"] == "forward"
