"""A finished run's networks as policies: the same choices that the exported graphs make, in torch."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import numpy as np
import torch
from torch import Tensor

from divo_runtime.contract import Contract
from divo_runtime.interfaces import PolicyAction
from divo_runtime.observation import FloatArray
from divo_runtime.schema import parse_yaml
from divo_train.checkpoint import CheckpointError, load_tensors
from divo_train.config import FitConfig
from divo_train.config import PolicyKind as PolicyKind
from divo_train.diffusion import draw_actions
from divo_train.networks import Denoiser, Normalizer, OneStepActor, QEnsemble, Regressor, Value

C = TypeVar("C")


@dataclass(frozen=True)
class TrainedNetworks:
    """Everything that a run has learned; a method that was not trained is None."""

    contract: Contract
    config: FitConfig
    normalizer: Normalizer
    denoiser: Denoiser | None = None
    actor: OneStepActor | None = None
    q_networks: QEnsemble | None = None
    value: Value | None = None
    cloning: Regressor | None = None

    def robot_units(self, action: Tensor) -> Tensor:
        """(..., act_dim) in [-1, 1] -> robot units, inside the contract's range."""
        lower, upper = (torch.from_numpy(side).float() for side in self.contract.action_range())
        return (action.clamp(-1, 1) + 1) / 2 * (upper - lower) + lower

    def best_of(self, observation: Tensor, candidates: Tensor) -> tuple[Tensor, Tensor]:
        """Let the critic choose.

        Args:
            observation: (1, obs_dim) normalised.
            candidates: (N, act_dim) in [-1, 1].

        Returns:
            (1, act_dim) the chosen action in robot units, and (N,) the mean Q of each candidate.
        """
        if self.q_networks is None:
            raise CheckpointError("This run has no critic.", fix="Train with --methods divo.")
        q = self.q_networks(observation.expand(len(candidates), -1), candidates).mean(dim=0)
        return self.robot_units(candidates[q.argmax().reshape(1)]), q


@dataclass(frozen=True)
class TorchPolicy:
    """`Policy` of the runtime, computed by torch."""

    networks: TrainedNetworks
    kind: PolicyKind
    candidates: int

    @property
    def noise_shape(self) -> tuple[int, int]:
        """(N, act_dim)."""
        return self.candidates, self.networks.contract.action_size

    @torch.no_grad()
    def act(self, observation: FloatArray, noise: FloatArray) -> PolicyAction:
        """(obs_dim,) in contract units and noise -> action in robot units."""
        networks = self.networks
        normalized = networks.normalizer(torch.from_numpy(observation).unsqueeze(0))
        if self.kind == "bc" and networks.cloning is not None:
            return PolicyAction(networks.robot_units(networks.cloning(normalized))[0].numpy(), float("nan"))
        drawn = torch.from_numpy(noise)
        if self.kind == "sampler" and networks.denoiser is not None:
            candidates = draw_actions(networks.denoiser, normalized, drawn, networks.config.sampler)
        elif self.kind == "actor" and networks.actor is not None:
            candidates = networks.actor(normalized, drawn)
        else:
            raise CheckpointError(f"This run has no '{self.kind}'.", fix="Train it: see --methods of `divo-train fit`.")
        action, q = networks.best_of(normalized, candidates)
        return PolicyAction(action[0].numpy(), float(q.max()))


def torch_policy(networks: TrainedNetworks, kind: PolicyKind, candidates: int | None = None) -> TorchPolicy:
    """Return a policy as deployed; `candidates` overrides the run's best-of-N."""
    config = networks.config
    usual = {"actor": config.actor.candidates, "sampler": config.sampler.candidates, "bc": 1}[kind]
    return TorchPolicy(networks, kind, candidates or usual)


def load_networks(run: Path) -> TrainedNetworks:
    """Read a run folder's final weights.

    Raises:
        CheckpointError: If the run is missing, unfinished or damaged.
    """
    path = run / "policy.safetensors"
    if not path.exists():
        raise CheckpointError(
            "There is no finished run here.", where=str(run), expected="policy.safetensors",
            fix="Run `divo-train fit --out ...` to its end; it goes on from its last checkpoint.",
        )  # fmt: skip
    tensors, metadata = load_tensors(path)
    if not {"contract", "config"} <= metadata.keys():
        raise CheckpointError(
            "The weights do not say what they were trained for.", where=str(path), got=f"keys {sorted(metadata)}",
            expected="keys config, contract", fix="Use the file that `divo-train fit` wrote.",
        )  # fmt: skip
    contract = parse_yaml(metadata["contract"], Contract, f"contract of {run}")
    config = config_from(metadata["config"], FitConfig)
    sizes = contract.observation_size, contract.action_size
    width, depth = config.network.width, config.network.depth
    parts: dict[str, torch.nn.Module] = {
        "normalizer": Normalizer(torch.zeros(sizes[0]), torch.ones(sizes[0])),
        "denoiser": Denoiser(*sizes, width, depth, 1.0),
        "actor": OneStepActor(*sizes, config.actor.width, depth),
        "q_networks": QEnsemble(*sizes, width, depth, config.value.members),
        "value": Value(sizes[0], width, depth),
        "cloning": Regressor(*sizes, width, depth),
    }
    loaded: dict[str, Any] = {}
    for name, module in parts.items():
        own = {key.removeprefix(f"{name}."): t for key, t in tensors.items() if key.startswith(f"{name}.")}
        if own:
            module.load_state_dict(own)
            loaded[name] = module.requires_grad_(False).eval()
    return TrainedNetworks(contract, config, **loaded)


def config_from(data: dict[str, Any], kind: type[C]) -> C:
    """Rebuild a frozen configuration from plain data; keys of older versions that are gone are ignored."""
    hints = get_type_hints(kind)
    values: dict[str, Any] = {}
    for item in dataclasses.fields(kind):  # type: ignore[arg-type]
        if item.name in data:
            value = data[item.name]
            if dataclasses.is_dataclass(hints[item.name]):
                value = config_from(value, hints[item.name])
            values[item.name] = tuple(value) if isinstance(value, list) else value
    return kind(**values)


def draw_noise(policy: TorchPolicy, rng: np.random.Generator) -> FloatArray:
    """Return fresh noise of the policy's shape."""
    return rng.standard_normal(policy.noise_shape, dtype=np.float32)
