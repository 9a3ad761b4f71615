"""The last messages of one input topic, so that it can be asked for the newest one at any recent time.

Of the messages of a bag few are needed, so that reading a header's stamp must not decode the rest. Layout: OMG Common
Data Representation 1, little- or big-endian, aligned behind its four bytes of encapsulation.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from struct import unpack_from
from typing import Any

from divo_runtime.observation import Measurement

NS_PER_S = 1_000_000_000
SHORTEST = 12
"""Bytes of encapsulation and stamp."""

Decode = Callable[[bytes], Any]
"""Serialised message -> message, or None if it cannot be decoded."""


def header_stamp_ns(raw: bytes) -> int:
    """Return the stamp of a serialised message that begins with a header [ns]; 0 if it is too short to have one."""
    if len(raw) < SHORTEST:
        return 0
    sec, nanosec = unpack_from("<iI" if raw[1] & 1 else ">iI", raw, 4)
    return int(sec) * NS_PER_S + int(nanosec)


class History:
    """Raw messages of one topic. What is asked for is decoded, once; the rest never is.

    Args:
        decode: Decodes a message.
        depth_ns: How far back it can be asked.
    """

    def __init__(self, decode: Decode, depth_ns: int) -> None:
        self._decode, self._depth_ns = decode, depth_ns
        self._held: deque[tuple[int, int, bytes]] = deque()
        self._cached: tuple[bytes, Measurement] | None = None

    def add(self, arrival_ns: int, stamp_ns: int, raw: bytes) -> None:
        """Take in a message; arrivals do not decrease."""
        held = self._held
        held.append((arrival_ns, stamp_ns, raw))
        horizon_ns = arrival_ns - self._depth_ns
        while len(held) > 1 and held[1][0] <= horizon_ns:
            held.popleft()

    def clear(self) -> None:
        """Forget everything, as after a jump of the clock."""
        self._held.clear()

    def newest(self, now_ns: int) -> Measurement | None:
        """Return what had arrived last at `now_ns`, whatever its stamp: `StampOrder` judges that."""
        for arrival_ns, stamp_ns, raw in reversed(self._held):
            if arrival_ns <= now_ns:
                return self._measurement(arrival_ns, stamp_ns, raw)
        return None

    def exact(self, arrival_ns: int, stamp_ns: int) -> Measurement | None:
        """Return the message that arrived at just this time; of several, the one with this stamp.

        The stamp alone decides nothing: whoever noted it may have counted ages by the other clock.
        """
        arrived = [(stamp, raw) for arrival, stamp, raw in self._held if arrival == arrival_ns]
        if not arrived:
            return None
        held_stamp_ns, raw = next((each for each in arrived if each[0] == stamp_ns), arrived[-1])
        return self._measurement(arrival_ns, held_stamp_ns, raw)

    def _measurement(self, arrival_ns: int, stamp_ns: int, raw: bytes) -> Measurement:
        if self._cached and self._cached[0] is raw:
            return self._cached[1]
        self._cached = (raw, Measurement(self._decode(raw), stamp_ns, arrival_ns))
        return self._cached[1]
