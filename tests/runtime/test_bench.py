from __future__ import annotations

import itertools

from divo_runtime.bench import latency_table, measure_in_turns
from divo_runtime.timing.latency import Percentiles


def test_contestants_take_turns_in_blocks_and_every_timed_call_counts():
    log = []
    contestants = {"slow": lambda: log.append("s"), "fast": lambda: log.append("f")}
    clock = itertools.count(step=10)
    timed = measure_in_turns(contestants, lambda: next(clock), calls=5, block=3, warmup=1)
    assert "".join(log) == "ssss" + "ffff" + "sss" + "fff"  # a warm-up call, then three; a warm-up call, then two
    assert timed["slow"] == timed["fast"] == Percentiles(p50=10, p99=10, p999=10, max=10, count=5)


def test_warm_up_calls_are_not_counted():
    now = iter([0, 1000, 1000, 1010, 2000, 2030, 3000, 3500])  # of the second and fourth pair a warm-up
    timed = measure_in_turns({"one": lambda: None}, lambda: next(now), calls=2, block=1, warmup=1)
    assert timed["one"] == Percentiles(p50=10, p99=500, p999=500, max=500, count=2)


def test_the_table_is_in_microseconds():
    table = latency_table([("actor", Percentiles(1500, 2500, 3500, 4500, 7))])
    assert table.splitlines()[1].split() == ["actor", "1.5", "2.5", "3.5", "4.5", "7"]
