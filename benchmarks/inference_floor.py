"""The floor under inference: a policy's matrix products alone, at the speed that this machine's own sgemm reaches.

The products are the network's, in its order, with its own trained weights, one call of numpy (OpenBLAS) or torch (MKL)
each, whichever is faster for that shape on this machine; outputs are written into memory that is already there. From
the time of the whole chain the time of the same chain of calls on 1x8 @ 8x8 products is subtracted, because a graph
pays the way from Python to the library once and not per product. What depends on the observation alone is multiplied
once. Biases, activations, normalisation, the solver's sums and the choice are not part of it: no graph can reach the
floor. Because every weight is visited once per pass, as in a graph, the floor includes fetching it from the cache.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from divo_export.graphs import Trained
from divo_train.networks import LayerNormMlp, Trunk

Product = tuple[int, NDArray[np.float32]]
"""Rows of the left factor, and the right factor."""
Call = Callable[[], object]
TRIALS = 400


@dataclass(frozen=True)
class Floor:
    """Two chains; the floor is the time of the first less that of the second."""

    products: Call
    calls_alone: Call
    multiplications: int
    """Multiply-adds in one pass."""


def list_products(trained: Trained, kind: str, candidates: int, steps: int, critic: bool = True) -> list[Product]:
    """Return the products of one action.

    Args:
        trained: The networks.
        kind: `actor` or `sampler`.
        candidates: N of best-of-N.
        steps: Evaluations of the denoiser.
        critic: Whether the candidates are valued.
    """
    network = trained.actor if kind == "actor" else trained.denoiser
    share = _array(network.observation_in.weight.T)
    inward = _array((trained.actor.noise_in if kind == "actor" else trained.denoiser.action_in).weight.T)
    products = [(candidates, weight) for weight in (inward, *_trunk_weights(network.trunk))] * steps
    if critic:
        first, rest = _critic_weights(trained.q_networks.net, trained.networks.contract.observation_size)
        share = np.concatenate([share, first[0]], axis=1)
        products += [(candidates, first[1]), *((candidates, weight) for weight in rest)]
    return [(1, share), *products]


def floor_of(products: Iterable[Product]) -> Floor:
    """Return the chains to time; which library multiplies a shape is decided here, by trial."""
    rng = np.random.default_rng(0)
    chosen: dict[tuple[int, ...], str] = {}
    real, empty, count = [], [], 0
    for rows, weight in products:
        left = rng.standard_normal((rows, len(weight)), dtype=np.float32)
        shape = (rows, *weight.shape)
        if shape not in chosen:
            chosen[shape] = min(("numpy", "torch"), key=lambda library: _trial(left, weight, library))
        real.append(_call(left, weight, chosen[shape]))
        tiny = rng.standard_normal((8, 8), dtype=np.float32)
        empty.append(_call(tiny[:1], tiny, chosen[shape]))
        count += int(np.prod(shape))
    return Floor(_chain(real), _chain(empty), count)


def _call(left: NDArray[np.float32], right: NDArray[np.float32], library: str) -> tuple[Callable[..., object], tuple]:
    out = np.empty((len(left), right.shape[1]), np.float32)
    if library == "numpy":
        return np.dot, (left, right, out)
    tensors = tuple(torch.from_numpy(array) for array in (left, right, out))
    return lambda a, b, c: torch.mm(a, b, out=c), tensors


def _chain(calls: list[tuple[Callable[..., object], tuple]]) -> Call:
    def run() -> None:
        for function, arguments in calls:
            function(*arguments)

    return run


def _trial(left: NDArray[np.float32], right: NDArray[np.float32], library: str) -> float:
    """Return a library's time for one product [ns], without the call."""
    tiny = np.ones((8, 8), np.float32)
    times = []
    for factors in ((left, right), (tiny[:1], tiny)):
        function, arguments = _call(*factors, library)
        taken = []
        for _ in range(TRIALS):
            begun = time.perf_counter_ns()
            function(*arguments)
            taken.append(time.perf_counter_ns() - begun)
        times.append(float(np.median(taken)))
    return times[0] - times[1]


def _trunk_weights(trunk: Trunk) -> list[NDArray[np.float32]]:
    return [_array(layer.weight.T) for layer in (*trunk.layers, trunk.head)]


def _critic_weights(net: LayerNormMlp, observation: int) -> tuple[list[NDArray[np.float32]], list[NDArray[np.float32]]]:
    """Return the first layer of all members side by side, split by input, and the further layers member by member."""
    first, *rest = (_array(weight) for weight in net.weights)
    beside = [np.concatenate(list(part), axis=1) for part in (first[:, :observation], first[:, observation:])]
    return beside, [layer[member].copy() for member in range(net.members) for layer in rest]


def _array(tensor: torch.Tensor) -> NDArray[np.float32]:
    return np.ascontiguousarray(tensor.detach().numpy())
