"""Read Minari datasets of others, which carry no contract; with h5py alone.

Observations may be a dictionary (as in mazes): its arrays are joined in the order that is asked for, or in gymnasium's,
which is alphabetical.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from divo_runtime.errors import DatasetError
from divo_train.data.flat import Arrays, Tally

PER_STEP = ("rewards", "terminations", "truncations")
DATA = Path("data") / "main_data.hdf5"
METADATA = Path("data") / "metadata.json"


@dataclass(frozen=True)
class ForeignFacts:
    """What a dataset says about itself."""

    dataset_id: str
    environment: str
    """Gymnasium id, or nothing."""
    max_episode_steps: int
    """Time limit [steps]; 0 if it does not say."""
    bounds: tuple[NDArray[np.float64], NDArray[np.float64]] | None
    """Lower and upper action, (act_dim,) each, where the action space is a finite box."""


def read_facts(folder: Path) -> ForeignFacts:
    """Read `metadata.json`.

    Raises:
        DatasetError: If it is missing or damaged, or the data are in a format that is not read here.
    """
    path = folder / METADATA
    try:
        metadata = dict(json.loads(path.read_text(encoding="utf-8")))
        spec = json.loads(metadata.get("env_spec") or "null") or {}
        space = json.loads(metadata.get("action_space") or "null") or {}
    except (OSError, ValueError, TypeError) as error:
        raise DatasetError("There is no readable Minari dataset here.", where=str(path), got=str(error)) from error
    if "contract" in metadata:
        raise DatasetError("This dataset carries a contract already.", where=str(path), fix="Train on it as it is.")
    if metadata.get("data_format", "hdf5") != "hdf5":
        raise DatasetError(
            "This Minari format is not read here.", where=str(path), got=str(metadata["data_format"]),
            expected="hdf5", fix="Convert it with Minari: load it, and create it again with data_format='hdf5'.",
        )  # fmt: skip
    bounds = None
    if space.get("type") == "Box" and len(space.get("shape", ())) == 1:
        low, high = (np.broadcast_to(np.array(space[k], float), space["shape"]) for k in ("low", "high"))
        bounds = (low, high) if np.isfinite(low).all() and np.isfinite(high).all() else None
    limit, name = spec.get("max_episode_steps") or 0, str(spec.get("id") or "")
    return ForeignFacts(str(metadata.get("dataset_id", folder.name)), name, int(limit), bounds)


def read_episodes(folder: Path, keys: Sequence[str], tally: Tally) -> Iterator[Arrays]:
    """Yield the episodes, and count in `tally` those that cannot be used.

    Args:
        folder: Dataset folder.
        keys: Observation arrays in their order, of a dictionary observation; all, alphabetically, if empty.
        tally: Counts.

    Raises:
        DatasetError: If the file is damaged, or observation or action are no arrays of numbers.
    """
    path = folder / DATA
    try:
        with h5py.File(path) as file:
            names = sorted(file, key=lambda name: int(name.rpartition("_")[2]))
            for name in names:
                group = file[name]
                where = f"{path}, {name}"
                arrays: Arrays = {
                    "observations": _observations(group["observations"], keys, where),
                    "actions": _numbers(group["actions"], f"{where}, actions"),
                    **{key: group[key][()] for key in PER_STEP},
                }
                count = len(arrays["actions"])
                if count == 0:
                    tally.notes.append(f"{name} holds no action")
                    continue
                if len(arrays["observations"]) != count + 1:
                    tally.dropped["episode that does not have one observation more than actions"] += count
                    continue
                yield _ended(arrays)
                tally.kept += count
                tally.episodes += 1
    except (OSError, KeyError, ValueError) as error:
        fix = "Download the dataset again."
        raise DatasetError("The dataset file is damaged.", where=str(path), got=str(error), fix=fix) from error


def _ended(arrays: Arrays) -> Arrays:
    """Mark the end of an episode that was recorded without one, as a truncation."""
    over = arrays["terminations"][-1] or arrays["truncations"][-1]
    truncations = arrays["truncations"].astype(bool)
    truncations[-1] = truncations[-1] or not over
    return {**arrays, "terminations": arrays["terminations"].astype(bool), "truncations": truncations}


def _observations(node: Any, keys: Sequence[str], where: str) -> NDArray[np.float32]:
    if isinstance(node, h5py.Dataset):
        return _numbers(node, f"{where}, observations")
    if missing := [key for key in keys if key not in node]:
        raise DatasetError(
            "The observation lacks arrays.", where=where, got=", ".join(node), expected=", ".join(missing),
            fix="Name others with --observation-keys.",
        )  # fmt: skip
    parts = [_numbers(node[key], f"{where}, observations/{key}") for key in keys or sorted(node)]
    return np.concatenate(parts, axis=1)


def _numbers(node: Any, where: str) -> NDArray[np.float32]:
    if not isinstance(node, h5py.Dataset) or node.ndim != 2 or node.dtype.kind != "f":
        got = f"{node.dtype}, shape {node.shape}" if isinstance(node, h5py.Dataset) else "a group"
        raise DatasetError(
            "Only continuous vectors can be learned from.", where=where, got=got, expected="(T, width) floats"
        )
    return np.asarray(node[()], dtype=np.float32)
