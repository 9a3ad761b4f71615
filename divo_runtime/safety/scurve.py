"""Motion of one joint with limited velocity, acceleration and jerk: S-curves, in closed form.

A joint has velocity v and acceleration a. `approach` gives both one period later on the fastest way to a wanted
velocity; `stop` is the approach to 0. Jerk, acceleration and speed stay limited *between* the periods too, so the
commands, which are samples of that motion, keep the limits as difference quotients: a mean of the acceleration over one
period is at most A, and means over neighbouring periods differ by at most J T.

Position limits. `stopping_way(v, a)` is how far the joint gets when it stops from here at once, if the robot moves at
each command for a whole period T. Let K be the states with stopping_way <= distance left. Three facts give a gate that
never has to choose between two limits:

1. From K the stop leads to K: stopping_way falls by at least v' T in a period that ends with velocity v'. Proof: while
   v rises to its peak, v' T is at most the integral of v plus T (v' - v), which is what the term T (peak - v) gives up;
   while v falls, v' T is at most the integral. Both ways the integral is what the remaining S-curve gets shorter by.
2. Between two motions that keep the limits on velocity, acceleration and jerk lies a whole line of such motions,
   because those limits are convex: v + max(a, 0)^2 / (2 J) <= V, and so on.
3. So `limited_step` goes from the stop as far towards the wanted motion as K allows. K at the start and K for ever
   after; the stop is always one of the choices. What a disturbance pushes out of K brakes as hard as the limits let it.

Sources: the phases of the S-curve are integrals of a constant jerk; invariance of a set under a known fallback is the
usual argument for safety filters, e.g. Wabersich and Zeilinger 2021 (arXiv:1812.05506).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import copysign, inf, sqrt

HALVINGS = 12
"""How finely `limited_step` looks for the boundary of what can still stop: to 1/4096 of the way to it."""


@dataclass(frozen=True, slots=True)
class JointLimits:
    """Limits of one joint and the control period."""

    velocity: float
    """> 0 [rad/s or m/s]."""
    acceleration: float
    """> 0 [rad/s^2 or m/s^2]."""
    jerk: float
    """> 0 [rad/s^3 or m/s^3]."""
    period_s: float
    """> 0 [s]."""


def approach(velocity: float, acceleration: float, wanted: float, limits: JointLimits) -> tuple[float, float]:
    """Return velocity and acceleration one period later, on the fastest way to `wanted` at zero acceleration.

    Three phases: the acceleration ramps to a peak c, stays there if that is the limit, and ramps to zero. From a, the
    ramps change the velocity by (2 c^2 - a^2) / (2 J), so c = min(A, sqrt(J e + a^2 / 2)) for an error e.

    Args:
        velocity: Now [rad/s or m/s].
        acceleration: Now, within the limit [rad/s^2 or m/s^2].
        wanted: Velocity to reach [rad/s or m/s].
        limits: Of this joint.
    """
    jerk, period_s = limits.jerk, limits.period_s
    error = wanted - velocity
    turn = copysign(1.0, error - acceleration * abs(acceleration) / (2.0 * jerk))  # as if the acceleration ended now
    error, now = turn * error, turn * acceleration
    peak = min(limits.acceleration, sqrt(max(jerk * error + now * now / 2.0, 0.0)))
    rise_s = (peak - now) / jerk
    if period_s <= rise_s:
        return velocity + turn * (now + jerk * period_s / 2.0) * period_s, turn * (now + jerk * period_s)
    ramps = (2.0 * peak * peak - now * now) / (2.0 * jerk)
    hold_s = max(error - ramps, 0.0) / peak if peak > 0.0 else 0.0
    if period_s <= rise_s + hold_s:
        risen = (peak * peak - now * now) / (2.0 * jerk)
        return velocity + turn * (risen + peak * (period_s - rise_s)), turn * peak
    left_s = rise_s + hold_s + peak / jerk - period_s
    if left_s <= 1e-12 * period_s:  # what rounding leaves is nothing
        return wanted, 0.0
    return wanted - turn * jerk * left_s * left_s / 2.0, turn * jerk * left_s


def stopping_way(velocity: float, acceleration: float, limits: JointLimits) -> float:
    """Return how far a joint gets in positive direction when it stops from here; at least 0 [rad or m].

    It counts what a robot goes that moves at each commanded velocity for a whole period, and is then an upper bound.

    Args:
        velocity: Now [rad/s or m/s]; negative is away from the limit that is asked about.
        acceleration: Now [rad/s^2 or m/s^2].
        limits: Of this joint.
    """
    jerk = limits.jerk
    if acceleration > 0.0:
        peak = velocity + acceleration * acceleration / (2.0 * jerk)
        if peak <= 0.0:
            return 0.0
        rise_s = acceleration / jerk
        rising = velocity * rise_s + acceleration * rise_s * rise_s / 3.0
        return max(rising + _way_from_steady(peak, limits) + limits.period_s * (peak - velocity), 0.0)
    if velocity <= 0.0:
        return 0.0
    # A joint that brakes already is on the S-curve of a faster one; one that brakes too hard to end at rest goes less
    # far than one that brakes just right.
    braking = min(-acceleration, sqrt(2.0 * jerk * velocity))
    before_s = braking / jerk
    faster = velocity + braking * before_s / 2.0
    return _way_from_steady(faster, limits) - (faster * before_s - braking * before_s * before_s / 6.0)


def limited_step(
    velocity: float, acceleration: float, wanted: float, above: float, below: float, limits: JointLimits
) -> tuple[float, float, bool]:
    """Return the next motion: as near to `wanted` as the position limits and all others allow.

    Args:
        velocity: Sent last [rad/s or m/s].
        acceleration: Of the motion sent last, at its end [rad/s^2 or m/s^2].
        wanted: Within the velocity limit [rad/s or m/s].
        above: Way left to the upper position limit [rad or m]; infinity is allowed, negative is beyond the limit.
        below: Way left to the lower position limit, likewise.
        limits: Of this joint.

    Returns:
        Velocity, acceleration at the end of the period, and whether a position limit has changed them.
    """
    allowed = min(wanted, 0.0) if above <= 0.0 else max(wanted, 0.0) if below <= 0.0 else wanted
    goal = approach(velocity, acceleration, allowed, limits)
    if above <= 0.0 or below <= 0.0:
        return *goal, allowed != wanted  # beyond a limit: no motion is better than the one to rest or back
    return restrain(goal, (velocity, acceleration), above, below, limits)


def chase(
    velocity: float, acceleration: float, offset: float, drift: float, limits: JointLimits
) -> tuple[float, float]:
    """Return the next motion on the fastest way to a moving target, without swinging about it.

    Seen from the target, it is a position limit that the joint drives at.

    Args:
        velocity: Sent last [rad/s or m/s].
        acceleration: Of the motion sent last, at its end [rad/s^2 or m/s^2].
        offset: How far the joint will be behind the target if it only drifts along for a period [rad or m].
        drift: Velocity of the target, within the velocity limit [rad/s or m/s].
        limits: Of this joint.
    """
    if offset == 0.0:
        return approach(velocity, acceleration, drift, limits)
    above, below = (offset, inf) if offset > 0.0 else (inf, -offset)
    wanted = copysign(limits.velocity, offset) - drift
    after, after_acceleration, _ = limited_step(velocity - drift, acceleration, wanted, above, below, limits)
    return after + drift, after_acceleration


def restrain(
    goal: tuple[float, float], state: tuple[float, float], above: float, below: float, limits: JointLimits
) -> tuple[float, float, bool]:
    """Go from the stop as far towards `goal` as the ways left allow.

    Args:
        goal: Velocity and acceleration to have at the end of the period, within the other limits.
        state: Velocity and acceleration now.
        above: As for `limited_step`, and so on.
        below: As for `limited_step`.
        limits: Of this joint.

    Returns:
        As `limited_step`.
    """
    if _can_stop(*goal, above, below, limits):
        return *goal, False
    stop = approach(*state, 0.0, limits)
    share, step = 0.0, 1.0
    for _ in range(HALVINGS):
        step /= 2.0
        if _can_stop(*_between(stop, goal, share + step), above, below, limits):
            share += step
    return *_between(stop, goal, share), True


def _can_stop(velocity: float, acceleration: float, above: float, below: float, limits: JointLimits) -> bool:
    """Tell whether the joint stays inside if it moves at `velocity` for one period and then stops."""
    step = velocity * limits.period_s
    up, down = stopping_way(velocity, acceleration, limits), stopping_way(-velocity, -acceleration, limits)
    fits_above = step + up <= above or (step <= 0.0 and up == 0.0)
    return fits_above and (down - step <= below or (step >= 0.0 and down == 0.0))


def _between(stop: tuple[float, float], goal: tuple[float, float], share: float) -> tuple[float, float]:
    return stop[0] + share * (goal[0] - stop[0]), stop[1] + share * (goal[1] - stop[1])


def _way_from_steady(velocity: float, limits: JointLimits) -> float:
    """Return the stopping way from `velocity` >= 0 at zero acceleration: v t / 2 by symmetry of the S-curve."""
    acceleration, jerk = limits.acceleration, limits.jerk
    if velocity * jerk >= acceleration * acceleration:
        return velocity / 2.0 * (velocity / acceleration + acceleration / jerk)
    return velocity * sqrt(velocity / jerk)
