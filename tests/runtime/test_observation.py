from dataclasses import replace
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest

from divo_runtime.errors import ObservationError
from divo_runtime.observation import Fault, Measurement, ObservationBuilder

MS = 1_000_000


@pytest.fixture
def builder(arm):
    return ObservationBuilder(arm)


def faults(observation):
    return [(problem.term, problem.fault) for problem in observation.problems]


def test_a_message_becomes_numbers_in_the_order_of_the_contract(builder, measure):
    observation = builder.build(measure(position=(0.1, 0.2)), now_ns=30 * MS)
    np.testing.assert_array_equal(observation.usable(), np.float32([0.1, 0.2, 0.5, 0.25]))
    assert observation.ages_ns == (30 * MS, 30 * MS)


def test_joints_are_found_by_name_in_any_order_among_others(builder, measure):
    measurements = measure(position=(9.0, 0.2, 8.0, 0.1), names=("x", "b", "y", "a"))
    np.testing.assert_array_equal(builder.build(measurements, 0).vector[:2], np.float32([0.1, 0.2]))


def test_a_message_that_changes_its_order_is_read_anew(builder, measure):
    builder.build(measure(position=(0.1, 0.2)), 0)
    observation = builder.build(measure(position=(0.2, 0.1), names=("b", "a")), 0)
    np.testing.assert_array_equal(observation.vector[:2], np.float32([0.1, 0.2]))


@pytest.mark.parametrize(
    ("joints", "fault"),
    [
        ({"names": ("a", "c")}, Fault.JOINT_MISSING),
        ({"names": ("a", "b", "a"), "position": (0, 0, 0)}, Fault.JOINT_DUPLICATE),
        ({"position": (0.1,)}, Fault.WRONG_SIZE),
        ({"position": (0.1, np.nan)}, Fault.NOT_FINITE),
        ({"position": (-np.inf, 0.1)}, Fault.NOT_FINITE),
        ({"position": (1e300, 0.1)}, Fault.NOT_FINITE),
        ({"position": ("far", 0.1)}, Fault.UNREADABLE),
    ],
)
def test_unusable_joints_are_a_problem_and_not_a_number(builder, measure, joints, fault):
    observation = builder.build(measure(**joints), 0)
    assert faults(observation) == [("joint_position", fault)]
    assert np.isnan(observation.vector[:2]).all()
    np.testing.assert_array_equal(observation.vector[2:], np.float32([0.5, 0.25]))
    with pytest.raises(ObservationError, match="joint_position"):
        observation.usable()


def test_a_message_of_another_type_is_a_problem(builder, measure):
    measurements = {**measure(), "goal": Measurement(SimpleNamespace(data=[1.0]), 0)}
    assert faults(builder.build(measurements, 0)) == [("goal", Fault.UNREADABLE)]


def test_a_topic_without_a_message_is_a_problem_of_age_minus_one(builder, measure):
    measurements = measure()
    del measurements["goal"]
    observation = builder.build(measurements, 0)
    assert faults(observation) == [("goal", Fault.MISSING)]
    assert observation.ages_ns == (0, -1)


@pytest.mark.parametrize(
    ("now_ms", "fault"), [(150, None), (150.001, Fault.STALE), (-20, None), (-20.001, Fault.FUTURE)]
)
def test_a_message_is_usable_up_to_its_maximum_age_and_little_ahead(builder, measure, now_ms, fault):
    observation = builder.build(measure(), round(now_ms * MS))
    assert [problem.fault for problem in observation.problems if problem.term == "joint_position"] == [fault] * bool(
        fault
    )
    assert np.isnan(observation.vector[0]) == bool(fault)  # old data never looks fresh


def test_age_counts_from_arrival_where_the_contract_says_so(arm, measure):
    builder = ObservationBuilder(msgspec.structs.replace(arm, clock="receive"))
    arrived = {topic: replace(m, received_ns=900 * MS) for topic, m in measure(stamp_ns=0).items()}
    assert builder.build(arrived, 1000 * MS).ages_ns == (100 * MS, 100 * MS)


def test_a_term_can_be_relative_to_an_earlier_one(arm_text, measure):
    from divo_runtime.contract import Contract
    from divo_runtime.schema import parse_yaml

    text = arm_text.replace("    components: xy\n", "    components: xy\n    relative_to: joint_position\n")
    builder = ObservationBuilder(parse_yaml(text, Contract, "arm.yaml"))
    observation = builder.build(measure(position=(0.5, 1.0), goal=(0.75, 0.5)), 0)
    np.testing.assert_array_equal(observation.vector, np.float32([0.5, 1.0, 0.25, -0.5]))


def test_a_scan_of_another_length_is_a_problem(base):
    builder = ObservationBuilder(base)
    scan = {"scan": Measurement(SimpleNamespace(ranges=[1.0, 2.0]), 0)}
    assert faults(builder.build(scan, 0)) == [("scan", Fault.WRONG_SIZE)]
