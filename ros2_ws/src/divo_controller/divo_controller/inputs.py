"""The newest measurement of every input topic, taken from the middleware when the control thread wants it.

The executor never sees these messages: the middleware keeps the newest of each topic in its own threads, outside
Python, and the control thread takes it at the begin of a cycle. So a topic that floods, or an executor that is busy,
costs the control thread nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from rclpy.callback_groups import CallbackGroup
from rclpy.qos import HistoryPolicy

from divo_controller.conversions import stamp_ns
from divo_runtime.observation import Measurement

MOST_WAITING = 1000
"""How many messages are taken at a time where all are kept, so that a flood does not hold the control thread up."""


class Polled(CallbackGroup):
    """Group of subscriptions that the executor leaves alone, because someone takes their messages himself.

    Create them without event callbacks: waiting for an event of a subscription wakes the executor at every message.
    """

    def can_execute(self, entity: Any) -> bool:
        """Return False: the executor neither waits for the entity nor calls it back."""
        return False

    def beginning_execution(self, entity: Any) -> bool:
        """Return False, as `can_execute`."""
        return False

    def ending_execution(self, entity: Any) -> None:
        """Do nothing: nothing was begun."""


def take_newest(subscription: Any) -> tuple[Any, int] | None:
    """Take all that waits in a subscription's queue.

    Args:
        subscription: A `Subscription` of rclpy.

    Returns:
        The message that came last and when the middleware received it [ns]; None if none waited.
    """
    newest = None
    handle, profile = subscription.handle, subscription.qos_profile
    with handle:
        for _ in range(MOST_WAITING if profile.history == HistoryPolicy.KEEP_ALL else max(profile.depth, 1)):
            taken = handle.take_message(subscription.msg_type, False)
            if taken is None:
                break
            newest = taken
    return None if newest is None else (newest[0], int(newest[1]["received_timestamp"]))


class Inputs:
    """What has arrived so far.

    Args:
        subscriptions: Topic -> subscription, of the group `Polled`.
        clock: Whether the header's stamp or the arrival tells a message's age (`Contract.clock`).
        arrival_ns: Returns the arrival in the clock of the stamps, given that in system time [ns].
    """

    def __init__(
        self,
        subscriptions: Mapping[str, Any],
        clock: Literal["header", "receive"],
        arrival_ns: Callable[[int], int],
    ) -> None:
        self._subscriptions = dict(subscriptions)
        self._clock, self._arrival_ns = clock, arrival_ns
        self._newest: Mapping[str, Measurement] = {}

    def newest(self) -> Mapping[str, Measurement]:
        """Take what has come and return the newest measurement of each topic; what is returned never changes.

        Called by one thread at a time.
        """
        fresh: dict[str, Measurement] = {}
        for topic, subscription in self._subscriptions.items():
            if taken := take_newest(subscription):
                message, received_ns = taken[0], self._arrival_ns(taken[1])
                stamp = stamp_ns(message, received_ns) if self._clock == "header" else received_ns
                fresh[topic] = Measurement(message, stamp, received_ns)
        if fresh:
            self._newest = {**self._newest, **fresh}
        return self._newest

    def forget(self) -> None:
        """Drop everything, as after a jump of the clock, when no age can be told any more."""
        self.newest()
        self._newest = {}
