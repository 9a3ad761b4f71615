"""Commands to actions: which one counts in a period, how it is read, and when it is none."""

from __future__ import annotations

import numpy as np
import pytest

import bag_maker as make
from bag_maker import BEGIN_NS, MS, imported, positions, ramp
from divo_train.data.bags.tally import KEPT


def test_a_fast_commander_s_last_command_of_each_period_counts(tmp_path):
    values = [[number / 100, 0] for number in range(20)]
    tape = ramp(20, command_ms=10, first_command_ms=8, commands=values)
    result, dataset = imported(tmp_path, tape.write(tmp_path / "bag"))
    assert result.bags[0].grid == "regular"
    # The grid begins with the first state at 0 ms; the commands at 8, 18, ... 48 ms fall into the first period.
    np.testing.assert_allclose(dataset.actions[:, 0], [0.04, 0.09, 0.14, 0.19])
    assert positions(dataset) == [0, 5, 10, 15, 20]


def test_a_slow_commander_s_command_stands_in_only_when_asked(tmp_path):
    bag = ramp(3, command_ms=100, first_command_ms=20).write(tmp_path / "bag")
    strict, nothing = imported(tmp_path, bag)
    # Commands at 20, 120, 220 ms; periods begin at 0, 50, ... 350 ms, and only every second one has a command.
    assert strict.bags[0].tally.counts["no command in the period"] >= 3
    assert nothing.episodes.tolist() == [0, 1, 2]
    _, held = imported(tmp_path / "2", bag, hold_s=0.1)
    np.testing.assert_allclose(held.actions[:5, 0], [0, 0, 0.1, 0.1, 0.2])
    assert held.episodes.tolist() == [0] * len(held)


def test_a_command_within_half_a_period_of_another_takes_its_place(tmp_path):
    tape = ramp(8)
    for at_ms, value in ((99, -0.7), (100, -0.8), (218, np.nan), (324, -0.9)):
        tape.add(at_ms * MS, "/commands", make.array([value, 0]))
    result, dataset = imported(tmp_path, tape.write(tmp_path / "bag"), grid="commands")
    # One that is none changes nothing. That at 324 ms begins a period, and that at 348 ms takes its place.
    np.testing.assert_allclose(dataset.actions[:, 0], [0, -0.8, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7])
    counts = {KEPT: 8, "command replaced within half a period": 3, "command not finite": 1}
    assert result.bags[0].tally.counts == counts
    assert positions(dataset) == [4, 9, 14, 19, 24, 29, 32, 39, 44]


@pytest.mark.parametrize("kind", ["labelled", "trajectory", "twist"])
def test_commands_are_read_by_name(tmp_path, kind):
    types = make.T
    if kind == "labelled":
        message, change = make.array([0.2, 0.1], label="b,a"), None
    elif kind == "trajectory":
        empty = np.zeros(0)
        moment = types["builtin_interfaces/msg/Duration"](0, 50 * MS)
        velocities = np.array([0.2, 7.0, 0.1])
        point = types["trajectory_msgs/msg/JointTrajectoryPoint"](empty, velocities, empty, empty, moment)
        message = types["trajectory_msgs/msg/JointTrajectory"](make.header(BEGIN_NS), ["b", "other", "a"], [point])

        def change(tree):
            tree["action"]["type"] = "trajectory_msgs/msg/JointTrajectory"
    else:
        vector = types["geometry_msgs/msg/Vector3"]
        twist = types["geometry_msgs/msg/Twist"](vector(0.1, 7, 7), vector(7, 7, 0.2))
        message = types["geometry_msgs/msg/TwistStamped"](make.header(BEGIN_NS), twist)

        def change(tree):
            names = ["linear.x", "angular.z"]
            tree["action"].update(kind="twist", names=names, unit="m/s", type="geometry_msgs/msg/TwistStamped")
            limits = [{"name": name, "velocity": 2.0, "acceleration": 20.0} for name in names]
            tree["safety"] = {"limits": limits}

    _, dataset = imported(tmp_path, ramp(2, commands=[message] * 2).write(tmp_path / "bag"), change=change)
    np.testing.assert_allclose(dataset.actions, [[0.1, 0.2]] * 2)


def test_a_trajectory_of_two_points_is_no_command(tmp_path):
    types, empty = make.T, np.zeros(0)
    moment = types["builtin_interfaces/msg/Duration"](0, 50 * MS)
    point = types["trajectory_msgs/msg/JointTrajectoryPoint"](empty, np.array([0.2, 0.1]), empty, empty, moment)

    def trajectory(count):
        return types["trajectory_msgs/msg/JointTrajectory"](make.header(BEGIN_NS), ["a", "b"], [point] * count)

    def change(tree):
        tree["action"]["type"] = "trajectory_msgs/msg/JointTrajectory"

    tape = ramp(3, commands=[trajectory(1), trajectory(1), trajectory(2)])
    result, _ = imported(tmp_path, tape.write(tmp_path / "bag"), change=change)
    assert result.bags[0].tally.counts == {KEPT: 2, "command of 2 points": 1}


@pytest.mark.parametrize(
    ("values", "cause"),
    [([np.nan, 0], "command not finite"), ([0, 0, 0], "command of 3 values, expected 2")],
)
def test_a_bad_command_is_dropped_with_its_cause(tmp_path, values, cause):
    commands = [[0.1, 0], [0.2, 0], values, [0.4, 0]]
    result, dataset = imported(tmp_path, ramp(4, commands=commands).write(tmp_path / "bag"))
    assert result.bags[0].tally.counts == {KEPT: 3, cause: 1}
    np.testing.assert_allclose(dataset.actions[:, 0], [0.1, 0.2, 0.4])
    assert positions(dataset) == [4, 9, 14, 19, 24]  # the observation at the bad command ends the first episode


def test_the_measured_motion_is_the_action_when_asked(tmp_path):
    tape = ramp(4)
    tape.entries = [entry for entry in tape.entries if entry[1] != "/commands"]
    result, dataset = imported(tmp_path, tape.write(tmp_path / "bag"), action="measured")
    assert result.bags[0].grid == "regular"
    np.testing.assert_allclose(dataset.actions, 1.0, atol=1e-5)  # 0.05 rad in each 50 ms, also where velocities say 0
