"""Bags made by hand: a two-joint robot whose numbers can be followed, written with `rosbags` or `mcap`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import yaml
from mcap.writer import Writer as McapWriter
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from divo_runtime.contract import Contract
from divo_runtime.recording.messages import CYCLE_DEFINITION, CYCLE_TYPE
from divo_runtime.schema import parse_yaml
from divo_train.data.bags.assembly import import_bags
from divo_train.data.bags.roles import TopicNames as TopicNames
from divo_train.data.bags.service_calls import EVENT_TYPES
from divo_train.data.bags.settings import ImportSettings
from divo_train.data.minari import load_minari

STORE = get_typestore(Stores.ROS2_JAZZY)
T = STORE.types
MS = 1_000_000
S = 1_000_000_000
BEGIN_NS = 1_700_000_000 * S
"""Time of the first message; the tests count from here."""
PERIOD_NS = 50 * MS

CONTRACT = """
schema: 1
name: two_joints
rate_hz: 20
observation:
  - {name: position, topic: joint_states, type: sensor_msgs/msg/JointState, field: position, joints: [a, b], unit: rad,
     max_age_ms: 100}
  - {name: velocity, topic: joint_states, type: sensor_msgs/msg/JointState, field: velocity, joints: [a, b],
     unit: rad/s, max_age_ms: 100}
  - {name: goal, topic: goal, type: geometry_msgs/msg/PointStamped, field: point, components: xy, unit: m,
     max_age_ms: 1000}
action:
  {kind: joint_velocity, names: [a, b], unit: rad/s, lower: [-1, -1], upper: [1, 1], topic: commands,
   type: std_msgs/msg/Float64MultiArray}
safety:
  measured_position: position
  limits:
    - {name: a, position: [-3, 3], velocity: 2, acceleration: 20}
    - {name: b, position: [-3, 3], velocity: 2, acceleration: 20}
"""


def header(stamp_ns):
    return T["std_msgs/msg/Header"](T["builtin_interfaces/msg/Time"](stamp_ns // S, stamp_ns % S), "base")


def joint_state(stamp_ns, position, velocity, names=("a", "b")):
    position, velocity = np.asarray(position, np.float64), np.asarray(velocity, np.float64)
    return T["sensor_msgs/msg/JointState"](header(stamp_ns), list(names), position, velocity, np.zeros(0))


def point(stamp_ns, x, y):
    return T["geometry_msgs/msg/PointStamped"](header(stamp_ns), T["geometry_msgs/msg/Point"](x, y, 0.0))


def array(values, label=""):
    dimension = T["std_msgs/msg/MultiArrayDimension"]
    layout = T["std_msgs/msg/MultiArrayLayout"]([dimension(label, len(values), len(values))] if label else [], 0)
    return T["std_msgs/msg/Float64MultiArray"](layout, np.asarray(values, np.float64))


def text(value):
    return T["std_msgs/msg/String"](value)


def flag(value):
    return T["std_msgs/msg/Bool"](value)


def number(value):
    return T["std_msgs/msg/Float64"](value)


@dataclass
class Tape:
    """Messages with their arrivals."""

    entries: list = field(default_factory=list)

    def add(self, at_ns, topic, message, late_ns=0):
        """Put a message on the tape, `at_ns` after the beginning."""
        self.entries.append((BEGIN_NS + at_ns + late_ns, topic, message))
        return self

    def write(self, folder: Path, storage=StoragePlugin.MCAP) -> Path:
        """Write a rosbag2 folder."""
        with Writer(folder, version=9, storage_plugin=storage) as writer:
            connections = {}
            for arrival_ns, topic, message in sorted(self.entries, key=lambda entry: entry[0]):
                kind, data = serialised(message)
                if (topic, kind) not in connections:
                    known = {"msgdef": "", "rihs01": "unknown"} if kind in DEFINITIONS else {"typestore": STORE}
                    connections[topic, kind] = writer.add_connection(topic, kind, **known)
                writer.write(connections[topic, kind], arrival_ns, data)
        return folder

    def write_mcap(self, path: Path, definitions=True, **options) -> Path:
        """Write a lone MCAP file with the plain `mcap` writer; its options say what index the file gets."""
        with path.open("wb") as stream:
            writer = McapWriter(stream, **options)
            writer.start(profile="ros2", library="test")
            self.write_to(writer, definitions)
            writer.finish()
        return path

    def write_to(self, writer, definitions=True):
        """Write to a writer that has started, with channels of its own."""
        channels = {}
        for arrival_ns, topic, message in sorted(self.entries, key=lambda entry: entry[0]):
            kind, data = serialised(message)
            if topic not in channels:
                text = DEFINITIONS[kind] if kind in DEFINITIONS else STORE.generate_msgdef(kind, ros_version=2)[0]
                schema = writer.register_schema(kind, "ros2msg" if definitions else "", text.encode() * definitions)
                channels[topic] = writer.register_channel(topic, "cdr", schema)
            writer.add_message(channels[topic], arrival_ns, data, arrival_ns)


@dataclass
class Raw:
    """A message that is serialised already."""

    type: str
    data: bytes


DEFINITIONS = {CYCLE_TYPE: CYCLE_DEFINITION, "my_msgs/msg/Secret": "", **dict.fromkeys(EVENT_TYPES, "")}


def serialised(message):
    if isinstance(message, Raw):
        return message.type, message.data
    return message.__msgtype__, bytes(STORE.serialize_cdr(message, message.__msgtype__))


def contract(change=None):
    """Return the contract and its text, after `change` has had its way with the plain data."""
    tree = yaml.safe_load(CONTRACT)
    if change:
        change(tree)
    text = yaml.safe_dump(tree, sort_keys=False)
    return parse_yaml(text, Contract, "contract.yaml"), text


def imported(folder, *bags, change=None, workers=1, **settings):
    """Import bags; return the result and the dataset (None if nothing was kept)."""
    parsed, text = contract(change)
    result = import_bags(list(bags), ImportSettings(parsed, **settings), text, folder / "root" / "robot-v0", workers)
    return result, load_minari(result.folder) if result.metadata else None


def ramp(count=5, state_ms=10, command_ms=50, first_command_ms=48, commands=None, skip_states=(), **changes):
    """States every 10 ms whose position counts them (a: 0.00, 0.01, ...; b: 1.00, 1.01, ...), and some commands."""
    tape = Tape()
    tape.add(0, "/goal", point(BEGIN_NS, 0.25, -0.5))
    for number in range(count * command_ms // state_ms + command_ms // state_ms + 1):
        at_ns = number * state_ms * MS
        if number not in skip_states:
            place = number / 100
            tape.add(at_ns, "/joint_states", joint_state(BEGIN_NS + at_ns, [1 + place, place], [0, 0], ("b", "a")))
    for number in range(count):
        at_ns = (first_command_ms + number * command_ms) * MS
        values = commands[number] if commands else [number / 10, -number / 10]
        tape.add(at_ns, "/commands", values if hasattr(values, "__msgtype__") else array(values))
    return tape


def positions(dataset):
    """Position of joint a in hundredths, which is the number of the state that was held."""
    return np.round(dataset.observations[:, 0] * 100).astype(int).tolist()


def tape_of(commands=8):
    """States every 10 ms whose position of joint a counts them, and commands at 48, 98, ... ms."""
    tape = Tape().add(0, "/goal", point(BEGIN_NS, 0.25, -0.5))
    for number in range(commands * 5 + 6):
        at_ns = number * 10 * MS
        tape.add(at_ns, "/joint_states", joint_state(BEGIN_NS + at_ns, [number / 100, 0], [0, 0], ("a", "b")))
    for number in range(commands):
        tape.add((48 + 50 * number) * MS, "/commands", array([number / 10, 0]))
    return tape


def wave(time_s, phase):
    """Velocity of a joint at a time [rad/s]: two tones, so that no shift in time looks like another."""
    return 0.5 * np.sin(2.0 * time_s + phase) + 0.3 * np.sin(5.3 * time_s + 2 * phase)


def robot_tape(
    seconds=20.0, state_hz=100, command_lag_s=0.0, order=(0, 1), scale=(1.0, 1.0, 1.0), names=("b", "a"), gain=1.0
):
    """A robot that follows its commands: what is commanded in a period is moved in it.

    Args:
        seconds: Length.
        state_hz: Rate of the joint states.
        command_lag_s: How much later than the motion the commands are written (negative: earlier).
        order: Order of the joints in the command.
        scale: Factors on positions, velocities and commands.
        names: Order of the joints in the states.
        gain: Factor on the motion, commands included.
    """
    tape = Tape()
    times = np.arange(0, seconds, 1 / state_hz)
    periods = np.floor(times / 0.05 + 1e-9).astype(int)
    ticks = np.arange(int(seconds / 0.05) + 1) * 0.05
    commands = gain * np.stack([wave(ticks, 0.0), wave(ticks, 1.3)], axis=1)
    velocity = commands[periods]
    position = np.cumsum(velocity, axis=0) / state_hz
    columns = ["ab".index(name) for name in names]
    for time_s, place, speed in zip(times, position, velocity, strict=True):
        at_ns = round(time_s * S)
        state = joint_state(BEGIN_NS + at_ns, scale[0] * place[columns], scale[1] * speed[columns], names)
        tape.add(at_ns, "/joint_states", state, late_ns=200_000)
    for tick, command in zip(ticks[:-1], commands[:-1], strict=True):
        at_ns = round((tick + command_lag_s) * S) - 2 * MS
        if at_ns >= 0:
            tape.add(at_ns, "/commands", array(scale[2] * command[list(order)]))
    for time_s in np.arange(0, seconds, 0.5):
        at_ns = round(time_s * S)
        tape.add(at_ns, "/goal", point(BEGIN_NS + at_ns, 0.25 + time_s / 100, -0.5 - time_s / 100), late_ns=300_000)
    return tape
