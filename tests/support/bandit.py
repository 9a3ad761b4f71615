"""A one-step task whose answer is known: eight actions on a circle, every other one good, one of those the best."""

from __future__ import annotations

import msgspec
import numpy as np

from divo_runtime.contract import Contract
from divo_train.data.dataset import Dataset

MODES = np.stack([np.cos(np.arange(8) * np.pi / 4), np.sin(np.arange(8) * np.pi / 4)], axis=1) * 0.7
REWARDS = np.array([1.0, 0.0, 1.0, 0.0, 2.0, 0.0, 1.0, 0.0])
BEST = 4


def bandit_contract() -> Contract:
    joints = ["x", "y"]
    return msgspec.convert(
        {
            "schema": 1,
            "name": "bandit",
            "rate_hz": 10,
            "observation": [
                {"name": "position", "topic": "joint_states", "type": "sensor_msgs/msg/JointState", "field": "position",
                 "joints": joints, "unit": "rad", "max_age_ms": 100},
            ],
            "action": {"kind": "joint_velocity", "names": joints, "unit": "rad/s", "lower": [-1, -1], "upper": [1, 1],
                       "topic": "commands", "type": "std_msgs/msg/Float64MultiArray"},
            "safety": {"limits": [{"name": joint, "velocity": 2, "acceleration": 10} for joint in joints]},
        },
        Contract,
    )  # fmt: skip


def bandit_dataset(count: int = 8000, seed: int = 0) -> Dataset:
    """Each mode equally often, width 0.05; every episode is one action long."""
    rng = np.random.default_rng(seed)
    modes = rng.integers(8, size=count)
    actions = MODES[modes] + 0.05 * rng.standard_normal((count, 2))
    return Dataset(
        name="bandit",
        contract=bandit_contract(),
        observations=rng.standard_normal((2 * count, 2)).astype(np.float32),
        actions=actions.astype(np.float32),
        rewards=REWARDS[modes].astype(np.float32),
        terminated=np.ones(count, bool),
        truncated=np.zeros(count, bool),
        rows=np.arange(count) * 2,
        episodes=np.arange(count),
    )


def mode_of(actions: np.ndarray) -> np.ndarray:
    """(n,) number of the nearest mode."""
    return np.linalg.norm(actions[:, None] - MODES, axis=2).argmin(axis=1)
