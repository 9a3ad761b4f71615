"""One bag to a file of episodes and a record of what happened: the work of one process."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from statistics import median

import h5py
import numpy as np

from divo_runtime.recording.history import header_stamp_ns
from divo_train.data.bags.bag import Bag, bag_files, open_bag
from divo_train.data.bags.decoding import MessageTypes
from divo_train.data.bags.episodes import Episode, EpisodeRules
from divo_train.data.bags.grids import GridKind
from divo_train.data.bags.labels import load_function
from divo_train.data.bags.marks import SEPARATORS
from divo_train.data.bags.parts import BagError
from divo_train.data.bags.roles import assign_roles
from divo_train.data.bags.sampler import BagLayout, Sampler, SamplerSettings
from divo_train.data.bags.settings import ImportSettings
from divo_train.data.bags.tally import KEPT, Tally
from divo_train.data.bags.timeline import check_clocks, simulated_time
from divo_train.data.bags.timing import Sample, TopicTiming

PEEK = 200
"""Messages looked at to learn the command's rate and the clocks."""
SAME_RATE = 0.2
"""The commander's period may differ by this share from the contract's and still be its rhythm."""
HASH_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class BagReport:
    """What became of one bag."""

    path: Path
    size_bytes: int
    sha256: str
    grid: GridKind
    span_ns: tuple[int, int]
    messages: int
    """Messages of the topics that were read."""
    unused_topics: tuple[str, ...]
    episodes: int
    transitions: int
    timings: tuple[TopicTiming, ...]
    ages: tuple[Sample, ...]
    """Age of every term of the contract at its use [ns]."""
    frames: Mapping[str, Mapping[str, int]]
    """Input topic as in the contract -> frame that its headers name -> messages."""
    tally: Tally
    notes: tuple[str, ...]
    """What was odd, one sentence each."""


def import_bag(
    path: Path, settings: ImportSettings, part: Path, report: Callable[[float], None] = lambda share: None
) -> BagReport:
    """Import one bag.

    Args:
        path: A rosbag2 folder, or a `.mcap` or `.db3` file.
        settings: How.
        part: HDF5 file to write the episodes to.
        report: Called now and then with the share that is done, 0 to 1.

    Raises:
        BagError: If the bag is damaged or does not hold what the contract needs.
        DatasetError: If the reward function fails.
    """
    bag = open_bag(path, settings.keep_going)
    try:
        return _import_opened(bag, settings, part, report)
    finally:
        bag.close()


def _import_opened(bag: Bag, settings: ImportSettings, part: Path, report: Callable[[float], None]) -> BagReport:
    contract, measured = settings.contract, settings.action == "measured"
    roles, notes = assign_roles(bag.topics, contract, settings.names, needs_command=not measured)
    types = MessageTypes()
    if roles.cycles is not None and settings.keep_going:
        try:
            types.decoder(bag.topics[roles.cycles])
        except BagError as error:
            notes.append(f"The controller's cycles are not used: {error.what}")
            roles = replace(roles, cycles=None)
    layout = BagLayout(bag.topics, roles, types)
    _check_messages(bag, layout, measured)
    offsets_ns = _clock_offsets(bag, layout)
    begin_ns, end_ns = bag.span_ns
    if settings.simulated_time:
        begin_ns, end_ns = (time_ns - round(median(offsets_ns or [0])) for time_ns in bag.span_ns)
    else:
        ticks = 0 if roles.clock is None else bag.topics[roles.clock].count
        check_clocks(offsets_ns, contract.clock, ticks, str(bag.path))
    grid = _choose_grid(bag, layout, settings)
    tally = Tally(begin_ns, end_ns)
    function = contract.reward.function if contract.reward else ""
    rules = EpisodeRules(
        gap_ns=None if grid == "regular" else settings.gap_ns,
        marked=roles.marks is not None and bag.topics[roles.marks].type not in SEPARATORS,
        measured=measured,
        function=load_function(function) if function else None,
        function_name=function,
    )
    stop_words = contract.episodes.stop_words if contract.episodes else ()
    with h5py.File(part, "w") as file:
        writer = _PartWriter(file)
        how = SamplerSettings(grid, round(settings.hold_s * 1e9), stop_words)
        sampler = Sampler(contract, layout, how, rules, tally, writer.add)
        messages = bag.messages(roles.numbers)
        if settings.simulated_time:
            stamped = {number for number in roles.inputs.values() if layout.stamped(number)}
            messages = simulated_time(messages, stamped, roles.clock)
        sampler.run(messages, lambda now_ns: report((now_ns - begin_ns) / max(end_ns - begin_ns, 1)))
    timings = sampler.timings()
    return BagReport(
        path=bag.path,
        size_bytes=bag.size_bytes,
        sha256=_sha256(bag.path),
        grid=grid,
        span_ns=bag.span_ns,
        messages=sum(timing.messages for timing in timings),
        unused_topics=tuple(
            f"{topic.name} ({topic.type})" for number, topic in enumerate(bag.topics) if number not in roles.numbers
        ),
        episodes=writer.count,
        transitions=tally.counts[KEPT],
        timings=tuple(timings),
        ages=tuple(sampler.ages()),
        frames={topic: watch.counts for topic, watch in sampler.frames.items()},
        tally=tally,
        notes=(*bag.notes, *notes, *_strays(sampler)),
    )


class _PartWriter:
    """Writes episodes to a file of one bag, one group each."""

    def __init__(self, file: h5py.File) -> None:
        self._file = file
        self.count = 0

    def add(self, episode: Episode) -> None:
        truncated = np.zeros(len(episode), bool)
        truncated[-1] = not episode.terminated[-1]
        group = self._file.create_group(str(self.count))
        group["observations"], group["actions"] = episode.observations, episode.actions
        group["rewards"], group["terminations"] = episode.rewards, episode.terminated
        group["truncations"], group["infos/time_ns"] = truncated, episode.times_ns
        self.count += 1


def _check_messages(bag: Bag, layout: BagLayout, measured: bool) -> None:
    """Refuse a bag in which a topic that is needed is silent."""
    roles = layout.roles
    source = roles.command if roles.cycles is None else roles.cycles
    needed = [*roles.inputs.values(), *([] if measured or source is None else [source])]
    silent = [bag.topics[number].name for number in needed if not bag.topics[number].count]
    if silent:
        raise BagError(
            "A topic that the contract needs has no messages.",
            where=f"{bag.path}, {', '.join(silent)}",
            got="0 messages",
            fix="Record it, or leave this bag out; if it is the command, --action measured takes the motion instead.",
        )


def _clock_offsets(bag: Bag, layout: BagLayout) -> list[int]:
    stamped = [number for number in layout.roles.inputs.values() if layout.stamped(number)]
    peeked = islice(bag.messages(stamped), PEEK)
    stamps = ((log_ns, header_stamp_ns(raw)) for _, log_ns, raw in peeked)
    return [log_ns - stamp_ns for log_ns, stamp_ns in stamps if stamp_ns]


def _choose_grid(bag: Bag, layout: BagLayout, settings: ImportSettings) -> GridKind:
    """Take the controller's cycles if they were recorded, the commands if they came at the control rate."""
    roles, contract = layout.roles, settings.contract
    if settings.grid != "auto":
        needed = {"cycles": roles.cycles, "commands": roles.command, "regular": 0}[settings.grid]
        if needed is None or (settings.action == "measured" and settings.grid == "commands"):
            raise BagError(
                f"The grid '{settings.grid}' cannot be used here.",
                where=str(bag.path),
                got=f"no topic for it, or --action {settings.action}",
                fix="Give --grid auto.",
            )
        return settings.grid
    if roles.cycles is not None:
        return "cycles"
    if settings.action == "measured" or roles.command is None or settings.simulated_time:
        return "regular"
    times = [log_ns for _, log_ns, _ in islice(bag.messages([roles.command]), PEEK)]
    period_ns = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
    return "commands" if abs(period_ns / contract.period_ns - 1) <= SAME_RATE else "regular"


def _strays(sampler: Sampler) -> Sequence[str]:
    """Return sentences about what found no place."""
    episodes, refused = sampler.episodes, sampler.order.counts["out_of_order"]
    counted = {
        "reward messages belong to no transition that was kept": episodes.stray_rewards,
        "terminations came where no episode ran that they could end": episodes.stray_terminations,
        "terminations came when nothing could be observed: those episodes are truncated": episodes.lost_terminations,
        "marked episodes are empty: not one transition lies between their marks": episodes.empty,
        "messages bore an older stamp than the one before and were passed over, as on the robot": refused,
        "times the arrivals went back by more than a second: the recorder's clock was set": sampler.clock_resets,
    }
    unreadable = [
        f"{timing.failures} messages of {timing.topic} that were needed cannot be decoded."
        for timing in sampler.timings()
        if timing.failures
    ]
    return [*(f"{count} {text}." for text, count in counted.items() if count), *unreadable]


def _sha256(path: Path) -> str:
    """Return the hash of a bag's storage files, one after the other."""
    digest = hashlib.sha256()
    for file in bag_files(path):
        with file.open("rb") as stream:
            while block := stream.read(HASH_BLOCK):
                digest.update(block)
    return digest.hexdigest()
