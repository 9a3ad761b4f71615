"""What the node says about itself: pure functions from plain data to status, timing and diagnostic messages."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from std_msgs.msg import Float64MultiArray, MultiArrayDimension, MultiArrayLayout

from divo_controller.control_loop import Cycle
from divo_runtime.controller import Mode
from divo_runtime.latency import Percentiles

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
)
"""Order of `~/timing`; the label of its layout holds these names, separated by commas."""

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
    """Events since activation, by name."""
    contract: str = ""
    """Name of the contract; empty before configuration."""
    policy: str = ""
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
    """Return the diagnostic level: STALE if active without cycles, else by mode; WARN if deadlines were just missed.

    Args:
        report: The state of the node.
        missed_before: Missed deadlines at the last look.
    """
    if report.failure:
        return DiagnosticStatus.ERROR
    if report.mode is not Mode.INACTIVE and report.silent_s > _silence_limit_s(report):
        return DiagnosticStatus.STALE
    level = _LEVELS[report.mode]
    return max(level, DiagnosticStatus.WARN) if report.missed > missed_before else level


def status_message(report: Report, missed_before: int = 0) -> Any:
    """Return a diagnostic_msgs/DiagnosticStatus with everything of the report as key and value."""
    level = status_level(report, missed_before)
    values: dict[str, object] = {"mode": report.mode.value, "reasons": "; ".join(report.reasons)}
    values |= {"clips": "; ".join(report.clips), "contract": report.contract, "policy": report.policy}
    values |= {"rate_hz": f"{report.rate_hz:g}", "cycles": report.cycles, "missed_deadlines": report.missed}
    values |= {f"count.{name}": count for name, count in report.counters.items()}
    if report.total is not None:
        for key in ("p50", "p99", "max"):
            values[f"compute_{key}_us"] = f"{getattr(report.total, key) / 1e3:.0f}"
    message = report.failure or "; ".join(report.reasons) or report.mode.value.lower()
    if level == DiagnosticStatus.STALE:
        message = f"no control cycle for {report.silent_s:.1f} s"
    elif not report.failure and not report.reasons and report.missed > missed_before:
        message = f"{message}, {report.missed - missed_before} deadlines missed"
    pairs = [KeyValue(key=key, value=str(value)) for key, value in values.items()]
    return DiagnosticStatus(
        level=level, name=f"{report.name}: policy", message=message, hardware_id=report.contract, values=pairs
    )


def diagnostic_array(statuses: Sequence[Any], now_ns: int) -> Any:
    """Return a diagnostic_msgs/DiagnosticArray for `/diagnostics`."""
    message = DiagnosticArray(status=list(statuses))
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(now_ns, 1_000_000_000)
    return message


def timing_values(cycle: Cycle) -> list[float]:
    """Return the numbers of one cycle in the order of `TIMING_FIELDS`; an age of -1 ms: an input is missing."""
    timings = cycle.output.timings
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
    ]


def timing_message() -> Any:
    """Return an empty `~/timing` message whose layout names the values."""
    size = len(TIMING_FIELDS)
    layout = MultiArrayLayout(dim=[MultiArrayDimension(label=",".join(TIMING_FIELDS), size=size, stride=size)])
    return Float64MultiArray(layout=layout, data=array("d", [0.0] * size))


def _silence_limit_s(report: Report) -> float:
    return max(0.5, 10.0 / report.rate_hz) if report.rate_hz else 0.5
