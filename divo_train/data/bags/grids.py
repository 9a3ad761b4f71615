"""When the control periods of a recording were: at the controller's own cycles, at each command, or at a fixed rate."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from math import ceil
from typing import Any, Literal, Protocol

import numpy as np

from divo_runtime.fields import JointArray
from divo_runtime.observation import Measurement, Observation
from divo_runtime.recording.history import History
from divo_train.data.bags.episodes import NEVER, EpisodeBuilder

GridKind = Literal["cycles", "commands", "regular"]
NO_COMMAND = "no command in the period"
REPLACED = "command replaced within half a period"
PAUSE = "in a pause of the recording"
NO_CYCLE_INPUT = "a cycle's measurement is not in the bag"
NOT_BEHAVIOUR = {"fault": "the controller was in fault", "inactive": "the controller was inactive"}
"""Modes in which what the controller sends is no answer to what it sees, and the causes of dropping them."""

Observe = Callable[[int], Observation]
ReadRaw = Callable[[bytes], JointArray | str]
"""Serialised command -> (act_dim,), or why it is none."""


class Grid(Protocol):
    """Turns what happens in a bag into control periods."""

    due_ns: int
    """When `tick` is wanted next [ns]."""

    def start(self, now_ns: int) -> None:
        """Every input has been seen, or the clock was set back: begin (anew)."""

    def tick(self) -> None:
        """Do what is due; every message up to `due_ns` is there now."""

    def skip(self, now_ns: int) -> tuple[int, int]:
        """Begin anew after a pause; return since when periods were skipped [ns], and how many."""

    def command(self, now_ns: int, raw: bytes) -> None:
        """Take in a command; on the grid of cycles, a cycle."""

    def flush(self) -> None:
        """Hand over the period that has begun: an episode, or the bag, ends now."""


class CommandGrid:
    """One period per command; its observation is what had arrived when the command was published.

    For commanders that ran at the contract's rate: their own rhythm, with its jitter, is the truest grid. A command
    that comes within half a period of another takes its place, as on the robot, where the newest command counts.

    Args:
        builder: Takes the periods.
        observe: Gives the observation at a time.
        read: Reads a command.
        period_ns: Control period [ns].
    """

    def __init__(self, builder: EpisodeBuilder, observe: Observe, read: ReadRaw, period_ns: int) -> None:
        self._builder, self._observe, self._read = builder, observe, read
        self._half_ns = period_ns // 2
        self._begun_ns = -self._half_ns
        self.due_ns = NEVER

    def start(self, now_ns: int) -> None:
        """Nothing to do."""

    def tick(self) -> None:
        """Nothing is ever due."""

    def skip(self, now_ns: int) -> tuple[int, int]:
        """Skip nothing: without a command there is no period."""
        return now_ns, 0

    def command(self, now_ns: int, raw: bytes) -> None:
        """Take in a command."""
        action = self._read(raw)
        if 0 <= now_ns - self._begun_ns < self._half_ns and self._builder.replace(now_ns, action, REPLACED):
            return
        self._begun_ns = now_ns
        self._builder.step(now_ns, self._observe(now_ns), action)

    def flush(self) -> None:
        """Nothing waits."""


class RegularGrid:
    """Periods of exactly the contract's length from the moment that every input has been seen.

    The action of a period is the last command published in it; the times do not drift (k-th period: start + k / rate).

    Args:
        builder: Takes the periods.
        observe: Gives the observation at a time.
        read: Reads a command.
        rate_hz: Control rate [Hz].
        hold_ns: How old a command may be that stands in where none was published [ns].
        idle: (act_dim,) the action where commands do not matter; None where they do.
    """

    def __init__(
        self,
        builder: EpisodeBuilder,
        observe: Observe,
        read: ReadRaw,
        rate_hz: float,
        hold_ns: int,
        idle: JointArray | None,
    ) -> None:
        self._builder, self._observe, self._read = builder, observe, read
        self._rate_hz, self._hold_ns, self._idle = rate_hz, hold_ns, idle
        self._last: tuple[int, bytes] | None = None
        self._begun: tuple[int, Observation] | None = None
        self._start_ns = self._ticks = 0
        self.due_ns = NEVER

    def start(self, now_ns: int) -> None:
        """Begin the periods here."""
        self._begun = self._last = None
        self._start_ns, self._ticks, self.due_ns = now_ns, 0, now_ns

    def tick(self) -> None:
        """End one period and begin the next."""
        now_ns = self.due_ns
        if self._begun:
            self._builder.step(*self._begun, self._action(self._begun[0], now_ns))
        self._begun = (now_ns, self._observe(now_ns))
        self._ticks += 1
        self.due_ns = self._start_ns + round(self._ticks * 1e9 / self._rate_hz)

    def skip(self, now_ns: int) -> tuple[int, int]:
        """Begin anew after a pause; its periods are counted and not gone through, for a clock may jump by years."""
        if self.due_ns >= now_ns:
            return now_ns, 0
        self.tick()
        begin_ns = self._start_ns + round((self._ticks - 1) * 1e9 / self._rate_hz)
        self.start(now_ns)
        return begin_ns, ceil((now_ns - begin_ns) * self._rate_hz / 1e9)

    def command(self, now_ns: int, raw: bytes) -> None:
        """Take in a command."""
        self._last = (now_ns, raw)

    def flush(self) -> None:
        """Hand over the period that has begun: as a whole one if it has its command, else only its observation."""
        if not self._begun:
            return
        action = self._action(self._begun[0], NEVER)
        if self._idle is not None or isinstance(action, str):
            self._builder.rest(*self._begun)
        else:
            self._builder.step(*self._begun, action)
        self._begun = None

    def _action(self, begin_ns: int, end_ns: int) -> JointArray | str:
        """Return the action of the period from `begin_ns` (exclusive) to `end_ns`."""
        if self._idle is not None:
            return self._idle
        if self._last is None or self._last[0] <= min(begin_ns, end_ns - self._hold_ns):
            return NO_COMMAND
        return self._read(self._last[1])


class CycleGrid:
    """The controller's own cycles, from its recording: its times, the very measurements it used, the commands it sent.

    Args:
        builder: Takes the periods.
        build: Builds an observation from measurements at a time.
        decode: Decodes a cycle.
        histories: Contract's topic -> its messages.
    """

    def __init__(
        self,
        builder: EpisodeBuilder,
        build: Callable[[Mapping[str, Measurement], int], Observation],
        decode: Callable[[bytes], Any],
        histories: Mapping[str, History],
    ) -> None:
        self._builder, self._build, self._decode, self._histories = builder, build, decode, histories
        self._waiting: deque[tuple[int, Any]] = deque()
        self._number = 0
        self.due_ns = NEVER

    def start(self, now_ns: int) -> None:
        """Nothing to do."""

    def tick(self) -> None:
        """Take in the oldest cycle that waits."""
        self._step(self._waiting.popleft()[1])
        self.due_ns = self._waiting[0][0] if self._waiting else NEVER

    def skip(self, now_ns: int) -> tuple[int, int]:
        """Skip nothing: without a cycle there is no period."""
        return now_ns, 0

    def command(self, now_ns: int, raw: bytes) -> None:
        """Take in a cycle; it waits until the messages that it used are all there."""
        cycle = self._decode(raw)
        if cycle is None:
            return
        due_ns = max([now_ns, *map(int, cycle.received_ns)])
        self._waiting.append((due_ns, cycle))
        self.due_ns = self._waiting[0][0]

    def flush(self) -> None:
        """Take in all cycles that wait."""
        while self._waiting:
            self.tick()

    def _step(self, cycle: Any) -> None:
        now_ns = int(cycle.now_ns)
        if int(cycle.number) != self._number + 1:
            self._builder.close_gap()  # another activation, or cycles that were lost
        self._number = int(cycle.number)
        measurements, complete = {}, True
        times = zip(cycle.received_ns, cycle.stamps_ns, strict=True)
        used = dict(zip(cycle.topics, times, strict=True))
        for topic, history in self._histories.items():
            if topic in used:
                measurement = history.exact(int(used[topic][0]), int(used[topic][1]))
                complete = complete and measurement is not None
            else:  # this contract observes more than the controller's did
                measurement = history.newest(now_ns)
            if measurement:
                measurements[topic] = measurement
        observation = self._build(measurements, now_ns)
        command = np.asarray(cycle.command, dtype=np.float64)
        action: JointArray | str = command if len(command) else NO_COMMAND
        action = NOT_BEHAVIOUR.get(cycle.mode, action)
        self._builder.step(now_ns, observation, action if complete else NO_CYCLE_INPUT)
