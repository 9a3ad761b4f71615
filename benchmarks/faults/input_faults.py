"""Rows of the table: what can be wrong with the robot's messages."""

from __future__ import annotations

import math

from benchmarks.faults import spoilers
from benchmarks.faults.fault import AGE, SEEN, Fault, Reaction, noticed_within

FIELDS = {
    "joint_states": ("position", "velocity"),
    "tool_pose": ("pose.position",),
    "goal": ("point",),
    "scan": ("ranges",),
}
NUMBERS = {"NaN": math.nan, "infinity": math.inf, "minus infinity": -math.inf, "a number beyond 1e30": 1e33}


def _numbers() -> list[Fault]:
    """NaN for a moment, the others for long, in each field of each input."""
    rows = []
    for topic, fields in FIELDS.items():
        for path in fields:
            for word, value in NUMBERS.items():
                if word == "a number beyond 1e30" and topic != "joint_states":
                    continue
                short = word == "NaN"
                rows.append(
                    Fault(
                        f"{word} in {topic}.{path}",
                        f"one element, {'for 0.25 s' if short else 'for good'}",
                        Reaction.HOLD if short else Reaction.LATCH,
                        spoilers.set_value(topic, path, value),
                        reason="not finite",
                        within_ms=noticed_within(topic),
                        lasts_ms=250.0,
                    )
                )
    unused = spoilers.set_value("joint_states", "effort", math.nan)
    return [
        *rows,
        Fault("NaN in a field that the contract does not name", "joint_states.effort", Reaction.GO_ON, unused),
    ]


def _joints() -> list[Fault]:
    return [
        Fault("joint missing", "one joint left out", Reaction.LATCH, spoilers.drop_joint, reason="joint missing"),
        Fault(
            "joint renamed", "one joint called otherwise", Reaction.LATCH, spoilers.rename_joint, reason="joint missing"
        ),
        Fault("joint twice", "one joint listed twice", Reaction.LATCH, spoilers.duplicate_joint, reason="joint twice"),
        Fault("foreign joint", "a joint more, full of NaN", Reaction.GO_ON, spoilers.add_joint),
        Fault("joints permuted", "another order in every message", Reaction.GO_ON, spoilers.permute_joints),
    ]


def _sizes() -> list[Fault]:
    short = [
        Fault(
            f"{topic}.{name} short",
            "its last value left out",
            Reaction.LATCH,
            spoilers.shorten(topic, name),
            reason="size",
        )
        for topic, name in (("joint_states", "position"), ("joint_states", "velocity"), ("scan", "ranges"))
    ]
    return [
        *short,
        Fault("joint_states empty", "no names", Reaction.LATCH, spoilers.empty("joint_states"), reason="joint missing"),
        Fault("scan empty", "no ranges", Reaction.LATCH, spoilers.empty("scan"), reason="wrong size"),
        # such a message is a pose like any other; only the novelty guard of a trained bundle can find it odd
        Fault("tool_pose empty", "a pose at the origin without stamp", Reaction.GO_ON, spoilers.empty("tool_pose")),
    ]


def _stamps() -> list[Fault]:
    stale = [
        Fault(
            f"{topic} stale",
            "no more messages",
            Reaction.LATCH,
            spoilers.stop(topic),
            reason="stale",
            within_ms=noticed_within(topic, silent=True),
        )
        for topic in FIELDS
    ]
    frozen = [
        Fault(
            f"{topic} frozen",
            "the same message with the same stamp, again and again",
            Reaction.LATCH,
            spoilers.freeze(topic),
            reason="stale",
            counter="count.repeated_stamps",
            within_ms=noticed_within(topic, silent=True),
        )
        for topic in FIELDS
    ]
    late = SEEN + AGE
    return [
        *stale,
        *frozen,
        Fault(
            "stamps from the future",
            "1 s ahead",
            Reaction.LATCH,
            spoilers.shift_stamps(1.0, "joint_states"),
            reason="future",
        ),
        Fault(
            "stamps jump back",
            "1 s behind the last ones",
            Reaction.LATCH,
            spoilers.shift_stamps(-1.0, "joint_states"),
            reason="stale",
            counter="count.out_of_order",
            within_ms=late,
        ),
        Fault(
            "messages overtake each other",
            "every second one is followed by one 20 ms older",
            Reaction.GO_ON,
            spoilers.overtake,
            counter="count.out_of_order",
        ),
        Fault(
            "the robot's clock is set back",
            "all stamps 5 s behind",
            Reaction.LATCH,
            spoilers.shift_stamps(-5.0),
            reason="stale",
            within_ms=late,
        ),
    ]


def _traffic() -> list[Fault]:
    return [
        Fault(
            "flood",
            "joint_states at 10 kHz",
            Reaction.GO_ON,
            spoilers.flood("joint_states", 50),
            lasts_ms=500.0,
            at_least_hz=8000.0,
        ),
        Fault(
            "short bursts of loss",
            "40 ms of every 100 ms without any message",
            Reaction.GO_ON,
            spoilers.lose_bursts(40.0, 100.0),
            lasts_ms=500.0,
        ),
        Fault(
            "a long burst of loss",
            "350 ms without any message",
            Reaction.HOLD,
            spoilers.stop(),
            reason="stale",
            within_ms=SEEN + AGE,
            lasts_ms=350.0,
        ),
    ]


def input_faults() -> tuple[Fault, ...]:
    """Return them."""
    return (*_numbers(), *_joints(), *_sizes(), *_stamps(), *_traffic())
