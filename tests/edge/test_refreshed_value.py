"""edge/cognito_edge/refreshed_value.py: lifetimes, cool-downs, last good values, one attempt at a time."""

import threading

import pytest
from cognito_edge.errors import ConfigurationUnavailableError, KeysUnavailableError, UnavailableError
from cognito_edge.refreshed_value import RefreshedValue

from tests.support.keys_and_tokens import NOW
from tests.support.waiting import wait_until

LIFETIME_S, MAX_STALE_S, COOLDOWN_S = 60, 1_000, 10

# By how much a request may lag behind another without the clock having been set back. Seconds.
OVERTAKING_S = 5


class Source:
    """A source whose value can be changed and that can be made to fail; counts attempts."""

    def __init__(self, value="one"):
        self.value = value
        self.failure = None
        self.attempts = []

    def __call__(self, now):
        self.attempts.append(now)
        if self.failure:
            raise self.failure
        return self.value


def make(source, **changes):
    options = {"lifetime_s": LIFETIME_S, "max_stale_s": MAX_STALE_S, "cooldown_s": COOLDOWN_S, **changes}
    return RefreshedValue(source, **options)


@pytest.fixture
def source():
    return Source()


def down():
    return KeysUnavailableError("Cannot be read.", internal="connection refused")


# --- lifetime -------------------------------------------------------------------------------------------------------


def test_nothing_is_read_before_it_is_needed(source):
    """Making one asks for nothing."""
    make(source)
    assert source.attempts == []


def test_a_value_is_read_once_and_kept_for_its_lifetime(source):
    """The first use reads; later ones within the lifetime do not; at its end it is read again."""
    value = make(source)
    assert value.get(NOW) == ("one", "miss")
    assert value.get(NOW) == ("one", "hit")
    assert value.get(NOW + LIFETIME_S - 0.001) == ("one", "hit")
    assert source.attempts == [NOW]
    source.value = "two"
    assert value.get(NOW + LIFETIME_S) == ("two", "miss")
    assert source.attempts == [NOW, NOW + LIFETIME_S]


def life_s(value):
    """Return the first whole second at which a value that was read at NOW is no longer fresh."""
    value.get(NOW)
    return next(second for second in range(1, 1_000) if value.get(NOW + second)[1] != "hit")


def test_jitter_shortens_and_lengthens_the_lifetime_within_its_share():
    """With a jitter of 20 % some of 200 values live less than 54 s and some more than 66 s, and all from 48 s to 72 s."""
    lives = [life_s(make(Source(), jitter=0.2)) for _ in range(200)]
    assert 48 <= min(lives) < 54
    assert 66 < max(lives) <= 72


def test_without_jitter_every_lifetime_is_the_same():
    """Nothing varies unless it is asked for."""
    assert {life_s(make(Source())) for _ in range(5)} == {LIFETIME_S}


def test_an_equal_value_keeps_its_identity():
    """What was derived from a value stays true when the same is read again; another value is another object."""
    source = Source(["a"])
    value = make(source)
    first, _ = value.get(NOW)
    source.value = ["a"]
    again, state = value.get(NOW + LIFETIME_S)
    assert state == "miss"
    assert again is first
    source.value = ["b"]
    assert value.get(NOW + 2 * LIFETIME_S)[0] is not first


# --- failures -------------------------------------------------------------------------------------------------------


def test_without_a_value_a_failure_is_raised_with_the_time_to_wait(source):
    """A cold start that cannot read says why, and when to come back: after the cool-down."""
    source.failure = down()
    with pytest.raises(KeysUnavailableError) as caught:
        make(source).get(NOW)
    assert caught.value.internal == "connection refused"
    assert caught.value.retry_after_s == COOLDOWN_S + 1


def test_the_cooldown_counts_from_the_start_of_an_attempt(source):
    """Within the cool-down the source is not asked again and all get the same answer. At its end the next caller asks."""
    source.failure = down()
    value = make(source)
    for later in (0, 1, 9.999):
        with pytest.raises(KeysUnavailableError) as caught:
            value.get(NOW + later)
        assert 1 <= caught.value.retry_after_s <= COOLDOWN_S - later + 1
    assert len(source.attempts) == 1
    source.failure = None
    assert value.get(NOW + COOLDOWN_S) == ("one", "miss")


def test_a_last_good_value_outlives_failures_for_its_written_time(source):
    """Until lifetime and allowed staleness are over the old value serves; one moment later it does not."""
    value = make(source)
    value.get(NOW)
    source.failure = down()
    assert value.get(NOW + LIFETIME_S) == ("one", "stale")
    assert value.get(NOW + LIFETIME_S + MAX_STALE_S) == ("one", "stale")
    with pytest.raises(KeysUnavailableError):
        value.get(NOW + LIFETIME_S + MAX_STALE_S + 0.001)


def test_an_outage_is_asked_about_once_a_cooldown(source):
    """Ten minutes of outage with a request each second: one attempt every ten seconds, every request served."""
    value = make(source)
    value.get(NOW)
    source.failure = down()
    states = {value.get(NOW + LIFETIME_S + second)[1] for second in range(600)}
    assert states == {"stale"}
    assert len(source.attempts) == 1 + 60


def test_the_first_good_read_after_an_outage_ends_it(source):
    """A recovered source is used from the next attempt on, and failures are forgotten."""
    value = make(source)
    value.get(NOW)
    source.failure = down()
    value.get(NOW + LIFETIME_S)
    source.failure, source.value = None, "two"
    assert value.get(NOW + LIFETIME_S + 1) == ("one", "stale")
    assert value.get(NOW + LIFETIME_S + COOLDOWN_S) == ("two", "miss")
    assert value.reread(NOW + LIFETIME_S + COOLDOWN_S + 1) == "two"


def test_every_failed_attempt_is_reported_once(source):
    """The log hears of attempts, not of requests."""
    reported = []
    value = make(source, on_failure=lambda error, now: reported.append((error, now)))
    value.get(NOW)
    assert reported == []
    source.failure = down()
    for second in range(25):
        value.get(NOW + LIFETIME_S + second)
    assert reported == [(source.failure, NOW + LIFETIME_S + second) for second in (0, 10, 20)]


def test_the_error_that_is_raised_is_of_the_failures_own_kind(source):
    """The answer can tell missing keys from a missing configuration."""
    source.failure = ConfigurationUnavailableError("No.", internal="why")
    with pytest.raises(ConfigurationUnavailableError) as caught:
        make(source).get(NOW)
    assert caught.value is not source.failure
    assert (str(caught.value), caught.value.internal) == ("No.", "why")


def test_a_bug_in_the_source_is_not_hidden_and_locks_nothing(source):
    """An unexpected exception passes, and the next attempt can succeed."""
    source.failure = ZeroDivisionError()
    value = make(source)
    with pytest.raises(ZeroDivisionError):
        value.get(NOW)
    source.failure = None
    assert value.get(NOW + COOLDOWN_S) == ("one", "miss")


def test_a_bug_in_the_source_is_an_outage_until_the_cooldown_is_over(source):
    """Who comes next is told when to come back; the bug is met again by the next attempt, and not by every request."""
    source.failure = ZeroDivisionError()
    value = make(source)
    with pytest.raises(ZeroDivisionError):
        value.get(NOW)
    for ask in (value.get, value.reread):
        with pytest.raises(UnavailableError) as caught:
            ask(NOW + 4)
        assert caught.value.retry_after_s == COOLDOWN_S - 4 + 1
    assert source.attempts == [NOW]
    with pytest.raises(ZeroDivisionError):
        value.get(NOW + COOLDOWN_S)


def test_a_bug_in_the_source_leaves_the_last_good_value(source):
    """The request that meets the bug fails; those in the cool-down go on with what there is."""
    value = make(source)
    value.get(NOW)
    source.failure = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        value.get(NOW + LIFETIME_S)
    assert value.get(NOW + LIFETIME_S + 1) == ("one", "stale")


# --- reread ---------------------------------------------------------------------------------------------------------


def test_reread_reads_though_the_value_is_fresh(source):
    """Somebody looked in vain for something that may be new."""
    value = make(source)
    value.get(NOW)
    source.value = "two"
    assert value.reread(NOW + COOLDOWN_S) == "two"
    assert value.get(NOW + COOLDOWN_S) == ("two", "hit")


def test_reread_within_the_cooldown_returns_what_is_there(source):
    """A flood of vain look-ups costs one attempt a cool-down."""
    value = make(source)
    value.get(NOW)
    source.value = "two"
    for later in (0, 5, 9.999):
        assert value.reread(NOW + later) == "one"
    assert source.attempts == [NOW]


def test_reread_raises_while_the_last_attempt_failed(source):
    """With a source that cannot be read it is unknown whether the thing exists: that is an outage, not an absence."""
    value = make(source)
    value.get(NOW)
    source.failure = down()
    for later in (COOLDOWN_S, COOLDOWN_S + 5):
        with pytest.raises(KeysUnavailableError):
            value.reread(NOW + later)
    assert len(source.attempts) == 2
    assert value.get(NOW + COOLDOWN_S + 5) == ("one", "hit")


# --- clocks ---------------------------------------------------------------------------------------------------------


def test_a_clock_set_back_makes_a_value_old_rather_than_fresh(source):
    """Nothing lives longer because the clock jumped: it is read again, and then fresh by the new clock."""
    value = make(source)
    value.get(NOW)
    assert value.get(NOW - 3_600) == ("one", "miss")
    assert value.get(NOW - 3_600 + 1) == ("one", "hit")
    assert value.get(NOW - 3_600 + LIFETIME_S) == ("one", "miss")


def test_a_clock_set_back_does_not_stop_attempts(source):
    """An attempt that seems to lie in the future starts no cool-down."""
    source.failure = down()
    value = make(source)
    with pytest.raises(KeysUnavailableError):
        value.get(NOW)
    source.failure = None
    assert value.get(NOW - 3_600) == ("one", "miss")


def test_a_request_that_was_overtaken_is_no_clock_set_back(source):
    """Threads take their times and wait for each other: one that began a little earlier reads nothing again."""
    value = make(source)
    value.get(NOW)
    assert value.get(NOW - OVERTAKING_S) == ("one", "hit")
    assert value.get(NOW - OVERTAKING_S - 0.001) == ("one", "miss")
    assert len(source.attempts) == 2


def test_a_request_that_was_overtaken_keeps_the_cooldown(source):
    """A failed attempt spares the others theirs, in whatever order they come."""
    source.failure = down()
    value = make(source)
    for now in (NOW, NOW - 1, NOW - OVERTAKING_S):
        with pytest.raises(KeysUnavailableError):
            value.get(now)
    assert source.attempts == [NOW]
    with pytest.raises(KeysUnavailableError):
        value.get(NOW - OVERTAKING_S - 0.001)
    assert source.attempts == [NOW, NOW - OVERTAKING_S - 0.001]


# --- threads --------------------------------------------------------------------------------------------------------


class Gate(Source):
    """A source that waits until it is let go."""

    def __init__(self):
        super().__init__()
        self.entered, self.released = threading.Event(), threading.Event()

    def __call__(self, now):
        self.entered.set()
        assert self.released.wait(10)
        return super().__call__(now)


def in_threads(count, work):
    threads = [threading.Thread(target=work, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    return threads


def test_many_threads_at_a_cold_start_cause_one_attempt():
    """All wait for the one attempt that is under way, and all get what it read."""
    source = Gate()
    value = make(source)
    begun, results = [], []

    def work():
        begun.append(1)
        results.append(value.get(NOW))

    threads = in_threads(8, work)
    assert source.entered.wait(5)
    assert wait_until(lambda: len(begun) == 8)
    source.released.set()
    assert wait_until(lambda: len(results) == 8)
    for thread in threads:
        thread.join(5)
    assert sorted(results) == [("one", "hit")] * 7 + [("one", "miss")]
    assert source.attempts == [NOW]


def test_nobody_waits_for_an_attempt_who_can_go_on_with_the_last_good_value():
    """While one thread reads, the others are served from what there is."""
    source = Gate()
    source.released.set()
    value = make(source)
    value.get(NOW)
    source.released.clear()
    source.entered.clear()
    [reader] = in_threads(1, lambda: value.get(NOW + LIFETIME_S))
    assert source.entered.wait(5)
    assert [value.get(NOW + LIFETIME_S) for _ in range(5)] == [("one", "stale")] * 5
    source.released.set()
    reader.join(5)
    assert value.get(NOW + LIFETIME_S) == ("one", "hit")
    assert len(source.attempts) == 2
