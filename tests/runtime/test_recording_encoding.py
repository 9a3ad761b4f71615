"""How messages become bytes, and that ROS and other tools read them."""

from __future__ import annotations

import struct
from importlib import import_module

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("mcap")

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
from mcap.records import Schema
from mcap_ros2.decoder import DecoderFactory
from nav_msgs.msg import Odometry
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import JointState, LaserScan

from divo_runtime.fields import LAYOUTS
from divo_runtime.recording.cdr import CdrReader, CdrWriter
from divo_runtime.recording.encoding import NUMBERS, message_encoder
from divo_runtime.recording.messages import (
    CYCLE_DEFINITION,
    CYCLE_TYPE,
    EVENT_DEFINITION,
    EVENT_TYPE,
    CycleRecord,
    CycleTimes,
    EventRecord,
    Inputs,
    decode_cycle,
    decode_event,
    encode_cycle,
    encode_event,
)
from divo_runtime.recording.ros_types import message_definition, message_fields

FOLLOW = np.array([[1.0, 0, 0.1, 0, 0], [0, 1.0, 0, 0.1, 0]])
"""A linear policy over position a, position b, goal x, goal y, 1."""


def a_cycle() -> CycleRecord:
    return CycleRecord(
        order=2,
        number=1,
        draw=1,
        seed=7,
        now_ns=-5,
        value=0.5,
        timings_ns=(1, 2, 3),
        times=CycleTimes(4, 5, 6, -7, 8),
        inputs=Inputs(("joint_states", "goal"), (3, 0), (10, 0), (11, 0)),
        policy="actor",
        mode="running",
        ages_ns=(12, -1),
        observation=np.float32([0.1, np.nan]),
        noise=np.float32([[1, 2], [3, 4]]).ravel(),
        action=np.float32([0.25]),
        command=np.array([0.125]),
        reasons=("goal: missing", "é"),
        clips=(),
        warnings=("novelty",),
    )


def test_cdr_aligns_every_number_to_its_size():
    writer = CdrWriter()
    writer.string("ab")  # 4 + 3 bytes, then one of padding
    writer.numbers([1], "<u4")
    writer.numbers([2], "<i8")  # the length ends at 20, so the number begins at 24
    writer.numbers((), "<f8")
    expected = struct.pack("<I3sx II I4x q I", 3, b"ab\0", 1, 1, 1, 2, 0)

    assert writer.message() == b"\x00\x01\x00\x00" + expected


def test_a_message_that_ends_early_is_an_error():
    data = encode_cycle(a_cycle())
    for cut in (3, 20, 150, len(data) - 1):
        with pytest.raises(ValueError, match=r"expected plain CDR|ends after"):
            decode_cycle(data[:cut])
    with pytest.raises(ValueError, match="head 00030000"):
        CdrReader(b"\x00\x03\x00\x00")


def test_our_messages_survive_the_way_there_and_back():
    cycle, event = a_cycle(), EventRecord(9, "latch", 1, -1, True, Inputs(("goal",), (1,), (2,), (3,)), "why", ("no",))

    back = decode_cycle(encode_cycle(cycle))

    for field in CycleRecord.__slots__:
        sent, got = getattr(cycle, field), getattr(back, field)
        assert sent.tobytes() == got.tobytes() if isinstance(sent, np.ndarray) else sent == got, field
    assert decode_event(encode_event(event)) == event


@pytest.mark.parametrize(
    ("definition", "type_name", "data"),
    [
        (CYCLE_DEFINITION, CYCLE_TYPE, encode_cycle(a_cycle())),
        (EVENT_DEFINITION, EVENT_TYPE, encode_event(EventRecord(3, "latch", 4, text="why"))),
    ],
)
def test_other_tools_read_our_messages_by_the_definition_in_the_file(definition, type_name, data):
    schema = Schema(id=1, data=definition.encode(), encoding="ros2msg", name=type_name)
    message = DecoderFactory().decoder_for("cdr", schema)(data)

    ours = decode_cycle(data) if type_name == CYCLE_TYPE else decode_event(data)
    assert message.order == ours.order
    assert message.topics == list(ours.inputs.topics)
    if isinstance(ours, CycleRecord):
        assert (message.mode, message.slack_ns, message.reasons) == ("running", -7, ["goal: missing", "é"])
        assert message.noise == [1.0, 2.0, 3.0, 4.0]
    else:
        assert (message.kind, message.text) == ("latch", "why")


def test_a_definition_names_every_field_and_every_nested_type():
    expected = [
        "std_msgs/Header header\nstring[] name\nfloat64[] position\nfloat64[] velocity\nfloat64[] effort\n",
        "MSG: std_msgs/Header\nbuiltin_interfaces/Time stamp\nstring frame_id\n",
        "MSG: builtin_interfaces/Time\nint32 sec\nuint32 nanosec\n",
    ]
    assert message_definition(JointState) == ("\n" + "=" * 80 + "\n").join(expected)
    assert "float64[36] covariance" in message_definition(Odometry)
    assert "float32[] ranges" in message_definition(LaserScan)


def fill(message, rng: np.random.Generator) -> None:
    """Give every field of a ROS message a value, and sequences a length that spoils the alignment."""
    for field in message_fields(type(message)):
        value = getattr(message, field.name)
        if field.nested and not field.listed:
            fill(value, rng)
        elif field.kind == "string":
            setattr(message, field.name, ["a", "bcd"] if field.listed else "odd")
        elif field.kind.startswith("float"):
            numbers = rng.integers(-99, 99, field.count or 3) / 8
            setattr(message, field.name, numbers.tolist() if field.count or field.listed else float(numbers[0]))
        elif field.kind in NUMBERS and not field.listed and not field.count:
            setattr(message, field.name, int(rng.integers(1, 99)))


@pytest.mark.parametrize("filled", [True, False])
@pytest.mark.parametrize("name", [*LAYOUTS, "trajectory_msgs/msg/JointTrajectory", "std_msgs/msg/Empty"])
def test_ros_and_other_tools_read_what_we_encode_of_every_type_that_a_contract_can_name(name, filled):
    package, _, short = name.split("/")
    kind = getattr(import_module(f"{package}.msg"), short)
    message = kind()
    if filled:
        fill(message, np.random.default_rng(0))
    data = message_encoder(kind)(message)
    schema = Schema(id=1, data=message_definition(kind).encode(), encoding="ros2msg", name=name)

    assert deserialize_message(data, kind) == message
    assert message_encoder(kind)(DecoderFactory().decoder_for("cdr", schema)(data)) == data
    store = pytest.importorskip("rosbags.typesys")
    types = store.get_typestore(store.Stores.ROS2_JAZZY)
    assert len(types.serialize_cdr(types.deserialize_cdr(data, name), name)) in range(len(data), len(data) + 8)


def test_bytes_are_encoded_as_rclpy_has_them():
    status = DiagnosticStatus(level=DiagnosticStatus.ERROR, name="x", values=[KeyValue(key="k", value="v")])
    data = message_encoder(DiagnosticStatus)(status)

    assert data[4] == 2
    assert deserialize_message(data, DiagnosticStatus) == status
