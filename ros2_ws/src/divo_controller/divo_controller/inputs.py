"""The newest measurement of every input topic, handed from the executor to the control thread without a lock.

The executor replaces the whole mapping at each message; the control thread reads one reference. Neither waits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from divo_controller.conversions import stamp_ns
from divo_runtime.observation import Measurement


class Inputs:
    """What has arrived so far.

    Args:
        clock: Whether the header's stamp or the arrival tells a message's age (`Contract.clock`).
    """

    def __init__(self, clock: Literal["header", "receive"]) -> None:
        self._clock = clock
        self._newest: Mapping[str, Measurement] = {}

    def newest(self) -> Mapping[str, Measurement]:
        """Return the newest measurement of each topic; what is returned never changes."""
        return self._newest

    def receive(self, topic: str, message: Any, received_ns: int) -> None:
        """Take in one message. Called by one thread only."""
        stamp = stamp_ns(message, received_ns) if self._clock == "header" else received_ns
        self._newest = {**self._newest, topic: Measurement(message, stamp, received_ns)}

    def forget(self) -> None:
        """Drop everything, as after a jump of the clock, when no age can be told any more."""
        self._newest = {}
