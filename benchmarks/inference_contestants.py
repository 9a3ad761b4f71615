"""What is timed by `benchmarks.inference`: the exported graph in every backend of this machine, and torch beside it."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from benchmarks.inference_floor import list_products
from divo_export.graphs import Trained
from divo_export.onnx_from_torch import onnx_from_torch
from divo_export.views import ActorView, SamplerView, SingleActorView
from divo_runtime.backends import available_kinds, open_backend
from divo_runtime.observation import FloatArray
from divo_train.policies import torch_policy

Call = Callable[[], object]


@dataclass(frozen=True)
class Case:
    """One policy to time."""

    kind: str
    """`actor` or `sampler`."""
    candidates: int
    steps: int = 1
    critic: bool = True
    """False: one candidate and no value, the bare network."""
    compiled: bool = False
    """Whether torch compiles it too, which takes half a minute."""

    @property
    def name(self) -> str:
        """Return a name such as `sampler_n4_k5`."""
        if not self.critic:
            return f"{self.kind}_alone"
        return f"{self.kind}_n{self.candidates}" + (f"_k{self.steps}" if self.kind == "sampler" else "")


def view_of(trained: Trained, case: Case) -> nn.Module:
    """Return the module that is exported."""
    networks = trained.networks
    if not case.critic:
        return SingleActorView(networks.contract, networks.normalizer, trained.actor).eval()
    if case.kind == "actor":
        return ActorView(networks.contract, networks.normalizer, trained.actor, trained.q_networks).eval()
    config = dataclasses.replace(networks.config.sampler, steps=case.steps)
    view = SamplerView(networks.contract, networks.normalizer, trained.denoiser, trained.q_networks, config)
    return view.eval()


def open_contestants(
    trained: Trained, case: Case, observation: FloatArray, folder: Path
) -> tuple[dict[str, Call], ExitStack]:
    """Return name -> one inference, and what must be closed afterwards.

    Args:
        trained: The networks.
        case: Which policy.
        observation: (obs_dim,) in contract units.
        folder: Where the graph is written.
    """
    contract = trained.networks.contract
    noise = np.random.default_rng(0).standard_normal((case.candidates, contract.action_size), dtype=np.float32)
    feeds = {"observation": observation[np.newaxis], "noise": noise}
    tensors = [torch.from_numpy(array) for array in feeds.values()]
    view, path, opened = view_of(trained, case), folder / f"{case.name}.onnx", ExitStack()
    outputs = ["action", "value"] if case.critic else ["action"]
    onnx_from_torch(view, dict(zip(feeds, tensors, strict=True)), outputs, path, {})
    calls: dict[str, Call] = {}
    for kind in available_kinds():
        backend = opened.enter_context(closing(open_backend(path, kind)))
        calls[kind] = lambda backend=backend: backend.run(feeds)  # type: ignore[misc]
    opened.enter_context(torch.inference_mode())
    calls["torch eager, folded"] = lambda: view(*tensors)
    if case.critic:
        config = dataclasses.replace(trained.networks.config.sampler, steps=case.steps)
        networks = dataclasses.replace(
            trained.networks, config=dataclasses.replace(trained.networks.config, sampler=config)
        )
        policy = torch_policy(networks, case.kind, case.candidates)  # type: ignore[arg-type]
        calls["torch eager"] = lambda: policy.act(observation, noise)
    if case.compiled:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the compiler's own deprecation notices
            compiled = torch.compile(view, fullgraph=True, dynamic=False)
            compiled(*tensors)
        calls["torch compiled"] = lambda: compiled(*tensors)
    return calls, opened


def products_of(trained: Trained, case: Case) -> list[tuple[int, FloatArray]]:
    """Return the matrix products of one inference."""
    return list_products(trained, case.kind, case.candidates, case.steps, case.critic)
