"""What can be done to the robot's messages on their way: each function makes a `Spoil` for one fault.

A `Spoil` is asked for every message that the robot is about to send and says what is sent in its place: the same,
another, several, or nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy

import numpy as np

from benchmarks.faults.messages import Message, empty_message, set_stamp, stamp_of

Spoil = Callable[[str, Message, int], Sequence[Message]]
"""(topic, message, time [ns]) -> messages to send."""

MakeSpoil = Callable[[np.random.Generator], Spoil]
"""Which joint, element or order it hits is drawn anew for each run."""

MS = 1_000_000


def set_value(topic: str, field: str, value: float) -> MakeSpoil:
    """Put a value into one element of a field; `field` is a path such as `pose.position`."""

    def make(rng: np.random.Generator) -> Spoil:
        choice = int(rng.integers(3))

        def change(message: Message) -> None:
            part = message
            for name in field.split("."):
                part = getattr(part, name)
            if isinstance(part, list):
                part[choice % len(part)] = value
            else:
                setattr(part, "xyz"[choice], value)

        return _on(topic, change)

    return make


def set_range(place: int, value: float) -> MakeSpoil:
    """Put a value into one given range of the scan [m]."""

    def change(message: Message) -> None:
        message.ranges[place] = value

    return lambda rng: _on("scan", change)


def _joint_lists(message: Message) -> tuple[list[float], ...]:
    return (message.position, message.velocity, message.effort)


def drop_joint(rng: np.random.Generator) -> Spoil:
    """Leave one joint out."""
    choice = int(rng.integers(3))

    def change(message: Message) -> None:
        for values in (message.name, *_joint_lists(message)):
            del values[choice]

    return _on("joint_states", change)


def add_joint(rng: np.random.Generator) -> Spoil:
    """Add a joint that the contract does not name, at any place, with wild values."""
    place = int(rng.integers(4))

    def change(message: Message) -> None:
        message.name.insert(place, "gripper")
        for values in _joint_lists(message):
            values.insert(place, float("nan"))

    return _on("joint_states", change)


def permute_joints(rng: np.random.Generator) -> Spoil:
    """List the joints in another order in every message, values with them."""

    def change(message: Message) -> None:
        order = rng.permutation(len(message.name)).tolist()
        for values in (message.name, *_joint_lists(message)):
            values[:] = [values[place] for place in order]

    return _on("joint_states", change)


def duplicate_joint(rng: np.random.Generator) -> Spoil:
    """List one joint twice, with two values."""
    choice = int(rng.integers(3))

    def change(message: Message) -> None:
        message.name.append(message.name[choice])
        for values in _joint_lists(message):
            values.append(values[choice] + 0.1)

    return _on("joint_states", change)


def rename_joint(rng: np.random.Generator) -> Spoil:
    """Call one joint something else."""
    choice = int(rng.integers(3))

    def change(message: Message) -> None:
        message.name[choice] += "_joint"

    return _on("joint_states", change)


def shorten(topic: str, field: str) -> MakeSpoil:
    """Leave out the last value of an array, but not its name."""

    def change(message: Message) -> None:
        getattr(message, field).pop()

    return lambda rng: _on(topic, change)


def empty(topic: str) -> MakeSpoil:
    """Send messages in which nobody has filled in anything, the stamp neither."""
    return lambda rng: lambda at, message, now_ns: [empty_message(at) if at == topic else message]


def stop(*topics: str) -> MakeSpoil:
    """Send nothing on the topics, or on any if none is given."""
    return lambda rng: lambda at, message, now_ns: [] if at in topics or not topics else [message]


def freeze(topic: str) -> MakeSpoil:
    """Send the same message with the same stamp for ever, as a driver whose device has hung."""

    def make(rng: np.random.Generator) -> Spoil:
        kept: list[Message] = []

        def spoil(at: str, message: Message, now_ns: int) -> Sequence[Message]:
            if at != topic:
                return [message]
            kept[:] = kept or [message]
            return [deepcopy(kept[0])]

        return spoil

    return make


def shift_stamps(shift_s: float, *topics: str) -> MakeSpoil:
    """Stamp as a computer whose clock is ahead (positive) or behind [s]; all topics if none is given."""

    def make(rng: np.random.Generator) -> Spoil:
        def spoil(at: str, message: Message, now_ns: int) -> Sequence[Message]:
            if at in topics or not topics:
                set_stamp(message, stamp_of(message) + round(shift_s * 1e9))
            return [message]

        return spoil

    return make


def overtake(rng: np.random.Generator) -> Spoil:
    """Deliver after every second state one that is 20 ms older, as a network that reorders."""
    turn = [0]

    def spoil(at: str, message: Message, now_ns: int) -> Sequence[Message]:
        turn[0] += at == "joint_states"
        if at != "joint_states" or turn[0] % 2:
            return [message]
        late = deepcopy(message)
        set_stamp(late, stamp_of(message) - 20 * MS)
        return [message, late]

    return spoil


def flood(topic: str, times: int) -> MakeSpoil:
    """Send each message so many times."""
    return lambda rng: lambda at, message, now_ns: [message] * times if at == topic else [message]


def lose_bursts(lost_ms: float, every_ms: float) -> MakeSpoil:
    """Lose everything for a while, again and again."""

    def make(rng: np.random.Generator) -> Spoil:
        begun_ns: list[int] = []

        def spoil(at: str, message: Message, now_ns: int) -> Sequence[Message]:
            begun_ns[:] = begun_ns or [now_ns]
            return [] if (now_ns - begun_ns[0]) % round(every_ms * MS) < lost_ms * MS else [message]

        return spoil

    return make


def leave_alone(rng: np.random.Generator) -> Spoil:
    """Send what there is."""
    return lambda topic, message, now_ns: [message]


def _on(topic: str, change: Callable[[Message], None]) -> Spoil:
    def spoil(at: str, message: Message, now_ns: int) -> Sequence[Message]:
        if at == topic:
            change(message)
        return [message]

    return spoil
