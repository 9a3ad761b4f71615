"""Several seeds trained side by side: one pass over weights stacked along a leading axis.

Small networks leave most of a machine idle; five of them in one pass use it. A single seed takes the plain path without
the axis, so that its weights are bit for bit what they would be without this file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from divo_train.learner import Batch, Learner, Metrics

NETWORKS = "networks."


class Replicas:
    """Learners that differ in their seed alone.

    Args:
        learners: One per seed, of the same shapes.

    Attributes:
        tensors: Name -> weights and buffers, (R, ...) for R > 1 learners; the optimiser changes them in place.
    """

    def __init__(self, learners: Sequence[Learner]) -> None:
        self._learners = learners
        self._first = learners[0]
        self._losses = _Losses(self._first)
        states = [learner.networks.state_dict(keep_vars=True) for learner in learners]
        self.tensors: dict[str, Tensor] = states[0] if len(states) == 1 else {
            name: torch.stack([state[name].detach() for state in states]).requires_grad_(tensor.requires_grad)
            for name, tensor in states[0].items()
        }  # fmt: skip
        self._followers = [
            (*self._pairs(average, network), rate) for average, (network, rate) in self._first.averages.items()
        ]

    def __len__(self) -> int:
        """Return the number of seeds."""
        return len(self._learners)

    @property
    def trainable(self) -> list[Tensor]:
        """The tensors that an optimiser should change."""
        return [tensor for tensor in self.tensors.values() if tensor.requires_grad]

    @property
    def period(self) -> int:
        """After how many steps the same networks are updated again."""
        return self._first.period

    def draw(self, step: int) -> Batch:
        """Return what a step needs: (B, ...) for one seed, (R, B, ...) for several."""
        batches = [learner.draw(step) for learner in self._learners]
        if len(batches) == 1:
            return batches[0]
        return {name: torch.stack([one[name] for one in batches]) for name in batches[0]}

    def loss(self, batch: Batch, step: int) -> tuple[Tensor, Metrics]:
        """Return the sum of the seeds' losses, and (R,) metrics; a seed's gradient depends on that seed alone."""
        if len(self) == 1:
            loss, metrics = self._first.loss(batch, step)
            return loss, {name: value.detach().reshape(1) for name, value in metrics.items()}
        losses, metrics = vmap(partial(self._call, step))(self.tensors, batch)
        return losses.sum(), {name: value.detach() for name, value in metrics.items()}

    @torch.no_grad()
    def follow(self) -> None:
        """Move every running average: average <- (1 - rate) * average + rate * network."""
        for averages, networks, rate in self._followers:
            torch._foreach_lerp_(averages, networks, rate)

    def _pairs(self, average: str, network: str) -> tuple[list[Tensor], list[Tensor]]:
        """Return a running average's tensors and, in the same order, those of the network that it follows."""
        own = [name for name, one in self.tensors.items() if name.startswith(f"{average}.") and one.is_floating_point()]
        followed = [self.tensors[f"{network}.{name.removeprefix(f'{average}.')}"] for name in own]
        return [self.tensors[name] for name in own], followed

    def _call(self, step: int, tensors: Mapping[str, Tensor], batch: Batch) -> tuple[Tensor, Metrics]:
        named = {NETWORKS + name: tensor for name, tensor in tensors.items()}
        result: tuple[Tensor, Metrics] = functional_call(self._losses, named, (batch, step))
        return result


def replica_of(tensors: Mapping[str, Tensor], number: int, count: int) -> dict[str, Tensor]:
    """Return one seed's tensors out of `Replicas.tensors` of `count` seeds."""
    return {name: tensor[number] if count > 1 else tensor for name, tensor in tensors.items()}


class _Losses(nn.Module):
    """A learner as a module, because only a module's weights can be replaced for a call."""

    def __init__(self, learner: Learner) -> None:
        super().__init__()
        self.networks = learner.networks
        self._loss = learner.loss

    def forward(self, batch: Batch, step: int) -> tuple[Tensor, Metrics]:
        return self._loss(batch, step)
