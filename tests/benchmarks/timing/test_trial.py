"""What a trial is run with, and two seconds of every node through real DDS."""

from __future__ import annotations

import os

import numpy as np
import pytest
from msgspec import structs

from benchmarks.timing.bundles import write_bundle_at
from benchmarks.timing.cells import Cell
from benchmarks.timing.machine import realtime_permitted
from benchmarks.timing.results import block_file, read_blocks, summarize_cell, write_samples
from benchmarks.timing.trial import Conditions, run_block
from benchmarks.timing.witness import read_standstills
from divo_runtime.bundle.loading import load_bundle
from divo_runtime.contract import Contract
from divo_runtime.observation import Measurement, ObservationBuilder
from divo_runtime.schema import parse_yaml
from divo_sim.contracts import arm_reach_contract

TWO_JOINTS = """
schema: 1
name: two_joints
rate_hz: 20
observation:
  - {name: position, topic: joint_states, type: sensor_msgs/msg/JointState, field: position, joints: [left, right],
     unit: rad, max_age_ms: 200}
  - {name: goal, topic: goal, type: geometry_msgs/msg/PointStamped, field: point, components: xy, unit: m,
     max_age_ms: 1000}
action:
  {kind: joint_velocity, names: [left, right], unit: rad/s, lower: [-1, -1], upper: [1, 1], topic: commands,
   type: std_msgs/msg/Float64MultiArray}
safety:
  measured_position: position
  limits:
    - {name: left, position: [-3.0, 3.0], velocity: 1.0, acceleration: 5.0}
    - {name: right, position: [-3.0, 3.0], velocity: 1.0, acceleration: 5.0}
"""
NOW_NS = 1_800_000_000_000_000_000


def test_a_bundle_at_another_rate_differs_in_the_rate_alone(tmp_path, write_tiny_bundle):
    source = write_tiny_bundle(tmp_path, arm_reach_contract())

    copy = write_bundle_at(source, 500, write_bundle_at(source, 100, tmp_path / "copy"))

    with load_bundle(source) as old, load_bundle(copy) as new:
        assert new.contract == structs.replace(old.contract, rate_hz=500.0)
        assert new.manifest.models == old.manifest.models
        assert new.manifest.x_divo.files == old.manifest.x_divo.files


def test_the_stand_ins_messages_make_up_the_observation_that_was_asked_for():
    pytest.importorskip("rclpy")
    from benchmarks.timing.robot_messages import observation_messages, stamp, stamp_ns

    contract = arm_reach_contract()
    wanted = np.linspace(-1.0, 1.0, contract.observation_size, dtype=np.float32)

    messages = observation_messages(contract, wanted)
    for message in messages.values():
        stamp(message, NOW_NS + 7)
    measurements = {topic: Measurement(message, stamp_ns(message)) for topic, message in messages.items()}
    observation = ObservationBuilder(contract).build(measurements, NOW_NS + 1007)

    assert observation.problems == ()
    assert set(observation.ages_ns) == {1000}
    assert observation.vector == pytest.approx(wanted, abs=1e-6)


def test_the_naive_nodes_misses_are_counted_like_ours():
    pytest.importorskip("rclpy")
    from benchmarks.timing.naive_node import TimerSchedule

    schedule = TimerSchedule(period_ns=100)

    assert schedule.begin(1_010, 90) == 10  # due at 1000, the next at 1100
    schedule.end(1_050)
    assert schedule.begin(1_105, 95) == 5  # due at 1100, the next at 1200
    schedule.end(1_200)  # just in time
    assert schedule.missed == 0
    assert schedule.begin(1_430, 70) == 230  # due at 1200; the timer skipped 1300 and 1400
    schedule.end(1_440)
    assert schedule.missed == 2
    assert schedule.begin(1_500, 100) == 0


@pytest.mark.ros
@pytest.mark.slow
@pytest.mark.parametrize("subject", ["actor", "noop", "naive"])
def test_two_seconds_of_every_node_are_measured_through_real_dds(tmp_path, write_tiny_bundle, subject):
    pytest.importorskip("rclpy")
    source = write_tiny_bundle(tmp_path, parse_yaml(TWO_JOINTS, Contract, "two_joints.yaml"), 0.1)
    bundle = write_bundle_at(source, 50, tmp_path / "bundle")
    cell = Cell(subject, 50, loaded=subject == "noop", cycles=50)

    run_block(cell, bundle, block_file(tmp_path, cell, 0), Conditions(), domain=101 + os.getpid() % 100)

    seen = sorted(tmp_path.glob("*/0.witness*.npy"))
    assert len(seen) == (len(os.sched_getaffinity(0)) if realtime_permitted() else 0)
    assert read_standstills(seen).shape[1] == 2
    (warm,), (cold,) = read_blocks(tmp_path, cell)
    assert cell.warm_cycles == 50
    assert len(warm.end_to_end) + warm.unseen == 50
    assert len(warm.end_to_end) > 40
    assert len(cold.end_to_end) > 10  # the first commands can be sent before the robot has found their topic
    assert (warm.reaction > 0).all()
    assert (warm.age > 0).all()
    assert (warm.wakeup >= 0).all()
    if subject == "noop":
        assert (warm.inference == 0).all()
    else:
        assert (warm.inference > 0).all()
    assert summarize_cell(tmp_path, cell).cycles == 50
    write_samples(tmp_path / "samples.npz", tmp_path, [cell])
    with np.load(tmp_path / "samples.npz") as data:
        assert data[f"{cell.name}/end_to_end_us"].tolist() == np.round(warm.end_to_end).tolist()
