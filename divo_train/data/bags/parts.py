"""The pieces that a bag is read in: whole ones through `rosbags`, damaged MCAP files record by record.

Messages come as raw bytes in the order of their arrival (log time); nothing is decoded here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from pathlib import Path
from typing import Protocol

from rosbags.rosbag2 import Reader

from divo_runtime.errors import DatasetError

RawMessage = tuple[int, int, bytes]
"""(number of the topic, arrival [ns], serialised message)."""


class BagError(DatasetError):
    """A bag is damaged, or does not hold what the contract needs."""


@dataclass(frozen=True, slots=True)
class BagTopic:
    """One topic of a bag."""

    name: str
    """Absolute, such as `/joint_states`."""
    type: str
    """Such as `sensor_msgs/msg/JointState`."""
    count: int
    """Messages."""
    definition: str = ""
    """The type's definition as the bag holds it; empty if it does not."""
    digest: str = ""
    """The type's hash as the bag holds it (RIHS01); empty if it does not."""


class Part(Protocol):
    """Something that messages can be read from."""

    topics: Sequence[BagTopic]
    span_ns: tuple[int, int]
    """Arrival of the first and of the last message [ns]; (0, 0) if there is none."""

    def messages(self, wanted: Sequence[int]) -> Iterator[RawMessage]:
        """Yield the messages of the topics with these numbers, in the order of their arrival."""

    def close(self) -> None:
        """Free the files."""


class WholePart:
    """A bag folder or a storage file that `rosbags` reads.

    Args:
        path: Folder with `metadata.yaml`, or a `.mcap` or `.db3` file.
        slices: Stretches of time that it is read in. The reader keeps every chunk of a stretch in one queue, so that
            a large file is slow in one; split bags are read file by file and must not be sliced.

    Raises:
        BagError: If it cannot be opened.
    """

    def __init__(self, path: Path, slices: int = 1) -> None:
        self._path, self._slices = path, slices
        try:
            self._reader = Reader(path)
            self._reader.open()
        except Exception as error:  # the reader lets errors of zstd, sqlite, struct and YAML through
            raise damaged(path, error) from error
        self._connections = list(self._reader.connections)
        self.topics: Sequence[BagTopic] = [
            BagTopic(each.topic, each.msgtype, each.msgcount, each.msgdef.data, each.digest)
            for each in self._connections
        ]
        some = self._reader.message_count > 0
        self.span_ns = (self._reader.start_time, self._reader.end_time - 1) if some else (0, 0)

    def messages(self, wanted: Sequence[int]) -> Iterator[RawMessage]:
        """Yield the messages of the topics with these numbers, in the order of their arrival.

        Raises:
            BagError: Where the bag turns out to be damaged.
        """
        connections = [self._connections[number] for number in wanted]
        numbers = {id(connection): number for number, connection in zip(wanted, connections, strict=True)}
        numbers_by_id = {connection.id: numbers[id(connection)] for connection in connections}
        if not connections:
            return
        messages = chain.from_iterable(
            self._reader.messages(connections, begin, end) for begin, end in pairwise(self._edges())
        )
        while True:
            try:
                connection, log_ns, raw = next(messages)
            except StopIteration:
                return
            except Exception as error:
                raise damaged(self._path, error) from error
            yield numbers_by_id[connection.id], log_ns, raw

    def close(self) -> None:
        """Free the files."""
        self._reader.close()

    def _edges(self) -> list[int | None]:
        """Return where the slices begin and end [ns]."""
        first, last = self.span_ns
        inner = [first + (last - first) * number // self._slices for number in range(1, self._slices)]
        return [None, *inner, None]


def damaged(path: Path, error: Exception) -> BagError:
    """Return the error for a bag that cannot be read (further)."""
    return BagError(
        "The bag is damaged or was not closed.",
        where=str(path),
        got=f"{error}" or type(error).__name__,
        expected="a rosbag2 folder with metadata.yaml, or a complete .mcap or .db3 file",
        fix="--keep-going imports what can be read; `ros2 bag reindex` or `mcap recover` may mend the bag.",
    )
