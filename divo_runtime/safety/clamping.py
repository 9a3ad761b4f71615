"""Limits on commands: pure functions on float64 arrays, one value per joint or twist component.

Everything that limits returns the limited values. The braking rule is plain kinematics: a joint at distance d from its
limit that moves at v for one more period T and then brakes at a stops within v T + v^2 / (2 a). Solving
v T + v^2 / (2 a) = d for v gives `stopping_speed`. A joint that keeps the rule in one period can keep it in the next
without braking harder than a: after moving v T, what is left is at least v^2 / (2 a), and v - a T needs a T^2 / 2 less.
"""

from __future__ import annotations

import numpy as np

from divo_runtime.fields import JointArray


def clamp(value: JointArray, lower: JointArray, upper: JointArray) -> JointArray:
    """Return (n,) `value` moved to the nearest point of [lower, upper]; all in one unit."""
    return np.minimum(np.maximum(value, lower), upper)


def stopping_speed(distance: JointArray, acceleration: JointArray, period_s: float) -> JointArray:
    """Return the largest speed from which a joint still stops within `distance`.

    One period at that speed comes first, then braking at `acceleration`; so the result is below the textbook's
    sqrt(2 a d), and it is at most distance / period.

    Args:
        distance: (n,) way left [rad or m]; negative counts as 0, infinity is allowed.
        acceleration: (n,) > 0 [rad/s^2 or m/s^2].
        period_s: Control period [s], > 0.

    Returns:
        (n,) speed >= 0 [rad/s or m/s].
    """
    way = np.maximum(distance, 0.0)
    reaction = acceleration * period_s
    # sqrt(r^2 + 2 a d) - r, written without cancellation so that a small distance gives distance / period
    finite = np.where(np.isinf(way), 0.0, way)
    speed = 2.0 * acceleration * finite / (np.sqrt(reaction * reaction + 2.0 * acceleration * finite) + reaction)
    return np.where(np.isinf(way), np.inf, speed)


def brake_before_limits(
    velocity: JointArray, above: JointArray, below: JointArray, acceleration: JointArray, period_s: float
) -> JointArray:
    """Limit velocities so that no joint has to brake harder than its limit to stay inside its position range.

    Args:
        velocity: (n,) wanted velocity [rad/s or m/s].
        above: (n,) way left to the highest position [rad or m]; infinity for no limit, negative beyond it.
        below: (n,) way left to the lowest position, likewise.
        acceleration: (n,) > 0 [rad/s^2 or m/s^2].
        period_s: Control period [s], > 0.

    Returns:
        (n,) velocity; beyond a limit, only the way back is allowed.
    """
    upwards = stopping_speed(above, acceleration, period_s)
    downwards = stopping_speed(below, acceleration, period_s)
    return clamp(velocity, -downwards, upwards)


def limit_change(value: JointArray, previous: JointArray, step: JointArray) -> JointArray:
    """Return (n,) `value` moved to within `step` >= 0 of `previous`, the value really sent; all in one unit."""
    return clamp(value, previous - step, previous + step)


def decelerate(velocity: JointArray, acceleration: JointArray, period_s: float) -> JointArray:
    """Return (n,) velocity one period of full braking later; it ends at exactly 0 and never changes sign."""
    step = acceleration * period_s
    left = velocity - clamp(velocity, -step, step)
    return np.where(np.abs(left) < 1e-9 * step, 0.0, left)  # what rounding leaves is rest
