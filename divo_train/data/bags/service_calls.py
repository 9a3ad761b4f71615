"""Calls of a service, as `ros2 bag record --all-services` keeps them: events on `<service>/_service_event`.

One call is told up to four times: its request as sent and as received, its response as sent and as received, each by
whoever was asked to tell. So a call is known by its client and number, and counts when its request is first told of.
Source: service_msgs/msg/ServiceEventInfo and the ROS 2 design of service introspection (REP-2012).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from divo_runtime.recording.cdr import CdrReader
from divo_runtime.topic_names import EVENT_SUFFIX as EVENT_SUFFIX

SET_BOOL, TRIGGER, EMPTY = (f"std_srvs/srv/{name}_Event" for name in ("SetBool", "Trigger", "Empty"))
EVENT_TYPES = (SET_BOOL, TRIGGER, EMPTY)
REQUEST_EVENTS = (0, 1)
"""ServiceEventInfo.REQUEST_SENT and REQUEST_RECEIVED."""

_INFO = struct.Struct("<B3xiI16s4xqI")
"""Event type, stamp, the client's id, the call's number, and how many requests follow (0 or 1)."""
_FLAG = struct.Struct("<?")


@dataclass(frozen=True, slots=True)
class ServiceCall:
    """One event of a call."""

    event: int
    """As in ServiceEventInfo."""
    client: bytes
    number: int
    value: bool | None
    """`data` of a SetBool request; None where there is none in the event."""

    @property
    def is_request(self) -> bool:
        """Return whether it tells of the request."""
        return self.event in REQUEST_EVENTS


def decode_call(raw: bytes, kind: str) -> ServiceCall:
    """Read a service event of one of `EVENT_TYPES`.

    Raises:
        ValueError: If it is shorter than its type, or a SetBool request came without its contents.
    """
    reader = CdrReader(raw)
    event, _, _, client, number, requests = reader.fixed(_INFO)
    value: bool | None = None
    if kind == SET_BOOL and event in REQUEST_EVENTS:
        if not requests:
            raise ValueError("the call was recorded without its contents; configure the introspection for contents")
        (value,) = reader.fixed(_FLAG)
    return ServiceCall(event, client, number, value)
