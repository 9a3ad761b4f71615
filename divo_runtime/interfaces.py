"""The plugs of the runtime: a loaded network (`Backend`) and something that acts (`Policy`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from divo_runtime.errors import BackendError
from divo_runtime.observation import FloatArray

FLOAT32 = np.dtype(np.float32)
"""Made once: comparing a dtype with the class makes one each time, in every call of a network."""


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """Name, shape and type of one input or output of a network."""

    name: str
    shape: tuple[int, ...]
    """Every dimension is fixed."""
    dtype: str = "float32"

    def __str__(self) -> str:
        """Return `name float32[1, 23]`."""
        return f"{self.name} {self.dtype}{list(self.shape)}"


class Backend(Protocol):
    """One loaded network. `divo_runtime.conformance.check_backend` says what an implementation owes."""

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """What `run` must be fed."""

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """What `run` returns."""

    def run(self, feeds: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
        """Run the network once; same feeds, same result.

        Raises:
            BackendError: If the feeds do not match `inputs`, or after `close`.
        """

    def close(self) -> None:
        """Give the memory back; may be called twice."""


@dataclass(frozen=True, slots=True)
class PolicyAction:
    """What a policy wants, before blending and safety."""

    action: FloatArray
    """(act_dim,) float32 in robot units."""
    value: float
    """The critic's value of this action (undiscounted by the runtime); NaN if there is no critic."""


class Policy(Protocol):
    """Something that acts; it owns no clock and no random generator."""

    @property
    def noise_shape(self) -> tuple[int, int]:
        """(candidates, act_dim) of the standard normal noise that `act` wants."""

    def act(self, observation: FloatArray, noise: FloatArray) -> PolicyAction:
        """Choose an action.

        Args:
            observation: (obs_dim,) float32 in the contract's order and units.
            noise: `noise_shape` float32, standard normal.
        """


def check_feeds(expected: Sequence[TensorSpec], feeds: Mapping[str, FloatArray], where: str) -> None:
    """Refuse feeds that are not exactly the expected tensors.

    Raises:
        BackendError: Naming the tensor, what it is and what it should be.
    """
    for spec in expected:
        array = feeds.get(spec.name)
        if array is None or array.shape != spec.shape or array.dtype != FLOAT32:
            break
    else:
        if len(feeds) == len(expected):
            return
    raise BackendError(
        "The feeds are not the network's inputs.",
        where=where,
        got=", ".join(f"{name} {array.dtype}{list(array.shape)}" for name, array in feeds.items()) or "nothing",
        expected=", ".join(map(str, expected)),
        fix="Feed float32 arrays of exactly these names and shapes.",
    )
