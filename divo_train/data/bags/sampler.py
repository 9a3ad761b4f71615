"""One pass over a bag's messages in the order of their arrival: inputs are held, the grid ticks, episodes come out.

Nothing is decoded that no period needs, and no observation ever holds what had not arrived at its time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from divo_runtime.commands import command_reader
from divo_runtime.contract import Contract
from divo_runtime.fields import JointArray
from divo_runtime.observation import Measurement, Observation, ObservationBuilder
from divo_runtime.recording.history import History, header_stamp_ns
from divo_runtime.stamps import StampOrder
from divo_train.data.bags.decoding import Decode, MessageTypes
from divo_train.data.bags.episodes import Episode, EpisodeBuilder, EpisodeRules
from divo_train.data.bags.frames import FrameWatch
from divo_train.data.bags.grids import PAUSE, CommandGrid, CycleGrid, Grid, GridKind, RegularGrid
from divo_train.data.bags.marks import Mark, mark_reader
from divo_train.data.bags.parts import BagTopic, RawMessage
from divo_train.data.bags.roles import Roles
from divo_train.data.bags.tally import Tally
from divo_train.data.bags.timing import Sample, TimingMeter, TopicTiming

DEPTH_PERIODS = 4
DEPTH_NS = 500_000_000
"""How far back inputs are kept: a few periods, and what a controller's recording may be late."""
STEP_BACK_NS = 1_000_000_000
"""Arrivals that go back by less than this are messages out of order; by more, the recorder's clock was set back."""
REPORT_EVERY = 4096

Handler = Callable[[int, bytes], None]
"""(time [ns], serialised message)."""


@dataclass(frozen=True, slots=True)
class BagLayout:
    """What a bag holds, and what of it is for what."""

    topics: Sequence[BagTopic]
    roles: Roles
    types: MessageTypes

    def stamped(self, number: int) -> bool:
        """Return whether a topic's messages begin with a header."""
        return self.types.has_header(self.topics[number].type)


@dataclass(frozen=True, slots=True)
class SamplerSettings:
    """How a bag is sampled."""

    grid: GridKind
    hold_ns: int = 0
    """How old a command may be that stands in where none was published [ns]."""
    stop_words: tuple[str, ...] = ()


class Sampler:
    """Samples one bag.

    Args:
        contract: The robot task.
        layout: What the bag holds.
        settings: How it is sampled.
        rules: How periods become episodes.
        tally: Where periods are counted.
        emit: Called with every finished episode.
    """

    def __init__(
        self,
        contract: Contract,
        layout: BagLayout,
        settings: SamplerSettings,
        rules: EpisodeRules,
        tally: Tally,
        emit: Callable[[Episode], None],
    ) -> None:
        roles = layout.roles
        self._contract, self._layout, self._tally = contract, layout, tally
        youngest_ns = round(min(term.max_age_ms for term in contract.observation) * 1e6)
        self._pause_ns = youngest_ns + max(rules.gap_ns or 0, DEPTH_PERIODS * contract.period_ns)
        self._by_stamp = contract.clock == "header"
        self._builder = ObservationBuilder(contract)
        self.order = StampOrder(contract)
        self._decoders = {number: layout.types.decoder(layout.topics[number]) for number in roles.numbers}
        depth_ns = max(DEPTH_PERIODS * contract.period_ns, 2 * (rules.gap_ns or 0), DEPTH_NS)
        self._histories = {topic: History(self._decoders[number], depth_ns) for topic, number in roles.inputs.items()}
        self.frames = {topic: FrameWatch() for topic, number in roles.inputs.items() if layout.stamped(number)}
        self._ages = [Sample() for _ in contract.observation]
        self._newest_ages: list[tuple[int, ...]] = []
        self._unseen = set(roles.inputs)
        self._meters = {
            number: TimingMeter(layout.topics[number].name, layout.topics[number].type, layout.stamped(number))
            for number in roles.numbers
        }
        self.episodes = EpisodeBuilder(contract, rules, tally, self._look, emit)
        self._grid = self._make_grid(settings, rules.measured)
        self._handlers = {number: self._handler(number, settings) for number in roles.numbers}
        self.clock_resets = 0
        """How often the recorder's clock was set back in the middle of the bag."""

    def run(self, messages: Iterable[RawMessage], report: Callable[[int], None]) -> None:
        """Sample all messages.

        Args:
            messages: In the order of their arrival.
            report: Called now and then with the newest time [ns].
        """
        handlers, grid, episodes = self._handlers, self._grid, self.episodes
        last_ns = 0
        for count, (number, now_ns, raw) in enumerate(messages):
            if now_ns < last_ns:
                now_ns = self._step_back(now_ns, last_ns)
            if now_ns > grid.due_ns or now_ns > episodes.due_ns:
                if now_ns - last_ns > self._pause_ns:
                    self._pass_over(last_ns + self._pause_ns, now_ns)
                self._catch_up(now_ns)
            last_ns = now_ns
            handlers[number](now_ns, raw)
            if not count % REPORT_EVERY:
                report(now_ns)
        self._catch_up(last_ns)
        grid.flush()
        episodes.finish(last_ns)

    def timings(self) -> list[TopicTiming]:
        """Return how regular every topic was."""
        return [meter.result(self._decoders[number].failures) for number, meter in self._meters.items()]

    def ages(self) -> list[Sample]:
        """Return the ages of the contract's terms when they were used [ns]."""
        self._settle_ages()
        return self._ages

    def _catch_up(self, now_ns: int) -> None:
        """Do everything that was due before a time, in order."""
        grid, episodes = self._grid, self.episodes
        while (due_ns := min(grid.due_ns, episodes.due_ns)) < now_ns:
            if grid.due_ns <= due_ns:
                grid.tick()
            else:
                episodes.close_gap()

    def _pass_over(self, begin_ns: int, now_ns: int) -> None:
        """Pass over a pause, or a jump of the clock, without a tick for each of its periods."""
        self._catch_up(begin_ns)
        since_ns, skipped = self._grid.skip(now_ns)
        if skipped:
            self._tally.add_span(PAUSE, since_ns, now_ns, skipped)

    def _step_back(self, now_ns: int, last_ns: int) -> int:
        """Return the time to go on with after a message that arrived before its predecessor."""
        if last_ns - now_ns < STEP_BACK_NS:
            return last_ns
        self.clock_resets += 1
        self._grid.flush()
        self.episodes.close_gap()
        for history in self._histories.values():
            history.clear()
        self.order.forget()
        self._unseen = set(self._histories)
        self._grid.start(now_ns)
        return now_ns

    def _look(self, now_ns: int) -> Observation:
        """Build the observation at a time from what had arrived by then, by the robot's rule of what is the newest."""
        found = {topic: held for topic, history in self._histories.items() if (held := history.newest(now_ns))}
        measurements, doubted = self.order.admit(found, now_ns)
        return self._builder.build(measurements, now_ns, doubted)

    def _observe(self, now_ns: int) -> Observation:
        return self._noted(self._look(now_ns))

    def _build(self, measurements: Mapping[str, Measurement], now_ns: int) -> Observation:
        self.order.admit(measurements, now_ns)  # the controller has judged them; what comes next is compared with them
        return self._noted(self._builder.build(measurements, now_ns))

    def _noted(self, observation: Observation) -> Observation:
        """Take note of the ages of the terms."""
        self._newest_ages.append(observation.ages_ns)
        if len(self._newest_ages) >= REPORT_EVERY:
            self._settle_ages()
        return observation

    def _settle_ages(self) -> None:
        for sample, ages in zip(self._ages, zip(*self._newest_ages, strict=True), strict=False):
            sample.add(np.array([age for age in ages if age != -1], np.int64))
        self._newest_ages = []

    def _make_grid(self, settings: SamplerSettings, measured: bool) -> Grid:
        roles = self._layout.roles
        if settings.grid == "cycles":
            assert roles.cycles is not None, "this grid is chosen where there are cycles"
            return CycleGrid(self.episodes, self._build, self._decoders[roles.cycles], self._histories)
        read = self._command_reader(self._decoders[roles.command]) if roles.command is not None else _no_command
        if settings.grid == "commands":
            return CommandGrid(self.episodes, self._observe, read, self._contract.period_ns)
        idle = np.zeros(self._contract.action_size) if measured else None
        return RegularGrid(self.episodes, self._observe, read, self._contract.rate_hz, settings.hold_ns, idle)

    def _command_reader(self, decode: Decode) -> Callable[[bytes], JointArray | str]:
        read_message = command_reader(self._contract)
        return lambda raw: read_message(decode(raw))

    def _handler(self, number: int, settings: SamplerSettings) -> Handler:
        """Return what takes in the messages of a topic: first what they are for, then, of an input, what holds them.

        So no command is in the observation that it answers, where the last command is an input.
        """
        use = self._user(number, settings)
        for topic, mine in self._layout.roles.inputs.items():
            if mine == number:
                return self._input_handler(topic, number, use)
        return self._timed(number, use or (lambda now_ns, raw: None))

    def _user(self, number: int, settings: SamplerSettings) -> Handler | None:
        """Return what uses the messages of a topic, besides holding them; None if nothing does."""
        roles, decode, episodes = self._layout.roles, self._decoders[number], self.episodes
        if number == (roles.cycles if settings.grid == "cycles" else roles.command):
            return self._grid.command
        use: Callable[[int, Any], None] | None = None
        if number == roles.marks:
            read = mark_reader(self._layout.topics[number].type, settings.stop_words)
            use = lambda now_ns, message: self._mark(now_ns, read(message))  # noqa: E731
        elif number == roles.reward:
            use = lambda now_ns, message: episodes.add_reward(now_ns, float(message.data))  # noqa: E731
        elif number == roles.terminated:
            use = self._terminated
        return use and partial(_use_readable, decode, use)

    def _input_handler(self, topic: str, number: int, use: Handler | None) -> Handler:
        hold, add_time = self._histories[topic].add, self._meters[number].add
        by_stamp, watch = self._by_stamp, self.frames.get(topic)

        def take(now_ns: int, raw: bytes) -> None:
            stamp_ns = (header_stamp_ns(raw) if watch else 0) or now_ns
            if watch:
                watch.add(raw)
            add_time(now_ns, stamp_ns)
            if use:
                use(now_ns, raw)
            hold(now_ns, stamp_ns if by_stamp else now_ns, raw)
            if self._unseen:
                self._unseen.discard(topic)
                if not self._unseen:
                    self._grid.start(now_ns)

        return take

    def _timed(self, number: int, take: Handler) -> Handler:
        add_time, stamped = self._meters[number].add, self._layout.stamped(number)

        def take_timed(now_ns: int, raw: bytes) -> None:
            add_time(now_ns, (header_stamp_ns(raw) if stamped else 0) or now_ns)
            take(now_ns, raw)

        return take_timed

    def _mark(self, now_ns: int, mark: Mark) -> None:
        if mark is Mark.NOTHING:
            return
        self._grid.flush()
        if mark is Mark.END:
            self.episodes.end(now_ns)
        else:
            self.episodes.begin(now_ns)

    def _terminated(self, now_ns: int, message: Any) -> None:
        if message.data:
            self._grid.flush()
        self.episodes.set_terminated(now_ns, bool(message.data))


def _use_readable(decode: Decode, use: Callable[[int, Any], None], now_ns: int, raw: bytes) -> None:
    """Use a message if it can be decoded."""
    if (message := decode(raw)) is not None:
        use(now_ns, message)


def _no_command(raw: bytes) -> str:
    return "no command topic"
