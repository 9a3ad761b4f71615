"""Networks as they were while they trained, for learning curves."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from torch import Tensor

from divo_train.checkpoint import load_tensors
from divo_train.config import FitConfig
from divo_train.fit import AIDS, seed_folder
from divo_train.methods import stages_of
from divo_train.replicas import replica_of
from divo_train.stage import Stage
from divo_train.trained import TrainedNetworks, load_networks
from divo_train.training import checkpoint_path, snapshot_path, snapshot_steps


def load_snapshot(config: FitConfig, seed: int, point: int) -> TrainedNetworks:
    """Return the networks of one seed when every stage had had `point / config.snapshots` of its own updates.

    A stage that stands on another was trained on that one's finished networks, whatever the point.

    Raises:
        CheckpointError: If the run kept no such snapshot.
    """
    stages: dict[str, dict[str, Tensor]] = {
        stage.name: {
            key: tensor
            for key, tensor in snapshot_tensors(config, stage, seed, point).items()
            if not key.startswith(AIDS)
        }
        for stage in stages_of(config.methods)
    }
    return dataclasses.replace(load_networks(seed_folder(config, seed)), stages=stages)


def snapshot_tensors(config: FitConfig, stage: Stage, seed: int, point: int) -> dict[str, Tensor]:
    """Return one seed's tensors of a stage at a point, 1 to `config.snapshots`; of one without updates, its only ones.

    Raises:
        CheckpointError: If the run kept no such snapshot.
    """
    folder, steps = Path(config.out), snapshot_steps(stage.updates(config), config.snapshots)
    path = snapshot_path(folder, stage.name, steps[point - 1]) if steps else checkpoint_path(folder, stage.name)
    tensors, _ = load_tensors(path)
    return replica_of(tensors, seed, config.replicas)
