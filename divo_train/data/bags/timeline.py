"""The clock that an import runs by.

Usually the arrivals (log times): the recorder's clock. In simulations the stamps run by a clock of their own, at
another speed; then time is what `/clock` said last, or without that the newest stamp seen so far.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from statistics import median

from divo_runtime.recording.history import NS_PER_S, header_stamp_ns
from divo_train.data.bags.parts import BagError, RawMessage
from divo_train.data.bags.roles import CLOCK_TYPE

FOREIGN_NS = 10 * NS_PER_S
"""Stamps further than this from the arrivals belong to another clock; no network and no bad clock explains it."""


def simulated_time(messages: Iterable[RawMessage], stamped: Collection[int], clock: int | None) -> Iterator[RawMessage]:
    """Yield the messages with simulated time in the place of their arrival; what comes before the clock waits for it.

    Args:
        messages: In the order of their arrival.
        stamped: Numbers of topics whose messages begin with a header.
        clock: Number of the `/clock` topic.
    """
    now_ns = 0
    early: list[tuple[int, bytes]] = []
    for number, _, raw in messages:
        if number == clock or (clock is None and number in stamped):
            now_ns = max(now_ns, header_stamp_ns(raw))  # a Clock is laid out as a header's stamp is
        if not now_ns:
            early.append((number, raw))
            continue
        for waiting in early:
            yield waiting[0], now_ns, waiting[1]
        early.clear()
        yield number, now_ns, raw


def check_clocks(offsets_ns: Iterable[int], clock: str, ticks: int, where: str) -> None:
    """Refuse a recording of a simulation, and stamps of another clock than that of the arrivals.

    Args:
        offsets_ns: Arrival minus stamp of some messages.
        clock: The contract's `clock`.
        ticks: Messages of `/clock`.
        where: The bag.

    Raises:
        BagError: If ages or periods would be nonsense.
    """
    if ticks:  # whatever tells the ages: periods of the wall clock are no periods of the simulation
        raise BagError(
            "This is the recording of a simulation: it holds the simulation's clock.",
            where=where,
            got=f"{ticks:,} messages of {CLOCK_TYPE}, and no --simulated-time",
            expected="time that runs by that clock, or a recording without it",
            fix="Give --simulated-time. If the robot was real, take the topic out with `ros2 bag convert`.",
        )
    values = list(offsets_ns)
    if clock != "header" or not values or abs(median(values)) <= FOREIGN_NS:
        return
    raise BagError(
        "The header stamps are in another clock than the arrivals.",
        where=where,
        got=f"stamps {median(values) / 1e9:+.1f} s behind the arrivals",
        expected=f"less than {FOREIGN_NS / 1e9:g} s, with the contract's clock 'header'",
        fix="If the robot was simulated, give --simulated-time. Only if it was real and a computer's clock was wrong, "
        "--clock receive takes the arrivals instead; of a simulation that would be the wrong time.",
    )
