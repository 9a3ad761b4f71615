"""A robot of three joints and a linear policy, with a bundle that knows its training data, and bags of it to spoil."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from divo_runtime.bundle.manifest import Moments, Statistics, file_hash, read_manifest
from divo_runtime.bundle.manifest_writing import write_manifest
from divo_runtime.bundle.verification import find_manifest
from divo_runtime.contract import Contract
from divo_runtime.parity.sample import SAMPLE_FILE, ParitySample, write_sample
from divo_runtime.schema import parse_yaml

STORE = get_typestore(Stores.ROS2_JAZZY)
T = STORE.types
MS, S = 1_000_000, 1_000_000_000
BEGIN_NS = 1_700_000_000 * S
PERIOD_NS = 50 * MS
EPISODE = 40
"""Periods after which the robot is put elsewhere."""

CONTRACT = """
schema: 1
name: three_joints
rate_hz: 20
observation:
  - {name: position, topic: joint_states, type: sensor_msgs/msg/JointState, field: position, joints: [a, b, c],
     unit: rad, max_age_ms: 100}
  - {name: velocity, topic: joint_states, type: sensor_msgs/msg/JointState, field: velocity, joints: [a, b, c],
     unit: rad/s, max_age_ms: 100}
  - {name: tool, topic: tool_pose, type: geometry_msgs/msg/PoseStamped, field: pose.position, unit: m, max_age_ms: 100}
  - {name: goal, topic: goal, type: geometry_msgs/msg/PointStamped, field: point, relative_to: tool, unit: m,
     max_age_ms: 1000}
action:
  {kind: joint_velocity, names: [a, b, c], unit: rad/s, lower: [-2, -2, -2], upper: [2, 2, 2], topic: commands,
   type: std_msgs/msg/Float64MultiArray}
safety:
  measured_position: position
  limits:
    - {name: a, position: [-6, 6], velocity: 2, acceleration: 90}
    - {name: b, position: [-6, 6], velocity: 2, acceleration: 90}
    - {name: c, position: [-6, 6], velocity: 2, acceleration: 90}
"""
HOME = np.array([0.8, -0.4, 1.9])
SPREAD = np.array([0.5, 0.25, 0.35])
TOOL = np.array([0.5, 0.1, 0.4])
JACOBIAN = np.array([[0.35, 0.05, 0.10], [-0.05, 0.40, 0.08], [0.02, -0.12, 0.30]])
"""Tool position per joint position, the same everywhere [m/rad]."""
GAIN_PER_S = 3.0


def contract() -> Contract:
    return parse_yaml(CONTRACT, Contract, "three_joints.yaml")


def policy_weights() -> np.ndarray:
    """Return (3, 13): joint velocities that lead the tool straight to the goal."""
    weights = np.zeros((3, 13))
    weights[:, 9:12] = GAIN_PER_S * np.linalg.inv(JACOBIAN)
    return weights


@dataclass
class Motion:
    """What a robot did: rows of one per period."""

    position: np.ndarray
    velocity: np.ndarray
    goal: np.ndarray
    command: np.ndarray

    @property
    def tool(self) -> np.ndarray:
        return TOOL + (self.position - HOME) @ JACOBIAN.T

    @property
    def observations(self) -> np.ndarray:
        return np.concatenate([self.position, self.velocity, self.tool, self.goal - self.tool], axis=1)


def move(seed: int, periods: int, noise: float = 0.3) -> Motion:
    """Let the robot follow its policy, disturbed, from goal to goal."""
    rng = np.random.default_rng(seed)
    rows: dict[str, list[np.ndarray]] = {"position": [], "velocity": [], "goal": [], "command": []}
    position = velocity = goal = np.zeros(3)
    for period in range(periods):
        if period % EPISODE == 0:
            position, goal = (HOME + SPREAD * rng.standard_normal(3) for _ in range(2))
            goal, velocity = TOOL + (goal - HOME) @ JACOBIAN.T, np.zeros(3)
        tool = TOOL + (position - HOME) @ JACOBIAN.T
        command = GAIN_PER_S * np.linalg.inv(JACOBIAN) @ (goal - tool) + noise * rng.standard_normal(3)
        command = np.clip(command, -2, 2)
        for name, value in (("position", position), ("velocity", velocity), ("goal", goal), ("command", command)):
            rows[name].append(value)
        position, velocity = position + command * 0.05, command
    return Motion(**{name: np.array(values) for name, values in rows.items()})


def write_robot_bundle(write_tiny_bundle, folder: Path) -> Path:
    """Write a bundle of the policy whose sample and statistics are those of the robot's motion."""
    bundle = write_tiny_bundle(folder, contract(), policy_weights())
    seen = move(1, 6000)
    observations = seen.observations.astype(np.float32)
    write_sample(bundle / SAMPLE_FILE, ParitySample(observations, 0))
    path = find_manifest(bundle)
    manifest = read_manifest(path)
    extras = msgspec.structs.replace(
        manifest.x_divo,
        statistics=Statistics(observation=moments(observations), action=moments(seen.command)),
        files={**manifest.x_divo.files, SAMPLE_FILE: file_hash(bundle / SAMPLE_FILE, "sha256")},
    )
    write_manifest(path, msgspec.structs.replace(manifest, x_divo=extras))
    return bundle


def moments(rows: np.ndarray) -> Moments:
    columns = (rows.mean(axis=0), rows.std(axis=0), rows.min(axis=0), rows.max(axis=0))
    mean, std, low, high = (tuple(map(float, column)) for column in columns)
    return Moments(mean=mean, std=std, minimum=low, maximum=high)


@dataclass
class Spoiling:
    """What a recording does wrong; by default nothing."""

    names: tuple[str, ...] = ("c", "a", "b")
    numbers: tuple[str, ...] = ("c", "a", "b")
    """Order of the numbers that stand under these names."""
    position: float = 1.0
    velocity: float = 1.0
    sign: dict[str, float] = field(default_factory=dict)
    offset: dict[str, float] = field(default_factory=dict)
    goal_scale: float = 1.0
    goal_shift: tuple[float, float, float] = (0.0, 0.0, 0.0)
    goal_axes: tuple[int, int, int] = (0, 1, 2)
    command: tuple[int, int, int] = (0, 1, 2)
    command_scale: tuple[float, float, float] = (1.0, 1.0, 1.0)
    command_late: int = 0
    """Periods."""
    motion_late: int = 0
    """Periods by which everything measured is older than it says."""
    clip: float = 99.0
    state_every: int = 1
    stamp_ms: float = 0.0
    """Milliseconds that the joint states are stamped later than they are."""
    frozen: str = ""
    leave_out: tuple[str, ...] = ()
    rename: dict[str, str] = field(default_factory=dict)


def write_bag(folder: Path, spoil: Spoiling, seed: int = 7, periods: int = 1200) -> Path:
    """Write a bag of the robot with 20 messages per second on each topic, every command 10 ms after the state."""
    seen = move(seed, periods)
    entries = []
    for row in range(periods):
        at_ns = BEGIN_NS + row * PERIOD_NS
        old = max(row - spoil.motion_late, 0)
        if row % spoil.state_every == 0:
            entries.append((at_ns + MS, "/joint_states", _state(seen, old, at_ns, spoil)))
        tool = T["geometry_msgs/msg/Pose"](_point(seen.tool[old]), T["geometry_msgs/msg/Quaternion"](0, 0, 0, 1))
        entries.append((at_ns + MS, "/tool_pose", T["geometry_msgs/msg/PoseStamped"](_header(at_ns), tool)))
        goal = (spoil.goal_scale * seen.goal[row])[list(spoil.goal_axes)] + np.array(spoil.goal_shift)
        entries.append((at_ns + MS, "/goal", T["geometry_msgs/msg/PointStamped"](_header(at_ns), _point(goal))))
        sent = seen.command[max(row - spoil.command_late, 0)][list(spoil.command)] * spoil.command_scale
        layout = T["std_msgs/msg/MultiArrayLayout"]([], 0)
        command = T["std_msgs/msg/Float64MultiArray"](layout, np.clip(sent, -spoil.clip, spoil.clip))
        entries.append((at_ns + 10 * MS, "/commands", command))
    kept = [
        (at_ns, spoil.rename.get(topic, topic), message)
        for at_ns, topic, message in entries
        if topic not in spoil.leave_out
    ]
    return _write(folder, kept)


def _state(seen: Motion, row: int, at_ns: int, spoil: Spoiling):
    columns = ["abc".index(name) for name in spoil.numbers]
    sign = np.array([spoil.sign.get(joint, 1.0) for joint in "abc"])
    offset = np.array([spoil.offset.get(joint, 0.0) for joint in "abc"])
    position, velocity = seen.position[row] * sign + offset, seen.velocity[row] * sign
    if spoil.frozen:
        position["abc".index(spoil.frozen)], velocity["abc".index(spoil.frozen)] = 0.8, 0.0
    header = _header(at_ns + round(spoil.stamp_ms * MS))
    numbers = (spoil.position * position)[columns], (spoil.velocity * velocity)[columns]
    return T["sensor_msgs/msg/JointState"](header, list(spoil.names), *numbers, np.zeros(0))


def _write(folder: Path, entries) -> Path:
    with Writer(folder, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connections = {}
        for at_ns, topic, message in entries:
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, message.__msgtype__, typestore=STORE)
            writer.write(connections[topic], at_ns, STORE.serialize_cdr(message, message.__msgtype__))
    return folder


def _header(stamp_ns: int):
    return T["std_msgs/msg/Header"](T["builtin_interfaces/msg/Time"](stamp_ns // S, stamp_ns % S), "base")


def _point(values):
    return T["geometry_msgs/msg/Point"](*map(float, values))
