"""Read flat npz files: D4RL's keys under their usual other names, and OGBench's.

| array | names |
|---|---|
| `observations`, `actions`, `rewards`, `next_observations` | these |
| `terminals` | also `terminated`, `terminations` |
| `timeouts` | also `truncated`, `truncations` |

A file without rewards is OGBench's, whose `terminals` mark the end of a recording (`divo_train.data.trajectories`).
`dones` is refused: nobody can tell from it whether the task ended or the time.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from divo_runtime.errors import DatasetError
from divo_train.data.d4rl import flat_rows
from divo_train.data.flat import FlatRows

OTHER_NAMES = {
    "terminated": "terminals",
    "terminations": "terminals",
    "truncated": "timeouts",
    "truncations": "timeouts",
}


def read_npz(path: Path) -> tuple[FlatRows, bool]:
    """Read a file.

    Returns:
        The rows, and whether the rewards are in the file; where not they are zeros.

    Raises:
        DatasetError: If it is missing or damaged, lacks an array, or has `dones`.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            found: dict[str, Any] = {OTHER_NAMES.get(key, key): file[key] for key in file.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise DatasetError(
            "This npz file cannot be read.",
            where=str(path),
            got=str(error),
            expected="numeric arrays, written by numpy.savez",
        ) from error
    if "terminals" not in found and "dones" in found:
        raise DatasetError(
            "It cannot be told whether episodes ended by the task or by the time.",
            where=str(path),
            got="dones",
            expected="terminals (the task ended) and timeouts (the time was up)",
            fix="Split dones into the two; a learner must bootstrap from the one and not from the other.",
        )
    return flat_rows(found, path, rewards_needed=False), "rewards" in found
