"""A policy that never changes its mind."""

from __future__ import annotations

import numpy as np

from divo_runtime.interfaces import PolicyAction


class Steady:
    """A policy that always wants 0.8 rad/s and is always of one opinion about it."""

    noise_shape = (1, 2)

    def __init__(self, value=0.0):
        self.value = value

    def act(self, observation, noise):
        return PolicyAction(np.full(2, 0.8, np.float32), self.value)
