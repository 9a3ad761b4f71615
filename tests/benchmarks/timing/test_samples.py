"""From what a node and its robot wrote down to one block: joined by number, misses counted, whose they were."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.timing.samples import JoinError, count_missed, join, period_errors

MS = 1_000_000


def test_misses_are_counted_between_the_first_and_the_last_cycle_and_the_longest_row_is_kept():
    number = np.array([1, 2, 3, 4, 5, 6])
    before = np.array([0.0, 4.0, 4.0, 5.0, 8.0, 9.0])

    assert count_missed(number, before, 1, 6) == (9, 4)
    assert count_missed(number, before, 2, 5) == (4, 3)  # the four of the warm-up do not count
    assert count_missed(number, before, 2, 3) == (0, 0)
    assert count_missed(number, before, 6, 6) == (0, 0)


def test_the_period_error_leaves_out_gaps_of_unseen_cycles_but_not_late_ones():
    started_us = np.array([0.0, 5100.0, 10_000.0, 40_000.0, 50_000.0])

    errors = period_errors(np.array([1, 2, 3, 8, 9]), started_us, 5000.0)

    assert errors.tolist() == [100.0, 100.0, 5000.0]  # 8 to 9 took two periods: a deadline was missed


def test_a_missed_deadline_is_the_machines_if_a_bare_thread_stood_still_in_its_gap(recording, now_ns):
    """Cycle 2 was due at 4.98 ms and cycle 3, before which one deadline was missed, began at 10 ms."""

    def stolen(begin_ms: float, end_ms: float, first: int = 1) -> int:
        standstill = np.array([[now_ns + round(begin_ms * MS), now_ns + round(end_ms * MS)]])
        return join(recording(), first, 4, 5000.0, standstill).stolen

    assert join(recording(), 1, 4, 5000.0).stolen == 0
    assert stolen(6.0, 9.0) == 1
    assert stolen(3.0, 6.0) == 1
    assert stolen(9.0, 30.0) == 1
    assert stolen(2.0, 4.9) == stolen(10.1, 12.0) == 0
    assert stolen(6.0, 9.0, first=3) == 0


def test_commands_and_cycles_are_joined_by_number(recording):
    block = join(recording(), 1, 4, 5000.0)

    assert block.age.tolist() == [1000.0, 3000.0, 4000.0]
    assert block.reaction == pytest.approx([350.0, 450.0, 550.0], abs=0.3)  # a float holds today to 0.24 us
    assert block.end_to_end == pytest.approx([1350.0, 3450.0, 4550.0], abs=0.3)
    assert block.wakeup.tolist() == [10.0, 30.0, 40.0]
    assert block.inference.tolist() == [50.0, 70.0, 80.0]
    assert block.period_error == pytest.approx([0.0], abs=0.5)  # only 3 and 4 are neighbours
    assert (block.missed, block.worst_streak, block.unseen, block.holds) == (1, 1, 1, 3)


def test_cycles_outside_the_asked_ones_are_left_out(recording):
    block = join(recording(), 3, 4, 5000.0)

    assert block.age.tolist() == [3000.0, 4000.0]
    assert (block.missed, block.unseen) == (0, 0)


def test_commands_of_somebody_else_are_noticed(recording):
    shifted = recording(sequence=np.array([2, 3, 4]))

    with pytest.raises(JoinError, match="do not belong together"):
        join(shifted, 1, 4, 5000.0)
    with pytest.raises(JoinError, match="No cycle"):
        join(recording(), 5, 9, 5000.0)
