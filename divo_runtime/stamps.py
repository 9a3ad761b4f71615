"""Which message counts as the newest, and which ones cannot be dated at all.

Messages may overtake each other on the network, a driver may repeat a stamp, and clocks are set back. A measurement
with an older time never takes the place of one with a newer time. A measurement that was there when the clock was set
back, or that was stamped ahead of its time, has no age any more: it would look fresh once the clock comes by its stamp,
so it is doubted until another one arrives.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Mapping
from typing import Literal

from divo_runtime.contract import Contract
from divo_runtime.observation import FUTURE_TOLERANCE_NS, Measurement

Clock = Literal["header", "receive"]


def supersedes(new: Measurement, kept: Measurement, now_ns: int, clock: Clock) -> bool:
    """Tell whether `new` takes the place of `kept`: not if it is older, unless `kept` bears a time yet to come.

    Args:
        new: What has just arrived.
        kept: What has been there.
        now_ns: Time, of the same clock as the measurements [ns].
        clock: Whether the header's stamp or the arrival dates a measurement (`Contract.clock`).
    """
    kept_ns = kept.time_ns(clock)
    return new.time_ns(clock) >= kept_ns or kept_ns > now_ns + FUTURE_TOLERANCE_NS


class StampOrder:
    """Keeps the newest measurement of each topic that the contract names.

    Attributes:
        counts: `out_of_order` measurements refused, `repeated_stamps` of messages that arrived anew with the stamp of
            the one before, `clock_set_back` how often `now_ns` went back by more than the tolerance.
    """

    def __init__(self, contract: Contract) -> None:
        self._clock: Clock = contract.clock
        self._topics = tuple(contract.topics)
        self.counts: Counter[str] = Counter(out_of_order=0, repeated_stamps=0, clock_set_back=0)
        self.forget()

    def forget(self) -> None:
        """Start anew, as at activation; the counts stay."""
        self._kept: dict[str, Measurement] = {}
        self._refused: dict[str, Measurement] = {}
        self._doubted: dict[str, int] = {}
        self._last_ns: int | None = None

    def admit(
        self, measurements: Mapping[str, Measurement], now_ns: int
    ) -> tuple[Mapping[str, Measurement], Container[str]]:
        """Return the newest measurement of each topic, and the topics whose measurement cannot be dated.

        Args:
            measurements: Topic -> last arrival.
            now_ns: Time, of the same clock as the measurements [ns].
        """
        if self._last_ns is not None and now_ns < self._last_ns - FUTURE_TOLERANCE_NS:
            self._doubt_all(measurements)
        self._last_ns = now_ns
        admitted = measurements
        for topic in self._topics:
            new, kept = measurements.get(topic), self._kept.get(topic)
            if new is kept:
                continue
            if new is None:
                del self._kept[topic]
            elif kept is None or topic in self._doubted or supersedes(new, kept, now_ns, self._clock):
                self._keep(topic, new, now_ns)
            else:
                self._refuse(topic, new)
                admitted = {**admitted, topic: kept}
        return admitted, self._doubted

    def _keep(self, topic: str, new: Measurement, now_ns: int) -> None:
        kept, time_ns = self._kept.get(topic), new.time_ns(self._clock)
        if kept is not None and kept.stamp_ns == new.stamp_ns and kept.received_ns != new.received_ns:
            self.counts["repeated_stamps"] += 1
        self._kept[topic] = new
        if time_ns > now_ns + FUTURE_TOLERANCE_NS:
            self._doubted[topic] = time_ns
        elif self._doubted.get(topic, time_ns) != time_ns:
            del self._doubted[topic]

    def _refuse(self, topic: str, new: Measurement) -> None:
        if self._refused.get(topic) is not new:  # the same one is offered until another arrives
            self._refused[topic] = new
            self.counts["out_of_order"] += 1

    def _doubt_all(self, measurements: Mapping[str, Measurement]) -> None:
        self.counts["clock_set_back"] += 1
        there = {**self._kept, **measurements}
        self._doubted = {topic: there[topic].time_ns(self._clock) for topic in self._topics if topic in there}
