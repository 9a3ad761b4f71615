"""Weights and optimiser state in safetensors, written whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from divo_runtime.errors import DivoError

OPTIMIZER = "optimizer."


class CheckpointError(DivoError):
    """A checkpoint or weight file is damaged or belongs to something else."""


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
    """Write tensors and metadata, replacing the file in one step so that a kill leaves the old or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".writing")
    text = {key: json.dumps(value) for key, value in metadata.items()}
    save_file({key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()}, temporary, metadata=text)
    os.replace(temporary, path)


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read tensors and metadata.

    Raises:
        CheckpointError: If the file is missing or damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = {key: json.loads(value) for key, value in (file.metadata() or {}).items()}
        return load_file(path), metadata
    except (OSError, ValueError, SafetensorError) as error:
        raise CheckpointError(
            "Cannot read the weights.",
            where=str(path),
            got=str(error),
            fix="Delete the file; the stage will run again.",
        ) from error


def training_state(networks: Mapping[str, Tensor], optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return networks and optimiser as flat tensors."""
    state = dict(networks)
    for number, values in optimizer.state_dict()["state"].items():
        state |= {f"{OPTIMIZER}{number}.{key}": torch.as_tensor(value) for key, value in values.items()}
    return state


@torch.no_grad()
def restore_training_state(
    tensors: Mapping[str, Tensor], networks: Mapping[str, Tensor], optimizer: torch.optim.Optimizer
) -> None:
    """Put back, in place, what `training_state` returned.

    Raises:
        CheckpointError: If the tensors belong to other networks.
    """
    saved = network_tensors(tensors)
    if {name: tensor.shape for name, tensor in saved.items()} != {n: tensor.shape for n, tensor in networks.items()}:
        different = sorted(
            name for name in {*saved, *networks}
            if name not in saved or name not in networks or saved[name].shape != networks[name].shape
        )  # fmt: skip
        raise CheckpointError(
            "The checkpoint was made with other network settings.",
            got=f"other shapes of {', '.join(different[:3])}",
            fix="Use the settings of the first run, or another --out.",
        )
    for name, tensor in networks.items():
        tensor.copy_(saved[name])
    whole = optimizer.state_dict()
    for key, tensor in tensors.items():
        if key.startswith(OPTIMIZER):
            number, name = key.removeprefix(OPTIMIZER).split(".", 1)
            whole["state"].setdefault(int(number), {})[name] = tensor
    optimizer.load_state_dict(whole)


def network_tensors(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors without the optimiser's."""
    return {key: tensor for key, tensor in tensors.items() if not key.startswith(OPTIMIZER)}
