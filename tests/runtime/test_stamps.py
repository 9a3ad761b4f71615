"""Two topics, stamps in milliseconds; the tolerance for clocks that differ is 20 ms."""

from dataclasses import replace

import msgspec
import pytest

from divo_runtime.observation import Measurement
from divo_runtime.stamps import StampOrder, supersedes

MS = 1_000_000


def at(stamp_ms, received_ms=0):
    return Measurement(f"message of {stamp_ms}", stamp_ms * MS, received_ms * MS)


@pytest.fixture
def order(arm):
    return StampOrder(arm)


def admit(order, now_ms, joints, goal=None):
    """Return the stamp [ms] of the joints' measurement that counts, and whether it is doubted."""
    measurements = {"joint_states": joints} | ({"goal": goal} if goal else {})
    admitted, doubted = order.admit(measurements, now_ms * MS)
    return admitted["joint_states"].stamp_ns // MS, "joint_states" in doubted


def test_a_newer_measurement_takes_the_place_of_an_older_one(order):
    assert admit(order, 100, at(90)) == (90, False)
    assert admit(order, 200, at(190)) == (190, False)
    assert not any(order.counts.values())


def test_an_older_one_does_not_and_is_counted_once(order):
    admit(order, 100, at(90))
    late = at(80)
    assert admit(order, 110, late) == (90, False)
    assert admit(order, 120, late) == (90, False)
    assert order.counts["out_of_order"] == 1
    assert admit(order, 130, at(125)) == (125, False)


def test_other_topics_go_on(order):
    admit(order, 100, at(90), at(90))
    admitted, _ = order.admit({"joint_states": at(80), "goal": at(110)}, 115 * MS)
    assert {topic: kept.stamp_ns // MS for topic, kept in admitted.items()} == {"joint_states": 90, "goal": 110}


def test_a_stamp_that_arrives_again_is_counted(order):
    admit(order, 100, at(90, received_ms=91))
    assert admit(order, 110, at(90, received_ms=105)) == (90, False)
    assert order.counts["repeated_stamps"] == 1


def test_everything_is_doubted_when_the_clock_is_set_back_until_it_is_replaced(order):
    old = at(995)
    admit(order, 1000, old)
    assert admit(order, 900, old) == (995, True)
    assert admit(order, 990, old) == (995, True)  # would look fresh again
    assert admit(order, 1050, old) == (995, True)
    assert order.counts["clock_set_back"] == 1
    assert admit(order, 1060, at(1055)) == (1055, False)


def test_stamps_may_begin_anew_below_after_the_clock_was_set_back(order):
    admit(order, 1000, at(995))
    admit(order, 900, at(995))
    assert admit(order, 910, at(905)) == (905, False)
    assert order.counts["out_of_order"] == 0


def test_what_arrived_just_before_the_clock_was_set_back_is_doubted_too(order):
    admit(order, 1000, at(990))
    assert admit(order, 960, at(999)) == (999, True)


def test_a_small_step_back_of_the_clock_is_none(order):
    admit(order, 1000, at(990))
    assert admit(order, 981, at(990)) == (990, False)
    assert order.counts["clock_set_back"] == 0


def test_a_stamp_from_the_future_does_not_become_true_by_waiting(order):
    ahead = at(500)
    assert admit(order, 100, ahead) == (500, True)
    assert admit(order, 510, ahead) == (500, True)


def test_a_stamp_from_the_future_does_not_keep_out_what_follows(order):
    admit(order, 100, at(500))
    assert admit(order, 110, at(105)) == (105, False)
    assert order.counts["out_of_order"] == 0


def test_by_arrival_stamps_do_not_matter(arm):
    order = StampOrder(msgspec.structs.replace(arm, clock="receive"))
    admit(order, 100, at(90, received_ms=95))
    assert admit(order, 110, at(50, received_ms=105)) == (50, False)


def test_a_new_start_forgets_what_was_kept_and_not_the_counts(order):
    admit(order, 100, at(90))
    admit(order, 110, at(80))
    order.forget()
    assert admit(order, 50, at(40)) == (40, False)
    assert order.counts["out_of_order"] == 1


def test_a_topic_that_is_gone_is_gone(order):
    admit(order, 100, at(90))
    admitted, _ = order.admit({}, 110 * MS)
    assert "joint_states" not in admitted
    assert admit(order, 120, at(80)) == (80, False)


def test_the_rule_itself():
    kept = at(100)
    assert supersedes(at(100), kept, 110 * MS, "header")
    assert not supersedes(at(99), kept, 110 * MS, "header")
    assert supersedes(at(60), kept, 70 * MS, "header")  # 100 is 30 ms ahead of now
    assert supersedes(replace(at(99), received_ns=1), kept, 110 * MS, "receive") is False
