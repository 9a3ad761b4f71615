import pytest

from divo_runtime.timing.latency import LatencyRing, Percentiles


def filled(values, capacity):
    ring = LatencyRing(capacity)
    for value in values:
        ring.add(value)
    return ring


def test_percentiles_are_the_smallest_values_that_enough_others_do_not_exceed():
    assert filled(range(1000, 0, -1), 1000).percentiles() == Percentiles(
        p50=500, p99=990, p999=999, max=1000, count=1000
    )


def test_one_value_is_every_percentile():
    assert filled([7], 10).percentiles() == Percentiles(7, 7, 7, 7, 1)


def test_the_ring_forgets_old_values_but_neither_their_number_nor_the_worst():
    assert filled([900, 1, 2, 3], 3).percentiles() == Percentiles(p50=2, p99=3, p999=3, max=900, count=4)


def test_an_empty_or_cleared_ring_is_all_zero():
    ring = filled([5, 6], 4)
    ring.clear()
    assert ring.percentiles() == LatencyRing(4).percentiles() == Percentiles(0, 0, 0, 0, 0)


def test_a_ring_needs_room():
    with pytest.raises(ValueError, match="capacity"):
        LatencyRing(0)
