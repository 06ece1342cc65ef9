"""The fuzz targets themselves: each holds for its own seeds and for what hypothesis thinks of, and can fail."""

import json

import pytest
from cognito_edge.errors import AuthenticationError
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz import fuzz_answer, fuzz_event, fuzz_jwks, fuzz_policy, fuzz_target, fuzz_token

TARGETS = {
    module.__name__.rpartition("_")[2]: module
    for module in (fuzz_answer, fuzz_event, fuzz_jwks, fuzz_policy, fuzz_target, fuzz_token)
}


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_holds_for_its_seeds(name):
    """What the engine starts from breaks no invariant, nor do its beginnings and ends."""
    target = TARGETS[name].target
    for seed in TARGETS[name].SEEDS:
        for cut in (0, 1, len(seed) // 3, len(seed) // 2, len(seed) - 1):
            target(seed)
            target(seed[:cut])
            target(seed[cut:])


@pytest.mark.parametrize("name", TARGETS)
@given(data=st.data())
@settings(max_examples=150)
def test_a_target_holds_for_changed_seeds(name, data):
    """A short run of the same search, in every test run."""
    seed = bytearray(data.draw(st.sampled_from(TARGETS[name].SEEDS)))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(seed)))
        word = data.draw(st.one_of(st.binary(max_size=4), st.sampled_from(getattr(TARGETS[name], "WORDS", (b"{}",)))))
        seed[at : at + data.draw(st.integers(0, 4))] = word
    TARGETS[name].target(bytes(seed))


def test_the_token_target_reaches_acceptance():
    """With a key that calls every signature good the seeds are accepted, so that the second judge is at work."""
    accepted = []
    for seed in fuzz_token.SEEDS:
        if seed[:1] == b"\2":
            header, _, payload = seed[1:].partition(b"\n")
            token = f"{fuzz_token._b64url(header)}.{fuzz_token._b64url(payload)}.{fuzz_token.SIGNATURE}"
            accepted.append(fuzz_token.judge([f"Bearer {token}"], fuzz_token.EVERY_KEY))
    assert len(accepted) == 4
    assert all(accepted)


def test_the_token_target_notices_an_acceptance_that_is_wrong(monkeypatch):
    """An edge that forgot to look at exp would be found."""
    monkeypatch.setattr("cognito_edge.claims.check_time", lambda *args, **kwargs: None)
    with pytest.raises(AssertionError):
        fuzz_token.target(fuzz_token._seed(b"\2", fuzz_token.HEADER, {**fuzz_token.CLAIMS, "exp": 1}))


def test_the_token_target_notices_a_strangers_signature(monkeypatch):
    """An edge that forgot to check signatures would be found."""
    monkeypatch.setattr("cognito_edge.verify.check_signature", lambda *args: None)
    with pytest.raises(AssertionError, match="stranger"):
        fuzz_token.target(fuzz_token._seed(b"\1", fuzz_token.HEADER, fuzz_token.CLAIMS))


def test_the_event_target_notices_an_open_door(monkeypatch):
    """An edge that sent everything on would be found."""
    monkeypatch.setattr("cognito_edge.gateway.Gateway._authorize", lambda *_, **__: None)
    with pytest.raises(AssertionError):
        fuzz_event.target(b"\0")


def test_the_target_target_notices_a_rule_that_is_slipped_past(monkeypatch):
    """An edge that matched undecoded text would be found."""
    from cognito_edge.readings import Reading

    plain = tuple(json.loads('["%61dmin","x"]'))
    monkeypatch.setattr("cognito_edge.target.plausible_readings", lambda path: (Reading(plain, folded=False),))
    with pytest.raises(AssertionError):
        fuzz_target.target(b"/%61dmin/x")


@pytest.mark.parametrize("name", ["policy", "jwks"])
def test_the_parsers_targets_notice_a_foreign_exception(monkeypatch, name):
    """A parser that lets another exception through would be found."""
    module = TARGETS[name]

    def fail(*_args, **_kwargs):
        raise AuthenticationError("not mine")

    monkeypatch.setattr(module, "parse_policy" if name == "policy" else "parse_jwks", fail)
    with pytest.raises(AuthenticationError):
        module.target(b"{}")
