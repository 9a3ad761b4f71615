"""When a cycle is rehearsed."""

from __future__ import annotations

import pytest

pytest.importorskip("rclpy")

from divo_controller.rehearsal import PAUSE, RehearsingClock, rehearsal_lead_ns

MS = 1_000_000


class SteppingClock:
    """Time that passes only in sleeps, which are noted."""

    def __init__(self) -> None:
        self.now, self.slept_until = 0, []

    def now_ns(self) -> int:
        return self.now

    def sleep_until_ns(self, deadline_ns: int) -> None:
        self.slept_until.append(deadline_ns)
        self.now = max(self.now, deadline_ns)


def test_it_rehearses_its_lead_before_the_deadline_and_then_sleeps_on():
    clock, rehearsed_at = SteppingClock(), []
    rehearsing = RehearsingClock(clock, 1 * MS, lambda: rehearsed_at.append(clock.now))
    rehearsing.sleep_until_ns(5 * MS)
    assert rehearsed_at == [4 * MS]
    assert clock.slept_until == [4 * MS, 5 * MS]
    assert rehearsing.deadline_ns == 5 * MS
    assert rehearsing.now_ns() == 5 * MS


@pytest.mark.parametrize(("begun_ns", "lead_ns"), [(4 * MS, 1 * MS), (6 * MS, 1 * MS), (0, 0)])
def test_without_time_or_without_a_lead_it_only_sleeps(begun_ns, lead_ns):
    clock = SteppingClock()
    clock.now = begun_ns
    RehearsingClock(clock, lead_ns, lambda: pytest.fail("rehearsed")).sleep_until_ns(5 * MS)
    assert clock.slept_until == [5 * MS]


def test_one_that_takes_longer_than_its_lead_is_not_repeated_for_a_while():
    clock, rehearsed_at = SteppingClock(), []

    def slow() -> None:
        rehearsed_at.append(clock.now)
        clock.now += 2 * MS

    rehearsing = RehearsingClock(clock, 1 * MS, slow)
    for cycle in range(1, PAUSE + 3):
        rehearsing.sleep_until_ns(cycle * 10 * MS)
    assert rehearsed_at == [9 * MS, (PAUSE + 2) * 10 * MS - MS]


def test_it_says_by_how_much_a_rehearsal_made_the_deadline_missed():
    clock, lasts_ns = SteppingClock(), []

    def slow() -> None:
        clock.now += lasts_ns.pop()

    rehearsing = RehearsingClock(clock, 1 * MS, slow, longest_ns=4 * MS)
    overran_ns = []
    for cycle, lasts in enumerate((0, 3 * MS, 0), start=1):
        lasts_ns.append(lasts)
        rehearsing.sleep_until_ns(cycle * 10 * MS)
        overran_ns.append(rehearsing.overran_ns)
    assert overran_ns == [0, 2 * MS, 0]


def test_where_rehearsing_takes_longer_it_begins_earlier_if_the_period_allows():
    clock, rehearsed_at = SteppingClock(), []

    def slow() -> None:
        rehearsed_at.append(clock.now)
        clock.now += 2 * MS

    rehearsing = RehearsingClock(clock, 1 * MS, slow, longest_ns=4 * MS)
    for cycle in (1, 2, 3):
        rehearsing.sleep_until_ns(cycle * 10 * MS)
    assert rehearsed_at == [9 * MS, 17 * MS, 27 * MS]
    assert clock.now == 30 * MS


def test_after_a_cycle_as_long_as_a_period_there_is_none_until_a_shorter_one():
    clock, rehearsed_at = SteppingClock(), []
    rehearsing = RehearsingClock(clock, 1 * MS, lambda: rehearsed_at.append(clock.now))
    for cycle, lasts_ns in enumerate([2 * MS, 3 * MS, 2 * MS, 2 * MS], start=1):
        rehearsing.sleep_until_ns(cycle * 10 * MS)
        clock.now += lasts_ns
    rehearsing.sleep_until_ns(50 * MS)
    assert rehearsed_at == [9 * MS, 19 * MS, 39 * MS, 49 * MS]  # the second cycle was long


@pytest.mark.parametrize(
    ("rehearse_us", "period_ms", "simulated", "lead_us"),
    [
        (1500, 5.0, False, 1500),
        (1500, 4.5, False, 1500),
        (1500, 4.4, False, 0),
        (1500, 5.0, True, 0),
        (0, 5.0, False, 0),
    ],
)
def test_short_periods_and_simulated_time_know_no_rehearsal(rehearse_us, period_ms, simulated, lead_us):
    assert rehearsal_lead_ns(rehearse_us, round(period_ms * MS), simulated) == lead_us * 1000
