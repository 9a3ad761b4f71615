"""What a controller gives each period."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from divo_runtime.fields import JointArray
from divo_runtime.observation import FloatArray, Measurement, Observation

Measurements = Mapping[str, Measurement]
"""Topic -> newest measurement."""


EMERGENCY_STOP = "emergency stop"
"""The fault that an emergency stop latches."""


class Mode(str, Enum):
    """What the controller is doing."""

    INACTIVE = "inactive"
    """Sends nothing."""
    BLENDING = "blending"
    """Follows the policy with an authority that grows from 0 to 1."""
    RUNNING = "running"
    """Follows the policy."""
    HOLDING = "holding"
    """Input or policy unusable: brakes to rest and waits for it to recover."""
    FAULT = "fault"
    """Latched: brakes to rest and stays there until `reset_fault`."""


@dataclass(frozen=True, slots=True)
class Timings:
    """How long the parts of one step took [ns]."""

    observation_ns: int = 0
    policy_ns: int = 0
    """The policy and the guard that judges it."""
    gate_ns: int = 0


@dataclass(frozen=True, slots=True)
class ControllerOutput:
    """What one step gives."""

    command: JointArray | None
    """(act_dim,) float64 to send, read-only; None only when INACTIVE."""
    mode: Mode
    reasons: tuple[str, ...] = ()
    """Why it holds or is in fault, one line each."""
    clips: tuple[str, ...] = ()
    """Limits that changed the command, such as `panda_joint2: velocity`."""
    timings: Timings = Timings()
    observation: Observation | None = None
    """What the policy saw, or would have seen."""
    action: FloatArray | None = None
    """(act_dim,) what the policy answered, before blending and limits; None if it was not asked or failed."""
    value: float = float("nan")
    """The critic's value of that action; NaN if the policy was not asked, failed, or has no critic."""
    noise: FloatArray | None = None
    """What the policy was given as noise, so that a recording can repeat its answer; None if it was not asked."""
    warnings: tuple[str, ...] = ()
    """What a guard noticed without touching the command, such as `novelty: ...`."""
