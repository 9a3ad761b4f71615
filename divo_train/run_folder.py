"""What a run folder says about the run: its settings, its contract and the data it was made from.

config.json  contract.yaml  dataset.json      what the run is
checkpoints/  metrics/  tensorboard/          how it went, a file per stage
policy.safetensors  curves.png  evaluation/   what came of it
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import msgspec
import yaml

from divo_runtime.errors import DatasetError
from divo_train.checkpoint import CheckpointError
from divo_train.config import FitConfig
from divo_train.data.dataset import Dataset

HOW_IT_RUNS = (
    "dataset", "out", "methods", "device", "workers", "threads", "checkpoint_every", "log_every", "snapshots"
)  # fmt: skip
"""Settings that do not change what a stage learns; of the dataset its content counts, not its place."""


def begin_run(folder: Path, config: FitConfig, dataset: Dataset) -> None:
    """Write down what the run is made from, and refuse to go on with other data or other settings.

    Raises:
        DatasetError: If the folder holds a run on another dataset.
        CheckpointError: If the folder holds checkpoints that were trained with other settings.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "dataset.json").exists():
        (folder / "dataset.json").write_text(json.dumps(_identity(dataset), indent=1) + "\n")
    require_same_data(folder, dataset)
    if any(folder.glob("checkpoints/*.safetensors")):
        _require_same_settings(folder, config)
    (folder / "config.json").write_text(json.dumps(dataclasses.asdict(config), indent=1) + "\n")
    (folder / "contract.yaml").write_text(_contract_text(dataset))


def require_same_data(folder: Path, dataset: Dataset) -> None:
    """Refuse a dataset that is not the one the run began with.

    Raises:
        DatasetError: Naming both.
    """
    begun, now = json.loads((folder / "dataset.json").read_text()), _identity(dataset)
    if begun["digest"] != now["digest"]:  # a dataset that was moved is the same
        raise DatasetError(
            "The run was begun with another dataset.",
            where=str(folder),
            got=f"{now}",
            expected=f"{begun}",
            fix="Choose another --out, or delete the run folder to train again.",
        )


def _require_same_settings(folder: Path, config: FitConfig) -> None:
    """Refuse to mix two settings in one run: what is finished would stay as it is, under a note that says otherwise."""
    now, begun = _settings(dataclasses.asdict(config)), json.loads((folder / "config.json").read_text())
    before = {
        **_settings(dataclasses.asdict(FitConfig())),
        **_settings(begun),
    }  # a setting that is newer had its default
    other = [name for name, value in now.items() if before[name] != value]
    if other:
        raise CheckpointError(
            "The run was begun with other settings.",
            where=str(folder),
            got=", ".join(f"{name} {now[name]}" for name in other),
            expected=", ".join(f"{name} {before[name]}" for name in other),
            fix="Use the settings of the first run, choose another --out, or delete the folder to train again.",
        )


def _settings(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return dotted name -> value of every setting that decides what is learned."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, dict):
            flat |= _settings(value, f"{prefix}{key}.")
        elif prefix or key not in HOW_IT_RUNS:
            flat[prefix + key] = list(value) if isinstance(value, tuple) else value
    return flat


def run_metadata(config: FitConfig, dataset: Dataset) -> dict[str, Any]:
    """Return what the final weights carry with them."""
    return {
        "contract": _contract_text(dataset),
        "config": dataclasses.asdict(config),
        "dataset": dataset.name,
        "dataset_digest": dataset.digest,
    }


def _identity(dataset: Dataset) -> dict[str, Any]:
    return {"name": dataset.name, "digest": dataset.digest, "transitions": len(dataset)}


def _contract_text(dataset: Dataset) -> str:
    return yaml.safe_dump(msgspec.to_builtins(dataset.contract), sort_keys=False)
