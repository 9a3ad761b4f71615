"""From a bundle and a bag to findings: sample, compare with the training data, ask the policy, compare commands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from divo_runtime.bundle.loading import Bundle
from divo_runtime.contract import Contract
from divo_runtime.doctor.agreement import Agreement, ask_policy, measure_agreement, measured_motion
from divo_runtime.doctor.bag import ContractBag
from divo_runtime.doctor.command_findings import (
    find_command_faults,
    find_motion_faults,
    find_range_faults,
    saturation,
)
from divo_runtime.doctor.finding import Finding
from divo_runtime.doctor.hypotheses import explain
from divo_runtime.doctor.periods import Periods, sample_periods
from divo_runtime.doctor.topic_findings import find_topic_faults
from divo_runtime.doctor.training import SOME, Surprise, Training, absolute, read_training, relative
from divo_runtime.errors import BundleError
from divo_runtime.fields import JointArray
from divo_runtime.safety.calibration import novelty_scores
from divo_runtime.safety.guards import NOVELTY_TAIL
from divo_runtime.topic_names import TopicNames

ROWS = 800
"""Observations that hypotheses are tried on, spread evenly over the recording."""
FEWEST = 40
OUTSIDE = 0.1
"""Share of the observations outside of the training range from which an element is foreign."""
NOVEL = 0.05
STILL = 0.01
"""Deviation below which a command stands still, as a share of its range."""
ACTOR = "actor"


@dataclass(frozen=True, slots=True, eq=False)
class Examination:
    """What was found, and the numbers behind it."""

    bundle: Path
    bag: Path
    contract: Contract
    policy: str
    training: Training
    periods: Periods
    outside: JointArray
    """(obs_dim,) share outside of the training range."""
    novel: float
    """Share of the observations beyond the novelty guard's bound; NaN without calibration."""
    surprise: tuple[float, float]
    """Mean surprise of the bag as it is, and after everything found was put right; NaN if it was not measured."""
    agreement: Agreement | None
    """Of the policy's answers with the commands."""
    answers: JointArray
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]


def examine(
    bundle: Bundle,
    path: Path,
    names: TopicNames,
    policy: str = "",
    most: int = 20_000,
    seed: int = 0,
    report: Callable[[int], None] = lambda count: None,
) -> Examination:
    """Examine a bag.

    Args:
        bundle: What the robot is to run.
        path: The bag.
        names: How the contract's topics are called there.
        policy: Which policy to ask; empty for the one that the bag's controller ran, else the actor.
        most: Control periods to look at.
        seed: Of the policy's noise.
        report: Called with the number of periods sampled so far.

    Raises:
        RecordingError: If the bag cannot be examined.
        BundleError: If the bundle has no such policy, or is damaged.
    """
    contract = bundle.contract
    policies = bundle.manifest.x_divo.policies
    if policy and policy not in policies:
        raise BundleError("There is no such policy.", where="--policy", got=policy, expected=", ".join(policies))
    with ContractBag(path, contract, names) as bag:
        periods = sample_periods(bag, contract, most, report)
        absent = bag.absent
    notes = list(periods.notes)
    training = read_training(bundle)
    if training.sample is None:
        notes.append("This bundle carries no training sample: relations between elements are not compared.")
    findings = list(find_topic_faults(contract, absent, periods))
    outside = _outside(training, periods)
    mended, more, surprise = _explain(training, periods)
    findings += more
    ran = {cycle.policy for cycle in periods.cycles} - {""}
    chosen = policy or next((name for name in sorted(ran) if name in policies), ACTOR)
    chosen = chosen if chosen in policies else next(iter(policies))
    answers = np.clip(ask_policy(bundle, chosen, mended, periods, seed), *contract.action_range())  # as the gate does
    agreement, told, words = _commands(training, chosen, periods, answers, mended, own=ran == {chosen})
    findings += told
    notes += words
    novel = _novel_share(bundle, periods)
    if not any(each.subject in _EXPLAINS for each in findings):
        findings += _unexplained(contract, outside, novel)
    return Examination(
        bundle.folder,
        path,
        contract,
        chosen,
        training,
        periods,
        outside,
        novel,
        surprise,
        agreement,
        answers,
        tuple(findings),
        tuple(notes),
    )


_EXPLAINS = ("unit", "sign", "joint order", "frame", "offset")


def _outside(training: Training, periods: Periods) -> JointArray:
    """Return the share of each element's values outside of the training range; NaN where there are none."""
    rows = periods.observations.astype(np.float64)
    there = np.isfinite(rows)
    beyond = (rows < training.low - training.margin) | (rows > training.high + training.margin)
    count = there.sum(axis=0)
    share: JointArray = np.divide((beyond & there).sum(axis=0), count, out=np.full(len(count), np.nan), where=count > 0)
    return share


def _explain(training: Training, periods: Periods) -> tuple[JointArray, list[Finding], tuple[float, float]]:
    """Return the observations put right, what was wrong with them, and the surprise before and after."""
    contract, rows = training.contract, periods.observations.astype(np.float64)
    present = np.isfinite(rows).mean(axis=0) > SOME
    whole = np.flatnonzero(np.isfinite(rows[:, present]).all(axis=1)) if present.any() else np.empty(0, np.intp)
    if len(whole) < FEWEST:
        return rows, [], (np.nan, np.nan)
    surprise = Surprise(training, present)
    chosen = whole[np.linspace(0, len(whole) - 1, min(ROWS, len(whole))).astype(int)]
    flat = absolute(contract, rows) if training.sample is not None else rows
    sampled = np.nan_to_num(flat[chosen])  # what is absent is not looked at
    findings, mend = explain(contract, surprise, sampled, (surprise.outside(sampled) > OUTSIDE).tolist())
    levels = float(surprise(sampled).mean()), float(surprise(mend(sampled)).mean())
    mended = mend(flat)
    return relative(contract, mended) if training.sample is not None else mended, findings, levels


def _commands(
    training: Training, policy: str, periods: Periods, answers: JointArray, mended: JointArray, own: bool
) -> tuple[Agreement | None, list[Finding], list[str]]:
    contract = training.contract
    commands = periods.commands.copy()
    if periods.cycles:
        running = np.array([cycle.mode == "running" for cycle in periods.cycles])
        commands[~running] = np.nan
    sent = commands[np.isfinite(commands).all(axis=1)]
    if len(sent) < FEWEST:
        return None, [], [f"Only {len(sent)} usable commands: they are not compared with the policy."]
    lower, upper = contract.action_range()
    still = STILL * (upper - lower)
    usual = np.zeros(contract.action_size)
    if policy in training.answers:
        usual = saturation(contract, training.answers[policy].astype(np.float64))
    found: list[Finding] = []
    agreement = measure_agreement(answers, commands, periods.times_ns, contract.period_ns, still)
    if agreement:
        found += find_command_faults(contract, agreement, own)
    if not any(each.subject == "command unit" for each in found):
        found += find_range_faults(contract, sent, usual)
    motion = measured_motion(contract)
    if motion:
        moved, asked = motion(mended), commands
        if contract.action.kind == "joint_position":
            moved, asked = np.diff(moved, axis=0), np.diff(asked, axis=0)
        whole = moved[np.isfinite(moved).all(axis=1)]
        spread = whole.std(axis=0) if len(whole) else still
        floor = np.full(contract.action_size, 1e-6)
        following = measure_agreement(asked, moved, periods.times_ns[: len(asked)], contract.period_ns, floor)
        known = {each.subject for each in found}
        if following:
            faults = find_motion_faults(contract, following, spread)
            found += [each for each in faults if each.subject not in known]
    notes = []
    if agreement and not own and agreement.active.any() and float(agreement.strength.max()) < 0.3 and not found:
        notes.append("The bag's commands are not much like the policy's: another commander, doing something else.")
    return agreement, found, notes


def _novel_share(bundle: Bundle, periods: Periods) -> float:
    calibration = bundle.manifest.x_divo.calibration
    rows = periods.observations[np.isfinite(periods.observations).all(axis=1)].astype(np.float64)
    if calibration is None or not len(rows):
        return float("nan")
    tail = bundle.contract.safety.novelty_guard.tail or NOVELTY_TAIL
    return float((novelty_scores(rows, calibration.novelty) > calibration.novelty.scores.at(1.0 - tail)).mean())


def _unexplained(contract: Contract, outside: JointArray, novel: float) -> list[Finding]:
    names = np.array(contract.element_names)
    foreign = np.flatnonzero(outside > OUTSIDE)
    advice = "No usual mistake explains it: the robot is where training has shown little. Record there and train again."
    if len(foreign):
        worst = foreign[np.argsort(-outside[foreign])][:5]
        listed = ", ".join(f"{names[index]} ({outside[index]:.0%})" for index in worst)
        return [Finding("novelty", f"Outside of the training range: {listed}.", advice)]
    if novel > NOVEL:
        what = f"{novel:.0%} of the observations are unlike the training data, though each element is inside its range."
        return [Finding("novelty", what, advice)]
    return []
