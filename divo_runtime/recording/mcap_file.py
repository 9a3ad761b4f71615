"""One MCAP file with the profile of ROS 2: channels, messages, attachments, and a size that it does not exceed.

What `flush` has handed to the operating system survives the death of the process; a file without its end is read up to
there. An existing file is never overwritten.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from io import BufferedWriter
from pathlib import Path
from typing import TYPE_CHECKING

from divo_runtime.errors import RecordingError

if TYPE_CHECKING:
    from mcap.writer import Writer

CHUNK_BYTES = 256 * 1024
"""Compressed together; `flush` ends a chunk before it is full."""


class McapFile:
    """A file being written. Close it to give it an index and statistics.

    Args:
        path: Where it goes; folders are made.
        max_bytes: Writing beyond this size is refused; 0 for no limit.

    Raises:
        RecordingError: If the package `mcap` is not installed, or the file exists or cannot be created.
    """

    def __init__(self, path: Path, max_bytes: int = 0) -> None:
        writer_class = _writer_class()
        self.path = path
        self._max_bytes = max_bytes
        self._counts: dict[int, int] = {}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._stream: BufferedWriter = path.open("xb")
        except OSError as error:
            raise RecordingError(
                "The recording cannot be created.",
                where=str(path),
                got=str(error),
                fix="Name a new file, or a folder that can be written to.",
            ) from error
        self._writer: Writer = writer_class(self._stream, chunk_size=CHUNK_BYTES)
        self._writer.start(profile="ros2", library="divo")

    @property
    def size(self) -> int:
        """Bytes written so far; an unfinished chunk does not count."""
        return self._stream.tell()

    def attach(self, name: str, media_type: str, data: bytes, now_ns: int) -> None:
        """Add a small file to the recording."""
        self._writer.add_attachment(now_ns, now_ns, name, media_type, data)

    def describe(self, name: str, entries: Mapping[str, str]) -> None:
        """Add named texts to the recording."""
        self._writer.add_metadata(name, dict(entries))

    def add_channel(self, topic: str, type_name: str, definition: str, about: Mapping[str, str]) -> int:
        """Add a topic and return the number of its channel.

        Args:
            topic: ROS name.
            type_name: Such as `sensor_msgs/msg/JointState`.
            definition: As of a `.msg` file, with those of nested types.
            about: Metadata of the channel.
        """
        schema = self._writer.register_schema(type_name, "ros2msg", definition.encode())
        return self._writer.register_channel(topic, "cdr", schema, dict(about))

    def write(self, channel: int, data: bytes, log_ns: int, publish_ns: int) -> int:
        """Add a message and return its sequence number, which counts the messages of its channel from 1.

        Args:
            channel: From `add_channel`.
            data: CDR.
            log_ns: When it was received or sent [ns].
            publish_ns: When it was true or published [ns].

        Raises:
            RecordingError: If the file has reached its size limit.
            OSError: If it cannot be written.
        """
        if self._max_bytes and self.size + len(data) > self._max_bytes:
            raise RecordingError(
                "The recording has reached its size limit.",
                where=str(self.path),
                got=f"{self._max_bytes / 1e6:g} MB",
                fix="Raise record_max_mb, or set it to 0 for no limit.",
            )
        sequence = self._counts[channel] = self._counts.get(channel, 0) + 1
        self._writer.add_message(channel, max(log_ns, 0), data, max(publish_ns, 0), sequence)
        return sequence

    def flush(self) -> None:
        """Hand everything to the operating system.

        Raises:
            OSError: If it cannot be written.
        """
        self._writer.flush()  # type: ignore[no-untyped-call]

    def close(self) -> None:
        """Write index and statistics and close the file.

        Raises:
            OSError: If they cannot be written.
        """
        try:
            self._writer.finish()  # type: ignore[no-untyped-call]
        finally:
            self._stream.close()

    def abandon(self) -> None:
        """Close the file as it is, after an error; it stays readable up to the last chunk."""
        try:
            self._stream.close()
        except OSError:
            self._stream.raw.close()  # what is buffered cannot be written; the error was reported when it came first


def free_path(record: Path, name: str, stamp: str) -> Path:
    """Return the file to record to; one that exists gets a number after its name.

    Args:
        record: A file that ends in `.mcap`, or a folder.
        name: Beginning of the file's name in a folder.
        stamp: Time, as the rest of its name.
    """
    wanted = record if record.suffix == ".mcap" else record / f"{name}_{stamp}.mcap"
    path, number = wanted, 1
    while os.path.exists(path):  # where a folder may not be looked into, creating the file tells
        number += 1
        path = wanted.with_stem(f"{wanted.stem}_{number}")
    return path


def _writer_class() -> type[Writer]:
    try:
        from mcap.writer import Writer
    except ImportError as error:
        raise RecordingError(
            "Recording needs the package 'mcap'.", got=str(error), fix='pip install "divo[record]"'
        ) from error
    return Writer
