"""A finished run's weights: by stage, with the contract and the settings that they were trained with."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import torch
from torch import Tensor, nn

from divo_runtime.contract import Contract
from divo_runtime.schema import parse_yaml
from divo_train.checkpoint import CheckpointError, load_tensors
from divo_train.config import FitConfig
from divo_train.networks import Denoiser, Normalizer, OneStepActor, QEnsemble, Regressor, Value

C = TypeVar("C")
M = TypeVar("M", bound=nn.Module)


@dataclass(frozen=True)
class TrainedNetworks:
    """Everything that a run has learned; the network of a stage that was not trained is None."""

    contract: Contract
    config: FitConfig
    normalizer: Normalizer
    stages: Mapping[str, Mapping[str, Tensor]]
    """Stage -> name -> tensor."""

    @property
    def sizes(self) -> tuple[int, int]:
        """obs_dim and act_dim."""
        return self.contract.observation_size, self.contract.action_size

    @cached_property
    def denoiser(self) -> Denoiser | None:
        """DIVO's sampler network."""
        return self.load_denoiser("diffusion") if "diffusion" in self.stages else None

    @cached_property
    def actor(self) -> OneStepActor | None:
        """DIVO's one-step actor."""
        return self.load_actor("actor") if "actor" in self.stages else None

    @cached_property
    def q_networks(self) -> QEnsemble | None:
        """The critic that selects."""
        return self.load_q_networks("selector") if "selector" in self.stages else None

    @cached_property
    def value(self) -> Value | None:
        """V of the critic that selects."""
        if "selector" not in self.stages:
            return None
        network = self.config.network
        return self.load("selector", "value", Value(self.sizes[0], network.width, network.depth))

    def load_denoiser(self, stage: str) -> Denoiser:
        """Return the running average that a diffusion stage has trained."""
        network = self.config.network
        return self.load(stage, "average", Denoiser(*self.sizes, network.width, network.depth, 1.0))

    def load_actor(self, stage: str, name: str = "actor") -> OneStepActor:
        """Return the one-step actor that a stage has trained."""
        return self.load(stage, name, OneStepActor(*self.sizes, self.config.actor.width, self.config.network.depth))

    def load_regressor(self, stage: str) -> Regressor:
        """Return the deterministic policy that a stage has trained."""
        network = self.config.network
        return self.load(stage, "policy", Regressor(*self.sizes, network.width, network.depth, network.regressor))

    def load_q_networks(self, stage: str) -> QEnsemble:
        """Return the Qs of a critic stage."""
        network = self.config.network
        return self.load(stage, "q", QEnsemble(*self.sizes, network.width, network.depth, self.config.value.members))

    def load(self, stage: str, name: str, network: M) -> M:
        """Put a stage's weights into a network of the right shape.

        Raises:
            CheckpointError: If the run has no such stage.
        """
        if stage not in self.stages:
            raise CheckpointError(
                f"The run has not trained '{stage}'.", got=", ".join(self.stages),
                fix="Train a method that needs it: see --methods of `divo-train fit`.",
            )  # fmt: skip
        prefix = f"{name}."
        own = {k.removeprefix(prefix): t for k, t in self.stages[stage].items() if k.startswith(prefix)}
        network.load_state_dict(own)
        return network.requires_grad_(False).eval()

    def robot_units(self, action: Tensor) -> Tensor:
        """(..., act_dim) in [-1, 1] -> robot units, inside the contract's range."""
        lower, upper = (torch.from_numpy(side).float() for side in self.contract.action_range())
        return (action.clamp(-1, 1) + 1) / 2 * (upper - lower) + lower


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
    stages: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        stage, name = key.split(".", 1)
        stages.setdefault(stage, {})[name] = tensor
    normalizer = stages.pop("normalizer")
    return TrainedNetworks(
        contract,
        config_from(metadata["config"], FitConfig),
        Normalizer(normalizer["mean"], normalizer["std"]),
        stages,
    )


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
