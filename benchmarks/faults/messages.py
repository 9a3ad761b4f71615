"""The messages that the robot sends, as plain data: whatever spoils them needs no ROS."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace

from benchmarks.faults.plant import TOOL, Plant

NS_PER_S = 1_000_000_000
RANGES = (1.0, 1.0, 1.0)
Message = SimpleNamespace
"""Has the fields of a ROS message, and may be changed."""


def robot_messages(plant: Plant, stamp_ns: int, now_s: float) -> dict[str, Message]:
    """Return topic -> message with what the sensors say.

    Args:
        plant: The robot.
        stamp_ns: For the headers [ns].
        now_s: Time of the plant [s].
    """
    measured = plant.measured()
    joints = Message(name=list(plant.names), effort=[0.0] * len(plant.names), **measured)
    pose = Message(pose=Message(position=_point(TOOL), orientation=Message(x=0.0, y=0.0, z=0.0, w=1.0)))
    messages = {
        "joint_states": joints,
        "tool_pose": pose,
        "goal": Message(point=_point(plant.goal(now_s))),
        "scan": Message(ranges=list(RANGES)),
    }
    for message in messages.values():
        message.header = Message(stamp=Message(sec=0, nanosec=0))
        set_stamp(message, stamp_ns)
    return messages


def empty_message(topic: str) -> Message:
    """Return what ROS makes of a message in which nobody has filled in anything."""
    nothing = {
        "joint_states": Message(name=[], position=[], velocity=[], effort=[]),
        "tool_pose": Message(pose=Message(position=_point((0, 0, 0)), orientation=Message(x=0.0, y=0.0, z=0.0, w=1.0))),
        "goal": Message(point=_point((0, 0, 0))),
        "scan": Message(ranges=[]),
    }[topic]
    nothing.header = Message(stamp=Message(sec=0, nanosec=0))
    return nothing


def set_stamp(message: Message, stamp_ns: int) -> None:
    """Write a time into a message's header."""
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, NS_PER_S)


def stamp_of(message: Message) -> int:
    """Return the time in a message's header [ns]."""
    return int(message.header.stamp.sec) * NS_PER_S + int(message.header.stamp.nanosec)


def copy_fields(plain: Message, message: object) -> object:
    """Copy every field of a plain message into the ROS message of the same type; return the latter."""
    fields: Mapping[str, object] = vars(plain)
    for name, value in fields.items():
        if isinstance(value, Message):
            copy_fields(value, getattr(message, name))
        else:
            setattr(message, name, value)
    return message


def _point(values: tuple[float, ...]) -> Message:
    return Message(**dict(zip("xyz", map(float, values), strict=True)))
