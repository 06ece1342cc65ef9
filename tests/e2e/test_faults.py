"""The fault table, end to end: good users stay in or get a 503 when something around the gateway fails, and bad tokens get a 401.

The system is one of its own, with short lifetimes. Every answer has to come within 5 s (contract C6): curl gives up then.
"""

import base64
import contextlib
import http.client
import json
import time
from urllib.parse import urlsplit

import pytest

from tests.e2e.conftest import System
from tests.support import running_system

pytestmark = pytest.mark.e2e

SETTINGS = {"settings_lifetime_s": 1, "keys_lifetime_s": 1, "cooldown_s": 0.2}
PATIENCE_S = 20
NOTHING_WRONG = {"jwks": "ok", "ssm": "ok", "policy": "ok", "credentials": "ok", "clock": 0}

CODES = {"jwks": "keys_unavailable", "ssm": "configuration_unavailable"}
MODES = {
    "jwks": ("down", "hang", "garbled", "empty"),
    "ssm": ("throttled", "hang", "error", "garbled", "denied"),
}
OUTAGES = [(service, mode) for service, modes in MODES.items() for mode in modes]


class Faulty(System):
    """A system whose faults are turned on, and what it answers then."""

    def ask(self, token: str | None = None):
        """Call as the demo user, or with another token, and wait no longer than any answer may take."""
        return self.curl("/api/whoami", "--max-time", "5", token=token or self.token)

    def asks_until_it_has_read_again(self, service: str) -> set[int]:
        """Call until the edge has asked *service* again, and return the statuses seen, that call's included."""
        before = self.turn()["calls"][service]
        statuses = set()
        give_up = time.monotonic() + PATIENCE_S
        while self.turn()["calls"][service] == before:
            assert time.monotonic() < give_up, f"{service} was not asked again within {PATIENCE_S} s"
            statuses.add(self.ask().status)
            time.sleep(0.1)
        return statuses

    def edge_log(self) -> str:
        return (self.process.state_dir / "edge.log").read_text()


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """The system of this module."""
    folder = tmp_path_factory.mktemp("faults")
    settings = folder / "settings.json"
    settings.write_text(json.dumps(SETTINGS))
    with running_system.running(folder, "--settings", str(settings)) as process:
        yield Faulty(process)


@pytest.fixture
def system(shared):
    """The same with nothing wrong, and warm: the demo user has just been let in."""
    shared.turn(**NOTHING_WRONG, edge="restart")
    assert shared.ask().status == 200
    yield shared
    shared.turn(**NOTHING_WRONG)


@pytest.fixture
def restarting(shared):
    """The same with nothing wrong, for a test that begins with a restart: whether the edge is warm makes no difference."""
    assert shared.token
    shared.turn(**NOTHING_WRONG)
    yield shared
    shared.turn(**NOTHING_WRONG)


def assert_unavailable(answer, code: str) -> None:
    """Check that it is the 503 of an outage, which says when to come again."""
    assert (answer.status, answer.json["code"]) == (503, code)
    assert int(answer.headers["retry-after"][0]) >= 1


@pytest.mark.parametrize("service", MODES)
def test_a_warm_edge_lets_good_users_in_through_an_outage_of_every_kind(system, service):
    """The last good keys and parameters stay in force while the edge tries again in vain after each cool-down."""
    for mode in MODES[service]:
        system.turn(**{service: mode})
        assert (mode, system.asks_until_it_has_read_again(service)) == (mode, {200})


@pytest.mark.parametrize(("service", "mode"), OUTAGES)
def test_a_cold_edge_says_503_in_an_outage_and_recovers(restarting, service, mode):
    """Nothing was ever read: every request gets 503, not 401. After the cool-down all is well."""
    restarting.turn(**{service: mode}, edge="restart")
    assert_unavailable(restarting.ask(), CODES[service])
    restarting.turn(**{service: "ok"})
    give_up = time.monotonic() + PATIENCE_S
    while (answer := restarting.ask()).status != 200:
        assert_unavailable(answer, CODES[service])
        assert time.monotonic() < give_up
        time.sleep(0.05)


def test_slow_services_only_cost_time(system):
    """Slow is not down: warm or cold, both together stay within the time limit."""
    system.turn(jwks="slow", ssm="slow")
    assert system.asks_until_it_has_read_again("jwks") == {200}
    system.turn(edge="restart")
    assert system.ask().status == 200


def test_a_bad_token_is_401_while_the_keys_are_kept(system):
    """An outage of the key endpoint makes no bad signature a 5xx: the kept keys can tell."""
    header, payload, _ = system.token.split(".")
    system.turn(jwks="down")
    assert system.asks_until_it_has_read_again("jwks") == {200}
    answer = system.ask(f"{header}.{payload}.{'A' * 342}")
    assert (answer.status, answer.json["code"]) == (401, "invalid_signature")


def test_a_malformed_token_is_401_even_if_nothing_can_be_read_of_the_keys(restarting):
    """Shape comes first: no key is needed to see that it is no token."""
    restarting.turn(jwks="down", edge="restart")
    answer = restarting.ask("letmein")
    assert (answer.status, answer.json["code"]) == (401, "malformed_token")


def test_after_a_rotation_old_tokens_are_unknown_and_new_ones_work(system):
    """The keys that are no longer published stop being trusted at the next good reading."""
    old = system.token
    system.turn(keys="rotate")
    assert 401 in system.asks_until_it_has_read_again("jwks")
    answer = system.ask(old)
    assert (answer.status, answer.json["code"]) == (401, "unknown_key")
    done = system.script("get_token.py", "--local", "--force")
    system.__dict__["token"] = done.stdout.strip()
    assert system.token != old
    assert system.asks_until_it_has_read_again("jwks") == {200}


def test_a_withdrawn_key_is_no_longer_trusted_and_again_when_it_is_back(system):
    """Even for a token that was verified before: what the cache knew goes with the key."""
    system.turn(jwks="partial")
    assert 401 in system.asks_until_it_has_read_again("jwks")
    answer = system.ask()
    assert (answer.status, answer.json["code"]) == (401, "unknown_key")
    system.turn(jwks="ok")
    system.asks_until_it_has_read_again("jwks")
    assert system.ask().status == 200


def test_1000_unknown_key_ids_cause_one_fetch_per_cool_down(system):
    """A flood of made-up ``kid``s neither floods Cognito nor keeps good users out, and each of them is a 401."""
    _, payload, signature = system.token.split(".")
    before, began = system.turn()["calls"]["jwks"], time.monotonic()
    # Each on a connection of its own, as a flood comes.
    for number in range(1000):
        header = json.dumps({"alg": "RS256", "kid": f"kid-{number}"}).encode()
        token = f"{base64.urlsafe_b64encode(header).decode().rstrip('=')}.{payload}.{signature}"
        with contextlib.closing(http.client.HTTPConnection(urlsplit(system.url).netloc, timeout=5)) as connection:
            connection.request("GET", "/api/whoami", headers={"Authorization": f"Bearer {token}"})
            answer = connection.getresponse()
            assert (answer.status, json.loads(answer.read())["code"]) == (401, "unknown_key")
    elapsed_s = time.monotonic() - began
    fetches = system.turn()["calls"]["jwks"] - before
    assert 1 <= fetches <= elapsed_s / SETTINGS["cooldown_s"] + 1
    assert system.ask().status == 200


def test_a_broken_policy_leaves_the_last_good_one_in_force_and_the_log_says_so(system):
    """An operator saved it by hand, with an error."""
    system.turn(policy="broken")
    assert system.asks_until_it_has_read_again("ssm") == {200}
    lines = [json.loads(line) for line in system.edge_log().splitlines() if line.startswith("{")]
    reasons = [line["reason"] for line in lines if "reason" in line and "policy:" in line["reason"]]
    assert reasons, "the log does not name the policy"


def test_a_broken_policy_at_a_cold_start_is_503(restarting):
    """No good document came before it, so the gateway cannot know who may do what."""
    restarting.turn(policy="broken", edge="restart")
    assert_unavailable(restarting.ask(), "configuration_unavailable")


@pytest.mark.parametrize("seconds", [240, -240])
def test_a_clock_4_minutes_off_does_no_harm(system, seconds):
    """Tokens are judged, and signatures made, by the edge's own clock; all sides give it 5 minutes."""
    system.turn(clock=seconds)
    assert system.ask().status == 200
    lines = [json.loads(line) for line in system.edge_log().splitlines() if line.startswith("{")]
    logged = time.strptime(lines[-1]["time"][:19], "%Y-%m-%dT%H:%M:%S")
    off = time.mktime(logged) - time.mktime(time.gmtime())
    assert abs(off - seconds) < 60, "the edge's clock was not wrong at all"


def test_missing_credentials_are_503(system):
    """The caller did nothing wrong, and is told so; afterwards all is well."""
    system.turn(credentials="missing")
    assert_unavailable(system.ask(), "credentials_unavailable")
    system.turn(credentials="ok")
    assert system.ask().status == 200


def test_the_script_turns_the_knobs_and_reset_puts_them_right(system):
    """What ``make run`` points to: a person's way to all this."""
    assert "scripts/fault.py --help" in system.process.printed()
    done = system.script("fault.py", "clock", "-30")
    assert done.returncode == 0, done.stderr
    done = system.script("fault.py", "jwks", "down")
    assert done.returncode == 0, done.stderr
    assert "jwks\tdown\n" in done.stdout
    assert {name: system.turn()[name] for name in ("jwks", "clock")} == {"jwks": "down", "clock": -30}
    assert_unavailable(system.ask(), "keys_unavailable")
    done = system.script("fault.py", "reset")
    assert done.returncode == 0, done.stderr
    report = system.turn()
    report.pop("calls")
    assert report == {"jwks": "ok", "ssm": "ok", "policy": "ok", "credentials": "ok", "clock": 0}
