import numpy as np
import pytest
import torch

import bandit as bandit_module
from divo_train.data.dataset import Dataset


@pytest.fixture(scope="session")
def bandit():
    return bandit_module


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def two_episodes():
    """Rewards 1, 2, 3 up to a termination, then 10, 20 up to a truncation; observation rows are [row, 0]."""
    rows = np.array([0, 1, 2, 4, 5])
    return Dataset(
        name="two episodes",
        contract=bandit_module.bandit_contract(),
        observations=np.stack([np.arange(7), np.zeros(7)], axis=1).astype(np.float32),
        actions=np.zeros((5, 2), np.float32),
        rewards=np.array([1, 2, 3, 10, 20], np.float32),
        terminated=np.array([False, False, True, False, False]),
        truncated=np.array([False, False, False, False, True]),
        rows=rows,
        episodes=np.array([0, 0, 0, 1, 1]),
    )
