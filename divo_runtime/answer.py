"""Asking a policy: whatever it does, the controller gets an answer and not an exception."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from divo_runtime.interfaces import Policy, PolicyAction
from divo_runtime.observation import FloatArray


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of asking the policy, or why it was not asked."""

    action: FloatArray | None = None
    """(act_dim,) float32 in robot units; None if it was not asked or gave nothing of this size."""
    value: float = float("nan")
    noise: FloatArray | None = None
    reasons: tuple[str, ...] = ()
    """Why it cannot be used; empty if it can."""
    failure: Literal["", "policy_errors", "nonfinite"] = ""
    """Under what a failure of the policy itself is counted."""


def ask(policy: Policy, observation: FloatArray, noise: FloatArray, action_size: int) -> Answer:
    """Ask the policy; an answer that cannot be used comes with the reason.

    Args:
        policy: Whom to ask.
        observation: (obs_dim,) float32, finite.
        noise: `policy.noise_shape` float32, standard normal.
        action_size: Number of values that the contract's action has.
    """
    try:
        chosen: PolicyAction = policy.act(observation, noise)
        action = np.asarray(chosen.action, dtype=np.float32)
        value = float(chosen.value)
        fits = action.shape == (action_size,)
        finite = bool(np.isfinite(action).all())
    except Exception as error:  # whatever a policy raises must not stop the commands; it is counted and reported
        reason = f"policy failed: {type(error).__name__}: {str(error).partition(chr(10))[0]}"
        return Answer(noise=noise, reasons=(reason,), failure="policy_errors")
    if not fits:
        reason = f"policy failed: action of shape {action.shape}, expected ({action_size},)"
        return Answer(noise=noise, reasons=(reason,), failure="policy_errors")
    if not finite:
        reason = f"policy's action is not finite: {action.tolist()}"
        return Answer(action, value, noise, (reason,), failure="nonfinite")
    return Answer(action, value, noise)
