"""Frames of reference that the headers of input topics name: more than one is told, and a difference across two.

Numbers are never transformed, neither here nor on the robot, so that a goal in another frame is a wrong goal.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from divo_runtime.contract import Contract
from divo_train.data.bags.suspicion import Suspicion, list_bags

FRAME_PLACE = 12
"""Where a header's frame begins in a serialised message: behind encapsulation and stamp."""
MOST_FRAMES = 16
LONGEST_NAME = 256
ADVICE = "Numbers are not transformed: publish them in one frame, the one that the robot will see."


class FrameWatch:
    """Counts the frames of one topic, without decoding its messages; of many frames only the first ones."""

    def __init__(self) -> None:
        self._prefix, self._end = b"", FRAME_PLACE
        self._run = 0
        self._counts: Counter[str] = Counter()

    def add(self, raw: bytes) -> None:
        """Take in a serialised message that begins with a header."""
        if raw[FRAME_PLACE : self._end] != self._prefix or not self._prefix:
            self._turn_to(raw)
        self._run += 1

    @property
    def counts(self) -> Counter[str]:
        """Frame -> messages."""
        self._settle()
        return self._counts

    def _settle(self) -> None:
        name = self._prefix[4:].rstrip(b"\0").decode("utf-8", "replace")
        if self._run and self._prefix and (name in self._counts or len(self._counts) < MOST_FRAMES):
            self._counts[name] += self._run
        self._run = 0

    def _turn_to(self, raw: bytes) -> None:
        """Begin to count the frame that a message names; none if it is too short for a header."""
        self._settle()
        size = raw[FRAME_PLACE : FRAME_PLACE + 4]
        length = int.from_bytes(size, "little" if len(size) == 4 and raw[1] & 1 else "big")
        self._end = FRAME_PLACE + 4 + min(length, LONGEST_NAME)
        self._prefix = bytes(raw[FRAME_PLACE : self._end]) if len(size) == 4 else b""


def find_frame_suspicions(
    contract: Contract, bags: Sequence[tuple[str, Mapping[str, Mapping[str, int]]]]
) -> Iterable[Suspicion]:
    """Yield what is odd about frames.

    Args:
        contract: The robot task; joints have no frame.
        bags: Of each its name, and input topic as in the contract -> frame -> messages.
    """
    placed = {term.topic for term in contract.observation if term.layout != "joints"}
    seen = {topic: _total(bags, topic) for topic in sorted(placed)}
    for topic, frames in seen.items():
        if len(frames) > 1:
            common = frames.most_common(1)[0][0]
            told = " and ".join(f"'{frame}' ({count:,} messages)" for frame, count in frames.most_common(3))
            where = list_bags(name for name, topics in bags if topics.get(topic, {}).keys() - {common})
            yield Suspicion("frame", f"{topic} comes in {len(frames)} frames: {told}, in {where}.", ADVICE)
    terms = {term.name: term for term in contract.observation}
    for term in contract.observation:
        other = terms.get(term.relative_to)
        if other is None or not {term.topic, other.topic} <= placed:
            continue
        own, base = (_names(seen[each.topic]) for each in (term, other))
        if own and base and own != base:
            finding = f"{term.name} is relative to {other.name}, but they come in different frames: {', '.join(own)} "
            yield Suspicion("frame", f"{finding}({term.topic}) and {', '.join(base)} ({other.topic}).", ADVICE)


def _total(bags: Sequence[tuple[str, Mapping[str, Mapping[str, int]]]], topic: str) -> Counter[str]:
    total: Counter[str] = Counter()
    for _, topics in bags:
        total.update(topics.get(topic, {}))
    return total


def _names(frames: Mapping[str, int]) -> Sequence[str]:
    """Return the frames that have a name; an empty one says nothing."""
    return sorted(frame for frame in frames if frame)
