"""edge/cognito_edge/token_cache.py: bounded in entries and bytes, least recently used out first, keyed by digest."""

import copy
import hashlib
import json
import sys
import threading
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor

import cognito_edge.verify
import pytest
from cognito_edge import token_cache
from cognito_edge.gateway import Gateway
from cognito_edge.jwks import parse_jwks
from cognito_edge.parameters import parse_parameters
from cognito_edge.token_cache import TokenCache, VerifiedToken, digest_of

from tests.support.events import is_forwarded, make_event, problem_of
from tests.support.gateways import CREDENTIALS, make_settings, make_system
from tests.support.keys_and_tokens import CLIENT_ID, NOW, Pool
from tests.support.waiting import wait_until

POOL = Pool()


def entry(name):
    """Make an entry; the cache looks at none of its fields."""
    return VerifiedToken(claims=name, configuration=None, pool=None, keys=None, identity=None, user="")


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
    monkeypatch.setattr(token_cache, "MAX_CACHED_BYTES", 100)
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
    monkeypatch.setattr(token_cache, "MAX_CACHED_BYTES", 100)
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


def test_a_token_that_another_thread_forgets_meanwhile_is_still_found():
    """Between finding it and moving it to the end somebody else may have pushed it out."""

    class Contended(OrderedDict):
        def get(self, digest, default=None):
            return self.pop(digest, default)

    cache = TokenCache(10)
    cache.put(b"a", entry("a"), 7)
    cache._entries = Contended(cache._entries)
    assert cache.get(b"a").claims == "a"


def test_threads_leave_the_books_even():
    """Whatever they put, discard and clear at once, the bytes are those of the entries that are left."""
    cache = TokenCache(50)

    def work(seed):
        for number in range(2_000):
            digest = bytes([(number * seed) % 90])
            cache.put(digest, entry("x"), 1 + digest[0])
            cache.get(bytes([(number + seed) % 90]))
            cache.discard(bytes([(number * 7 + seed) % 90]))
            if number % 500 == seed:
                cache.clear()

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(work, (1, 3, 7, 11)))
    finally:
        sys.setswitchinterval(before)
    assert cache._bytes == sum(size for _, size in cache._entries.values())
    assert len(cache) <= 50


def test_tokens_are_known_by_their_sha256():
    """Neither the cache nor a dump of it holds a token."""
    assert digest_of("a.b.c") == hashlib.sha256(b"a.b.c").digest()


def test_the_default_bounds_hold_a_usual_edge():
    """2,000 tokens of 2 KB fit into the bytes, so that for usual tokens the number is what counts."""
    cache = TokenCache(2_000)
    for number in range(2_000):
        cache.put(b"%d" % number, entry(str(number)), 2_048)
    assert len(cache) == 2_000
    cache.put(b"next", entry("next"), 4_194_304)
    assert keys_of(cache) == [b"next"]
    cache.put(b"a byte more", entry("a byte more"), 4_194_305)
    assert keys_of(cache) == []


# --- in the gateway -------------------------------------------------------------------------------------------------


def test_a_token_is_verified_once(gateway, monkeypatch):
    """The second use of a token does no RSA."""
    checks = []
    real = cognito_edge.verify.check_signature
    monkeypatch.setattr(cognito_edge.verify, "check_signature", lambda *args: checks.append(1) or real(*args))
    token = Pool().id_token()
    for _ in range(5):
        assert "status" not in gateway(token=token)
    assert len(checks) == 1
    assert [entry["cache"]["tokens"] for entry in gateway.log] == ["miss", "hit", "hit", "hit", "hit"]


def test_a_token_that_was_verified_under_an_older_policy_is_verified_again():
    """A request that waited for keys while the policy changed leaves nothing behind that the new policy would refuse."""
    both, one = (
        parse_parameters({"user-pool-id": POOL.pool_id, "client-id": ids}, policy_required=False)
        for ids in (f"{CLIENT_ID},2example23456789client", CLIENT_ID)
    )
    waits, go_on = threading.Event(), threading.Event()
    current = [both]

    def load_keys(*_):
        waits.set()
        assert go_on.wait(20)
        return parse_jwks(json.dumps(POOL.jwks()).encode())

    gateway = Gateway(
        make_settings(),
        load_configuration=lambda _now: current[0],
        load_keys=load_keys,
        credentials=lambda: CREDENTIALS,
        log=lambda _line: None,
    )
    removed = make_event(token=POOL.id_token(aud="2example23456789client"))
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(gateway.handle, copy.deepcopy(removed), NOW)
        assert waits.wait(20)
        current[0] = one
        second = pool.submit(gateway.handle, make_event(token=POOL.id_token()), NOW + 100)
        assert wait_until(lambda: gateway._tokens._configuration is one)
        go_on.set()
        assert is_forwarded(first.result())
        assert is_forwarded(second.result())
    assert problem_of(gateway.handle(removed, NOW + 101))["code"] == "wrong_client"


def test_refused_tokens_are_not_kept(aws):
    """Bad tokens cannot push good ones out."""
    system, pool = make_system(verified_tokens=1), Pool()
    good = pool.id_token()
    system(token=good)
    for number in range(5):
        assert system(token=pool.id_token(exp=NOW - number))["status"] == "401"
        assert system(token=f"{pool.id_token()}A")["status"] == "401"
    system(token=good)
    assert system.log[-1]["cache"]["tokens"] == "hit"


@pytest.mark.parametrize("size", [0, 1, 3])
def test_the_setting_bounds_the_cache(aws, size):
    """verified_tokens is the number of tokens that are kept; 0 switches the cache off."""
    system = make_system(verified_tokens=size)
    tokens = [Pool().id_token(sub=f"user-{number}") for number in range(5)]
    for token in tokens + tokens[::-1]:
        assert "status" not in system(token=token)
    assert [entry["cache"]["tokens"] for entry in system.log[5:]].count("hit") == size


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
