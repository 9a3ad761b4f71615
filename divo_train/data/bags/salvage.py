"""MCAP files without an index or without an end: read from the front, record by record, as far as they are whole.

A recorder that was killed leaves such a file. Format: https://mcap.dev/spec.
"""

from __future__ import annotations

import heapq
import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Literal

from mcap.exceptions import EndOfFile, McapError
from mcap.reader import make_reader
from mcap.records import Channel, Chunk, McapRecord, Message, Schema
from mcap.stream_reader import CRCValidationError, StreamReader, breakup_chunk

from divo_train.data.bags.parts import BagTopic, RawMessage, damaged

Condition = Literal["indexed", "unindexed", "truncated"]
DAMAGES = (McapError, EndOfFile, ValueError, struct.error)
"""What the reader raises at damage; the last where a record is cut within one of its numbers."""
LARGEST_RECORD = 2**30
"""Bytes; a longer record is taken for damage, and would not fit the memory that an import may use."""


def mcap_condition(path: Path) -> tuple[Condition, int]:
    """Return how an MCAP file ends, and by how much arrivals jump back from a chunk to the next at worst [ns]."""
    try:
        with path.open("rb") as file:
            summary = make_reader(file).get_summary()
    except (*DAMAGES, OSError):
        return "truncated", 0
    if summary is None or not summary.chunk_indexes:
        empty = summary is not None and summary.statistics is not None and summary.statistics.message_count == 0
        return ("indexed" if empty else "unindexed"), 0
    chunks = sorted(summary.chunk_indexes, key=lambda chunk: chunk.chunk_start_offset)
    back = [a.message_end_time - b.message_start_time for a, b in pairwise(chunks)]
    return "indexed", max([0, *back])


class SalvagedPart:
    """The readable front of an MCAP file.

    Args:
        path: The file.

    Raises:
        BagError: If not even one message can be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.lost_bytes = 0
        """Bytes that could not be read: damaged chunks, and everything behind the last whole record."""
        self._numbers: dict[int, int] = {}
        channels: dict[int, Channel] = {}
        schemas: dict[int, Schema] = {}
        counts: Counter[int] = Counter()
        first, last = 2**63, 0
        for record in self._records(count_lost=True):
            if isinstance(record, Schema):
                schemas[record.id] = record
            elif isinstance(record, Channel):
                channels[record.id] = record
            elif isinstance(record, Message):
                counts[record.channel_id] += 1
                first, last = min(first, record.log_time), max(last, record.log_time)
        if not counts:
            raise damaged(path, ValueError("not one whole message"))
        self.span_ns = (first, last)
        topics = []
        for number, (key, channel) in enumerate(channels.items()):
            schema = schemas.get(channel.schema_id)
            self._numbers[key] = number
            name, text = (schema.name, schema.data.decode(errors="replace")) if schema else ("", "")
            topics.append(BagTopic(channel.topic, name, counts[key], text))
        self.topics: Sequence[BagTopic] = topics

    def messages(self, wanted: Sequence[int]) -> Iterator[RawMessage]:
        """Yield the messages of the topics with these numbers, in the order of their arrival.

        Chunks of a live recording overlap a little: a message waits until a chunk begins that is later than it.
        """
        asked = set(wanted)
        waiting: list[tuple[int, int, int, bytes]] = []
        order = 0
        for batch in self._batches():
            begin = min((message.log_time for message in batch), default=0)
            while waiting and waiting[0][0] < begin:
                log_ns, _, number, raw = heapq.heappop(waiting)
                yield number, log_ns, raw
            for message in batch:
                number = self._numbers[message.channel_id]
                if number in asked:
                    order += 1
                    heapq.heappush(waiting, (message.log_time, order, number, message.data))
        while waiting:
            log_ns, _, number, raw = heapq.heappop(waiting)
            yield number, log_ns, raw

    def close(self) -> None:
        """Nothing stays open between two readings."""

    def _batches(self) -> Iterator[list[Message]]:
        batch: list[Message] = []
        for record in self._records(count_lost=False, ends=True):
            if isinstance(record, Message):
                batch.append(record)
            elif record is None and batch:
                yield batch
                batch = []
        if batch:
            yield batch

    def _records(self, count_lost: bool, ends: bool = False) -> Iterator[McapRecord | None]:
        """Yield all whole records, those in chunks too; with `ends`, also None after each chunk or lone message."""
        with self._path.open("rb") as file:
            records = StreamReader(file, emit_chunks=True, record_size_limit=LARGEST_RECORD).records
            whole = 0
            while True:
                try:
                    record = next(records)
                except StopIteration:
                    return
                except DAMAGES:
                    self.lost_bytes += (self._path.stat().st_size - whole) * count_lost
                    return
                whole = file.tell()
                if isinstance(record, Chunk):
                    try:
                        yield from breakup_chunk(record, validate_crc=True)
                    except (*DAMAGES, CRCValidationError, RuntimeError):  # lz4 raises the last
                        self.lost_bytes += len(record.data) * count_lost
                else:
                    yield record
                if ends and isinstance(record, (Chunk, Message)):
                    yield None
