"""A contract for data without ROS topics: one array in, one array out, no units.

D4RL, OGBench and other gymnasium data say nothing about topics, joints or limits. The contract made here says just
what a learner needs (sizes, action range, rate, environment) and marks the action as `dimensionless`, so that nobody
takes it for a robot's.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from divo_runtime.contract import Action, Contract, ObservationTerm
from divo_runtime.safety.limits import Limit, Safety

ARRAY: Final = "std_msgs/msg/Float64MultiArray"
OBSERVATION = "observation"
"""Name of the one observation term, which a reward function sees."""
NARROWEST = 1e-3
"""An action that never changes in the data still needs a range to be scaled by."""


def gym_contract(
    name: str,
    observation_size: int,
    lower: NDArray[np.floating],
    upper: NDArray[np.floating],
    rate_hz: float,
    environment: str = "",
) -> Contract:
    """Return the contract.

    Args:
        name: Short name.
        observation_size: Length of the observation.
        lower: (act_dim,) smallest action.
        upper: (act_dim,) largest action.
        rate_hz: Control steps per second; 1 where nobody knows, so that a second in the settings is a step.
        environment: Gymnasium id, `module:id`, or nothing.
    """
    middle, half = (lower + upper) / 2, np.maximum((upper - lower) / 2, NARROWEST)
    names = tuple(f"action_{i}" for i in range(len(lower)))
    low, high = (tuple(float(x) for x in side) for side in (middle - half, middle + half))
    largest = [max(abs(a), abs(b)) for a, b in zip(low, high, strict=True)]
    return Contract(
        schema=1,
        name=name,
        rate_hz=rate_hz,
        environment=environment,
        description="Data without topics; the limits of the action are its range, and nothing limits its change.",
        observation=(
            ObservationTerm(
                name=OBSERVATION, topic=OBSERVATION, type=ARRAY, field="data", size=observation_size, unit="1",
                max_age_ms=2000 / rate_hz,
            ),
        ),
        action=Action(
            kind="dimensionless", names=names, unit="1", lower=low, upper=high, topic="action", type=ARRAY
        ),
        safety=Safety(
            limits=tuple(
                Limit(name=one, velocity=most, acceleration=2 * most * rate_hz)  # one period from one end to the other
                for one, most in zip(names, largest, strict=True)
            )
        ),
    )  # fmt: skip


def action_range(actions: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return lower and upper action, (act_dim,) each: [-1, 1] if all actions lie in it, else the data's own range."""
    if np.abs(actions).max() <= 1.0 + 1e-6:
        return np.full(actions.shape[1], -1.0), np.full(actions.shape[1], 1.0)
    return actions.min(axis=0).astype(np.float64), actions.max(axis=0).astype(np.float64)
