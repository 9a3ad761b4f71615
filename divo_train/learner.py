"""What learns: networks, the random numbers of a step, and a loss. Written for one seed; `replicas` runs several."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from torch import Tensor, nn

Batch = dict[str, Tensor]
Metrics = dict[str, Tensor]
Networks = Any
"""A learner's networks by name: an nn.ModuleDict, of whose entries a type checker knows only that they are modules."""
Averages = Mapping[str, tuple[str, float]]
"""Network that follows -> (network that is followed, rate per update)."""


class Learner(Protocol):
    """Something that learns by gradient steps.

    `loss` must be a function of the networks' weights and of its arguments alone: several seeds are evaluated in one
    pass (torch.func.vmap), with the weights of each put into the same networks. Whatever else differs between seeds,
    such as labels, must come with the batch.
    """

    networks: nn.ModuleDict
    averages: Averages
    period: int
    """After how many steps the same networks are updated again; 1 unless some wait for their turn."""

    def draw(self, step: int) -> Batch:
        """Return what step number `step` (from 1) needs: logged data and random numbers, (B, ...) each."""

    def loss(self, batch: Batch, step: int) -> tuple[Tensor, Metrics]:
        """Return the loss of a batch and its metrics, scalars each.

        A network that the loss of this step does not touch is left as it is, its optimiser state too.
        """
