"""Chunks of episodes: the unit of parallel collection and of resuming it.

What a chunk holds depends on the seed, the behaviour and its number, and on nothing else: not on the number of workers,
not on what ran before. A chunk file is complete or absent.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from divo_sim.rollout import Rollout, Scripted, roll_out
from divo_sim.tasks import ARM_REACH, TASKS

CHUNK_EPISODES = 16
"""Half a second to two seconds of work: small against a whole collection, large against passing it around."""


@dataclass(frozen=True, slots=True)
class ChunkKey:
    """Names one chunk."""

    behaviour: str
    number: int
    """0, 1, 2 and so on, per behaviour."""

    def path(self, folder: Path) -> Path:
        """Return the chunk's file in `folder`."""
        return folder / f"{self.behaviour}-{self.number:05d}.npz"


def episode_seed(seed: int, behaviour: str, episode: int, behaviours: Sequence[str] = ARM_REACH.behaviours) -> int:
    """Return the seed of the `episode`-th episode of one of a task's behaviours, independent of all others."""
    entropy = [seed, behaviours.index(behaviour), episode]
    return int(np.random.SeedSequence(entropy).generate_state(1)[0])


def collect_chunk(task: str, key: ChunkKey, seed: int, folder: Path) -> ChunkKey:
    """Run the episodes of one chunk of a task and write its file; return the key. Runs in a worker process."""
    first, scripted = key.number * CHUNK_EPISODES, _open(task)
    seeds = [episode_seed(seed, key.behaviour, first + offset, scripted.behaviours) for offset in range(CHUNK_EPISODES)]
    write_chunk(key.path(folder), [roll_out(scripted, key.behaviour, number) for number in seeds])
    return key


def write_chunk(path: Path, episodes: list[Rollout]) -> None:
    """Write episodes to one file, all or nothing."""
    arrays = {
        "seeds": np.array([episode.seed for episode in episodes], np.int64),
        "lengths": np.array([len(episode) for episode in episodes], np.int64),
    }
    for name in ("observations", "actions", "rewards", "terminations", "truncations"):
        arrays[name] = np.concatenate([getattr(episode, name) for episode in episodes])
    for name in episodes[0].infos:
        arrays[f"infos/{name}"] = np.concatenate([episode.infos[name] for episode in episodes])
    unfinished = path.with_suffix(f".{os.getpid()}.tmp")
    with unfinished.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
    unfinished.replace(path)


def read_chunk(path: Path) -> list[Rollout]:
    """Read the episodes of one file back."""
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    ends = np.cumsum(arrays.pop("lengths"))
    seeds = arrays.pop("seeds")
    starts = np.concatenate([[0], ends[:-1]])
    episodes = []
    for index, (start, end, seed) in enumerate(zip(starts, ends, seeds, strict=True)):
        steps = slice(start, end)
        states = slice(start + index, end + index + 1)  # one state more than steps in every episode
        episodes.append(
            Rollout(
                seed=int(seed),
                observations=arrays["observations"][states],
                actions=arrays["actions"][steps],
                rewards=arrays["rewards"][steps],
                terminations=arrays["terminations"][steps],
                truncations=arrays["truncations"][steps],
                infos={name[6:]: array[states] for name, array in arrays.items() if name.startswith("infos/")},
            )
        )
    return episodes


@cache
def _open(task: str) -> Scripted:
    """Return the process's one copy of a task."""
    return TASKS[task].open()
