"""Did it happen as the table says? One judge for the pure controller and for the node over DDS."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.faults.fault import Fault, Reaction

STILL = {"blending", "running"}


@dataclass(frozen=True, slots=True)
class Seen:
    """A mode and why, when it was first seen."""

    at_ms: float
    """Since the injection."""
    mode: str
    reasons: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was seen of one fault, from the injection until all was well again."""

    seen: tuple[Seen, ...]
    """Every change of mode or reasons while the fault stood."""
    rest_ms: float | None = None
    """From the injection until the robot stood still; None if it did not."""
    longest_gap_ms: float = 0.0
    """Between two commands."""
    unsafe: tuple[str, ...] = ()
    """Commands outside of limits."""
    grown: float = 0.0
    """By how much the row's counter grew."""
    said: str = ""
    """What the status or an answer said."""
    refused: bool | None = None
    """Whether a reset was refused while the cause stood; None if none was asked for."""
    latched_after: bool | None = None
    """Whether the fault was still latched when the cause was gone."""
    robot_late_ms: float = 0.0
    """Longest time in which the robot's own process sent nothing although it should have."""
    messages_hz: float = 0.0
    """Joint states sent per second while the fault stood."""
    back_ms: float | None = None
    """From the end of what was wrong (or its reset) until the policy ran again; None if it did not."""

    @property
    def reaction_ms(self) -> float | None:
        """From the injection to the first mode that is not the policy's."""
        return next((seen.at_ms for seen in self.seen if seen.mode not in STILL), None)

    @property
    def latched_ms(self) -> float | None:
        """From the injection to the fault; a node that has left the state active latched it before."""
        return next((seen.at_ms for seen in self.seen if seen.mode in ("fault", "inactive")), None)


def find_faults(row: Fault, evidence: Evidence) -> list[str]:
    """Return everything that was not as the table says; nothing if the fault was handled."""
    wrong = [f"unsafe command: {line}" for line in evidence.unsafe]
    wrong += _check_modes(row, evidence)
    wrong += _late("the first reaction", evidence.reaction_ms, _reaction_limit(row))
    wrong += _late("the latch", evidence.latched_ms, row.latched_within_ms)
    wrong += _late("rest", evidence.rest_ms, row.rest_within_ms)
    if evidence.longest_gap_ms > row.gap_ms:
        wrong.append(f"silent for {evidence.longest_gap_ms:.0f} ms, allowed {row.gap_ms:.0f} ms")
    if evidence.longest_gap_ms < row.least_gap_ms:
        wrong.append(f"silent for {evidence.longest_gap_ms:.0f} ms only: not the fault that is meant")
    if row.reason and not any(row.reason in seen.reasons for seen in evidence.seen):
        wrong.append(f"no reason says '{row.reason}', but: {_reasons(evidence.seen)}")
    if row.counter and evidence.grown <= 0:
        wrong.append(f"'{row.counter}' did not grow")
    if row.says and row.says not in evidence.said:
        wrong.append(f"nobody said '{row.says}', but: {evidence.said or 'nothing'}")
    if row.reaction in (Reaction.LATCH, Reaction.TRIP):
        if evidence.refused is not True:
            wrong.append("a reset was not refused while the cause stood")
        if evidence.latched_after is not True:
            wrong.append("the fault did not stay latched when the cause was gone")
    if evidence.messages_hz < row.at_least_hz:
        wrong.append(f"the robot sent {evidence.messages_hz:.0f} messages/s, wanted {row.at_least_hz:.0f}")
    wrong += _late("the policy's return", evidence.back_ms, row.back_ms)
    return wrong


def _check_modes(row: Fault, evidence: Evidence) -> list[str]:
    modes = {seen.mode for seen in evidence.seen}
    allowed = {
        Reaction.GO_ON: STILL,
        Reaction.RECOVER: STILL | {"holding"},
        Reaction.HOLD: STILL | {"holding"},
        Reaction.TRIP: STILL | {"fault"},
    }.get(row.reaction)
    strange = sorted(modes - allowed) if allowed is not None else []
    return [f"was in {', '.join(strange)}: {_reasons(evidence.seen)}"] if strange else []


def _reaction_limit(row: Fault) -> float | None:
    return None if row.reaction in (Reaction.GO_ON, Reaction.RECOVER, Reaction.DIE) else row.within_ms


def _late(what: str, took_ms: float | None, limit_ms: float | None) -> list[str]:
    if limit_ms is None:
        return []
    if took_ms is None:
        return [f"{what} did not come"]
    return [f"{what} took {took_ms:.0f} ms, allowed {limit_ms:.0f} ms"] if took_ms > limit_ms else []


def _reasons(seen: Sequence[Seen]) -> str:
    return "; ".join(f"{item.mode} at {item.at_ms:.0f} ms ({item.reasons})" for item in seen) or "nothing"
