"""A recording made wrong on purpose is told by its cause; a right one by nothing."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import doctor_robot as robot
from divo_runtime import cli
from divo_runtime.bundle.loading import load_bundle
from divo_runtime.controller import Controller
from divo_runtime.doctor.examination import examine
from divo_runtime.doctor.report import render_page, render_text
from divo_runtime.errors import RecordingError
from divo_runtime.observation import Measurement
from divo_runtime.topic_names import TopicNames
from doctor_robot import Spoiling


@pytest.fixture(scope="session")
def bundle_folder(write_tiny_bundle, tmp_path_factory):
    return robot.write_robot_bundle(write_tiny_bundle, tmp_path_factory.mktemp("doctor"))


@pytest.fixture
def doctor(bundle_folder, tmp_path):
    """Spoil a recording and examine it."""

    def doctor(topic_names=None, seed=7, **spoiling):
        bag = robot.write_bag(tmp_path / f"bag{len(list(tmp_path.iterdir()))}", Spoiling(**spoiling), seed)
        with load_bundle(bundle_folder) as bundle:
            return examine(bundle, bag, topic_names or TopicNames())

    return doctor


def only(found, *subjects):
    assert {each.subject for each in found.findings} == set(subjects), [str(each) for each in found.findings]
    return " ".join(map(str, found.findings))


@pytest.mark.parametrize("seed", [7, 8, 9])
def test_a_healthy_recording_has_no_finding(doctor, seed):
    found = doctor(seed=seed)
    only(found)
    assert (found.periods.grid, len(found.periods)) == ("commands", 1200)
    assert found.surprise[0] == pytest.approx(0.6, abs=0.2)
    assert (np.diagonal(found.agreement.now) > 0.7).all()


@pytest.mark.parametrize(
    ("spoiling", "subject", "words"),
    [
        ({"numbers": ("c", "b", "a")}, "joint order", "what is called"),
        ({"numbers": ("a", "b", "c")}, "joint order", "the joints seem to be exchanged"),
        ({"position": 57.29578, "velocity": 57.29578}, "unit", "position and velocity seems to be in degrees"),
        ({"velocity": 57.29578}, "unit", "velocity seems to be in degrees"),
        ({"sign": {"b": -1.0}}, "sign", "b has the opposite sign"),
        ({"goal_scale": 1000.0}, "unit", "goal seems to be in millimetres"),
        ({"goal_axes": (1, 0, 2)}, "frame", "goal is in another frame: (y, x, z)"),
        ({"goal_shift": (0.0, 1.5, 0.0)}, "frame", "goal.y by +1.5 m"),
        ({"offset": {"c": 2.5}}, "offset", "position.c by +2."),
        ({"command": (1, 0, 2)}, "command order", "What the policy asks of a is sent to b"),
        ({"command_scale": (1.0, 1.0, -1.0)}, "command sign", "c is commanded against what the policy asks"),
        ({"command_scale": (57.29578,) * 3}, "command unit", "in degrees"),
        ({"clip": 2.0, "command_scale": (1.0, 20.0, 1.0)}, "command range", "b is commanded at its limit"),
        ({"frozen": "a"}, "no motion", "a is commanded but never moves"),
        ({"command_late": 4}, "lag", "The commands come 4 periods (200 ms) after what the policy asks"),
        ({"motion_late": 4}, "lag", "The commands come 4 periods (200 ms) before what the policy asks"),
        ({"state_every": 6}, "stale", "comes at 3.33 Hz, and 10 Hz are the least"),
        ({"stamp_ms": -150.0}, "stale", "its messages arrive 151 ms after their stamp"),
        ({"stamp_ms": 60.0}, "clock", "(joint_states) is unusable in 100% of the periods: from the future"),
        ({"stamp_ms": 12.0}, "clock", "/joint_states lie 11 ms in the future"),
        ({"names": ("c", "a", "d")}, "joint names", "b not among c, a, d"),
        ({"leave_out": ("/goal",)}, "topic", "/goal is not in the bag"),
        ({"rename": {"/goal": "/camera/goal"}}, "topic", "of its type are /camera/goal"),
    ],
)
def test_a_recording_made_wrong_is_told_by_its_cause(doctor, spoiling, subject, words):
    assert words in only(doctor(**spoiling), subject)


def test_two_mistakes_are_told_one_after_the_other(doctor):
    found = doctor(position=57.29578, velocity=57.29578, command=(1, 0, 2), sign={"b": -1.0})
    text = only(found, "unit", "sign", "command order")
    assert "in degrees" in text
    assert "b has the opposite sign" in text
    assert found.surprise[0] > 4.0
    assert found.surprise[1] == pytest.approx(0.6, abs=0.2)


def test_commands_beyond_the_range_are_told(doctor):
    text = only(doctor(command_scale=(1.5, 1.0, 1.0)), "command range")
    assert "of the commands of a lie outside of the contract's range" in text


def test_a_place_that_training_has_not_shown_is_no_mistake_with_a_name(bundle_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(robot, "SPREAD", np.array([1.6, 0.8, 1.1]))
    bag = robot.write_bag(tmp_path / "bag", Spoiling())
    with load_bundle(bundle_folder) as bundle:
        found = examine(bundle, bag, TopicNames())
    assert {each.subject for each in found.findings} == {"novelty", "command range"}  # far goals want full speed
    assert "Outside of the training range" in str(found.findings[-1])


def test_names_in_the_bag_can_be_told(doctor):
    names = TopicNames("", {"/goal": "/camera/goal"})  # with a slash, as ROS spells it
    only(doctor(topic_names=names, rename={"/goal": "/camera/goal"}))


def test_the_recording_of_the_real_controller_is_healthy(bundle_folder, tmp_path):
    rclpy_messages = pytest.importorskip("sensor_msgs.msg")
    from geometry_msgs.msg import PoseStamped

    import recorded_run as module

    module.CLASSES["geometry_msgs/msg/PoseStamped"] = PoseStamped
    with load_bundle(bundle_folder) as bundle:
        recorder = module.make_recorder(tmp_path / "run.mcap", bundle)
        policy = bundle.open_policy("sampler")
        controller = recorder.watch(Controller(bundle.contract, policy, 3, lambda: 0), lambda: "sampler", 3)
        _drive(controller, recorder, rclpy_messages, PoseStamped, module)
        recorder.close()
        found = examine(bundle, tmp_path / "run.mcap", TopicNames())
    only(found)
    assert found.periods.grid == "cycles"
    assert found.policy == "sampler"
    assert (np.diagonal(found.agreement.now) > 0.999).all()


def _drive(controller, recorder, messages, pose_class, module):
    """Lead the three joints through goals by the controller's own commands."""
    rng, now_ns = np.random.default_rng(4), robot.BEGIN_NS
    for _ in range(8):
        position, goal = (robot.HOME + robot.SPREAD * rng.standard_normal(3) for _ in range(2))
        velocity, target = np.zeros(3), robot.TOOL + (goal - robot.HOME) @ robot.JACOBIAN.T
        now_ns += robot.S
        for period in range(60):
            joints = messages.JointState(name=["b", "c", "a"])
            joints.position, joints.velocity = (
                [float(values[i]) for i in (1, 2, 0)] for values in (position, velocity)
            )
            pose = pose_class()
            tool = robot.TOOL + (position - robot.HOME) @ robot.JACOBIAN.T
            pose.pose.position.x, pose.pose.position.y, pose.pose.position.z = map(float, tool)
            for message in (joints, pose):
                message.header.stamp.sec, message.header.stamp.nanosec = divmod(now_ns, robot.S)
            stamps = (now_ns, now_ns + robot.MS)
            point = module.goal(float(target[0]), float(target[1]), now_ns)
            point.message.point.z = float(target[2])
            measurements = {"joint_states": Measurement(joints, *stamps), "tool_pose": Measurement(pose, *stamps)}
            measurements["goal"] = point
            at_ns = now_ns + 2 * robot.MS
            if period == 0:
                assert controller.activate(at_ns, measurements, 3) == ()
            output = controller.step(at_ns, measurements)
            recorder.send(output.command, at_ns, at_ns + robot.MS)
            position, velocity = position + output.command * 0.05, output.command
            now_ns += robot.PERIOD_NS
        controller.deactivate()


def test_a_bag_without_any_input_cannot_be_examined(bundle_folder, tmp_path):
    bag = robot.write_bag(tmp_path / "bag", Spoiling(leave_out=("/joint_states", "/tool_pose", "/goal")), periods=5)
    with load_bundle(bundle_folder) as bundle, pytest.raises(RecordingError, match="none of the contract's inputs"):
        examine(bundle, bag, TopicNames())


@pytest.fixture
def run(monkeypatch, capsys):
    """Run the command line; return exit code, stdout, stderr."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["divo-runtime", *map(str, arguments)])
        try:
            cli.main()
        except SystemExit as stop:
            return stop.code, *capsys.readouterr()
        return 0, *capsys.readouterr()

    return run


def test_the_command_ends_with_0_where_nothing_looks_wrong(run, bundle_folder, tmp_path):
    bag = robot.write_bag(tmp_path / "bag", Spoiling())
    code, out, _ = run("doctor", bundle_folder, bag)
    assert code == 0
    assert out.endswith("Nothing looks wrong.\n")
    assert max(map(len, out.splitlines()[3:])) <= 100
    assert "/joint_states  1,200     20.0" in out


def test_the_command_ends_with_1_and_writes_a_page_where_something_does(run, bundle_folder, tmp_path):
    bag = robot.write_bag(tmp_path / "bag", Spoiling(sign={"b": -1.0}))
    code, out, _ = run("doctor", bundle_folder, bag, "--html", tmp_path / "new" / "page.html")
    assert code == 1
    assert "1 finding:\n1. sign: b has the opposite sign of the training data." in out
    page = (tmp_path / "new" / "page.html").read_text()
    assert "b has the opposite sign" in page
    assert "http" not in page


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere",), "The bag cannot be read"),
        (("bag", "--policy", "best"), "There is no such policy"),
        (("bag", "--remap", "goal"), "A remap cannot be read"),
        (("bag", "--remap", "/gaol:=/goal"), "Did you mean goal?"),
        (("bag", "--periods", "0"), "There is nothing to look at"),
    ],
)
def test_the_command_ends_with_2_where_it_cannot_examine(run, bundle_folder, tmp_path, arguments, message):
    robot.write_bag(tmp_path / "bag", Spoiling(), periods=50)
    code, _, error = run("doctor", bundle_folder, tmp_path / arguments[0], *arguments[1:])
    assert code == 2
    assert message in error


def test_a_page_that_cannot_be_written_is_no_finding(run, bundle_folder, tmp_path):
    robot.write_bag(tmp_path / "bag", Spoiling(), periods=50)
    (tmp_path / "file").touch()
    code, _, error = run("doctor", bundle_folder, tmp_path / "bag", "--html", tmp_path / "file" / "page.html")
    assert code == 2
    assert "The report cannot be written" in error


@pytest.mark.parametrize("command", ["doctor", "replay"])
def test_an_error_that_nobody_foresaw_is_no_finding_either(run, bundle_folder, tmp_path, monkeypatch, command):
    def fail(*arguments):
        raise KeyError("unforeseen")

    monkeypatch.setattr(cli, "examine", fail)
    monkeypatch.setattr(cli, "replay_file", fail)
    code, _, error = run(command, *([bundle_folder] if command == "doctor" else []), tmp_path / "bag")
    assert code == 2
    assert "KeyError: 'unforeseen'" in error


def test_the_texts_hold_what_a_person_needs(doctor):
    found = doctor(command=(1, 0, 2))
    text = render_text(found)
    assert "Compare the order of the command's numbers with action.names" in text
    assert "position.a" in text
    assert "<h1>three_joints</h1>" in render_page(found)
