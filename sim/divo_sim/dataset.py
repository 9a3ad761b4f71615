"""Writes episodes in Minari's layout with h5py alone, so that collecting needs neither minari nor jax.

Source of the layout: Minari 0.5.4, https://minari.farama.org; `tests/sim/test_dataset.py` opens what is written here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from gymnasium import spaces

from divo_sim.rollout import Rollout

LAYOUT_VERSION = "0.5.4"
"""Version of Minari whose layout is written."""
MEGABYTE = 1e6


def write_dataset(folder: Path, episodes: Sequence[Rollout], metadata: Mapping[str, Any]) -> None:
    """Write `folder/data/main_data.hdf5` and `folder/data/metadata.json`.

    Args:
        folder: A folder that does not exist yet.
        episodes: Episodes in the order of the dataset.
        metadata: Keys of the dataset's description; sizes, version and the content's hash are added here.
    """
    data = folder / "data"
    data.mkdir(parents=True)
    with h5py.File(data / "main_data.hdf5", "w") as file:
        for index, episode in enumerate(episodes):
            _write_episode(file.create_group(f"episode_{index}"), index, episode)
    facts = {
        "total_episodes": len(episodes),
        "total_steps": sum(map(len, episodes)),
        "data_format": "hdf5",
        "jpeg_encoding": True,
        "minari_version": LAYOUT_VERSION,
        "dataset_size": round((data / "main_data.hdf5").stat().st_size / MEGABYTE, 1),
        "content_sha256": content_hash(episodes),
    }
    (data / "metadata.json").write_text(json.dumps({**metadata, **facts}, indent=2), encoding="utf-8")


def describe_namespaces(root: Path, dataset_id: str) -> None:
    """Make the namespace folders of `dataset_id` under `root`, each with the description file that Minari wants."""
    folder = root
    for name in dataset_id.split("/")[:-1]:
        folder = folder / name
        folder.mkdir(parents=True, exist_ok=True)
        description = folder / "namespace_metadata.json"
        if not description.exists():
            description.write_text("{}", encoding="utf-8")


def content_hash(episodes: Sequence[Rollout]) -> str:
    """Return the SHA-256 of all arrays, names and shapes: the same data give the same hash in any file."""
    digest = hashlib.sha256()
    for episode in episodes:
        for name, array in _arrays(episode):
            digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def space_text(space: spaces.Box) -> str:
    """Return a Box in the JSON form in which Minari stores spaces."""
    return json.dumps(
        {
            "type": "Box",
            "dtype": str(space.dtype),
            "shape": list(space.shape),
            "low": space.low.tolist(),
            "high": space.high.tolist(),
        }
    )


def _write_episode(group: h5py.Group, index: int, episode: Rollout) -> None:
    for name, array in _arrays(episode):
        group.create_dataset(name, data=array)
    rewards = episode.rewards
    group.attrs.update(
        {
            "id": index,
            "seed": episode.seed,
            "total_steps": len(episode),
            "rewards_sum": rewards.sum(),
            "rewards_mean": rewards.mean(),
            "rewards_std": rewards.std(),
            "rewards_min": rewards.min(),
            "rewards_max": rewards.max(),
        }
    )


def _arrays(episode: Rollout) -> Iterator[tuple[str, np.ndarray]]:
    for name in ("observations", "actions", "rewards", "terminations", "truncations"):
        yield name, getattr(episode, name)
    for name in sorted(episode.infos):
        yield f"infos/{name}", episode.infos[name]
