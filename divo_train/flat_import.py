"""`divo-train import` of data without topics: D4RL HDF5, npz, and Minari datasets of others."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import yaml
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from divo_runtime.contract import Contract
from divo_runtime.errors import DatasetError
from divo_train.d4rl.tasks import D4rlTask, find_task, task_of_file
from divo_train.data.bags.labels import label, load_function
from divo_train.data.d4rl import read_d4rl
from divo_train.data.flat import Arrays, Tally, split_episodes, unmarked_boundaries
from divo_train.data.flat_config import FlatConfig
from divo_train.data.foreign_minari import read_episodes, read_facts
from divo_train.data.gym_contract import action_range, gym_contract
from divo_train.data.minari_writer import MinariWriter, describe_spaces, make_namespaces
from divo_train.data.npz import read_npz
from divo_train.data.trajectories import split_trajectories

HDF5 = (".hdf5", ".h5")
AFTER_THE_END = "step after the end of the task, by the reward function"

Range = tuple[NDArray[Any], NDArray[Any]]


def flat_sources(sources: tuple[Path, ...]) -> list[Path]:
    """Return the files and folders among the sources that hold data without topics; all of them, or none.

    A folder with D4RL's files, under D4RL's names, stands for those files.

    Raises:
        DatasetError: If they are mixed with recordings.
    """
    found: list[Path] = []
    others: list[Path] = []
    for source in sources:
        named = [file for file in sorted(source.glob("*.hdf5")) if task_of_file(file)] if source.is_dir() else []
        if source.suffix in (*HDF5, ".npz") or (source / "data" / "main_data.hdf5").exists():
            found.append(source)
        elif named:
            found += named
        else:
            others.append(source)
    if found and others:
        raise DatasetError(
            "Recordings and flat data cannot become one dataset.",
            got=", ".join(str(path) for path in sources),
            fix="Import them one by one.",
        )
    return found


def run_flat_import(sources: list[Path], out: Path, reward: str, config: FlatConfig, console: Console) -> None:
    """Import each source and print what came of it. Several sources go to folders of D4RL's names inside `out`.

    Raises:
        DatasetError: If a file cannot be used, its dataset is there already, or nothing was kept.
    """
    if len(sources) > 1 and (config.d4rl or not all(task_of_file(path) for path in sources)):
        raise DatasetError(
            "Only D4RL's own files can be imported together.", got=", ".join(path.name for path in sources),
            expected="D4RL's file names, and no --d4rl", fix="Import the others one by one.",
        )  # fmt: skip
    for source in sources:
        task = find_task(config.d4rl) if config.d4rl else task_of_file(source)
        folder = out / task.name if len(sources) > 1 and task else out
        if folder.exists() and len(sources) > 1:
            console.print(f"{folder} is there already", highlight=False, soft_wrap=True)
            continue
        metadata = import_flat(source, folder, task, reward, config)
        _print(metadata, folder, console)


def import_flat(source: Path, folder: Path, task: D4rlTask | None, reward: str, config: FlatConfig) -> dict[str, Any]:
    """Write one source as a dataset and return its description.

    Args:
        source: An HDF5 or npz file, or a Minari folder.
        folder: The new dataset's.
        task: D4RL's task, if it is one.
        reward: `module:function` over the term `observation`; `none` for zeros; empty for the file's own.
        config: Settings.

    Raises:
        DatasetError: As `run_flat_import`.
    """
    if folder.exists():
        raise DatasetError("There is something at the new dataset's place.", where=str(folder), fix="Choose another.")
    tally = Tally()
    shift = config.reward_shift if config.reward_shift is not None else (task.family.reward_shift if task else 0.0)
    opened, bounds, environment = _open(source, task, reward, config, tally)
    begun = next(opened, None)
    if begun is None:
        dropped = "; ".join(f"{reason}: {count:,}" for reason, count in tally.dropped.items())
        raise DatasetError("Not one transition could be imported.", where=str(source), got=dropped or "no episode")
    dataset_id = make_namespaces(folder)
    try:
        with MinariWriter(folder) as writer:
            lowest, highest = np.full((2, begun["actions"].shape[1]), np.inf) * [[1], [-1]]
            for arrays in chain([begun], opened):
                lowest = np.minimum(lowest, arrays["actions"].min(axis=0))
                highest = np.maximum(highest, arrays["actions"].max(axis=0))
                own = _relabelled(arrays, reward, tally)
                rewards = ((own["rewards"] + shift) * config.reward_scale).astype(np.float32)
                writer.add({**own, "rewards": rewards})
            contract = _contract(folder, task, environment, config, begun, bounds or (lowest, highest))
            return writer.finish(
                {
                    "dataset_id": dataset_id,
                    "description": f"Imported from {source.name}.",
                    "author": ["divo-train import"],
                    "algorithm_name": "unknown",
                    "requirements": [],
                    "env_spec": None,
                    **describe_spaces(contract),
                    "recipe": {
                        "source": source.name,
                        "sha256": _sha256(source),
                        "d4rl": task.name if task else "",
                        "layout": config.layout,
                        "keep_last": config.keep_last,
                        "reward": reward,
                        "reward_shift": shift,
                        "reward_scale": config.reward_scale,
                        "observation_keys": list(config.observation_keys),
                    },
                    "dropped": {reason: count for reason, count in tally.dropped.items() if count},
                    "notes": tally.notes,
                    "contract": yaml.safe_dump(msgspec.to_builtins(contract), sort_keys=False),
                }
            )
    except BaseException:
        shutil.rmtree(folder)  # half a dataset would be taken for a whole one
        raise


def _open(
    source: Path, task: D4rlTask | None, reward: str, config: FlatConfig, tally: Tally
) -> tuple[Iterator[Arrays], Range | None, str]:
    """Return the episodes of a source, its action range where it tells one, and its environment."""
    if source.is_dir():
        facts = read_facts(source)
        return read_episodes(source, config.observation_keys, tally), facts.bounds, facts.environment
    rows, has_rewards = read_npz(source) if source.suffix == ".npz" else (read_d4rl(source), True)
    limit = config.max_episode_steps or (task.family.max_episode_steps if task else 1000)
    layout = config.layout if config.layout != "auto" else "d4rl" if has_rewards else "ogbench"
    if not has_rewards and not reward:
        raise DatasetError(
            "Nothing says where the reward comes from.", where=str(source), got="no rewards in the file, no --reward",
            fix="Give --reward module:function over the term 'observation', or --reward none. See docs/d4rl.md.",
        )  # fmt: skip
    bounds = action_range(rows.actions)
    if layout == "d4rl":
        if rows.timeouts is None:
            tally.notes.append(f"the file does not mark time limits: they are counted, {limit} steps each")
        if count := unmarked_boundaries(rows, limit):
            tally.notes.append(f"{count:,} rows are not followed by their next_observations, and nothing marks an end")
        return split_episodes(rows, limit, config.keep_last, tally), bounds, ""
    return split_trajectories(rows, layout, limit, tally), bounds, ""


def _relabelled(arrays: Arrays, reward: str, tally: Tally) -> Arrays:
    """Return an episode with the rewards and the end that a reward function gives it."""
    if not reward:
        return arrays
    if reward == "none":
        return {**arrays, "rewards": np.zeros_like(arrays["rewards"])}
    observations, actions = arrays["observations"], arrays["actions"]
    contract = gym_contract("labels", observations.shape[1], *action_range(actions), 1.0)
    rewards, terminated = label(load_function(reward), reward, contract, observations, actions)
    count = int(terminated.argmax()) + 1 if terminated.any() else len(actions)
    tally.dropped[AFTER_THE_END] += len(actions) - count
    truncated = np.zeros(count, bool)
    truncated[-1] = not terminated[count - 1]
    return {
        "observations": observations[: count + 1],
        "actions": actions[:count],
        "rewards": rewards[:count],
        "terminations": terminated[:count],
        "truncations": truncated,
    }


def _contract(
    folder: Path, task: D4rlTask | None, environment: str, config: FlatConfig, first: Arrays, bounds: Range
) -> Contract:
    rate_hz = config.rate_hz or (task.family.rate_hz if task else 1.0)
    known = config.environment or (task.gymnasium_id if task else environment)
    return gym_contract(folder.name, first["observations"].shape[1], *bounds, rate_hz, known)


def _sha256(source: Path) -> str:
    digest = hashlib.sha256()
    with (source / "data" / "main_data.hdf5" if source.is_dir() else source).open("rb") as file:
        while part := file.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()


def _print(metadata: dict[str, Any], folder: Path, console: Console) -> None:
    table = Table(title=f"{metadata['total_steps']:,} transitions, {metadata['total_episodes']:,} episodes kept")
    table.add_column("dropped rows")
    table.add_column("count", justify="right")
    if not metadata["dropped"]:
        table.add_row("none", "0")
    for reason, count in metadata["dropped"].items():
        table.add_row(reason, f"{count:,}")
    console.print(table)
    for note in metadata["notes"]:
        console.print(f"[yellow]note[/] {note}", highlight=False, soft_wrap=True)
    console.print(f"Dataset {folder}", soft_wrap=True, highlight=False)
