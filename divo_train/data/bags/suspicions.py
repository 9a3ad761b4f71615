"""What looks as if a robot would shake: the usual mistakes in order, unit and time, each told in words.

A suspicion is a hint with its evidence, not a proof; none of them changes the data.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from divo_runtime.contract import Contract
from divo_runtime.observation import Fault
from divo_train.data.bags.assembly import EpisodeSample
from divo_train.data.bags.following import Following, measure_following
from divo_train.data.bags.frames import find_frame_suspicions
from divo_train.data.bags.importing import BagReport
from divo_train.data.bags.motion import joint_columns
from divo_train.data.bags.suspicion import Suspicion, list_bags
from divo_train.data.bags.tally import KEPT
from divo_train.data.bags.timing import TopicTiming

CLEAR = 0.6
"""Correlation from which motion is said to follow a command."""
DEGREES = 180.0 / np.pi
NEAR = 1.25
"""A factor within this of another is taken for it."""
SATURATED = 0.2
BEYOND = 0.01
STALE = 0.01
LOST = 0.01
LATE_S, LATE_PERIODS = 0.1, 2
"""Motion later than both after its command is called late."""
AHEAD_MS = -5.0
"""Stamps that lie this far ahead of the arrivals [ms] come from another clock."""
SILENT_S, SILENT_SHARE = 1.0, 0.05
"""A topic that falls silent for both before the end has stopped."""
STD_FLOOR = 1e-3
"""That of `divo_train.data.training_set`, which is not imported here because it loads torch."""
FEW = 20
"""Observations of which fewer prove nothing about what never changes."""
NAMED = 3
"""Elements named in one warning."""
WHOLE_TURNS = 4 * np.pi


def find_suspicions(contract: Contract, bags: Sequence[BagReport], sample: EpisodeSample) -> list[Suspicion]:
    """Return everything that looks wrong.

    Args:
        contract: The robot task.
        bags: What became of the bags.
        sample: Episodes of the dataset.
    """
    found = [*_stale(contract, bags), *_clocks(bags), *_losses(bags)]
    found += find_frame_suspicions(contract, [(bag.path.name, bag.frames) for bag in bags])
    if sample.actions:
        following = measure_following(contract, sample.observations, sample.actions)
        if following:
            found += [*_order(contract, following), *_lag(contract, following), *_factor(contract, following)]
        found += [*_units(contract, sample), *_constants(contract, sample), *_saturation(contract, sample)]
    return found


def _order(contract: Contract, following: Following) -> Iterable[Suspicion]:
    names = contract.action.names
    correlation = following.correlation[following.best]
    for index, name in enumerate(names):
        own, other = correlation[index, index], int(np.argmax(np.abs(correlation[index])))
        if not following.commanded[index] or not following.moving.any():
            continue
        if not following.moving[index]:
            yield Suspicion(
                "no motion", f"{name} is commanded but never moves.", "Is its state frozen, or its drive off?"
            )
        elif abs(correlation[index, other]) >= CLEAR and abs(own) < abs(correlation[index, other]) / 2:
            yield Suspicion(
                "joint order",
                f"The command of {name} moves {names[other]} (correlation {correlation[index, other]:+.2f}, with "
                f"its own joint {own:+.2f}).",
                "Compare the order of the command's numbers with action.names in the contract.",
            )
        elif own <= -CLEAR:
            yield Suspicion(
                "joint order",
                f"{name} moves against its command (correlation {own:+.2f}).",
                "Compare the signs of the driver's command and state.",
            )


def _lag(contract: Contract, following: Following) -> Iterable[Suspicion]:
    lag, strength = int(following.lags[following.best]), following.strength[following.best]
    usual = following.strength[(following.lags >= 0) & (following.lags <= 1)].max()
    if strength < CLEAR or strength - usual < 0.02:  # a smooth motion correlates with itself at any shift
        return
    late_s = lag * contract.period_s
    if lag > LATE_PERIODS and late_s > LATE_S:
        yield Suspicion(
            "lag",
            f"The motion follows the commands only after {lag} periods ({late_s * 1e3:.0f} ms, correlation "
            f"{strength:.2f}).",
            "A filter, a slow network or late stamps; a policy trained on this must be served with the same delay.",
        )
    if lag < 0:
        yield Suspicion(
            "lag",
            f"The motion comes {-lag} periods ({-late_s * 1e3:.0f} ms) before the commands (correlation "
            f"{strength:.2f}).",
            "Is the recorded command an echo of the measured motion, or are the clocks apart?",
        )


def _factor(contract: Contract, following: Following) -> Iterable[Suspicion]:
    own = np.diagonal(following.correlation[following.best])
    slope = np.abs(following.slope[following.best])[np.abs(own) >= CLEAR]
    if not len(slope):
        return
    middle = float(np.median(slope))
    for factor, text in (
        (DEGREES, "in radians and the motion in degrees"),
        (1 / DEGREES, "in degrees and the motion in radians"),
    ):
        if factor / NEAR <= middle <= factor * NEAR and contract.action.kind != "twist":
            yield Suspicion(
                "unit",
                f"The motion is {middle:.3g} times the command: the command seems to be {text}.",
                "ROS messages and the contract are in SI units; convert in the driver.",
            )


def _units(contract: Contract, sample: EpisodeSample) -> Iterable[Suspicion]:
    rows = np.concatenate(sample.observations)
    starts = np.cumsum([0, *(term.width for term in contract.observation)])
    limits = {limit.name: limit.position for limit in contract.safety.limits}
    for term, first in zip(contract.observation, starts, strict=False):
        if term.field != "position" or term.unit != "rad" or term.relative_to:
            continue
        size = np.percentile(np.abs(rows[:, first : first + term.width]), 99, axis=0)
        wide = [
            joint
            for joint, reach in zip(term.joints, size, strict=True)
            if reach > (1.5 * max(map(abs, bounds)) if (bounds := limits.get(joint)) else WHOLE_TURNS)
        ]
        if wide:
            yield Suspicion(
                "unit",
                f"{term.name} of {', '.join(wide)} reaches {size.max():.0f}, far beyond what radians should.",
                "It looks like degrees; ROS messages and the contract are in SI units.",
            )
    yield from _rates_of_change(contract, sample)


def _rates_of_change(contract: Contract, sample: EpisodeSample) -> Iterable[Suspicion]:
    """Compare measured velocities with the change of the measured positions."""
    position, velocity = joint_columns(contract, "position"), joint_columns(contract, "velocity")
    if position is None or velocity is None:
        return
    changes = np.concatenate([np.diff(rows[:, position], axis=0) for rows in sample.observations]) * contract.rate_hz
    speeds = np.concatenate([(rows[1:, velocity] + rows[:-1, velocity]) / 2 for rows in sample.observations])
    change, speed = changes.std(), speeds.std()
    if min(change, speed) <= 0:
        return
    for factor, text in ((DEGREES, "velocities in degrees"), (1 / DEGREES, "positions in degrees")):
        if factor / NEAR <= speed / change <= factor * NEAR:
            finding = f"Measured velocities are {speed / change:.3g} times the change of the positions"
            yield Suspicion("unit", f"{finding}: {text}.", "ROS messages and the contract are in SI units.")


def _constants(contract: Contract, sample: EpisodeSample) -> Iterable[Suspicion]:
    rows = np.concatenate(sample.observations)
    still = np.flatnonzero(rows.max(axis=0) == rows.min(axis=0)).tolist()
    if still and len(rows) >= FEW:
        told = ", ".join(f"{contract.element_names[index]} ({rows[0, index]:.4g})" for index in still[:NAMED])
        more = f" and {len(still) - NAMED} more elements" if len(still) > NAMED else ""
        yield Suspicion(
            "constant",
            f"{told}{more} never changed in {len(rows):,} observations.",
            f"Training scales such an element by {STD_FLOOR:g}: a small deviation on the robot is many standard "
            "deviations. Vary it in the recordings, or leave it out of the contract.",
        )


def _saturation(contract: Contract, sample: EpisodeSample) -> Iterable[Suspicion]:
    actions = np.concatenate(sample.actions)
    lower, upper = contract.action_range()
    margin = 1e-3 * (upper - lower)
    at_limit = ((actions <= lower + margin) | (actions >= upper - margin)).mean(axis=0)
    beyond = ((actions < lower - margin) | (actions > upper + margin)).mean(axis=0)
    for name, share, outside in zip(contract.action.names, at_limit, beyond, strict=True):
        if outside > BEYOND:
            yield Suspicion(
                "saturation",
                f"{outside:.0%} of the commands of {name} lie outside of the contract's range.",
                "Training clips them; widen action.lower and action.upper, or check the unit.",
            )
        elif share > SATURATED:
            yield Suspicion(
                "saturation",
                f"{name} is commanded at its limit {share:.0%} of the time.",
                "A saturated command hides what was wanted; widen the limits or record slower motions.",
            )


def _stale(contract: Contract, bags: Sequence[BagReport]) -> Iterable[Suspicion]:
    for term in contract.observation:
        dropped = sum(bag.tally.counts[f"{term.name}: {Fault.STALE.value}"] for bag in bags)
        periods = sum(sum(bag.tally.counts.values()) for bag in bags)
        if periods and dropped > STALE * periods:
            yield Suspicion(
                "stale topic",
                f"{term.name} ({term.topic}) was too old in {dropped / periods:.0%} of all periods.",
                f"It must come at least every {term.max_age_ms:g} ms; mend its rate or raise max_age_ms.",
            )
    silent: dict[str, dict[str, float]] = {}
    for bag in bags:
        end_ns, length_s = bag.span_ns[1], (bag.span_ns[1] - bag.span_ns[0]) / 1e9
        for timing in bag.timings:
            silent_s = (end_ns - timing.last_ns) / 1e9
            long_gap = timing.messages > 10 and silent_s > max(SILENT_S, SILENT_SHARE * length_s)
            if long_gap and silent_s > 2 * timing.longest_gap_ms / 1e3:
                silent.setdefault(timing.topic, {})[bag.path.name] = silent_s
    for topic, where in silent.items():
        finding = f"{topic} falls silent {max(where.values()):.1f} s before the end, in {list_bags(where)}."
        yield Suspicion("stale topic", finding, "Did its node stop?")


def _clocks(bags: Sequence[BagReport]) -> Iterable[Suspicion]:
    jumping: dict[str, dict[str, TopicTiming]] = {}
    ahead: dict[str, dict[str, float]] = {}
    for bag in bags:
        for timing in bag.timings:
            if timing.jumps or timing.backward:
                jumping.setdefault(timing.topic, {})[bag.path.name] = timing
            elif timing.latency_ms and timing.latency_ms[1] < AHEAD_MS:
                ahead.setdefault(timing.topic, {})[bag.path.name] = -timing.latency_ms[1]
    for topic, timings in jumping.items():
        yield Suspicion(
            "clock",
            f"the stamps of {topic} jump ({sum(each.jumps for each in timings.values())} times against the arrivals, "
            f"{sum(each.backward for each in timings.values())} times backwards), in {list_bags(timings)}.",
            "Was a clock set during the recording, or do two nodes publish here?",
        )
    for topic, leads_ms in ahead.items():
        yield Suspicion(
            "clock",
            f"the stamps of {topic} lie {max(leads_ms.values()):.0f} ms in the future, in {list_bags(leads_ms)}.",
            "Synchronise the computers' clocks (chrony, PTP), or use clock: receive.",
        )


def _losses(bags: Sequence[BagReport]) -> Iterable[Suspicion]:
    losing: dict[str, dict[str, TopicTiming]] = {}
    for bag in bags:
        for timing in bag.timings:
            if timing.lost and timing.lost > max(LOST * timing.messages, 1):
                losing.setdefault(timing.topic, {})[bag.path.name] = timing
    for topic, timings in losing.items():
        lost = sum(each.lost or 0 for each in timings.values())
        share = lost / (lost + sum(each.messages for each in timings.values()))
        yield Suspicion(
            "loss",
            f"about {lost:,} messages of {topic} are missing ({share:.0%}), in {list_bags(timings)}.",
            "Record on the robot, with enough disk speed, or with a larger cache.",
        )


def kept_share(bags: Sequence[BagReport]) -> float:
    """Return the share of all periods that became transitions."""
    periods = sum(sum(bag.tally.counts.values()) for bag in bags)
    return sum(bag.tally.counts[KEPT] for bag in bags) / periods if periods else 0.0
