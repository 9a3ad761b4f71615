"""Read D4RL's HDF5 files with h5py alone.

Keys: `observations`, `actions`, `rewards`, `terminals`, and where there are such `timeouts` and `next_observations`.
Whatever else is in the file (`infos/...`, `metadata/...`) is left alone.

Source: https://github.com/Farama-Foundation/D4RL, `d4rl/offline_env.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from divo_runtime.errors import DatasetError
from divo_train.data.flat import FlatRows

REQUIRED = ("observations", "actions", "rewards", "terminals")
OPTIONAL = ("timeouts", "next_observations")


def read_d4rl(path: Path) -> FlatRows:
    """Read a file.

    Raises:
        DatasetError: If it is missing or damaged, or lacks a key.
    """
    try:
        with h5py.File(path) as file:
            found = {key: file[key][()] for key in (*REQUIRED, *OPTIONAL) if key in file}
    except (OSError, TypeError) as error:
        raise DatasetError(
            "This HDF5 file cannot be read.", where=str(path), got=str(error), fix="Download it again."
        ) from error
    return flat_rows(found, path)


def flat_rows(found: Mapping[str, Any], path: Path, rewards_needed: bool = True) -> FlatRows:
    """Return the arrays of a file as float32 and flags; rewards of shape (N, 1) become (N,).

    Raises:
        DatasetError: If a key is missing, or the arrays do not belong together.
    """
    needed = [key for key in REQUIRED if rewards_needed or key != "rewards"]
    if missing := [key for key in needed if key not in found]:
        raise DatasetError(
            "The file lacks arrays.",
            where=str(path),
            got=", ".join(found) or "none of the known keys",
            expected=", ".join(needed),
            fix=f"Add {', '.join(missing)}; docs/d4rl.md lists the keys.",
        )

    def flat(key: str, dtype: type) -> Any:
        return np.asarray(found[key]).reshape(-1).astype(dtype)

    def wide(key: str) -> Any:
        array = np.asarray(found[key], dtype=np.float32)
        return array[:, None] if array.ndim == 1 else array

    count = len(found["observations"])
    return FlatRows(
        observations=wide("observations"),
        actions=wide("actions"),
        rewards=flat("rewards", np.float32) if "rewards" in found else np.zeros(count, np.float32),
        terminals=flat("terminals", bool),
        timeouts=flat("timeouts", bool) if "timeouts" in found else None,
        next_observations=wide("next_observations") if "next_observations" in found else None,
    )
