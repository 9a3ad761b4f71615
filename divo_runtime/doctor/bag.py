"""The topics of a contract in a bag, message by message: a rosbag2 folder, or a lone `.mcap` or `.db3` file.

`rosbags` reads all of them without ROS; it is imported here alone and on demand, because a robot need not have it.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from divo_runtime.contract import Contract
from divo_runtime.errors import RecordingError
from divo_runtime.recording.history import Decode
from divo_runtime.recording.messages import CYCLE_TYPE
from divo_runtime.topic_names import TopicNames

if TYPE_CHECKING:
    from rosbags.interfaces import Connection
    from rosbags.rosbag2 import Reader

Role = Literal["input", "command", "cycle"]


@dataclass(frozen=True, slots=True)
class Channel:
    """One topic of the bag that the doctor listens to."""

    role: Role
    topic: str
    """As in the contract."""
    name: str
    """In the bag."""
    type: str
    count: int
    stamped: bool
    """Whether its messages begin with a header."""
    decode: Decode


@dataclass(frozen=True, slots=True)
class Absence:
    """An input of the contract that the bag does not hold."""

    topic: str
    name: str
    """What it should be called in the bag."""
    why: str
    """What is there instead."""


class ContractBag:
    """A bag, seen through a contract. Use it in a `with` statement.

    Args:
        path: The bag.
        contract: Names the topics.
        names: How they are called in the bag.

    Raises:
        RecordingError: If it cannot be read, or holds none of the contract's inputs.
    """

    def __init__(self, path: Path, contract: Contract, names: TopicNames) -> None:
        self.path = path
        self._reader = _open(path)
        try:
            self._listeners, self.absent = self._find(contract, names)
        except BaseException:
            self._reader.close()
            raise

    @property
    def channels(self) -> list[Channel]:
        """What is listened to; a topic that is input and command stands here as both."""
        return [channel for listening in self._listeners.values() for channel in listening]

    @property
    def span_ns(self) -> tuple[int, int]:
        """Arrival of the first and of the last message [ns]."""
        some = self._reader.message_count > 0
        return (self._reader.start_time, self._reader.end_time - 1) if some else (0, 0)

    def channel(self, role: Role) -> Channel | None:
        """Return the channel of a role that there is one of."""
        return next((channel for channel in self.channels if channel.role == role), None)

    def messages(self) -> Iterator[tuple[Channel, int, bytes]]:
        """Yield (channel, arrival [ns], serialised message) in the order of their arrival.

        What is command and input comes as the command first, so that it is not in the observation that it answers.

        Raises:
            RecordingError: Where the bag turns out to be damaged.
        """
        connections = [each for each in self._reader.connections if each.id in self._listeners]
        messages = self._reader.messages(connections)
        while True:
            try:
                connection, arrival_ns, raw = next(messages)
            except StopIteration:
                return
            except Exception as error:  # the reader lets errors of zstd, sqlite and struct through
                raise _damaged(self.path, error) from error
            for channel in self._listeners[connection.id]:
                yield channel, arrival_ns, bytes(raw)

    def __enter__(self) -> ContractBag:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._reader.close()

    def _find(self, contract: Contract, names: TopicNames) -> tuple[dict[int, list[Channel]], list[Absence]]:
        decoders = _Decoders()
        listeners: dict[int, list[Channel]] = {}
        absent: list[Absence] = []
        inputs: list[tuple[Role, str, str]] = [("input", topic, kind) for topic, kind in contract.topics.items()]
        for role, topic, kind in [("command", contract.action.topic, contract.action.type), *inputs]:
            name = names.absolute(topic)
            found = [each for each in self._reader.connections if each.topic == name]
            fitting = [each for each in found if each.msgtype == kind and each.msgcount]
            for each in fitting:
                stamped = decoders.stamped(kind)
                channel = Channel(role, topic, name, kind, each.msgcount, stamped, decoders.decoder(kind))
                listeners.setdefault(each.id, []).append(channel)
            if role == "input" and not fitting:
                absent.append(Absence(topic, name, self._instead(name, kind, found)))
        if len(absent) == len(contract.topics):
            raise RecordingError(
                "The bag holds none of the contract's inputs.",
                where=str(self.path),
                got=f"topics {', '.join(sorted({each.topic for each in self._reader.connections})) or 'none'}",
                expected=", ".join(f"{each.name} ({contract.topics[each.topic]})" for each in absent),
                fix="Give --namespace or --remap if they are called otherwise there; else record them.",
            )
        for each in self._reader.connections:
            if each.msgtype == CYCLE_TYPE and each.msgcount:
                channel = Channel("cycle", each.topic, each.topic, CYCLE_TYPE, each.msgcount, False, bytes)
                listeners[each.id] = [channel]
        return listeners, absent

    def _instead(self, name: str, kind: str, found: list[Connection]) -> str:
        if other := [each.msgtype for each in found if each.msgtype != kind]:
            return f"is of type {' and '.join(other)}, not {kind}"
        if found:
            return "has no messages"
        known = [each.topic for each in self._reader.connections if each.msgtype == kind]
        near = [each for each in known if each.endswith(name)] or difflib.get_close_matches(name, known, 1) or known[:3]
        return f"is not in the bag; of its type are {', '.join(near)}" if near else "is not in the bag"


class _Decoders:
    """Decoders of the types that every ROS 2 has."""

    def __init__(self) -> None:
        from rosbags.interfaces import Nodetype
        from rosbags.typesys import Stores, get_typestore

        self._store = get_typestore(Stores.ROS2_JAZZY)
        self._header = (Nodetype.NAME, "std_msgs/msg/Header")

    def stamped(self, kind: str) -> bool:
        fields = self._store.fielddefs[kind][1]
        return bool(fields) and fields[0][1] == self._header

    def decoder(self, kind: str) -> Callable[[bytes], Any]:
        store = self._store

        def decode(raw: bytes) -> Any:
            try:
                return store.deserialize_cdr(raw, kind)
            except Exception:  # the deserialiser raises many kinds; the builder counts None as unreadable
                return None

        return decode


def _open(path: Path) -> Reader:
    try:
        from rosbags.rosbag2 import Reader
    except ImportError as error:
        raise RecordingError(
            "Reading a bag needs the package 'rosbags'.", got=str(error), fix='pip install "divo[doctor]"'
        ) from error
    try:
        reader = Reader(path)
        reader.open()
    except Exception as error:  # the reader lets errors of zstd, sqlite, struct and YAML through
        raise _damaged(path, error) from error
    return reader


def _damaged(path: Path, error: Exception) -> RecordingError:
    return RecordingError(
        "The bag cannot be read.",
        where=str(path),
        got=str(error) or type(error).__name__,
        expected="a rosbag2 folder with metadata.yaml, or a complete .mcap or .db3 file",
        fix="Check the path; `ros2 bag reindex` or `mcap recover` may mend a bag that was not closed.",
    )
