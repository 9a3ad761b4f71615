"""The safety part of a contract: what the gate clamps, what stops the robot, and what is only watched."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import msgspec

from divo_runtime.schema import Record

Positive = Annotated[float, msgspec.Meta(gt=0)]
Finite = Annotated[float, msgspec.Meta(gt=0, le=1e9)]
"""A time or a rate: one without end would switch off what it is for."""


class Limit(Record, frozen=True, kw_only=True):
    """Limits of one joint (or twist component). SI units.

    Commands are clamped to `position`, `velocity`, `acceleration` and `jerk`. Measurements beyond `hard_position` or
    `hard_velocity` latch a fault.
    """

    name: str
    velocity: Positive
    """Largest speed [rad/s or m/s]."""
    acceleration: Positive
    """Largest change of speed [rad/s^2 or m/s^2]."""
    position: tuple[float, float] | None = None
    """Lowest and highest position [rad or m]; nothing for a base or a continuous joint."""
    jerk: Positive | None = None
    """Largest change of acceleration [rad/s^3 or m/s^3]."""
    hard_position: tuple[float, float] | None = None
    """A measured position outside of this latches a fault [rad or m]; not narrower than `position`."""
    hard_velocity: Positive | None = None
    """A measured speed above this latches a fault [rad/s or m/s]; not below `velocity`."""

    def __post_init__(self) -> None:
        """Check that the limits limit, and the order of the position limits."""
        for key in ("velocity", "acceleration", "jerk", "hard_velocity"):
            if not math.isfinite(getattr(self, key) or 0.0):
                raise ValueError(f"Expected a finite {key} limit for '{self.name}', got {getattr(self, key)}")
        for key in ("position", "hard_position"):
            if (reach := getattr(self, key)) is not None and not reach[0] < reach[1]:
                raise ValueError(
                    f"Expected {key}: [lower, upper] with lower < upper for '{self.name}', got {list(reach)}"
                )
        if self.position and self.hard_position:
            low, high = self.hard_position
            if low > self.position[0] or high < self.position[1]:
                got = f"got {list(self.hard_position)}"
                raise ValueError(f"Expected hard_position of '{self.name}' around {list(self.position)}, {got}")
        if self.hard_velocity is not None and self.hard_velocity < self.velocity:
            got = f"got {self.hard_velocity}"
            raise ValueError(f"Expected hard_velocity of '{self.name}' of at least {self.velocity}, {got}")


class Watch(Record, frozen=True, kw_only=True):
    """How a guard reacts to what training has hardly ever shown."""

    reaction: Literal["ignore", "warn", "hold", "fault"] = "warn"
    """`warn` counts and publishes, `hold` brakes, and latches after `fault_after_ms`, `fault` brakes and latches."""
    tail: Annotated[float, msgspec.Meta(gt=0, le=0.5)] | None = None
    """Share of the held-out training data beyond the bound; nothing for the usual one."""
    cycles: Annotated[int, msgspec.Meta(ge=1)] = 3
    """Cycles in a row beyond the bound before it reacts."""


class Safety(Record, frozen=True, kw_only=True):
    """What the safety gate enforces."""

    limits: tuple[Limit, ...]
    """One entry per action name."""
    measured_position: str = ""
    """Observation term that holds the measured positions of the action's joints; needed for position limits."""
    measured_velocity: str = ""
    """Observation term that holds the measured velocities of the action's joints; needed for `hard_velocity`."""
    blend_s: Annotated[float, msgspec.Meta(ge=0)] = 0.5
    """Time from zero to full authority after activation [s]."""
    fault_after_ms: Finite = 500.0
    """Unusable input for longer than this latches a fault [ms]; until then the controller holds."""
    value_guard: Watch = Watch()
    """What to do when the critic thinks worse of the action than of nearly all actions on the training data."""
    novelty_guard: Watch = Watch()
    """What to do when the observation is unlike the training data."""
