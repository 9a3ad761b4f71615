import pytest

from divo_runtime.timing.loop import MonotonicClock, run_loop

MS = 1_000_000


class FakeClock:
    """Time that passes only when someone sleeps or works; every sleep ends `late_ns` after its deadline."""

    def __init__(self, now_ns=5_000, late_ns=0):
        self.now, self.late_ns = now_ns, late_ns

    def now_ns(self):
        return self.now

    def sleep_until_ns(self, deadline_ns):
        self.now = max(self.now, deadline_ns + self.late_ns)


def run(work_ms, late_ns=0):
    """Run one cycle per entry, each taking so long; return (start times in ms after the first deadline, stats)."""
    clock, starts, left = FakeClock(late_ns=late_ns), [], list(work_ms)

    def tick(now_ns):
        starts.append((now_ns - 5_000) / MS)
        clock.now += left.pop(0) * MS

    stats = run_loop(10 * MS, clock, tick, lambda: not left)
    return starts, stats


def test_cycles_start_on_absolute_deadlines_however_long_they_take():
    starts, stats = run([1, 9, 10, 3])
    assert starts == [0, 10, 20, 30]
    assert (stats.cycles, stats.missed, stats.worst_streak) == (4, 0, 0)


def test_waking_late_does_not_shift_the_schedule():
    starts, stats = run([1, 1, 1], late_ns=2 * MS)
    assert starts == [2, 12, 22]
    assert stats.missed == 0
    assert stats.wakeup.percentiles().max == 2 * MS


def test_a_late_cycle_is_skipped_and_never_made_up_in_a_burst():
    starts, stats = run([1, 35, 1, 1])  # the second cycle works from 10 to 45: deadlines 20, 30 and 40 have passed
    assert starts == [0, 10, 50, 60]
    assert (stats.cycles, stats.missed, stats.worst_streak) == (4, 3, 3)


def test_streaks_are_the_worst_and_misses_the_sum():
    _, stats = run([15, 25, 1])
    assert (stats.missed, stats.worst_streak) == (3, 2)


def test_durations_are_counted_without_the_sleep():
    _, stats = run([1, 4, 2])
    assert (stats.duration.percentiles().p50, stats.duration.percentiles().max) == (2 * MS, 4 * MS)


def test_a_loop_that_should_stop_runs_no_cycle():
    assert run([])[1].cycles == 0


def test_what_a_cycle_raises_ends_the_loop():
    def tick(now_ns):
        raise KeyError("tick")

    with pytest.raises(KeyError):
        run_loop(10 * MS, FakeClock(), tick, lambda: False)


def test_a_period_must_be_positive():
    with pytest.raises(ValueError, match="period_ns"):
        run_loop(0, FakeClock(), lambda now_ns: None, lambda: True)


@pytest.mark.parametrize("spin_ns", [0, 50_000, 1_000_000])
def test_the_machines_clock_does_not_return_before_the_deadline(spin_ns):
    clock = MonotonicClock(spin_ns)
    deadline = clock.now_ns() + 100_000
    clock.sleep_until_ns(deadline)
    assert clock.now_ns() >= deadline
    clock.sleep_until_ns(deadline)  # passed: returns at once
