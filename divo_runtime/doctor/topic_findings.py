"""What is wrong with topics, names, ages and clocks."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from divo_runtime.contract import Contract
from divo_runtime.doctor.bag import Absence
from divo_runtime.doctor.finding import Finding
from divo_runtime.doctor.periods import Periods, TopicTimes
from divo_runtime.observation import Fault

OFTEN = 0.01
"""Share of the periods from which a problem is told."""

AHEAD_MS = -5.0
"""Stamps that lie this far ahead of the arrivals [ms] come from another clock."""

ADVICE = {
    Fault.MISSING: "Start the recording after all nodes, or publish it again now and then (latched goals are lost).",
    Fault.FUTURE: "Synchronise the computers' clocks (chrony, PTP), or use clock: receive.",
    Fault.JOINT_MISSING: "Use the robot's joint names in the contract, and train and export again.",
    Fault.JOINT_DUPLICATE: "Two drivers publish on one topic; give them namespaces.",
    Fault.WRONG_SIZE: "Use the size that the topic has, or thin it out to that of the contract before the controller.",
    Fault.NOT_FINITE: "Replace NaN and inf before the controller; a scan's inf is usual, its range_max is a number.",
    Fault.UNREADABLE: "Its definition in the bag is not the one of ROS 2's standard packages.",
    Fault.UNDATED: "Two nodes publish here, or a clock was set.",
}


def find_topic_faults(contract: Contract, absent: Iterable[Absence], periods: Periods) -> Iterable[Finding]:
    """Yield what is wrong with the inputs, term by term."""
    absent = list(absent)
    for each in absent:
        advice = "Name it with --remap or --namespace if it is called otherwise; else record it."
        yield Finding("topic", f"{each.name} {each.why}.", advice)
    gone = {each.topic for each in absent}
    told: set[tuple[str, Fault]] = set()
    for term in contract.observation:
        for (name, fault), count in periods.problems.items():
            share = count / len(periods)
            if name != term.name or share <= OFTEN or term.topic in gone or (term.topic, fault) in told:
                continue
            told.add((term.topic, fault))
            if fault is Fault.STALE:
                yield _stale(term.topic, term.max_age_ms, share, periods)
            else:
                joints = fault in (Fault.JOINT_MISSING, Fault.JOINT_DUPLICATE)
                subject = "joint names" if joints else "clock" if fault is Fault.FUTURE else "topic"
                detail = periods.details[name, fault]
                what = f"{name} ({term.topic}) is unusable in {share:.0%} of the periods: {fault.value} ({detail})."
                yield Finding(subject, what, ADVICE[fault])
    for topic, times in periods.topics.items():
        if delay_ms(times) < AHEAD_MS and (topic, Fault.FUTURE) not in told:
            what = f"The stamps of {times.name} lie {-delay_ms(times):.0f} ms in the future."
            yield Finding("clock", what, ADVICE[Fault.FUTURE])
    for reason, count in periods.bad_commands.items():
        if count > OFTEN * len(periods):
            advice = "Compare it with the action in the contract."
            yield Finding("topic", f"{count:,} commands cannot be used: {reason}.", advice)


def rate_hz(times: TopicTimes) -> float:
    """Return one over the median interval of a topic's messages; NaN for fewer than two."""
    interval = float(np.median(np.diff(times.arrivals_ns))) if len(times.arrivals_ns) > 1 else 0.0
    return 1e9 / interval if interval > 0 else float("nan")


def delay_ms(times: TopicTimes) -> float:
    """Return the median of arrival minus stamp [ms]; NaN without stamps."""
    if not times.stamped or not times.arrivals_ns:
        return float("nan")
    return float(np.median(np.array(times.arrivals_ns) - np.array(times.stamps_ns))) / 1e6


def _stale(topic: str, max_age_ms: float, share: float, periods: Periods) -> Finding:
    times = periods.topics[topic]
    gap_ms = float(np.diff(times.arrivals_ns).max(initial=0)) / 1e6
    rate, delay = rate_hz(times), delay_ms(times)
    what = f"{topic} is older than {max_age_ms:g} ms in {share:.0%} of the periods"
    if delay > 0.5 * max_age_ms:
        return Finding(
            "stale",
            f"{what}: its messages arrive {delay:.0f} ms after their stamp.",
            "A slow network, a busy driver, or clocks that are apart: compare them, and stamp when measuring.",
        )
    if rate < 1e3 / max_age_ms:
        return Finding(
            "stale",
            f"{what}: it comes at {rate:.3g} Hz, and {1e3 / max_age_ms:.3g} Hz are the least.",
            "Raise the publisher's rate; raise max_age_ms only if the policy was trained on data as old.",
        )
    end_ns = int(periods.times_ns[-1])
    silent_s = (end_ns - times.arrivals_ns[-1]) / 1e9
    if silent_s * 1e3 > max(max_age_ms, gap_ms / 2):
        return Finding("stale", f"{what}: it fell silent {silent_s:.1f} s before the end.", "Did its node stop?")
    return Finding(
        "stale",
        f"{what}: it comes at {rate:.3g} Hz, with gaps of up to {gap_ms:.0f} ms.",
        "Look for lost messages (best-effort over wireless), and for a publisher that is busy.",
    )
