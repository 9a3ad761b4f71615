"""Messages that say where episodes begin and end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any


class Mark(Enum):
    """What a mark says."""

    BEGIN = "begin"
    END = "end"
    NEXT = "next"
    """One ends and the next begins."""
    NOTHING = "nothing"


def mark_reader(kind: str, stop_words: Sequence[str]) -> Callable[[Any], Mark]:
    """Return what reads marks of a message type; repetitions of the same message say nothing new.

    Args:
        kind: `std_msgs/msg/Bool` (true while an episode runs), `String` (a new text begins one, a stop word ends it) or
            `Empty` (each message ends one and begins the next).
        stop_words: Texts that end an episode.
    """
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
