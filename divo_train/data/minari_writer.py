"""Write datasets in the Minari layout, episode by episode, with h5py alone.

Layout: https://minari.farama.org (version 0.5), as `divo_train.data.minari` reads it; a test opens what is written here
with Minari itself.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from divo_runtime.contract import Contract

LAYOUT_VERSION = "0.5.4"
"""Version of Minari whose layout is written."""
MEGABYTE = 1e6
ARRAYS = ("observations", "actions", "rewards", "terminations", "truncations")
NAMESPACE_FILE = "namespace_metadata.json"


class MinariWriter:
    """Writes `data/main_data.hdf5` and, when closed with `finish`, `data/metadata.json`.

    Args:
        folder: The dataset's folder; it must not exist yet.
    """

    def __init__(self, folder: Path) -> None:
        self._data = folder / "data"
        self._data.mkdir(parents=True)
        self._file = h5py.File(self._data / "main_data.hdf5", "w")
        self._digest = hashlib.sha256()
        self.episodes = 0
        """Episodes written so far."""
        self.steps = 0
        """Transitions written so far."""

    def __enter__(self) -> MinariWriter:
        """Return itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """Close the file."""
        self._file.close()

    def add(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Write an episode.

        Args:
            arrays: `observations` (T + 1, ...), `actions` (T, ...), `rewards`, `terminations`, `truncations` (T,) each,
                and `infos/NAME` (T + 1, ...).
        """
        group = self._file.create_group(f"episode_{self.episodes}")
        infos = sorted(name for name in arrays if name.startswith("infos/"))
        for name in (*ARRAYS, *infos):
            array = np.ascontiguousarray(arrays[name])
            group.create_dataset(name, data=array)
            self._digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
            self._digest.update(array.tobytes())
        rewards = arrays["rewards"]
        statistics = {f"rewards_{name}": getattr(rewards, name)() for name in ("sum", "mean", "std", "min", "max")}
        group.attrs.update({"id": self.episodes, "total_steps": len(rewards), **statistics})
        self.episodes += 1
        self.steps += len(rewards)

    def finish(self, metadata: Mapping[str, Any]) -> dict[str, Any]:
        """Write the description and return it whole; sizes, version and the content's hash are added here."""
        self._file.close()
        facts = {
            "total_episodes": self.episodes,
            "total_steps": self.steps,
            "data_format": "hdf5",
            "jpeg_encoding": True,
            "minari_version": LAYOUT_VERSION,
            "dataset_size": round((self._data / "main_data.hdf5").stat().st_size / MEGABYTE, 1),
            "content_sha256": self._digest.hexdigest(),
        }
        whole = {**metadata, **facts}
        (self._data / "metadata.json").write_text(json.dumps(whole, indent=2), encoding="utf-8")
        return whole


def describe_spaces(contract: Contract) -> dict[str, str]:
    """Return observation and action space of a contract in the JSON form in which Minari stores spaces."""
    size = contract.observation_size
    return {
        "observation_space": _box([-np.inf] * size, [np.inf] * size),
        "action_space": _box(list(contract.action.lower), list(contract.action.upper)),
    }


def make_namespaces(folder: Path) -> str:
    """Make the folders above a dataset and return its Minari id, such as `divo/arm/bags-v0`.

    Folders that are made here are namespaces, as are those that say so already; the first other one is Minari's root.
    """
    names = [folder.name]
    for parent in folder.absolute().parents:
        if parent.exists() and not (parent / NAMESPACE_FILE).exists():
            break
        names.insert(0, parent.name)
    root = folder.absolute().parents[len(names) - 1]
    for depth in range(1, len(names)):
        place = root.joinpath(*names[:depth])
        place.mkdir(exist_ok=True)
        if not (place / NAMESPACE_FILE).exists():
            (place / NAMESPACE_FILE).write_text("{}", encoding="utf-8")
    return "/".join(names)


def _box(low: list[float], high: list[float]) -> str:
    return json.dumps({"type": "Box", "dtype": "float32", "shape": [len(low)], "low": low, "high": high})
