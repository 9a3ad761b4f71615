"""The stages of a run and what each needs; they speak to each other only through checkpoints.

    value ----> labels --+--> diffusion --+
                         +----------------+--> actor
    selector -----------------------------+
    cloning

The critic that labels (value) and the critic that selects (selector) are trained apart, so that the selection does not
repeat the errors of the labels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from divo_train.advantage import advantage_threshold, binary_weights, multi_step_advantage
from divo_train.cloning import CloningLearner
from divo_train.config import FitConfig, Method
from divo_train.data.minari import load_minari
from divo_train.data.nstep import multi_step_backups
from divo_train.data.training_set import TrainingSet, training_set
from divo_train.diffusion import DiffusionLearner, load_denoiser
from divo_train.improvement import ActorLearner
from divo_train.randomness import stream
from divo_train.run_folder import require_same_data
from divo_train.training import Learner, Report, finished_tensors, train
from divo_train.value_learning import ValueLearner, load_critic, reward_scale

Upstream = Mapping[str, Mapping[str, Tensor]]


@dataclass(frozen=True)
class Stage:
    """One learner of a run."""

    name: str
    methods: tuple[Method, ...]
    needs: tuple[str, ...]
    updates: Callable[[FitConfig], int]
    build: Callable[[TrainingSet, FitConfig, Upstream], Learner]
    learning_rate: Callable[[FitConfig], float] = lambda c: c.optimizer.learning_rate


def _build_diffusion(data: TrainingSet, config: FitConfig, upstream: Upstream) -> Learner:
    return DiffusionLearner(data, config, "diffusion", label_weights(data, config, upstream["value"]))


def _build_actor(data: TrainingSet, config: FitConfig, upstream: Upstream) -> Learner:
    weights = label_weights(data, config, upstream["value"])
    denoiser = load_denoiser(upstream["diffusion"], data, config)
    return ActorLearner(data, config, "actor", weights, denoiser, *load_critic(upstream["selector"], data, config))


def label_advantages(data: TrainingSet, config: FitConfig, critic: Mapping[str, Tensor]) -> Tensor:
    """Return (transitions,) m-step advantages under the labelling critic."""
    value = load_critic(critic, data, config)[1]
    steps = max(1, round(config.labels.horizon_s * data.contract.rate_hz))
    backups = multi_step_backups(data.dataset, steps, config.value.discount)
    return multi_step_advantage(data, value, backups, reward_scale(data, config.value.discount))


def label_weights(data: TrainingSet, config: FitConfig, critic: Mapping[str, Tensor]) -> Tensor:
    """Return (transitions,) binary weights under the labelling critic."""
    advantage = label_advantages(data, config, critic)
    threshold = advantage_threshold(advantage, config.labels.positive_fraction)
    return binary_weights(advantage, threshold, config.labels.low_weight)


STAGES = (
    Stage(
        "value",
        ("divo",),
        (),
        lambda c: c.value.updates,
        lambda d, c, _: ValueLearner(d, c, "value"),
        lambda c: c.value.learning_rate,
    ),
    Stage(
        "selector",
        ("divo",),
        (),
        lambda c: c.value.updates,
        lambda d, c, _: ValueLearner(d, c, "selector"),
        lambda c: c.value.learning_rate,
    ),
    Stage("diffusion", ("divo",), ("value",), lambda c: c.diffusion.updates, _build_diffusion),
    Stage("cloning", ("bc",), (), lambda c: c.cloning_updates, lambda d, c, _: CloningLearner(d, c, "cloning")),
    Stage("actor", ("divo",), ("value", "diffusion", "selector"), lambda c: c.actor.updates, _build_actor),
)
"""In the order in which they are started when several could run."""


def stages_of(config: FitConfig) -> tuple[Stage, ...]:
    """Return the stages that the configured methods need."""
    return tuple(stage for stage in STAGES if set(stage.methods) & set(config.methods))


def run_stage(name: str, config: FitConfig, report: Report) -> None:
    """Run one stage in this process, from its newest checkpoint to its end."""
    stage = next(stage for stage in STAGES if stage.name == name)
    if finished_tensors(Path(config.out), name, stage.updates(config)) is not None:
        return
    torch.set_num_threads(config.threads)
    torch.use_deterministic_algorithms(config.device == "cpu")
    torch.manual_seed(stream(config.seed, name).initial_seed())  # initial weights
    dataset = load_minari(Path(config.dataset))
    require_same_data(Path(config.out), dataset)
    data = training_set(dataset, config.device)
    updates = {other.name: other.updates(config) for other in STAGES}
    upstream = {need: finished_tensors(Path(config.out), need, updates[need]) or {} for need in stage.needs}
    config = replace(config, optimizer=replace(config.optimizer, learning_rate=stage.learning_rate(config)))
    train(stage.build(data, config, upstream), stage.updates(config), config, name, report)
