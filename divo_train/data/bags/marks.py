"""Messages and service calls that say where episodes begin and end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any

from divo_train.data.bags import service_calls
from divo_train.data.bags.service_calls import ServiceCall

MESSAGE_TYPES = ("std_msgs/msg/Bool", "std_msgs/msg/String", "std_msgs/msg/Empty")
SEPARATORS = ("std_msgs/msg/Empty", service_calls.TRIGGER, service_calls.EMPTY)
"""Types whose marks end one episode and begin the next, so that one runs from the first message on."""


class Mark(Enum):
    """What a mark says."""

    BEGIN = "begin"
    END = "end"
    NEXT = "next"
    """One ends and the next begins."""
    NOTHING = "nothing"


def mark_reader(kind: str, stop_words: Sequence[str]) -> Callable[[Any], Mark]:
    """Return what reads marks of a type; repetitions of the same message say nothing new, another call does.

    Args:
        kind: `std_msgs/msg/Bool` (true while an episode runs), `String` (a new text begins one, a stop word ends it) or
            `Empty` (each message ends one and begins the next); or a service event: `SetBool` (true begins one, false
            ends it), `Trigger` or `Empty` (each call ends one and begins the next).
        stop_words: Texts that end an episode.
    """
    if kind in service_calls.EVENT_TYPES:
        return _call_reader()
    if kind == "std_msgs/msg/Empty":
        return lambda message: Mark.NEXT
    last: list[Any] = [None]

    def read(message: Any) -> Mark:
        value = message.data
        if value == last[0]:
            return Mark.NOTHING
        last[0] = value
        return Mark.END if value in stop_words or value is False else Mark.BEGIN

    return read


def _call_reader() -> Callable[[ServiceCall], Mark]:
    told: set[tuple[bytes, int]] = set()

    def read(call: ServiceCall) -> Mark:
        key = (call.client, call.number)
        if not call.is_request or key in told:  # the response, or the same request as told by the other side
            return Mark.NOTHING
        told.add(key)
        if call.value is None:
            return Mark.NEXT
        return Mark.BEGIN if call.value else Mark.END

    return read
