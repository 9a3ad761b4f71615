"""What is known of where the joints are."""

from __future__ import annotations

import numpy as np
import pytest

from divo_runtime.measured import Travel


@pytest.fixture
def travel(arm):
    return Travel(arm)  # 10 Hz, and a measurement may be 150 ms old


def test_within_a_period_the_joints_have_gone_the_last_command_times_the_age(travel):
    travel.add(np.array([0.4, -0.2]))

    assert travel.since(0.05) == pytest.approx([0.02, -0.01])
    assert travel.since(-0.01) == pytest.approx([0.0, 0.0])  # stamped a little ahead


def test_beyond_a_period_it_counts_that_a_braking_joint_was_faster_before(travel):
    travel.add(np.array([0.8, 0.0]))
    travel.add(np.array([0.6, 0.1]))

    # 0.1 s at 0.6 and 0.04 s at 0.8, not 0.14 s at 0.6
    assert travel.since(0.14) == pytest.approx([0.092, 0.01])


def test_what_is_older_than_a_measurement_may_be_is_taken_to_go_on_as_the_oldest_known(travel):
    for speed in (9.0, 0.5, 0.4, 0.3):
        travel.add(np.array([speed, 0.0]))

    # kept: 0.3, 0.4, 0.5; two whole periods, then 0.5 for the rest
    assert travel.since(0.30) == pytest.approx([0.03 + 0.04 + 0.05, 0.0])


def test_after_an_activation_nothing_has_moved(travel):
    travel.add(np.array([0.8, 0.8]))
    travel.forget()

    assert travel.since(0.1) == pytest.approx([0.0, 0.0])
