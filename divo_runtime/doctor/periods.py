"""A bag, sampled once per control period: the observation as the controller would build it, and the command beside it.

The times of the periods are those of the controller's own cycles where the bag holds them, else those of the commands
where they come at the contract's rate, else every 1 / rate from the moment that every input is there. `divo-train
import` samples by the same rules; what it drops is kept here and counted, because the doctor wants to see it.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from divo_runtime.commands import command_reader
from divo_runtime.contract import Contract
from divo_runtime.doctor.bag import ContractBag
from divo_runtime.errors import RecordingError
from divo_runtime.fields import JointArray
from divo_runtime.observation import Fault, FloatArray, ObservationBuilder
from divo_runtime.recording.history import History, header_stamp_ns
from divo_runtime.recording.messages import decode_cycle
from divo_runtime.stamps import StampOrder

GridKind = Literal["cycles", "commands", "regular"]
SAME_RATE = 0.2
"""The commander's period may differ by this share from the contract's and still be its rhythm."""
PEEK = 200
DEPTH_NS = 1_000_000_000
FOREIGN_NS = 10_000_000_000
"""Stamps further than this from the arrivals belong to another clock, as in a simulation."""
PAUSE_NS = 10_000_000_000
"""A silence of all topics that is longer is passed over."""
LONGEST_DETAIL = 160

TermFault = tuple[str, Fault]
"""Term, and what was wrong with it."""


@dataclass(slots=True)
class TopicTimes:
    """When the messages of one input came [ns]."""

    name: str
    stamped: bool
    arrivals_ns: list[int] = field(default_factory=list)
    stamps_ns: list[int] = field(default_factory=list)
    frame: str = ""
    """The frame that its first message names."""


@dataclass(frozen=True, slots=True, eq=False)
class Cycle:
    """What the controller wrote down about a period."""

    mode: str
    policy: str
    noise: FloatArray
    """(candidates, act_dim), or empty."""


@dataclass(frozen=True, slots=True, eq=False)
class Periods:
    """The sampled bag."""

    grid: GridKind
    times_ns: NDArray[np.int64]
    """(m,)"""
    observations: FloatArray
    """(m, obs_dim), NaN where a term had a problem."""
    commands: JointArray
    """(m, act_dim), NaN where there was none."""
    cycles: tuple[Cycle, ...]
    """(m,) on the grid of cycles, else empty."""
    problems: Mapping[TermFault, int]
    """How many periods had it."""
    details: Mapping[TermFault, str]
    """The first one's details."""
    bad_commands: Mapping[str, int]
    topics: Mapping[str, TopicTimes]
    """Input topic as in the contract -> its times."""
    notes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.times_ns)


def sample_periods(
    bag: ContractBag, contract: Contract, most: int, report: Callable[[int], None] = lambda count: None
) -> Periods:
    """Sample a bag.

    Args:
        bag: The bag.
        contract: The robot task.
        most: Stop after so many periods.
        report: Called with the number of periods so far.

    Raises:
        RecordingError: If the bag is damaged, or there is not one period in it.
    """
    sampler = _Sampler(bag, contract, most)
    for channel, arrival_ns, raw in bag.messages():
        sampler.catch_up(arrival_ns)
        if len(sampler.times_ns) >= most:
            break
        sampler.take(channel.role, channel.topic, arrival_ns, raw)
        report(len(sampler.times_ns))
    sampler.catch_up(2**62)
    if not sampler.times_ns:
        raise RecordingError(
            "The bag holds not one control period.",
            where=str(bag.path),
            got=f"inputs {', '.join(times.name for times in sampler.topics.values())}",
            expected="every input at least once, and something after it",
            fix="Record longer, and start the recording before the robot moves.",
        )
    return sampler.result()


class _Sampler:
    def __init__(self, bag: ContractBag, contract: Contract, most: int) -> None:
        self._contract, self._most = contract, most
        self.notes: list[str] = []
        inputs = {channel.topic: channel for channel in bag.channels if channel.role == "input"}
        if contract.clock == "header" and _foreign_stamps(bag):
            self._contract = msgspec.structs.replace(contract, clock="receive")
            self.notes.append("The stamps are in another clock than the arrivals (a simulation?); arrivals count.")
        self._builder = ObservationBuilder(self._contract)
        self._order = StampOrder(self._contract)
        self._histories = {topic: History(channel.decode, DEPTH_NS) for topic, channel in inputs.items()}
        self._stamped = {topic: channel.stamped for topic, channel in inputs.items()}
        self.topics = {topic: TopicTimes(channel.name, channel.stamped) for topic, channel in inputs.items()}
        self.grid = choose_grid(bag, contract)
        command = bag.channel("command")
        self._decode_command = command.decode if command else None
        self._read_command = command_reader(contract)
        self._nothing = np.full(contract.action_size, np.nan)
        self._waiting: deque[tuple[int, JointArray, Cycle]] = deque()
        self._unseen = set(inputs)
        self._tick = 0
        self._begin_ns = 0
        self.times_ns: list[int] = []
        self._observations: list[FloatArray] = []
        self._commands: list[JointArray] = []
        self._cycles: list[Cycle] = []
        self._asked: list[tuple[int, JointArray]] = []
        self._problems: Counter[TermFault] = Counter()
        self._details: dict[TermFault, str] = {}
        self._bad_commands: Counter[str] = Counter()
        self._last_ns = 0

    def take(self, role: str, topic: str, arrival_ns: int, raw: bytes) -> None:
        """Take in a message."""
        if self._begin_ns and arrival_ns - self._last_ns > PAUSE_NS:
            self._begin_ns, self._tick = arrival_ns, 0  # nothing is to be seen in a pause, or in a jump of the clock
        self._last_ns = arrival_ns
        if role == "input":
            stamp_ns = (header_stamp_ns(raw) if self._stamped[topic] else 0) or arrival_ns
            self._histories[topic].add(arrival_ns, stamp_ns, raw)
            times = self.topics[topic]
            times.arrivals_ns.append(arrival_ns)
            times.stamps_ns.append(stamp_ns)
            if topic in self._unseen:
                self._see(topic, arrival_ns)
        elif role == "command" and self.grid != "cycles":
            self._take_command(arrival_ns, raw)
        elif role == "cycle" and self.grid == "cycles":
            cycle = decode_cycle(raw)
            command = cycle.command if len(cycle.command) else self._nothing
            noise = cycle.noise.reshape(-1, self._contract.action_size)
            self._waiting.append((cycle.now_ns, command, Cycle(cycle.mode, cycle.policy, noise)))

    def catch_up(self, now_ns: int) -> None:
        """Build the observations of all periods that began before a time."""
        while self._waiting and self._waiting[0][0] < now_ns and len(self.times_ns) < self._most:
            due_ns, command, cycle = self._waiting.popleft()
            self._look(due_ns, command)
            self._cycles.append(cycle)
        end_ns = min(now_ns, self._last_ns)
        while self.grid == "regular" and self._begin_ns and len(self.times_ns) < self._most:
            due_ns = self._begin_ns + round(self._tick * 1e9 / self._contract.rate_hz)
            if due_ns >= end_ns:
                break
            self._look(due_ns, self._nothing)
            self._tick += 1

    def result(self) -> Periods:
        times_ns = np.array(self.times_ns, np.int64)
        commands = np.array(self._commands)
        if self.grid == "regular" and self._asked:
            commands = self._last_of_each_period(times_ns)
        return Periods(
            self.grid,
            times_ns,
            np.array(self._observations, np.float32),
            commands,
            tuple(self._cycles),
            self._problems,
            self._details,
            self._bad_commands,
            self.topics,
            tuple(self.notes),
        )

    def _see(self, topic: str, arrival_ns: int) -> None:
        self._unseen.discard(topic)
        first = self._histories[topic].newest(arrival_ns)
        header = getattr(first.message, "header", None) if first else None
        self.topics[topic].frame = str(getattr(header, "frame_id", ""))
        if not self._unseen:
            self._begin_ns = arrival_ns

    def _take_command(self, arrival_ns: int, raw: bytes) -> None:
        assert self._decode_command is not None, "only its channel brings commands"
        command = self._read_command(self._decode_command(raw))
        if isinstance(command, str):
            self._bad_commands[command] += 1
            command = self._nothing
        if self.grid == "commands":
            if self.times_ns and arrival_ns - self.times_ns[-1] < self._contract.period_ns // 2:
                self._commands[-1] = command if np.isfinite(command).all() else self._commands[-1]  # the newest counts
                return
            self._look(arrival_ns, command)  # at once: the command itself is not in what it answers
        else:
            self._asked.append((arrival_ns, command))

    def _look(self, now_ns: int, command: JointArray) -> None:
        found = {topic: held for topic, history in self._histories.items() if (held := history.newest(now_ns))}
        measurements, doubted = self._order.admit(found, now_ns)
        observation = self._builder.build(measurements, now_ns, doubted)
        for problem in observation.problems:
            key = (problem.term, problem.fault)
            self._problems[key] += 1
            self._details.setdefault(key, problem.detail[:LONGEST_DETAIL])
        self.times_ns.append(now_ns)
        self._observations.append(observation.vector)
        self._commands.append(command)

    def _last_of_each_period(self, times_ns: NDArray[np.int64]) -> JointArray:
        """Return the last command published in (t, t + T] of every period."""
        asked_ns = np.array([time_ns for time_ns, _ in self._asked])
        values = np.array([command for _, command in self._asked])
        last = np.searchsorted(asked_ns, times_ns + self._contract.period_ns, side="right") - 1
        fresh = (last >= 0) & (asked_ns[np.maximum(last, 0)] > times_ns)
        commands: JointArray = np.where(fresh[:, None], values[np.maximum(last, 0)], np.nan)
        return commands


def choose_grid(bag: ContractBag, contract: Contract) -> GridKind:
    """Take the controller's cycles if they were recorded, the commands if they came at the control rate."""
    if bag.channel("cycle"):
        return "cycles"
    if bag.channel("command") is None:
        return "regular"
    times = list(islice((now_ns for channel, now_ns, _ in bag.messages() if channel.role == "command"), PEEK))
    period_ns = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
    return "commands" if abs(period_ns / contract.period_ns - 1) <= SAME_RATE else "regular"


def _foreign_stamps(bag: ContractBag) -> bool:
    stamped = ((now_ns, header_stamp_ns(raw)) for channel, now_ns, raw in bag.messages() if channel.stamped)
    offsets = [now_ns - stamp_ns for now_ns, stamp_ns in islice(stamped, PEEK) if stamp_ns]
    return bool(offsets) and abs(float(np.median(offsets))) > FOREIGN_NS
