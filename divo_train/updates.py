"""One update of all seeds: eagerly, or on a GPU as a CUDA graph.

Networks this small keep a GPU busy for microseconds per operator and the CPU for longer: launching them one by one is
most of an update's time. A captured graph launches all of them at once. Not run on a GPU yet; docs/gpu.md says so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from divo_train.learner import Batch, Metrics
from divo_train.replicas import Replicas

Update = Callable[[int], Metrics]
"""Step number -> (R,) metrics; the weights have moved."""

WARM_UP = 3
"""Eager updates of each kind before capture, as torch asks for: libraries allocate their workspaces then."""


def eager_update(replicas: Replicas, optimizer: torch.optim.Optimizer) -> Update:
    """Return an update that runs operator by operator."""

    def update(step: int) -> Metrics:
        loss, metrics = replicas.loss(replicas.draw(step), step)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        replicas.follow()
        return metrics

    return update


class GraphedUpdate:
    """An update that is captured once per kind of step and replayed with new data.

    Args:
        replicas: On a CUDA device.
        optimizer: Made with `capturable=True` and a tensor as learning rate, which may change between updates.

    Source: https://docs.pytorch.org/docs/stable/notes/cuda.html#whole-network-capture
    """

    def __init__(self, replicas: Replicas, optimizer: torch.optim.Optimizer) -> None:
        self._eager = eager_update(replicas, optimizer)
        self._replicas, self._optimizer = replicas, optimizer
        self._seen: dict[int, int] = {}
        self._graphs: dict[int, tuple[torch.cuda.CUDAGraph, Batch, Metrics]] = {}
        self._pool: Any = None  # torch's handle of the graphs' common memory

    def __call__(self, step: int) -> Metrics:
        """Run one update; the metrics are overwritten by the next of the same kind."""
        kind = step % self._replicas.period
        if kind not in self._graphs:
            self._seen[kind] = self._seen.get(kind, 0) + 1
            if self._seen[kind] <= WARM_UP:
                return self._on_side_stream(step)
            self._graphs[kind] = self._capture(step)
        graph, batch, metrics = self._graphs[kind]
        for name, tensor in self._replicas.draw(step).items():
            batch[name].copy_(tensor, non_blocking=True)
        graph.replay()
        return metrics

    def _on_side_stream(self, step: int) -> Metrics:
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            metrics = self._eager(step)
        torch.cuda.current_stream().wait_stream(stream)
        return metrics

    def _capture(self, step: int) -> tuple[torch.cuda.CUDAGraph, Batch, Metrics]:
        """Record the kernels of one update; nothing is computed before the first replay."""
        batch = {name: tensor.clone() for name, tensor in self._replicas.draw(step).items()}
        graph = torch.cuda.CUDAGraph()
        self._optimizer.zero_grad(set_to_none=True)  # gradients must come from the graph's own memory
        with torch.cuda.graph(graph, pool=self._pool):
            loss, metrics = self._replicas.loss(batch, step)
            loss.backward()
            self._optimizer.step()
            self._replicas.follow()
        self._pool = graph.pool()
        self._optimizer.zero_grad(set_to_none=True)
        return graph, batch, metrics


def make_update(replicas: Replicas, learning_rate: float, device: str) -> tuple[Update, torch.optim.Optimizer]:
    """Return the update for a device, and its optimiser."""
    if device == "cpu":
        optimizer = torch.optim.Adam(replicas.trainable, lr=learning_rate, fused=True)
        return eager_update(replicas, optimizer), optimizer
    rate: Tensor = torch.tensor(learning_rate, device=device)
    optimizer = torch.optim.Adam(replicas.trainable, lr=rate, capturable=True)
    return GraphedUpdate(replicas, optimizer), optimizer
