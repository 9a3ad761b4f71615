"""A stage: one learner of a run, and what it needs of others. Stages speak to each other only through checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from divo_train.config import FitConfig
from divo_train.data.training_set import TrainingSet
from divo_train.learner import Learner

Upstream = Mapping[str, Mapping[str, Tensor]]
"""Stage -> its networks' tensors, of one seed."""


@dataclass(frozen=True)
class Stage:
    """One learner of a run; methods that need the same one share it."""

    name: str
    headline: str
    """The one metric that its progress bar shows."""
    updates: Callable[[FitConfig], int]
    build: Callable[[TrainingSet, FitConfig, Upstream], Learner]
    """Makes the learner of one seed, which is `config.seed`."""
    needs: tuple[Stage, ...] = ()
    learning_rate: Callable[[FitConfig], float] = lambda config: config.optimizer.learning_rate


def in_order(stages: tuple[Stage, ...]) -> tuple[Stage, ...]:
    """Return stages and what they need, each once, needed ones first."""
    found: dict[str, Stage] = {}
    for stage in stages:
        found |= {one.name: one for one in in_order(stage.needs)}
        found[stage.name] = stage
    return tuple(found.values())
