"""The one dataset type that every learner reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from divo_runtime.contract import Contract
from divo_runtime.errors import DatasetError

FloatArray = NDArray[np.float32]
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Dataset:
    """Logged episodes, concatenated. An episode of T actions has T + 1 observation rows: nothing is lost at its end."""

    name: str
    contract: Contract
    observations: FloatArray
    """(rows, obs_dim) in the contract's units."""
    actions: FloatArray
    """(transitions, act_dim) in robot units."""
    rewards: FloatArray
    """(transitions,)"""
    terminated: BoolArray
    """(transitions,) The task ended here: nothing follows, no bootstrap."""
    truncated: BoolArray
    """(transitions,) Only the recording ended here: bootstrap from the next observation."""
    rows: IntArray
    """(transitions,) Row of each transition's observation; the next observation is row + 1."""
    episodes: IntArray
    """(transitions,) Episode number."""
    digest: str = ""
    """sha256 of the content, as recorded by whoever wrote the data."""
    hidden: Mapping[str, NDArray[np.generic]] = field(default_factory=dict)
    """(transitions,) each: provenance and the like, for analysis; never given to a learner."""

    def __len__(self) -> int:
        """Return the number of transitions."""
        return len(self.actions)

    def __repr__(self) -> str:
        """Return name and sizes."""
        return f"Dataset({self.name!r}, {len(self):,} transitions, {len(np.unique(self.episodes)):,} episodes)"

    def scaled_actions(self) -> FloatArray:
        """Return the actions scaled so that the contract's action range is [-1, 1]."""
        lower, upper = self.contract.action_range()
        return ((self.actions - lower) / (upper - lower) * 2 - 1).astype(np.float32).clip(-1, 1)


def check_dataset(dataset: Dataset) -> Dataset:
    """Return the dataset if it is whole and fits its contract.

    Raises:
        DatasetError: Naming the array, what was got and what was expected.
    """
    contract, count = dataset.contract, len(dataset)
    if count == 0:
        raise DatasetError("The dataset is empty.", where=dataset.name, fix="Collect or import some episodes.")
    expected = {
        "observations": (len(dataset.observations), contract.observation_size),
        "actions": (count, contract.action_size),
        "rewards": (count,),
        "terminated": (count,),
        "truncated": (count,),
    }
    for name, shape in expected.items():
        array = getattr(dataset, name)
        where = f"{dataset.name}, {name}"
        if array.shape != shape:
            raise DatasetError(
                "The dataset's sizes do not fit the contract.",
                where=where,
                got=f"shape {array.shape}",
                expected=f"shape {shape} for contract '{contract.name}'",
                fix="Use the contract that the data was recorded with, or record the data again.",
            )
        if not np.isfinite(array).all():
            bad = np.argwhere(~np.isfinite(array))[0]
            raise DatasetError(
                "The dataset holds values that are not finite.",
                where=f"{where}{bad.tolist()}",
                got=str(array[tuple(bad)]),
                expected="finite numbers",
                fix="Drop the episode or mend the recording; a NaN would silently ruin every weight.",
            )
    return dataset
