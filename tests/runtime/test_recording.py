"""What is in a recording."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("mcap")


from mcap.reader import make_reader
from mcap_ros2.decoder import DecoderFactory

from divo_runtime.recording.identity import BUNDLE, SUMMARY, bundle_hash
from divo_runtime.recording.messages import (
    CYCLE_TYPE,
    EVENT_TYPE,
    CycleTimes,
    Inputs,
)
from divo_runtime.recording.reader import RecordingReader
from divo_runtime.schema import parse_yaml
from recorded_run import BEGIN_NS, CLASSES, MS, SETTINGS, goal, start_run

FOLLOW = np.array([[1.0, 0, 0.1, 0, 0], [0, 1.0, 0, 0.1, 0]])
"""A linear policy over position a, position b, goal x, goal y, 1."""


@pytest.fixture
def folder(write_tiny_bundle, tmp_path, arm) -> Path:
    return write_tiny_bundle(tmp_path, arm, FOLLOW, noise_gain=0.05)


@pytest.fixture
def run(folder, tmp_path):
    run = start_run(tmp_path, folder)
    yield run
    run.recorder.close()


def read(path: Path):
    """Return topic -> [(schema name, log time, publish time, decoded message)], read as any tool would."""
    found: dict[str, list] = {}
    with path.open("rb") as stream:
        reader = make_reader(stream, decoder_factories=[DecoderFactory()])
        assert reader.get_header().profile == "ros2"
        for schema, channel, message, decoded in reader.iter_decoded_messages():
            found.setdefault(channel.topic, []).append((schema.name, message.log_time, message.publish_time, decoded))
    return found


def test_each_message_stands_there_once_with_the_times_of_its_arrival_and_its_stamp(run):
    assert run.activate() == ()
    for step in range(8):
        run.cycle((0.01 * step, 0.2))
    run.recorder.close()

    found = read(run.path)

    kinds = {topic: messages[0][0] for topic, messages in found.items()}
    assert kinds == {
        "/joint_states": "sensor_msgs/msg/JointState",
        "/goal": "geometry_msgs/msg/PointStamped",
        "/commands": "std_msgs/msg/Float64MultiArray",
        "/divo_controller/cycle": CYCLE_TYPE,
        "/divo_controller/event": EVENT_TYPE,
    }
    assert [len(found[topic]) for topic in ("/joint_states", "/goal", "/commands")] == [9, 2, 8]
    _, log_ns, publish_ns, state = found["/joint_states"][1]
    assert publish_ns == BEGIN_NS + 80 * MS == state.header.stamp.sec * 1000 * MS + state.header.stamp.nanosec
    assert log_ns == publish_ns + 1 * MS
    assert (state.name, state.position) == (["a", "b"], [0.0, 0.2])
    sent = found["/commands"]
    assert [command.data for *_, command in sent] == [output.command.tolist() for output in run.outputs]
    assert sent[0][1] == BEGIN_NS + 102 * MS


def test_a_cycle_tells_everything_that_led_to_its_command(run):
    run.activate()
    run.cycle((0.0, 0.2))
    output = run.cycle((0.1, 0.2))
    run.recorder.close()

    (event, _, cycle) = RecordingReader(run.path).timeline()

    assert (event.order, event.kind, event.seed, event.result, event.text) == (1, "activate", 3, (), "sampler")
    assert (cycle.order, cycle.number, cycle.draw, cycle.seed, cycle.policy) == (3, 2, 2, 3, "sampler")
    assert cycle.now_ns == BEGIN_NS + 200 * MS
    assert cycle.inputs == Inputs(
        ("joint_states", "goal"),
        (3, 1),
        (BEGIN_NS + 180 * MS, BEGIN_NS),
        (BEGIN_NS + 181 * MS, BEGIN_NS + 1 * MS),
    )
    assert cycle.ages_ns == (20 * MS, 200 * MS)
    assert cycle.observation.tolist() == np.float32([0.1, 0.2, 0.5, -0.25]).tolist()
    generator = np.random.default_rng(3)
    generator.standard_normal((4, 2), dtype=np.float32)
    assert cycle.noise.tobytes() == generator.standard_normal((4, 2), dtype=np.float32).tobytes()
    assert cycle.action.tobytes() == output.action.tobytes()
    assert cycle.command.tobytes() == output.command.tobytes()
    assert (cycle.mode, cycle.value, cycle.times) == ("blending", output.value, CycleTimes(10, 20, 30, 40, 0))


def test_the_file_says_what_ran_and_on_what(run, folder):
    run.recorder.close()
    reader = RecordingReader(run.path)
    assert list(reader.timeline()) == []

    about = reader.metadata[BUNDLE]
    assert about["manifest_sha256"] == bundle_hash(folder)
    assert {key: about[key] for key in SETTINGS} == {key: str(value) for key, value in SETTINGS.items()}
    assert reader.metadata["divo.versions"]["numpy"] == np.__version__
    assert int(reader.metadata["divo.machine"]["cores"]) >= 1
    assert reader.contract == run.bundle.contract
    assert reader.attachments["manifest.yaml"] == (folder / "two_joints.yaml").read_bytes()
    assert reader.metadata[SUMMARY] == {"dropped_calls": "0", "dropped_commands": "0"}
    assert reader.damage == ""


def test_an_old_message_that_is_used_again_is_written_again_only_when_forgotten(run):
    scribe = run.recorder._scribe
    kept = goal(0.0, 0.0, BEGIN_NS)
    first = scribe._place("goal", kept)
    others = [scribe._place("goal", goal(float(n), 0.0, BEGIN_NS + n)) for n in range(1, 256)]

    assert scribe._place("goal", kept) == first == 1
    assert others == list(range(2, 257))
    scribe._place("goal", goal(9.0, 9.0, BEGIN_NS))
    assert scribe._place("goal", kept) == 258


def test_the_contract_in_the_file_is_the_contract(run, arm):
    run.recorder.close()
    text = RecordingReader(run.path).attachments["contract.yaml"].decode()
    assert parse_yaml(text, type(arm), "contract.yaml") == arm
    assert set(CLASSES) >= set(arm.topics.values())
