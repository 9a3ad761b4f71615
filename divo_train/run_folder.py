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


def begin_run(folder: Path, config: FitConfig, dataset: Dataset) -> None:
    """Write down what the run is made from, and refuse to go on with other data or other network shapes.

    Raises:
        DatasetError: If the folder holds a run on another dataset.
        CheckpointError: If the folder holds checkpoints of other shapes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "dataset.json").exists():
        (folder / "dataset.json").write_text(json.dumps(_identity(dataset), indent=1) + "\n")
    require_same_data(folder, dataset)
    if any(folder.glob("checkpoints/*.safetensors")):
        _require_same_shapes(folder, config)
    (folder / "config.json").write_text(json.dumps(dataclasses.asdict(config), indent=1) + "\n")
    (folder / "contract.yaml").write_text(_contract_text(dataset))


def require_same_data(folder: Path, dataset: Dataset) -> None:
    """Refuse a dataset that is not the one the run began with.

    Raises:
        DatasetError: Naming both.
    """
    begun, now = json.loads((folder / "dataset.json").read_text()), _identity(dataset)
    if begun != now:
        raise DatasetError(
            "The run was begun with another dataset.",
            where=str(folder),
            got=f"{now}",
            expected=f"{begun}",
            fix="Choose another --out, or delete the run folder to train again.",
        )


def _require_same_shapes(folder: Path, config: FitConfig) -> None:
    begun = _shapes(json.loads((folder / "config.json").read_text()))
    now = _shapes(dataclasses.asdict(config))
    if begun != now:
        raise CheckpointError(
            "The run was begun with other network shapes.",
            where=str(folder),
            got=f"{now}",
            expected=f"{begun}",
            fix="Use the settings of the first run, or another --out.",
        )


def _shapes(config: dict[str, Any]) -> dict[str, Any]:
    return {**config["network"], "members": config["value"]["members"], "actor width": config["actor"].get("width")}


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
