"""sign_in/srp.py: the password's proof, against a server's half that was written from the protocol's other side."""

import base64
from datetime import UTC, datetime

import pytest
from cognito_edge_cli.sign_in.srp import GENERATOR, GROUP_PRIME, SrpClient, SrpError, cognito_timestamp
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.fake_cognito import SrpServer, rfc3526_prime_3072

POOL = "us-east-1_AbCdEfGhI"
TIMESTAMP = "Sat Nov 21 10:00:00 UTC 2026"


def claim(client, server, password, **changes):
    """Return the client's proof towards *server*."""
    values = {
        "user_pool_id": POOL,
        "user_id": server.user_id,
        "password": password,
        "srp_b": f"{server.public_b:x}",
        "salt": server.salt,
        "secret_block": server.secret_block,
        "timestamp": TIMESTAMP,
        **changes,
    }
    return client.password_claim(**values)


def test_group_is_rfc_3526s():
    """The prime, computed from the RFC's formula, to the last bit."""
    assert rfc3526_prime_3072() == GROUP_PRIME
    assert GENERATOR == 2


@settings(max_examples=25, deadline=None)
@given(
    secret=st.integers(min_value=1, max_value=2**1024 - 1),
    password=st.text(min_size=1, max_size=20),
    user_id=st.text(min_size=1, max_size=20),
    salt=st.integers(min_value=0, max_value=2**128 - 1),
)
def test_right_password_is_proven_and_another_is_not(secret, password, user_id, salt):
    """Any text as name and password, any salt, leading zeros and high bits included."""
    client = SrpClient(secret)
    server = SrpServer("AbCdEfGhI", user_id, password, client.srp_a, f"{salt:032x}")
    assert server.proves(claim(client, server, password), TIMESTAMP)
    assert not server.proves(claim(client, server, password + "x"), TIMESTAMP)


@pytest.mark.parametrize(
    "changes",
    [
        {"user_pool_id": "us-east-1_Another"},
        {"user_id": "bob"},
        {"timestamp": "Sat Nov 21 10:00:01 UTC 2026"},
        {"secret_block": base64.b64encode(b"another").decode()},
    ],
)
def test_proof_is_bound_to_pool_user_time_and_challenge(changes):
    """A proof made for one of them proves nothing for another."""
    client = SrpClient(12345)
    server = SrpServer("AbCdEfGhI", "alice", "password", client.srp_a, "12ab")
    assert not server.proves(claim(client, server, "password", **changes), TIMESTAMP)


@pytest.mark.parametrize("factor", [0, 1, 2])
def test_public_value_that_is_zero_in_the_group_is_refused(factor):
    """RFC 5054 §2.5.3: "The client MUST abort the handshake … if B % N = 0"."""
    client = SrpClient(12345)
    server = SrpServer("AbCdEfGhI", "alice", "password", client.srp_a, "12ab")
    with pytest.raises(SrpError):
        claim(client, server, "password", srp_b=f"{factor * GROUP_PRIME:x}")
    assert claim(client, server, "password", srp_b=f"{factor * GROUP_PRIME + 1:x}")


@pytest.mark.parametrize("changes", [{"srp_b": "xyz"}, {"salt": ""}, {"secret_block": "not base64!"}])
def test_malformed_values_of_the_server_are_refused(changes):
    """No proof is computed from malformed numbers."""
    client = SrpClient(12345)
    server = SrpServer("AbCdEfGhI", "alice", "password", client.srp_a, "12ab")
    with pytest.raises(SrpError):
        claim(client, server, "password", **changes)


def test_secret_must_be_positive():
    """A secret of 0 makes A = 1, and the proof one that anyone can make."""
    with pytest.raises(SrpError):
        SrpClient(0)
    assert SrpClient(1).srp_a == "2"


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (datetime(2026, 11, 1, 9, 5, 7, tzinfo=UTC), "Sun Nov 1 09:05:07 UTC 2026"),
        (datetime(2028, 2, 29, 23, 59, 59, tzinfo=UTC), "Tue Feb 29 23:59:59 UTC 2028"),
    ],
)
def test_timestamp_is_english_and_unpadded(moment, text):
    """Cognito reads ``EEE MMM d HH:mm:ss z yyyy in english``."""
    assert cognito_timestamp(moment) == text
