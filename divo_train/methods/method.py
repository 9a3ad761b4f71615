"""A method: the stages that train it, and the policies made of their networks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from divo_train.stage import Stage
from divo_train.trained import TrainedNetworks

Propose = Callable[[Tensor, Tensor], Tensor]
"""(1, obs_dim) normalised, (N, act_dim) standard normal -> (N, act_dim) in [-1, 1]."""
Score = Callable[[Tensor, Tensor], Tensor]
"""(1, obs_dim) normalised, (N, act_dim) in [-1, 1] -> (N,) value."""


@dataclass(frozen=True)
class Proposer:
    """How a trained policy acts: it proposes candidates, of which a critic may choose one."""

    propose: Propose
    candidates: int = 1
    score: Score | None = None
    """None where there is no choice."""


@dataclass(frozen=True)
class Method:
    """One way of learning from a dataset."""

    title: str
    stages: tuple[Stage, ...]
    """What trains it, without what those need."""
    policies: Mapping[str, Callable[[TrainedNetworks], Proposer]]
    """Name -> what acts; DIVO has two, the sampler and the one-step actor."""
