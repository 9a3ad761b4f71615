"""ROS messages that make up one given observation, as a robot would send them."""

from __future__ import annotations

from collections import defaultdict
from operator import attrgetter
from typing import Any

from divo_runtime.contract import Contract, ObservationTerm
from divo_runtime.fields import JOINT_STATE
from divo_runtime.observation import FloatArray
from divo_sim.ros_messages import ros_class

NS_PER_S = 1_000_000_000


def observation_messages(contract: Contract, observation: FloatArray) -> dict[str, Any]:
    """Return topic -> message from which the observation builder would build `observation` again.

    Args:
        contract: The robot task.
        observation: (obs_dim,) float32, a typical one.
    """
    messages = {topic: ros_class(kind)() for topic, kind in contract.topics.items()}
    joints: dict[str, dict[str, int]] = defaultdict(dict)
    for term in contract.observation:  # the names first: terms of one message may list its joints differently
        for joint in term.joints:
            joints[term.topic].setdefault(joint, len(joints[term.topic]))
    for topic, places in joints.items():
        messages[topic].name = list(places)
    values: dict[str, list[float]] = {}
    begin = 0
    for term in contract.observation:
        part = [float(value) for value in observation[begin : begin + term.width]]
        begin += term.width
        base = values.get(term.relative_to, [0.0] * len(part))
        values[term.name] = [value + other for value, other in zip(part, base, strict=True)]
        _fill(messages[term.topic], term, values[term.name], joints[term.topic])
    return messages


def stamp(message: Any, now_ns: int) -> None:
    """Write a time into the header of a message, if it has one."""
    if hasattr(message, "header"):
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(now_ns, NS_PER_S)


def stamp_ns(message: Any) -> int:
    """Return the time in a message's header [ns]."""
    return int(message.header.stamp.sec) * NS_PER_S + int(message.header.stamp.nanosec)


def _fill(message: Any, term: ObservationTerm, values: list[float], places: dict[str, int]) -> None:
    if term.type == JOINT_STATE:
        numbers = list(getattr(message, term.field)) or [0.0] * len(places)
        for joint, value in zip(term.joints, values, strict=True):
            numbers[places[joint]] = value
        setattr(message, term.field, numbers)
    elif term.layout == "array":
        setattr(message, term.field, values)
    else:
        part = attrgetter(term.field)(message)
        for letter, value in zip(term.components or term.layout, values, strict=True):
            setattr(part, letter, value)
