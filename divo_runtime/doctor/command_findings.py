"""What is wrong between observation, command and motion: order, sign, unit, delay, range."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from divo_runtime.contract import Contract
from divo_runtime.doctor.agreement import Agreement
from divo_runtime.doctor.finding import Finding
from divo_runtime.fields import JointArray

CLEAR = 0.6
"""Correlation from which one signal is said to follow another."""
GAIN = 0.25
"""How much better another joint must fit than the own one."""
LAG_GAIN = 0.05
DEGREES = 180.0 / np.pi
NEAR = 1.25
"""A factor within this of another is taken for it."""
MODEST = 2.0
"""Commands up to so many times, or down to one over it, as large as the policy's answers raise no question of scale."""
SATURATED = 0.2
BEYOND = 0.01
LATE_S, LATE_PERIODS = 0.1, 2

ORDER_ADVICE = "Compare the order of the command's numbers with action.names in the contract."
SIGN_ADVICE = "Compare the signs of the driver's command and state."


def find_command_faults(contract: Contract, agreement: Agreement, own: bool) -> Iterable[Finding]:
    """Yield what is wrong between the policy's answers (first) and the commands in the bag (second).

    Args:
        contract: The robot task.
        agreement: Of answers and commands.
        own: Whether the bag's controller ran this very policy, so that they must agree.
    """
    names, now = contract.action.names, agreement.now
    matching = _exchanged(agreement, now)
    for index, other in matching.items():
        yield Finding(
            "command order",
            f"What the policy asks of {names[index]} is sent to {names[other]} (correlation {now[index, other]:+.2f}, "
            f"with its own {now[index, index]:+.2f}).",
            ORDER_ADVICE,
        )
    turned = [i for i in np.flatnonzero(agreement.active).tolist() if now[i, i] <= -CLEAR and i not in matching]
    for index in turned:
        what = f"{names[index]} is commanded against what the policy asks (correlation {now[index, index]:+.2f})."
        yield Finding("command sign", what, SIGN_ADVICE)
    lag, strength = int(agreement.lags[agreement.best]), agreement.strength
    usual = float(strength[np.abs(agreement.lags) <= 1].max())
    if abs(lag) >= LATE_PERIODS and strength[agreement.best] >= CLEAR and strength[agreement.best] - usual >= LAG_GAIN:
        how = f"{abs(lag)} periods ({abs(lag) * contract.period_s * 1e3:.0f} ms)"
        what = f"The commands come {how} {'after' if lag > 0 else 'before'} what the policy asks at that moment"
        advice = (
            "The commander is slow, or its inputs are delayed; a policy in its place will see newer observations."
            if lag > 0
            else "The observations are late: their messages are held back, or stamped long after measuring."
        )
        yield Finding("lag", f"{what} (correlation {strength[agreement.best]:.2f}, {usual:.2f} without).", advice)
    followed = np.abs(np.diagonal(now)) >= CLEAR
    if followed.any() and not matching:
        middle = float(np.median(agreement.ratio[followed & agreement.active]))
        if finding := _scale(middle, own):
            yield finding
    if own and agreement.active.any() and not matching and not turned and float(strength.max()) < CLEAR:
        yield Finding(
            "policy",
            f"The controller's commands are not those of this policy (correlation {float(strength.max()):+.2f}).",
            "Was another bundle or policy running? `divo-runtime replay` tells.",
        )


def find_motion_faults(contract: Contract, agreement: Agreement, moving: JointArray) -> Iterable[Finding]:
    """Yield what is wrong between the commands (first) and the measured motion (second).

    Args:
        contract: The robot task.
        agreement: Of commands and motion.
        moving: (act_dim,) spread of the motion.
    """
    names, at_best = contract.action.names, agreement.correlation[agreement.best]
    commanded = np.isfinite(agreement.ratio)
    for index, name in enumerate(names):
        if commanded[index] and not agreement.active[index] and agreement.active.any() and moving[index] < 1e-6:
            yield Finding(
                "no motion", f"{name} is commanded but never moves.", "Is its state frozen, or its drive off?"
            )
    matching = _exchanged(agreement, at_best)
    for index, other in matching.items():
        yield Finding(
            "command order",
            f"The command of {names[index]} moves {names[other]} (correlation {at_best[index, other]:+.2f}, with its "
            f"own joint {at_best[index, index]:+.2f}).",
            ORDER_ADVICE,
        )
    for index in np.flatnonzero(agreement.active).tolist():
        if at_best[index, index] <= -CLEAR and index not in matching:
            what = f"{names[index]} moves against its command (correlation {at_best[index, index]:+.2f})."
            yield Finding("command sign", what, SIGN_ADVICE)
    lag, strength = int(agreement.lags[agreement.best]), agreement.strength
    usual = float(strength[(agreement.lags >= 0) & (agreement.lags <= 1)].max())
    if strength[agreement.best] < CLEAR or strength[agreement.best] - usual < LAG_GAIN:
        return
    late_s = lag * contract.period_s
    how = f"{abs(lag)} periods ({abs(late_s) * 1e3:.0f} ms)"
    if lag > LATE_PERIODS and late_s > LATE_S:
        yield Finding(
            "lag",
            f"The motion follows the commands only after {how} (correlation {strength[agreement.best]:.2f}).",
            "A filter, a slow network or late stamps; the policy must have been trained with the same delay.",
        )
    if lag < 0:
        yield Finding(
            "lag",
            f"The motion comes {how} before the commands (correlation {strength[agreement.best]:.2f}).",
            "Is the recorded command an echo of the measured motion, or are the clocks apart?",
        )


def find_range_faults(contract: Contract, commands: JointArray, usual: JointArray) -> Iterable[Finding]:
    """Yield commands at or beyond the contract's limits.

    Args:
        contract: The robot task.
        commands: (m, act_dim) finite.
        usual: (act_dim,) share of the policy's answers to the training data that are at the limit.
    """
    lower, upper = contract.action_range()
    margin = 1e-3 * (upper - lower)
    at_limit = saturation(contract, commands)
    beyond = ((commands < lower - margin) | (commands > upper + margin)).mean(axis=0)
    for name, share, outside, expected in zip(contract.action.names, at_limit, beyond, usual, strict=True):
        if outside > BEYOND:
            what = f"{outside:.0%} of the commands of {name} lie outside of the contract's range."
            yield Finding("command range", what, "The controller would clip them; check unit and range.")
        elif share > SATURATED + expected:
            what = f"{name} is commanded at its limit {share:.0%} of the time, {expected:.0%} on the training data."
            yield Finding("command range", what, "The robot asks for more than the contract allows, or is driven off.")


def saturation(contract: Contract, commands: JointArray) -> JointArray:
    """Return the share (act_dim,) of commands (m, act_dim) at or beyond the limits."""
    lower, upper = contract.action_range()
    margin = 1e-3 * (upper - lower)
    share: JointArray = ((commands <= lower + margin) | (commands >= upper - margin)).mean(axis=0)
    return share


def _exchanged(agreement: Agreement, correlation: JointArray) -> dict[int, int]:
    """Return the signals that follow another one clearly and their own one hardly, with that other one."""
    found = {}
    for index in np.flatnonzero(np.abs(correlation).max(axis=1) >= CLEAR).tolist():
        other = int(np.argmax(np.abs(correlation[index])))
        own = abs(correlation[index, index])
        if other != index and abs(correlation[index, other]) - own >= GAIN and own < abs(correlation[index, other]) / 2:
            found[index] = other
    return found


def _scale(middle: float, own: bool) -> Finding | None:
    advice = "ROS messages and the contract are in SI units; convert in the driver."
    for factor, text in ((DEGREES, "in degrees"), (1 / DEGREES, "57.3 times too small"), (1e3, "in thousandths")):
        if factor / NEAR <= middle <= factor * NEAR:
            return Finding("command unit", f"Commands are {middle:.3g} times what the policy asks: {text}.", advice)
    if own and not 1 / MODEST <= middle <= MODEST:
        what = f"Commands are {middle:.2g} times what the policy asks."
        return Finding("command unit", what, "A speed scaling in the driver, or narrow limits in the gate?")
    return None
