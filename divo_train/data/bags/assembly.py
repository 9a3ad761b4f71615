"""All bags to one dataset: a process per bag, then the episodes in the order of the bags, all or nothing.

What comes out does not depend on the number of processes. Memory holds one episode at a time, and a bounded sample for
the report.
"""

from __future__ import annotations

import multiprocessing
import shutil
import signal
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from ctypes import c_double
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from divo_runtime.errors import DatasetError
from divo_runtime.observation import FloatArray
from divo_train.data.bags.bag import bag_files
from divo_train.data.bags.importing import BagReport, import_bag
from divo_train.data.bags.parts import BagError
from divo_train.data.bags.settings import ImportSettings
from divo_train.data.minari_writer import ARRAYS, MinariWriter, describe_spaces, make_namespaces

SAMPLE_TRANSITIONS = 200_000
"""Transitions kept in memory for the report's histograms and checks; of more, every second (third, ...) episode."""
POLL_S = 0.2

Report = Callable[[float], None]
"""Told the bytes that are done."""


@dataclass(slots=True)
class EpisodeSample:
    """Whole episodes, for statistics."""

    observations: list[FloatArray] = field(default_factory=list)
    """(T + 1, obs_dim) each."""
    actions: list[FloatArray] = field(default_factory=list)
    """(T, act_dim) each."""
    rewards: list[FloatArray] = field(default_factory=list)
    """(T,) each."""


@dataclass(frozen=True, slots=True)
class ImportResult:
    """What became of an import."""

    folder: Path
    bags: tuple[BagReport, ...]
    left_out: tuple[tuple[Path, str], ...]
    """Bags that could not be imported, and why."""
    sample: EpisodeSample
    metadata: dict[str, Any]
    """The dataset's description; empty if there is no dataset, because nothing was kept."""


def import_bags(
    paths: Sequence[Path],
    settings: ImportSettings,
    contract_text: str,
    folder: Path,
    workers: int = 1,
    report: Report = lambda done: None,
) -> ImportResult:
    """Import bags into a dataset.

    Args:
        paths: Bags, in the order in which their episodes are to stand.
        settings: How.
        contract_text: YAML of the contract, for the dataset's description.
        folder: The dataset's folder; it must not exist.
        workers: Processes; 1 means this one.
        report: Called now and then with the bytes of the bags that are done.

    Raises:
        DatasetError: If the folder exists, or the reward function fails.
        BagError: If a bag cannot be imported and `keep_going` is not set.
    """
    if folder.exists():
        raise DatasetError(
            "There is something at the dataset's place already.", where=str(folder), fix="Give another --out."
        )
    dataset_id = make_namespaces(folder)
    partial_folder = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial_folder, ignore_errors=True)
    partial_folder.mkdir(parents=True)
    try:
        outcomes = _import_all(paths, settings, partial_folder, workers, report)
        bags = {number: each for number, each in enumerate(outcomes) if isinstance(each, BagReport)}
        left_out = [(path, str(each)) for path, each in zip(paths, outcomes, strict=True) if isinstance(each, BagError)]
        sample = EpisodeSample()
        metadata: dict[str, Any] = {}
        if any(each.transitions for each in bags.values()):
            description = _describe(dataset_id, settings, contract_text, tuple(bags.values()), left_out)
            metadata = _assemble(partial_folder / "dataset", partial_folder, bags, description, sample)
            (partial_folder / "dataset").replace(folder)
    finally:
        shutil.rmtree(partial_folder, ignore_errors=True)
    return ImportResult(folder, tuple(bags.values()), tuple(left_out), sample, metadata)


def bag_sizes(paths: Sequence[Path]) -> list[int]:
    """Return the bytes of every bag; 0 of what is not there."""
    return [sum(file.stat().st_size for file in bag_files(path)) for path in paths]


def _import_all(
    paths: Sequence[Path], settings: ImportSettings, folder: Path, workers: int, report: Report
) -> list[BagReport | BagError]:
    """Import every bag into a file of its own."""
    sizes = bag_sizes(paths)
    jobs = [partial(_import_one, path, settings, folder / f"{number}.hdf5") for number, path in enumerate(paths)]
    if workers == 1 or len(jobs) == 1:
        outcomes = []
        for number, job in enumerate(jobs):
            outcomes.append(job(partial(_tell_bytes, report, sum(sizes[:number]), sizes[number])))
            report(sum(sizes[: number + 1]))
        return outcomes
    spawn = multiprocessing.get_context("spawn")
    shares = spawn.Array(c_double, len(jobs), lock=False)
    pool = ProcessPoolExecutor(
        min(workers, len(jobs)), spawn, initializer=_prepare_worker, initargs=(shares, list(sys.path))
    )
    try:
        futures: list[Future[BagReport | BagError]] = [
            pool.submit(_import_in_worker, job, number) for number, job in enumerate(jobs)
        ]
        running = set(futures)
        while running:
            done, running = wait(running, timeout=POLL_S, return_when=FIRST_COMPLETED)
            for future in done:
                future.result()  # raises what ended the worker
            report(sum(shares[number] * size for number, size in enumerate(sizes)))
        return [future.result() for future in futures]
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _import_one(path: Path, settings: ImportSettings, part: Path, report: Report) -> BagReport | BagError:
    try:
        return import_bag(path, settings, part, report)
    except BagError as error:
        if not settings.keep_going:
            raise
        return error


def _tell_bytes(report: Report, before: int, size: int, share: float) -> None:
    report(before + share * size)


_shares: Any = None
"""In a worker: the array in which it tells how far it is."""


def _prepare_worker(shares: Any, search_path: list[str]) -> None:
    """Leave Ctrl-C to the parent, and find reward functions where the parent finds them."""
    global _shares
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _shares = shares
    sys.path[:] = search_path


def _import_in_worker(job: Callable[[Report], BagReport | BagError], number: int) -> BagReport | BagError:
    def tell(share: float) -> None:
        _shares[number] = share

    outcome = job(tell)
    tell(1.0)
    return outcome


def _assemble(
    folder: Path, parts: Path, bags: dict[int, BagReport], description: dict[str, Any], sample: EpisodeSample
) -> dict[str, Any]:
    """Write all episodes into one dataset."""
    total = sum(bag.transitions for bag in bags.values())
    stride = -(-total // SAMPLE_TRANSITIONS)
    with MinariWriter(folder) as writer:
        for number, bag in enumerate(bags):
            with h5py.File(parts / f"{bag}.hdf5") as file:
                for name in range(bags[bag].episodes):
                    arrays = _read_episode(file[str(name)], number)
                    if writer.episodes % stride == 0:
                        sample.observations.append(arrays["observations"])
                        sample.actions.append(arrays["actions"])
                        sample.rewards.append(arrays["rewards"])
                    writer.add(arrays)
        return writer.finish(description)


def _read_episode(group: h5py.Group, bag: int) -> dict[str, NDArray[Any]]:
    arrays: dict[str, NDArray[Any]] = {name: group[name][()] for name in ARRAYS}
    times = group["infos/time_ns"][()]
    return {**arrays, "infos/time_ns": times, "infos/bag": np.full(len(times), bag, np.int64)}


def _describe(
    dataset_id: str,
    settings: ImportSettings,
    contract_text: str,
    bags: Sequence[BagReport],
    left_out: Sequence[tuple[Path, str]],
) -> dict[str, Any]:
    """Return the dataset's card: where every transition comes from, and what is not in it."""
    dropped: dict[str, int] = {}
    for bag in bags:
        for cause, count in bag.tally.counts.items():
            dropped[cause] = dropped.get(cause, 0) + count
    dropped.pop("kept", None)
    return {
        "dataset_id": dataset_id,
        "description": f"Imported from {len(bags)} bags of ROS 2 messages, contract '{settings.contract.name}'.",
        "author": ["divo-train import"],
        "algorithm_name": "recorded behaviour",
        "requirements": [],
        "env_spec": None,
        **describe_spaces(settings.contract),
        "recipe": {"source": "bags", **settings.described()},
        "bags": [
            {
                "name": bag.path.name,
                "sha256": bag.sha256,
                "bytes": bag.size_bytes,
                "grid": bag.grid,
                "begin_ns": bag.span_ns[0],
                "end_ns": bag.span_ns[1],
                "episodes": bag.episodes,
                "transitions": bag.transitions,
                "notes": list(bag.notes),
            }
            for bag in bags
        ],
        "left_out": [{"name": path.name, "why": why} for path, why in left_out],
        "dropped": dropped,
        "contract": contract_text,
    }
