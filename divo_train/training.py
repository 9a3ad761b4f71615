"""The training loop, the same for every learner."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from divo_runtime.errors import DivoError
from divo_train.checkpoint import load_tensors, network_tensors, restore_training_state, save_tensors, training_state
from divo_train.config import FitConfig, OptimizerConfig
from divo_train.metrics import MetricsLog
from divo_train.replicas import Replicas
from divo_train.updates import make_update

Report = Callable[[int, Mapping[str, float]], None]


class DivergedError(DivoError):
    """A loss is no longer finite."""


def train(replicas: Replicas, updates: int, config: FitConfig, stage: str, report: Report) -> dict[str, Tensor]:
    """Run learners to their last update and return their networks' tensors; goes on from the newest checkpoint.

    Returns:
        Name -> tensor, with a leading axis of seeds if there are several.

    Raises:
        DivergedError: If a loss becomes NaN or infinite; the last checkpoint stays.
    """
    folder = Path(config.out)
    path = checkpoint_path(folder, stage)
    update, optimizer = make_update(replicas, config.optimizer.learning_rate, config.device)
    kept = snapshot_steps(updates, config.snapshots)
    done = 0
    if path.exists():
        tensors, metadata = load_tensors(path)
        restore_training_state(tensors, replicas.tensors, optimizer)
        done = int(metadata["step"])
    elif not updates:  # a stage that takes over what another has learned
        save_tensors(path, training_state(replicas.tensors, optimizer), {"step": 0, "updates": 0})
    with MetricsLog(folder, stage, done) as log:
        for step in range(done + 1, updates + 1):
            set_rate(optimizer, learning_rate(step, updates, config.optimizer))
            metrics = update(step)
            logging = step % config.log_every == 0 or step == updates
            saving = step % config.checkpoint_every == 0 or step == updates
            if logging or saving:
                row = {name: float(value.mean()) for name, value in metrics.items()}
                if not math.isfinite(sum(row.values())):
                    raise DivergedError(
                        "Training diverged.", where=f"stage '{stage}', step {step}", got=str(row),
                        fix="Lower --optimizer.learning-rate; check the reward scale of the data.",
                    )  # fmt: skip
            if logging:
                log.write(step, row)
                report(step, row)
            if saving:
                save_tensors(path, training_state(replicas.tensors, optimizer), {"step": step, "updates": updates})
            if step in kept:
                save_tensors(snapshot_path(folder, stage, step), replicas.tensors, {"step": step, "updates": updates})
    return network_tensors(load_tensors(path)[0])


def learning_rate(step: int, updates: int, config: OptimizerConfig) -> float:
    """Cosine decay from the full rate at step 1 to the final fraction at the last step."""
    progress = (step - 1) / max(1, updates - 1)
    factor = config.final_fraction + (1 - config.final_fraction) * 0.5 * (1 + math.cos(math.pi * progress))
    return config.learning_rate * factor


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Change the step size, in place where it is a tensor that a captured update reads."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def checkpoint_path(folder: Path, stage: str) -> Path:
    """Return where a stage keeps its newest checkpoint."""
    return folder / "checkpoints" / f"{stage}.safetensors"


def snapshot_steps(updates: int, count: int) -> tuple[int, ...]:
    """Return after which updates a stage keeps a snapshot: equally spaced, up to the last update."""
    return tuple(sorted({round(updates * number / count) for number in range(1, count + 1)} - {0})) if count else ()


def snapshot_path(folder: Path, stage: str, step: int) -> Path:
    """Return where a stage keeps its networks as they were after `step` updates."""
    return folder / "snapshots" / stage / f"{step}.safetensors"


def finished_tensors(folder: Path, stage: str, updates: int) -> dict[str, Tensor] | None:
    """Return the networks of a finished stage, or None if it has work left."""
    path = checkpoint_path(folder, stage)
    if not path.exists():
        return None
    tensors, metadata = load_tensors(path)
    return network_tensors(tensors) if int(metadata["step"]) >= updates else None
