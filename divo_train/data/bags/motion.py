"""The measured motion as an action, for recordings without commands, such as hand guiding."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from divo_runtime.contract import Contract, ObservationTerm
from divo_runtime.errors import DatasetError
from divo_runtime.fields import JointArray
from divo_runtime.observation import FloatArray

TWIST_FIELDS = {"linear": ("twist.twist.linear", "twist.linear"), "angular": ("twist.twist.angular", "twist.angular")}


def measured_actions(contract: Contract, observations: FloatArray, times_ns: NDArray[np.int64]) -> JointArray:
    """Return what moved in each period, in the place of what was commanded.

    A position action is the position measured at the period's end; a joint velocity is the change of position over the
    period where positions are observed, else the velocity measured at its end; a twist is the one measured at its end.

    Args:
        contract: Says where the terms stand.
        observations: (T + 1, obs_dim)
        times_ns: (T + 1,)

    Returns:
        (T, act_dim) float64.

    Raises:
        DatasetError: If the contract does not observe the motion.
    """
    if contract.action.kind == "twist":
        columns = twist_columns(contract)
        if columns is None:
            raise _unobserved(contract)
        return observations[1:, columns].astype(np.float64)
    position = joint_columns(contract, "position")
    if position is not None:
        placed = observations[:, position].astype(np.float64)
        if contract.action.kind == "joint_position":
            return placed[1:]
        return np.diff(placed, axis=0) / (np.diff(times_ns)[:, None] / 1e9)
    velocity = joint_columns(contract, "velocity")
    if velocity is None or contract.action.kind == "joint_position":
        raise _unobserved(contract)
    return observations[1:, velocity].astype(np.float64)


def joint_columns(contract: Contract, field: str) -> list[int] | None:
    """Return where the action's joints stand in the observation, in the action's order; None if they do not.

    Args:
        contract: The robot task.
        field: Field of JointState, such as `velocity`.
    """
    for term, first in _placed(contract):
        if term.field == field and set(contract.action.names) <= set(term.joints) and not term.relative_to:
            return [first + term.joints.index(name) for name in contract.action.names]
    return None


def twist_columns(contract: Contract) -> list[int] | None:
    """Return where the parts of a twist action stand in the observation, in its order; None if one does not."""
    columns = []
    for name in contract.action.names:
        part, _, letter = name.partition(".")
        places = [
            first + (term.components or "xyz").index(letter)
            for term, first in _placed(contract)
            if term.field in TWIST_FIELDS[part] and letter in (term.components or "xyz") and not term.relative_to
        ]
        columns += places[:1]
    return columns if len(columns) == contract.action_size else None


def _placed(contract: Contract) -> list[tuple[ObservationTerm, int]]:
    """Return every term with where it begins."""
    starts = np.cumsum([0, *(term.width for term in contract.observation)])
    return [(term, int(start)) for term, start in zip(contract.observation, starts, strict=False)]


def _unobserved(contract: Contract) -> DatasetError:
    names = ", ".join(contract.action.names)
    return DatasetError(
        "The measured motion cannot be the action, because the contract does not observe it.",
        where=f"contract '{contract.name}'",
        got=f"no {contract.action.kind} of {names} among {', '.join(term.name for term in contract.observation)}",
        fix="Add the term to the contract, or import the commands.",
    )
