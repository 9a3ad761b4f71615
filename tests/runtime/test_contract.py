from pathlib import Path

import pytest

from divo_runtime.contract import Contract, load_contract
from divo_runtime.errors import ContractError
from divo_runtime.schema import parse_yaml

ARM_REACH = Path(__file__).parents[2] / "sim/divo_sim/contracts/arm_reach.yaml"


REACTION = "safety.novelty_guard.reaction"


def test_the_arm_task_has_23_observations_and_7_actions():
    contract = load_contract(ARM_REACH)
    assert (contract.observation_size, contract.action_size) == (23, 7)
    assert contract.period_ns == 50_000_000
    assert contract.element_names[14:18] == ("tool_position.x", "tool_position.y", "tool_position.z", "goal_offset.x")
    assert contract.topics["tool_pose"] == "geometry_msgs/msg/PoseStamped"


def test_limits_come_in_the_order_of_the_action_not_of_the_file(arm):
    assert [limit.name for limit in arm.safety.limits] == ["b", "a"]
    assert [limit.name for limit in arm.limits()] == ["a", "b"]


@pytest.mark.parametrize(
    ("change", "line", "key", "got", "expected", "fix"),
    [
        (("rate_hz", "rate_hzz"), 4, "rate_hzz", "unknown key 'rate_hzz'", "known key", "Did you mean 'rate_hz'?"),
        (("unit: m\n", "unit: inch\n"), 18, "observation[1].unit", "'inch'", "one of rad, rad/s", "docs/contract.md"),
        (("blend_s: 0.4", "measured_velocity: joint_position"), 2, "(top level)", "'joint_position'", "velocities", ""),
        (("max_age_ms: 1000", "max_age_ms: .inf"), 19, "observation[1].max_age_ms", "inf", "<= 1000000000", ""),
        (
            ("acceleration: 2.0", "acceleration: 2e0"),
            33,
            "safety.limits[0].acceleration",
            "'2e0'",
            "float",
            "Write 2.0",
        ),
        (("rate_hz: 10", "rate_hz: 10\nrate_hz: 20"), 5, "rate_hz", "lines 4 and 5", "", "Remove one"),
        (("acceleration: 2.0", "velocity: 3.0, acceleration: 2.0"), 33, "velocity", "lines 33 and 33", "", "Remove"),
        (("rate_hz: 10", "rate_hz: 0"), 4, "rate_hz", "0", "> 0", "docs/contract.md"),
        (("    topic: goal\n", ""), 13, "observation[1]", "nothing", "the key 'topic'", "Add 'topic:'"),
        (("joints: [a, b]", "joints: [a, a]"), 6, "observation[0]", "['a', 'a']", "each joint once", ""),
        (("field: point", "field: points"), 13, "observation[1]", "'points'", "one of point", ""),
        (("names: [a, b]", "names: [a, c]"), 2, "(top level)", "['b', 'a']", "['a', 'c']", ""),
        (("joints: [a, b]", "joints: [b]"), 2, "(top level)", "'joint_position'", "the action's joints", ""),
        (("acceleration: 2.0", "acceleration: .inf"), 33, "safety.limits[0]", "inf", "finite acceleration", ""),
        (("upper: [0.8", "upper: [1.2"), 2, "(top level)", "[-0.8, 1.2]", "inside [-1.0, 1.0]", ""),
        (("position: [-1, 1]", "position: [1, -1]"), 33, "safety.limits[0]", "[1.0, -1.0]", "lower < upper", ""),
        (("field: position", "field: velocity"), 2, "(top level)", "(velocity)", "measured positions", ""),
        (("2.0}", "2.0, jerk: .inf}"), 33, "safety.limits[0]", "inf", "finite jerk", ""),
        (("2.0}", "2.0, jerk: 0}"), 33, "safety.limits[0].jerk", "0", "> 0", ""),
        (("2.0}", "2.0, hard_position: [-2, 0.9]}"), 33, "safety.limits[0]", "[-2.0, 0.9]", "around [-1.0, 1.0]", ""),
        (("2.0}", "2.0, hard_velocity: 0.9}"), 33, "safety.limits[0]", "0.9", "at least 1.0", ""),
        (("2.0}", "2.0, hard_velocity: 2}"), 2, "(top level)", "''", "safety.measured_velocity", ""),
        (("blend_s: 0.4", "novelty_guard: {reaction: stop}"), 30, REACTION, "'stop'", "one of ignore, warn", ""),
        (("blend_s: 0.4", "value_guard: {tail: 0.6}"), 30, "safety.value_guard.tail", "0.6", "<= 0.5", ""),
    ],
)
def test_a_mistake_is_told_with_line_key_got_expected_and_fix(arm_text, change, line, key, got, expected, fix):
    text = arm_text.replace(*change, 1)
    assert text != arm_text
    with pytest.raises(ContractError) as caught:
        parse_yaml(text, Contract, "robot.yaml")
    error = caught.value
    assert f"robot.yaml:{line}, key '{key}'" in str(error)
    assert got in error.got
    assert expected in error.expected
    assert fix in error.fix


def test_broken_yaml_is_told_with_its_line():
    with pytest.raises(ContractError, match=r"robot\.yaml:3"):
        parse_yaml("schema: 1\nname: [\n", Contract, "robot.yaml")


def test_a_missing_file_is_told_by_name(tmp_path):
    with pytest.raises(ContractError, match=r"none\.yaml"):
        load_contract(tmp_path / "none.yaml")


def test_limits_and_guards_that_a_contract_does_not_name_are_the_usual_ones(arm):
    assert [(limit.jerk, limit.hard_position, limit.hard_velocity) for limit in arm.limits()] == [(None,) * 3] * 2
    watch = arm.safety.novelty_guard
    assert (watch.reaction, watch.cycles, watch.tail) == ("warn", 3, None)
    assert arm.safety.value_guard == watch
