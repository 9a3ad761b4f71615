"""What the node says about itself: pure functions from plain data to status, timing and diagnostic messages."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from std_msgs.msg import Float64MultiArray, MultiArrayDimension, MultiArrayLayout

from divo_controller.cycle import Cycle
from divo_controller.shadow import Divergence, DivergenceSummary
from divo_runtime.controller import Mode
from divo_runtime.timing.latency import Percentiles

TIMING_FIELDS = (
    "input_age_ms",
    "observation_us",
    "policy_us",
    "gate_us",
    "publish_us",
    "total_us",
    "lateness_us",
    "slack_us",
    "cycle",
    "missed",
    "time_s",
    "newest_age_ms",
    "take_us",
    "transport_us",
    "queue_us",
    "policy",
)
"""Order of `~/timing`; the label of its layout holds these names, separated by commas."""

DIVERGENCE_SUMMARY = ("rms", "largest")
"""What follows the joints' differences in `~/divergence`."""

_LEVELS = {
    Mode.INACTIVE: DiagnosticStatus.OK,
    Mode.BLENDING: DiagnosticStatus.OK,
    Mode.RUNNING: DiagnosticStatus.OK,
    Mode.HOLDING: DiagnosticStatus.WARN,
    Mode.FAULT: DiagnosticStatus.ERROR,
}


@dataclass(frozen=True, slots=True)
class Report:
    """The state of the node at one instant."""

    name: str
    """Full name of the node."""
    mode: Mode = Mode.INACTIVE
    reasons: tuple[str, ...] = ()
    clips: tuple[str, ...] = ()
    """Limits that shortened the last command."""
    counters: Mapping[str, int] = field(default_factory=dict)
    """Events since the bundle was configured, by name."""
    warnings: tuple[str, ...] = ()
    """What is not as it should be without keeping the policy from commanding, one line each."""
    notes: Mapping[str, str] = field(default_factory=dict)
    """Other facts, such as what scheduling was granted, by key."""
    contract: str = ""
    """Name of the contract; empty before configuration."""
    policy: str = ""
    """What was chosen: the name of a policy, or `auto`."""
    policy_in_use: str = ""
    """The policy that acted last."""
    policy_switches: int = 0
    """How often `auto` changed the policy."""
    p99_ms: Mapping[str, float] = field(default_factory=dict)
    """Policy -> what a call is taken to cost [ms]."""
    divergence: DivergenceSummary | None = None
    """Shadow mode's comparison since activation; None outside shadow mode."""
    rate_hz: float = 0.0
    cycles: int = 0
    missed: int = 0
    total: Percentiles | None = None
    """Time from newest measurements to command published [ns]."""
    silent_s: float = 0.0
    """Time since the last cycle while active [s]."""
    failure: str = ""
    """Why the control thread ended, if it did so by itself."""


def status_level(report: Report, missed_before: int = 0) -> bytes:
    """Return the diagnostic level: STALE if active without cycles, else by mode; WARN if anything deserves a look.

    That is a warning, or deadlines that were missed since the last look.

    Args:
        report: The state of the node.
        missed_before: Missed deadlines at the last look.
    """
    if report.failure:
        return DiagnosticStatus.ERROR
    if report.mode is not Mode.INACTIVE and report.silent_s > _silence_limit_s(report):
        return DiagnosticStatus.STALE
    level = _LEVELS[report.mode]
    return max(level, DiagnosticStatus.WARN) if report.missed > missed_before or report.warnings else level


def status_message(report: Report, missed_before: int = 0) -> Any:
    """Return a diagnostic_msgs/DiagnosticStatus with everything of the report as key and value."""
    level = status_level(report, missed_before)
    values: dict[str, object] = {"mode": report.mode.value, "reasons": "; ".join(report.reasons)}
    values |= {"warnings": "; ".join(report.warnings), "clips": "; ".join(report.clips)}
    values |= {"contract": report.contract, "policy": report.policy, "policy_in_use": report.policy_in_use}
    values |= {"policy_switches": report.policy_switches}
    values |= {f"policy_p99_ms.{name}": f"{p99_ms:.3f}" for name, p99_ms in report.p99_ms.items()}
    values |= {"rate_hz": f"{report.rate_hz:g}", "cycles": report.cycles, "missed_deadlines": report.missed}
    values |= {f"count.{name}": count for name, count in report.counters.items()}
    if report.total is not None:
        for key in ("p50", "p99", "max"):
            values[f"compute_{key}_us"] = f"{getattr(report.total, key) / 1e3:.0f}"
    values |= report.notes
    if report.divergence is not None:
        values |= _divergence_values(report.divergence)
    message = report.failure or "; ".join(report.reasons) or report.mode.value.lower()
    if level == DiagnosticStatus.STALE:
        message = f"no control cycle for {report.silent_s:.1f} s"
    elif not report.failure and not report.reasons and report.missed > missed_before:
        message = f"{message}, {report.missed - missed_before} deadlines missed"
    elif not report.failure and not report.reasons and report.warnings:
        message = f"{message}; {'; '.join(report.warnings)}"
    pairs = [KeyValue(key=key, value=str(value)) for key, value in values.items()]
    return DiagnosticStatus(
        level=level, name=f"{report.name}: policy", message=message, hardware_id=report.contract, values=pairs
    )


def diagnostic_array(statuses: Sequence[Any], now_ns: int) -> Any:
    """Return a diagnostic_msgs/DiagnosticArray for `/diagnostics`."""
    message = DiagnosticArray(status=list(statuses))
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(now_ns, 1_000_000_000)
    return message


def timing_values(cycle: Cycle, policies: Sequence[str] = ()) -> list[float]:
    """Return the numbers of one cycle in the order of `TIMING_FIELDS`; -1 is what does not exist.

    Args:
        cycle: The cycle.
        policies: Names of the policies in use; the last number is the index of the one that acted.
    """
    timings = cycle.output.timings
    ages_ns = [age for age in cycle.output.observation.ages_ns if age >= 0] if cycle.output.observation else []
    newest_ns = min(ages_ns, default=-1)
    return [
        cycle.input_age_ns / 1e6 if cycle.input_age_ns >= 0 else -1.0,
        timings.observation_ns / 1e3,
        timings.policy_ns / 1e3,
        timings.gate_ns / 1e3,
        cycle.publish_ns / 1e3,
        cycle.total_ns / 1e3,
        cycle.lateness_ns / 1e3,
        cycle.slack_ns / 1e3,
        float(cycle.number),
        float(cycle.missed),
        cycle.now_ns / 1e9,
        newest_ns / 1e6 if newest_ns >= 0 else -1.0,
        cycle.take_ns / 1e3,
        cycle.transport_ns / 1e3 if cycle.measurements else -1.0,
        cycle.queue_ns / 1e3 if cycle.measurements else -1.0,
        float(policies.index(cycle.policy)) if cycle.policy in policies else -1.0,
    ]


def timing_message() -> Any:
    """Return an empty `~/timing` message whose layout names the values."""
    return named_array(TIMING_FIELDS)


def divergence_message(names: Sequence[str]) -> Any:
    """Return an empty `~/divergence` message for an action with these names."""
    return named_array((*names, *DIVERGENCE_SUMMARY))


def divergence_values(divergence: Divergence) -> list[float]:
    """Return the differences by joint, then their RMS and the largest, in the command's unit."""
    return [*divergence.difference.tolist(), divergence.rms, divergence.largest]


def named_array(names: Sequence[str]) -> Any:
    """Return a std_msgs/Float64MultiArray of zeros; the label of its one dimension holds the names, with commas."""
    size = len(names)
    layout = MultiArrayLayout(dim=[MultiArrayDimension(label=",".join(names), size=size, stride=size)])
    return Float64MultiArray(layout=layout, data=array("d", [0.0] * size))


def _divergence_values(divergence: DivergenceSummary) -> dict[str, object]:
    joints = {f"divergence_rms.{name}": f"{rms:.6g}" for name, rms in divergence.joint_rms.items()}
    whole = {"divergence_rms": f"{divergence.rms:.6g}", "divergence_largest": f"{divergence.largest:.6g}"}
    return {"divergence_cycles": divergence.cycles, **whole, **joints}


def _silence_limit_s(report: Report) -> float:
    return max(0.5, 10.0 / report.rate_hz) if report.rate_hz else 0.5
