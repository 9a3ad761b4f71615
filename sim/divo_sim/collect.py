"""Collects a dataset of scripted behaviours: parallel, reproducible, resumable, all or nothing.

Every behaviour of the mixture runs until it has its share of the transitions. Finished chunks stay in
`<dataset>.partial/` until the dataset is whole; then it is assembled out of Minari's sight and renamed into place.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from divo_runtime.errors import DatasetError
from divo_sim.card_page import write_card
from divo_sim.chunks import CHUNK_EPISODES, ChunkKey, collect_chunk, read_chunk
from divo_sim.dataset import describe_namespaces, write_dataset
from divo_sim.dataset_card import describe_dataset
from divo_sim.mixtures import Mixture
from divo_sim.rollout import Rollout
from divo_sim.tasks import ARM_REACH, Task, find_task


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that decides the content of a dataset."""

    mixture: Mixture
    transitions: int
    seed: int
    task: str = ARM_REACH.name

    @property
    def collected_task(self) -> Task:
        """The task by its name.

        Raises:
            DivoError: If there is no such task, or it has no such mixture.
        """
        return find_task(self.task, self.mixture)

    @property
    def dataset_id(self) -> str:
        """Return Minari's name of the dataset."""
        return self.collected_task.dataset_id(self.mixture)

    def targets(self) -> dict[str, int]:
        """Return how many transitions each behaviour must bring at least."""
        shares = self.collected_task.mixtures[self.mixture]
        return {name: round(share * self.transitions) for name, share in shares.items()}

    def describe(self) -> dict[str, Any]:
        """Return the recipe as plain data, with the hash of the code that it is cooked by."""
        return {
            "task": self.task,
            "mixture": self.mixture,
            "shares": dict(self.collected_task.mixtures[self.mixture]),
            "transitions": self.transitions,
            "seed": self.seed,
            "code_sha256": self.collected_task.code_hash(),
        }


@dataclass(slots=True)
class Progress:
    """What has been collected so far."""

    episodes: int = 0
    transitions: int = 0
    successes: int = 0
    collision_free: int = 0


@dataclass(slots=True)
class _Supply:
    """The chunks of one behaviour."""

    target: int
    largest: int
    """Most transitions of a chunk."""
    sizes: dict[int, int] = field(default_factory=dict)
    asked: int = 0

    def missing(self) -> bool:
        """Whether the finished chunks do not hold the target yet."""
        return sum(self.sizes.values()) < self.target or len(self.sizes) < self.asked

    def wants_more(self) -> bool:
        """Whether chunks on order will probably not be enough. Until one is seen, a chunk may be as big as can be."""
        size = sum(self.sizes.values()) / len(self.sizes) if self.sizes else self.largest
        return sum(self.sizes.values()) + (self.asked - len(self.sizes)) * size < self.target


def collect(
    recipe: Recipe, root: Path, workers: int, report: Callable[[Progress], None], overwrite: bool = False
) -> Path:
    """Collect a dataset, or find it already there.

    Args:
        recipe: What to collect.
        root: Root of the datasets, Minari's `MINARI_DATASETS_PATH`.
        workers: Number of processes; does not change the data.
        report: Called with the progress after every chunk.
        overwrite: Replace a dataset of another recipe.

    Returns:
        The dataset's folder.

    Raises:
        DatasetError: If another dataset of this name is there already.
    """
    folder = root / recipe.dataset_id
    if folder.exists() and not overwrite:
        _check_same(folder, recipe)
        return folder
    describe_namespaces(root, recipe.dataset_id)
    partial = folder.with_name(folder.name + ".partial")
    _open_partial(partial, recipe)
    largest = CHUNK_EPISODES * recipe.collected_task.step_limit
    supplies = {name: _Supply(target, largest) for name, target in recipe.targets().items()}
    progress = Progress()
    with _pool(workers) as pool:
        running: set[Future[ChunkKey]] = set()
        while any(supply.missing() for supply in supplies.values()):
            for key in _orders(supplies, 2 * workers - len(running)):
                running.add(pool.submit(_collect_or_find, recipe.task, key, recipe.seed, partial))
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                key = future.result()
                _account(supplies[key.behaviour], key, partial, progress)
            report(progress)
    _assemble(folder, partial, recipe, supplies)
    return folder


def _orders(supplies: dict[str, _Supply], free: int) -> Iterator[ChunkKey]:
    """Hand out at most `free` chunks, always to the behaviour that lags furthest behind."""
    for _ in range(free):
        wanting = [name for name, supply in supplies.items() if supply.wants_more()]
        if not wanting:
            return
        name = min(wanting, key=lambda name: supplies[name].asked / supplies[name].target)
        yield ChunkKey(name, supplies[name].asked)
        supplies[name].asked += 1


def _collect_or_find(task: str, key: ChunkKey, seed: int, folder: Path) -> ChunkKey:
    return key if key.path(folder).exists() else collect_chunk(task, key, seed, folder)


def _account(supply: _Supply, key: ChunkKey, folder: Path, progress: Progress) -> None:
    episodes = read_chunk(key.path(folder))
    supply.sizes[key.number] = sum(map(len, episodes))
    progress.transitions += supply.sizes[key.number]
    progress.episodes += len(episodes)
    for episode in episodes:
        success = bool(episode.infos["success"][-1])
        progress.successes += success
        progress.collision_free += success and not episode.infos["contact"].any()


@contextmanager
def _pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Yield worker processes; on an error or Ctrl-C, drop what is queued and wait for what runs.

    Spawned, not forked: a forked physics client would be shared.
    """
    # Ctrl-C reaches every process of a terminal; the workers leave it to this one and finish their chunk.
    spawn = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, spawn, initializer=signal.signal, initargs=(signal.SIGINT, signal.SIG_IGN))
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _open_partial(partial: Path, recipe: Recipe) -> None:
    """Use the chunks of an interrupted collection if they fit, else begin anew."""
    code = recipe.collected_task.code_hash()
    fitting = {"task": recipe.task, "seed": recipe.seed, "code_sha256": code, "chunk_episodes": CHUNK_EPISODES}
    note = partial / "recipe.json"
    if partial.exists() and not (note.exists() and json.loads(note.read_text(encoding="utf-8")) == fitting):
        shutil.rmtree(partial)
    partial.mkdir(exist_ok=True)
    note.write_text(json.dumps(fitting), encoding="utf-8")


def _assemble(folder: Path, partial: Path, recipe: Recipe, supplies: dict[str, _Supply]) -> None:
    episodes: list[Rollout] = []
    for name, supply in supplies.items():
        episodes.extend(_take(name, supply, partial))
    order = np.random.default_rng([recipe.seed, len(episodes)]).permutation(len(episodes))
    episodes = [episodes[index] for index in order]
    assembly = partial / ".assembly"  # hidden, and so invisible to Minari while it is not whole
    shutil.rmtree(assembly, ignore_errors=True)
    description = describe_dataset(recipe.dataset_id, recipe.describe(), episodes, recipe.collected_task)
    write_dataset(assembly, episodes, description)
    write_card(assembly)
    if folder.exists():
        os.replace(folder, partial / ".replaced")
    os.replace(assembly, folder)
    shutil.rmtree(partial)


def _take(behaviour: str, supply: _Supply, partial: Path) -> Iterator[Rollout]:
    """Yield a behaviour's episodes in their order until its target is reached."""
    taken = 0
    for number in range(supply.asked):
        for episode in read_chunk(ChunkKey(behaviour, number).path(partial)):
            if taken >= supply.target:
                return
            taken += len(episode)
            yield episode


def _check_same(folder: Path, recipe: Recipe) -> None:
    there = json.loads((folder / "data" / "metadata.json").read_text(encoding="utf-8")).get("recipe")
    if there != recipe.describe():
        raise DatasetError(
            "Another dataset of this name is already there.",
            where=str(folder),
            got=json.dumps(there),
            expected=json.dumps(recipe.describe()),
            fix="Use --overwrite to replace it, or another --out.",
        )
