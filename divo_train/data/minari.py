"""Read a dataset folder in the Minari layout, with h5py alone.

Layout: https://minari.farama.org (version 0.5): `<folder>/data/main_data.hdf5` with one group per episode, and
`metadata.json` beside it, to which our writers add the contract.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from divo_runtime.contract import Contract
from divo_runtime.errors import DatasetError
from divo_runtime.schema import parse_yaml
from divo_train.data.dataset import Dataset, check_dataset


def load_minari(folder: Path, contract: Contract | None = None, hidden: bool = False) -> Dataset:
    """Read and check a dataset.

    Args:
        folder: Dataset folder, such as `data/divo/arm_reach/mixed-25-v0`.
        contract: The contract the data must fit; by default the one stored with the data.
        hidden: Also read what learners must not see, such as the behaviour that made each transition.

    Raises:
        DatasetError: If a file is missing or damaged, or the sizes do not fit the contract.
    """
    metadata = _read_metadata(folder / "data" / "metadata.json")
    if contract is None:
        if "contract" not in metadata:
            raise DatasetError(
                "The dataset does not carry a contract.",
                where=str(folder / "data" / "metadata.json"),
                expected="the key 'contract'",
                fix="Give one with --contract.",
            )
        contract = parse_yaml(metadata["contract"], Contract, f"contract of {folder}")
    path = folder / "data" / "main_data.hdf5"
    try:
        with h5py.File(path) as file:
            return _read_episodes(file, metadata, contract, str(folder), hidden)
    except (OSError, KeyError, ValueError) as error:
        raise DatasetError(
            "The dataset file is damaged.", where=str(path), got=str(error), fix="Collect the dataset again."
        ) from error


def _read_metadata(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text()))
    except (OSError, ValueError) as error:
        raise DatasetError(
            "There is no readable dataset here.",
            where=str(path),
            got=str(error),
            expected="a folder in the Minari layout",
            fix="Make one with `divo-sim collect`, or check the path.",
        ) from error


def _read_episodes(
    file: h5py.File, metadata: dict[str, Any], contract: Contract, name: str, with_hidden: bool
) -> Dataset:
    groups = [file[f"episode_{i}"] for i in range(int(metadata["total_episodes"]))]
    if not groups:
        raise DatasetError("The dataset is empty.", where=name, fix="Collect or import some episodes.")
    lengths = np.array([len(group["actions"]) for group in groups])
    for number, (group, length) in enumerate(zip(groups, lengths, strict=True)):
        _check_rows(f"{name}, episode_{number}", len(group["observations"]), length)
    first_rows = np.concatenate([[0], np.cumsum(lengths + 1)[:-1]])
    rows = [np.arange(first, first + length) for first, length in zip(first_rows, lengths, strict=True)]

    def join(key: str, dtype: type) -> Any:
        return np.concatenate([group[key][()] for group in groups]).astype(dtype)

    infos = groups[0].get("infos", {}) if with_hidden else {}
    hidden = {key: np.concatenate([g["infos"][key][()][1:] for g in groups]) for key in infos if infos[key].ndim == 1}
    return check_dataset(
        Dataset(
            name=name,
            contract=contract,
            observations=join("observations", np.float32),
            actions=join("actions", np.float32),
            rewards=join("rewards", np.float32),
            terminated=join("terminations", bool),
            truncated=join("truncations", bool),
            rows=np.concatenate(rows),
            episodes=np.repeat(np.arange(len(groups)), lengths),
            digest=str(metadata.get("content_sha256", "")),
            hidden=hidden,
        )
    )


def _check_rows(where: str, observations: int, actions: int) -> None:
    """Refuse an episode whose last observation is missing: every later episode would be paired with wrong rows."""
    if observations != actions + 1:
        raise DatasetError(
            "An episode does not have one observation more than actions.",
            where=where,
            got=f"{observations} observations, {actions} actions",
            expected=f"{actions + 1} observations",
            fix="Record the observation after the last action too.",
        )
