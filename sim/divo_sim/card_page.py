"""A dataset's card for people: `card.md` beside the data, from its metadata and nothing else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def write_card(folder: Path) -> Path:
    """Write `card.md` into a dataset's folder, from its `data/metadata.json`; return its path."""
    metadata = json.loads((folder / "data" / "metadata.json").read_text(encoding="utf-8"))
    path = folder / "card.md"
    path.write_text(render_card(metadata), encoding="utf-8")
    return path


def render_card(metadata: Mapping[str, Any]) -> str:
    """Return the card as Markdown."""
    recipe = metadata["recipe"]
    environment = json.loads(metadata["env_spec"])["id"]
    parts = [
        f"# {metadata['dataset_id']}",
        f"{metadata['description']} {metadata['total_steps']:,} transitions in {metadata['total_episodes']:,} "
        f"episodes, recorded in simulation (PyBullet) for `{environment}`, in Minari's layout.",
        "## What is in it",
        _behaviours(metadata),
        "Shares are of transitions; episodes are kept whole, so they differ a little from the mixture's. "
        "`infos/behaviour` says for each transition which behaviour made it, by its place in `behaviours` of "
        "`metadata.json`. It is there for analysis and must not be given to a learner.",
        "## How it was made",
        f"Mixture `{recipe['mixture']}` of task `{recipe['task']}`, seed {recipe['seed']}: "
        f"{metadata['algorithm_name']}. "
        "The same command, code and package versions give the same bytes, with any number of processes.",
        f"```sh\n{_command(recipe)}\n```",
        "## Normalisation",
        _normalization(metadata["normalization"]),
        "## Identity",
        f"* Content (all arrays, names, shapes): sha256 `{metadata['content_sha256']}`\n"
        f"* Code and contract that made it: sha256 `{recipe['code_sha256']}`",
        "Observation, action and their units are described by the contract, whose text is in `metadata.json`.",
    ]
    return "\n\n".join(parts) + "\n"


def _behaviours(metadata: Mapping[str, Any]) -> str:
    lines = [
        "| behaviour | transitions | share | episodes | arrived | without contact | mean return | mean steps |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {name} | {row['transitions']:,} | {row['share']:.1%} | {row['episodes']:,} | {row['success']:.1%} "
        f"| {row['collision_free']:.1%} | {row['mean_return']:.3f} | {row['mean_steps']:.1f} |"
        for name, row in metadata["statistics"].items()
    ]
    return "\n".join(lines)


def _normalization(scores: Mapping[str, Any] | None) -> str:
    if scores is None:
        return "Not measured for this environment."
    lines = [
        f"Score = 100 (return - random) / (expert - random), with the means of {scores['episodes']} episodes each:",
        "",
        "| level | behaviours | return | arrived | without contact | steps |",
        "|---|---|---|---|---|---|",
    ]
    for level in ("random", "expert"):
        row = scores[level]
        steps = "-" if row["steps"] is None else f"{row['steps']:.1f}"
        lines.append(
            f"| {level} | {', '.join(row['behaviours'])} | {row['return_']:.4f} | {row['success']:.1%} "
            f"| {row['collision_free']:.1%} | {steps} |"
        )
    return "\n".join(lines)


def _command(recipe: Mapping[str, Any]) -> str:
    task, _, variant = recipe["task"].partition("/")
    where = f"--task {task.removesuffix('_biased')}"
    if variant:
        maze, _, goals = variant.partition("-")
        where += f" --map {maze} --data {goals}"
    return (
        f"divo-sim collect {where} --mixture {recipe['mixture']} --transitions {recipe['transitions']} "
        f"--seed {recipe['seed']}"
    )
