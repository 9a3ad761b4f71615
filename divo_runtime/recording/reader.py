"""Reads a recording from front to back, one record at a time, whether or not its writer lived to finish it.

Memory stays constant: a message is kept as bytes until as many newer ones have come on its topic as a writer may have
remembered, and decoded when a call uses it.
"""

from __future__ import annotations

import struct
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from divo_runtime.contract import Contract
from divo_runtime.errors import RecordingError
from divo_runtime.observation import Measurement
from divo_runtime.recording.messages import (
    CYCLE_DEFINITION,
    CYCLE_TYPE,
    EVENT_DEFINITION,
    EVENT_TYPE,
    CycleRecord,
    EventRecord,
    Inputs,
    decode_cycle,
    decode_event,
)
from divo_runtime.recording.scribe import REMEMBERED
from divo_runtime.schema import parse_yaml

OWN_TYPES = {CYCLE_TYPE: CYCLE_DEFINITION, EVENT_TYPE: EVENT_DEFINITION}


class RecordingReader:
    """One recording. Metadata and attachments are there once `timeline` has come by them; a writer puts them first.

    Args:
        path: The file.

    Attributes:
        metadata: Name -> entries.
        attachments: Name -> content.
        damage: Where and why reading stopped before the file's proper end; empty if it did not.

    Raises:
        RecordingError: If there is no file, it is no MCAP file, or the packages that read it are not installed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.metadata: dict[str, dict[str, str]] = {}
        self.attachments: dict[str, bytes] = {}
        self.damage = ""
        self._schemas: dict[int, Any] = {}
        self._channels: dict[int, Any] = {}
        self._raw: dict[str, OrderedDict[int, Any]] = {}
        self._measured: dict[str, OrderedDict[tuple[int, int, int], Measurement]] = {}
        self._records = self._open()
        self._first = self._read_head()

    @property
    def contract(self) -> Contract:
        """The contract that the controller followed.

        Raises:
            RecordingError: If the file does not hold one.
            ContractError: If it is malformed.
        """
        if "contract.yaml" not in self.attachments:
            raise RecordingError(
                "The file is no recording of our controller.",
                where=str(self.path),
                got=f"attachments {', '.join(self.attachments) or 'none'}",
                expected="contract.yaml among them",
            )
        text = self.attachments["contract.yaml"].decode()
        return parse_yaml(text, Contract, f"{self.path}, attachment contract.yaml")

    def timeline(self) -> Iterator[CycleRecord | EventRecord]:
        """Yield cycles and events in the order in which they happened. Once only.

        Raises:
            RecordingError: If they were written by a version with other definitions.
        """
        if self._first is not None:
            yield self._first
        for record in self._records:
            if (found := self._take(record)) is not None:
                yield found

    def measurements(self, inputs: Inputs) -> dict[str, Measurement]:
        """Return the measurements that the record just yielded was given; the same one is the same object again.

        Raises:
            RecordingError: If the file does not hold one of them.
        """
        columns = zip(inputs.topics, inputs.sequences, inputs.stamps_ns, inputs.received_ns, strict=False)
        return {topic: self._measurement(topic, key) for topic, *key in columns if key[0]}

    def _measurement(self, topic: str, key: list[int]) -> Measurement:
        sequence, stamp_ns, received_ns = key
        known = self._measured.setdefault(topic, OrderedDict())
        found = known.get((sequence, stamp_ns, received_ns))
        if found is None:
            raw = self._raw[topic].get(sequence) if topic in self._raw else None
            if raw is None:
                raise RecordingError(
                    "A message that was used is not in the recording.",
                    where=f"{self.path}, topic {topic}",
                    got=f"no message number {sequence}",
                    fix="The file was changed, or split: use the whole original.",
                )
            found = Measurement(self._decode(raw), stamp_ns, received_ns)
            known[sequence, stamp_ns, received_ns] = found
            if len(known) > REMEMBERED:
                known.popitem(last=False)
        return found

    def _decode(self, message: Any) -> Any:
        schema = self._schemas[self._channels[message.channel_id].schema_id]
        decoder = self._decoders.decoder_for("cdr", schema)
        assert decoder is not None, "a recorder writes CDR with definitions"
        return decoder(message.data)

    def _open(self) -> Iterator[Any]:
        try:
            from mcap.exceptions import McapError
            from mcap.stream_reader import StreamReader
            from mcap_ros2.decoder import DecoderFactory
            from zstandard import ZstdError
        except ImportError as error:
            raise RecordingError(
                "Reading a recording needs the packages 'mcap' and 'mcap-ros2-support'.",
                got=str(error),
                fix='pip install "divo[record]"',
            ) from error
        if not self.path.is_file():
            got = "a folder" if self.path.is_dir() else "nothing"
            raise RecordingError("There is no recording.", where=str(self.path), got=got, fix="Check the path.")
        self._decoders = DecoderFactory()
        return self._until_damage(StreamReader, (McapError, ZstdError, ValueError, struct.error))

    def _until_damage(self, reader: Any, damages: tuple[type[Exception], ...]) -> Iterator[Any]:
        """Yield the file's records; where it is cut off or damaged, note that and stop."""
        with self.path.open("rb") as stream:
            try:
                yield from reader(stream, validate_crcs=True).records
            except damages as error:
                why = str(error) or type(error).__name__
                self.damage = f"after {stream.tell():,} of {self.path.stat().st_size:,} bytes: {why}"

    def _read_head(self) -> CycleRecord | EventRecord | None:
        """Read up to the first cycle or event, so that what stands before it is known."""
        for record in self._records:
            if (found := self._take(record)) is not None:
                return found
        if not self._channels and not self.attachments:
            raise RecordingError(
                "There is nothing in this recording.",
                where=str(self.path),
                got=self.damage or "an MCAP file without topics",
                expected="an MCAP file written by the controller",
            )
        return None

    def _take(self, record: Any) -> CycleRecord | EventRecord | None:
        kind = type(record).__name__
        if kind == "Schema":
            self._schemas[record.id] = record
            self._check_own(record)
        elif kind == "Channel":
            self._channels[record.id] = record
        elif kind == "Metadata":
            self.metadata[record.name] = record.metadata
        elif kind == "Attachment":
            self.attachments[record.name] = record.data
        elif kind == "Message":
            return self._take_message(record)
        return None

    def _take_message(self, message: Any) -> CycleRecord | EventRecord | None:
        about = self._channels[message.channel_id].metadata
        role = about.get("role")
        if role == "cycle":
            return decode_cycle(message.data)
        if role == "event":
            return decode_event(message.data)
        if role == "input":
            raw = self._raw.setdefault(about["topic"], OrderedDict())
            raw[message.sequence] = message
            if len(raw) > 2 * REMEMBERED:
                raw.popitem(last=False)
        return None

    def _check_own(self, schema: Any) -> None:
        expected = OWN_TYPES.get(schema.name)
        if expected is not None and schema.data.decode() != expected:
            raise RecordingError(
                "The recording was made by a version that writes other messages.",
                where=f"{self.path}, type {schema.name}",
                got=f"divo {self.metadata.get('divo.versions', {}).get('divo', 'unknown')}",
                fix="Use that version to compute it again; other tools read the file as it is.",
            )
