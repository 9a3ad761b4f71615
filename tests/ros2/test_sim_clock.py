"""Pacing by simulated time, with a clock that the test sets."""

from __future__ import annotations

import itertools

import pytest

pytest.importorskip("rclpy")

from divo_controller.sim_clock import SimClock
from divo_runtime.timing.loop import run_loop

MS = 1_000_000


def test_cycles_go_on_when_simulated_time_is_set_back():
    # one reading is a millisecond; after 60 of them time is set back by 5 s, once
    readings = iter([*range(5000, 5060), *range(60, 10_000)])
    clock = SimClock(lambda: next(readings) * MS, lambda: False)
    cycles = []

    run_loop(10 * MS, clock, cycles.append, lambda: len(cycles) == 20)

    gaps = {b - a for a, b in itertools.pairwise(cycles)}
    assert max(gaps) <= 12 * MS  # a period and what reading the time takes here
    assert clock.now_ns() > cycles[-1]


def test_it_is_the_simulated_time_while_that_goes_forward():
    readings = iter([3, 5, 5, 8])
    clock = SimClock(lambda: next(readings), lambda: False)

    assert [clock.now_ns() for _ in range(4)] == [3, 5, 5, 8]
