"""Rates, means and their intervals against numbers worked out by hand."""

from __future__ import annotations

import pytest

from divo_sim.outcomes import Estimate, Outcome, mean, rate, score


def outcome(seed: int, success: bool, collision_free: bool, route: int, return_: float, steps: int) -> Outcome:
    return Outcome(seed, success, collision_free, route, return_, steps, ((0.5, 0.0, 0.1),))


@pytest.mark.parametrize(
    ("count", "total", "low", "high"),
    [
        (0, 10, 0.0, 1 - 0.025 ** (1 / 10)),  # nothing seen: (1 - high)^10 = 0.025, so high = 0.3085
        (10, 10, 0.025 ** (1 / 10), 1.0),
        (1, 1, 0.025, 1.0),
        (1, 2, 1 - 0.975**0.5, 0.975**0.5),  # P(at least one of 2) = 0.025 at low; at most one: 1 - high^2 = 0.025
        (5, 10, 0.1871, 0.8129),  # Clopper and Pearson's own table
    ],
)
def test_a_rate_has_the_exact_interval(count, total, low, high):
    estimate = rate(count, total)
    assert estimate.value == count / total
    assert (estimate.low, estimate.high) == pytest.approx((low, high), abs=5e-5)


def test_nothing_of_ten_and_ten_of_ten_are_mirror_images():
    assert rate(0, 10).high == pytest.approx(0.3085, abs=5e-5)
    assert rate(10, 10).low == pytest.approx(0.6915, abs=5e-5)


def test_a_mean_of_equal_values_has_no_width():
    assert mean([2.5, 2.5, 2.5]) == Estimate(2.5, 2.5, 2.5)
    assert mean([7.0]) == Estimate(7.0, 7.0, 7.0)


def test_the_interval_of_a_mean_is_near_the_normal_one_and_always_the_same():
    values = [0.0, 1.0] * 50  # standard error of the mean: 0.5 / sqrt(100) = 0.05
    estimate = mean(values)
    assert estimate.value == 0.5
    assert (estimate.low, estimate.high) == pytest.approx((0.5 - 1.96 * 0.05, 0.5 + 1.96 * 0.05), abs=0.012)
    assert estimate == mean(values)


def test_steps_count_arrivals_and_routes_count_clean_ones():
    found = score(
        [
            outcome(0, True, True, 1, 8.0, 40),
            outcome(1, True, True, -1, 8.0, 30),
            outcome(2, True, False, 1, 2.0, 50),
            outcome(3, False, False, 0, -6.0, 120),
        ]
    )
    assert (found.episodes, found.success.value, found.collision_free.value) == (4, 0.75, 0.5)
    assert found.mean_return.value == 3.0  # (8 + 8 + 2 - 6) / 4
    assert (found.steps, found.outer_share) == (40.0, 0.5)  # (40 + 30 + 50) / 3; one of the two clean ones


def test_without_an_arrival_there_are_no_steps_and_no_route():
    found = score([outcome(0, False, False, 0, -6.0, 120)])
    assert (found.success.value, found.steps, found.outer_share) == (0.0, None, None)


def test_a_score_of_nothing_is_refused():
    with pytest.raises(ValueError, match="at least one episode"):
        score([])


def test_an_estimate_reads_as_value_and_interval():
    assert str(Estimate(0.94, 0.871, 0.979)) == "0.94 [0.87, 0.98]"
