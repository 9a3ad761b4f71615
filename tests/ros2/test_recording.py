"""The node's recording over real DDS: complete, exact, and no burden when it fails."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("mcap")

from mcap.reader import make_reader
from mcap_ros2.decoder import DecoderFactory
from std_msgs.msg import Float64MultiArray

from divo_runtime.observation import Measurement, ObservationBuilder
from divo_runtime.recording.messages import CycleRecord, EventRecord
from divo_runtime.recording.reader import RecordingReader
from divo_runtime.replay.report import replay_file
from divo_sim.contracts import arm_reach_contract

pytestmark = pytest.mark.ros


def bag(path: Path) -> dict[str, list]:
    """Return topic -> [(sequence, log time, publish time, message)] with nothing of our own reader."""
    found: dict[str, list] = {}
    with path.open("rb") as stream:
        for _, channel, message, decoded in make_reader(
            stream, decoder_factories=[DecoderFactory()]
        ).iter_decoded_messages():
            found.setdefault(channel.topic, []).append(
                (message.sequence, message.log_time, message.publish_time, decoded)
            )
    return found


def check_exact(path: Path, contract, node: str = "/divo_controller") -> list:
    """Rebuild every observation from the bag's messages alone; return the cycles.

    Between two activations and at the end, braking commands stand between those of the cycles.
    """
    topics = bag(path)
    messages = {topic: {sequence: rest for sequence, *rest in topics[f"/{topic}"]} for topic in contract.topics}
    builder = ObservationBuilder(contract)
    cycles = [cycle for *_, cycle in topics[f"{node}/cycle"]]
    for cycle in cycles:
        measurements = {}
        for topic, sequence, stamp_ns, received_ns in zip(
            cycle.topics, cycle.sequences, cycle.stamps_ns, cycle.received_ns, strict=True
        ):
            log_ns, publish_ns, message = messages[topic][sequence]
            header = message.header.stamp
            assert stamp_ns == publish_ns == header.sec * 1_000_000_000 + header.nanosec
            assert received_ns == log_ns
            assert stamp_ns <= received_ns <= cycle.now_ns
            measurements[topic] = Measurement(message, stamp_ns, received_ns)
        rebuilt = builder.build(measurements, cycle.now_ns)
        assert rebuilt.vector.tobytes() == np.float32(cycle.observation).tobytes()
        assert rebuilt.ages_ns == tuple(cycle.ages_ns)
    sent = iter([message.data for *_, message in topics[f"/{contract.action.topic}"]])
    assert all(cycle.command in sent for cycle in cycles), "commands were sent in another order, or not at all"
    return cycles


def test_observations_and_commands_in_the_file_are_those_of_the_node(start, robot, bundle, contract, tmp_path):
    path = tmp_path / "run.mcap"
    node = start("divo_controller.main", "--bundle", str(bundle), "--record", str(path))
    robot.start_policy()
    robot.wait_for_commands(40)
    robot.message.position = [float("nan"), -0.2]
    robot.wait_for_mode("holding")
    robot.message.position = [0.3, -0.2]
    robot.wait_for_mode("running")
    assert robot.trigger("emergency_stop").success
    robot.wait_for_mode("fault")
    assert robot.trigger("reset_fault").success
    robot.wait_for_mode("running")
    assert robot.change_state("deactivate")
    robot.wait_for_mode("inactive")
    assert robot.change_state("activate")
    robot.wait_for_commands(10)
    node.interrupt()
    robot.wait_for(lambda: node.exit_code is not None, "the end of the process")

    cycles = [record for record in RecordingReader(path).timeline() if isinstance(record, CycleRecord)]
    assert {cycle.mode for cycle in cycles} == {"blending", "running", "holding", "fault"}
    assert all(cycle.times.total_ns > 0 and cycle.times.publish_ns > 0 for cycle in cycles)
    kinds = [record.kind for record in RecordingReader(path).timeline() if isinstance(record, EventRecord)]
    assert kinds == ["activate", "emergency_stop", "reset_fault", "deactivate", "activate", "deactivate"]
    recorded = [message.data for *_, message in bag(path)["/commands"]]
    robot.wait_for(lambda: len(robot.commands) >= len(recorded), "the last command")
    assert recorded == [command.tolist() for command in robot.commands]
    check_exact(path, contract)
    assert replay_file(path, None, False).startswith(f"{len(cycles)} cycles and 6 other calls")


def test_a_policy_that_was_reloaded_while_active_is_followed(start, robot, write_tiny_bundle, contract, tmp_path):
    from rcl_interfaces.srv import SetParameters
    from rclpy.parameter import Parameter

    path = tmp_path / "run.mcap"
    bundle = write_tiny_bundle(tmp_path, contract, np.eye(2, 5), noise_gain=0.01)
    node = start("divo_controller.main", "--bundle", str(bundle), "--record", str(path), "--policy", "actor")
    robot.start_policy()
    robot.wait_for_commands(20)
    client = robot.node.create_client(SetParameters, "divo_controller/set_parameters")
    request = SetParameters.Request(parameters=[Parameter("policy", value="sampler").to_parameter_msg()])
    assert robot.call(client, request).results[0].successful
    answer = robot.trigger("reload")
    assert answer.success, answer.message
    robot.wait_for_commands(20)
    node.interrupt()
    robot.wait_for(lambda: node.exit_code is not None, "the end of the process")

    cycles = [record for record in RecordingReader(path).timeline() if isinstance(record, CycleRecord)]
    policies = [cycle.policy for cycle in cycles]
    change = policies.index("sampler")
    assert set(policies[:change]) == {"actor"}
    assert set(policies[change:]) == {"sampler"}
    assert {cycle.noise.size for cycle in cycles[:change]} == {2}
    assert {cycle.noise.size for cycle in cycles[change:]} == {8}
    assert replay_file(path, None, False).startswith(f"{len(cycles)} cycles and ")


def test_policies_that_change_with_the_time_left_are_followed_by_name(start, robot, bundle, tmp_path):
    path = tmp_path / "run.mcap"
    node = start("divo_controller.main", "--bundle", str(bundle), "--record", str(path), "--policy", "auto")
    robot.start_policy()
    robot.wait_for_commands(60)
    node.interrupt()
    robot.wait_for(lambda: node.exit_code is not None, "the end of the process")

    cycles = [record for record in RecordingReader(path).timeline() if isinstance(record, CycleRecord)]
    assert {cycle.policy for cycle in cycles} <= {"actor", "sampler"}
    assert replay_file(path, None, False).startswith(f"{len(cycles)} cycles and ")


def test_a_killed_node_leaves_a_file_that_can_be_computed_again(start, robot, bundle, tmp_path):
    node = start("divo_controller.main", "--bundle", str(bundle), "--record", str(tmp_path / "bags"))
    robot.start_policy()
    robot.wait_for_commands(100)
    node.interrupt(signal.SIGKILL)
    robot.wait_for(lambda: node.exit_code is not None, "the end of the process")

    (path,) = (tmp_path / "bags").glob("two_joints_*.mcap")
    reader = RecordingReader(path)
    cycles = sum(isinstance(record, CycleRecord) for record in reader.timeline())

    assert reader.damage
    assert cycles >= 50  # of 100; what was not flushed is half a second at 50 Hz, or somewhat more on a busy machine
    assert replay_file(path, None, False).startswith(f"{cycles} cycles")


def test_the_simulated_robot_and_the_controller_record_the_same_experience(start, robot, write_tiny_bundle, tmp_path):
    robot.publishing = False  # the simulated robot speaks instead
    contract = arm_reach_contract()
    bundle = write_tiny_bundle(tmp_path, contract, [0.3, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0], noise_gain=0.01)
    paths = [tmp_path / "controller.mcap", tmp_path / "robot.mcap"]
    arm = start("divo_sim.robot_node", "--seed", "1", "--record", str(paths[1]), "--ros-args=--log-level warn")
    node = start("divo_controller.main", "--bundle", str(bundle), "--record", str(paths[0]), "--policy", "sampler")
    robot.start_policy()
    commands = []
    robot.subscribe(Float64MultiArray, contract.action.topic, lambda m: commands.append(list(m.data)))
    robot.wait_for(lambda: len(commands) >= 40, "40 commands")
    for process in (node, arm):
        process.interrupt()
        robot.wait_for(lambda process=process: process.exit_code is not None, "the end of the process")
        assert process.exit_code == 0
    robot.commands.clear()  # seven joints, that the fixture's limits do not know

    cycles = check_exact(paths[0], contract)
    assert len(cycles) >= 40
    assert replay_file(paths[0], None, False).startswith(f"{len(cycles)} cycles and ")

    ours, theirs = bag(paths[0]), bag(paths[1])
    assert set(theirs) - {"/divo_robot/episode"} == {"/" + topic for topic in (*contract.topics, contract.action.topic)}
    sent = [message.data for *_, message in ours[f"/{contract.action.topic}"]]
    received = [message.data for *_, message in theirs[f"/{contract.action.topic}"]]
    in_order = iter(sent)
    assert all(data in in_order for data in received)
    assert len(received) >= 0.5 * len(sent)  # its queue holds one: what comes before it could look is replaced
    published = {stamp(message): message.position for *_, message in theirs["/joint_states"]}
    assert all(published[stamp(message)] == message.position for *_, message in ours["/joint_states"])

    check_import(paths[0], tmp_path)


def check_import(path: Path, folder: Path) -> None:
    """Import a recording: every transition has the observation that the node built and the command that it sent."""
    h5py = pytest.importorskip("h5py")
    reader = RecordingReader(path)
    (folder / "contract.yaml").write_bytes(reader.attachments["contract.yaml"])
    command = [sys.executable, "-c", "from divo_train.cli import main; main()", "import", str(path), "--reward", "none"]
    files = ["--contract", str(folder / "contract.yaml"), "--out", str(folder / "dataset")]
    subprocess.run([*command, *files], check=True, capture_output=True, text=True)

    cycles = [record for record in reader.timeline() if isinstance(record, CycleRecord)]
    left, count = iter(cycles), 0
    with h5py.File(folder / "dataset" / "data" / "main_data.hdf5") as data:
        for number in range(len([name for name in data if name.startswith("episode_")])):
            episode = data[f"episode_{number}"]
            for observation, action in zip(episode["observations"][()], episode["actions"][()], strict=False):
                cycle = next(cycle for cycle in left if cycle.observation.tobytes() == observation.tobytes())
                assert action.tobytes() == cycle.command.astype(np.float32).tobytes()
                count += 1
    assert count >= 0.8 * len(cycles)  # cycles with stale input, and the last one of each episode, are none


def stamp(message) -> tuple[int, int]:
    return message.header.stamp.sec, message.header.stamp.nanosec


def test_a_place_that_cannot_be_written_is_a_warning_and_the_policy_runs(start, robot, bundle, tmp_path):
    (tmp_path / "file").write_text("")
    node = start("divo_controller.main", "--bundle", str(bundle), "--record", str(tmp_path / "file" / "below"))
    robot.start_policy()
    robot.wait_for_commands(20)

    assert "nothing is recorded any more, control goes on" in node.text
    robot.wait_for(lambda: "nothing is recorded" in " ".join(robot.values.values()), "the warning in the status")


def test_a_recording_at_its_size_limit_ends_and_the_policy_runs(start, robot, bundle, tmp_path):
    path = tmp_path / "small.mcap"
    node = start("divo_controller.main", "--bundle", str(bundle), "--record", str(path), "--record-max-mb", "0.015")
    robot.start_policy()
    robot.wait_for(lambda: "size limit" in node.text, "the end of the recording")
    robot.wait_for_commands(20)

    assert path.stat().st_size < 100_000
    assert replay_file(path, None, False)
