"""Run one stage of a run, for one seed or for several side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from divo_train.config import FitConfig
from divo_train.data.minari import load_minari
from divo_train.data.training_set import training_set
from divo_train.randomness import stream
from divo_train.replicas import Replicas, replica_of
from divo_train.run_folder import require_same_data
from divo_train.stage import Stage
from divo_train.training import Report, finished_tensors, train


def run_stage(stage: Stage, config: FitConfig, report: Report) -> None:
    """Run one stage in this process, from its newest checkpoint to its end; what it needs must be finished."""
    folder = Path(config.out)
    if finished_tensors(folder, stage.name, stage.updates(config)) is not None:
        return
    torch.set_num_threads(config.threads)
    torch.use_deterministic_algorithms(config.device == "cpu")
    dataset = load_minari(Path(config.dataset))
    require_same_data(folder, dataset)
    data = training_set(dataset, config.device)
    config = replace(config, optimizer=replace(config.optimizer, learning_rate=stage.learning_rate(config)))
    upstream = {need.name: finished_tensors(folder, need.name, need.updates(config)) or {} for need in stage.needs}
    learners = []
    for number in range(config.replicas):
        own = replace(config, seed=config.seed + number)
        torch.manual_seed(stream(own.seed, stage.name).initial_seed())  # initial weights
        learners.append(stage.build(data, own, seed_tensors(upstream, number, config.replicas)))
    train(Replicas(learners), stage.updates(config), config, stage.name, report)


def seed_tensors(
    stages: Mapping[str, Mapping[str, Tensor]], number: int, replicas: int
) -> dict[str, dict[str, Tensor]]:
    """Return the tensors of one seed out of those of all."""
    return {name: replica_of(tensors, number, replicas) for name, tensors in stages.items()}
