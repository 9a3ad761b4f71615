"""The ONNX graphs of a bundle: which there are, what is written into them, and under which names."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import onnx
import torch
from torch import nn

from divo_export.leapp_policy import write_leapp_policy
from divo_export.onnx_from_torch import onnx_from_torch
from divo_export.precision import lower_precision
from divo_export.views import ActorView, CriticView, SamplerView, SingleActorView
from divo_runtime.bundle.manifest import PolicySettings, Precision
from divo_runtime.bundle.ports import CRITIC, LEAPP_NODE
from divo_runtime.contract import Contract
from divo_runtime.observation import FloatArray
from divo_runtime.parity.sample import draw_noise
from divo_train.checkpoint import CheckpointError
from divo_train.config import SamplerConfig
from divo_train.diffusion import sampling_levels
from divo_train.networks import Denoiser, OneStepActor, QEnsemble, Value
from divo_train.trained import TrainedNetworks, load_networks

Announce = Callable[[str], None]


@dataclass(frozen=True)
class Trained:
    """A run's DIVO networks, all of them present."""

    networks: TrainedNetworks
    denoiser: Denoiser
    actor: OneStepActor
    q_networks: QEnsemble
    value: Value


def load_trained(run: Path) -> Trained:
    """Load a run and require that DIVO was trained in it.

    Raises:
        CheckpointError: If a network is missing, or a weight or statistic is not finite.
    """
    networks = load_networks(run)
    parts = (networks.denoiser, networks.actor, networks.q_networks, networks.value)
    if any(part is None for part in parts):
        raise CheckpointError(
            "The run has no DIVO policy to export.", where=str(run), got=f"methods {networks.config.methods}",
            expected="divo among the methods", fix="Train with --methods divo.",
        )  # fmt: skip
    _require_finite(run, networks)
    return Trained(networks, *parts)  # type: ignore[arg-type]


def _require_finite(run: Path, networks: TrainedNetworks) -> None:
    """Refuse a run with a NaN in it; the normaliser's are named by the observation's element."""
    elements = networks.contract.element_names
    for name in ("normalizer", "denoiser", "actor", "q_networks", "value"):
        for key, tensor in getattr(networks, name).state_dict().items():
            bad = (~torch.isfinite(tensor)).nonzero()
            if len(bad):
                at = bad[0].tolist()
                where = f"{name}.{key}{at}" + (f", element '{elements[at[0]]}'" if name == "normalizer" else "")
                what = "An observation statistic is not finite." if name == "normalizer" else "A weight is not finite."
                raise CheckpointError(
                    what, where=f"{run}, {where}", got=str(float(tensor[tuple(at)])), expected="finite numbers",
                    fix="Look for NaN in the dataset and for a diverged loss in the run's metrics, then train again.",
                )  # fmt: skip


def policy_settings(
    trained: Trained,
    candidates: int | None = None,
    steps: int | None = None,
    more_steps: Sequence[int] = (),
    precisions: Sequence[Precision] = (),
) -> dict[str, PolicySettings]:
    """Return name -> settings of every policy in the bundle.

    Args:
        trained: The run's networks.
        candidates: N of best-of-N of every policy; None for the run's own.
        steps: Denoiser evaluations of `sampler`; None for the run's own.
        more_steps: Step counts k for which there is a `sampler_k<k>` too, so that a controller can choose at run time.
        precisions: Precisions p for which there is an `actor_<p>` and a `sampler_<p>` too.
    """
    config, spread = trained.networks.config, float(trained.denoiser.sigma_data)
    actions = candidates or config.actor.candidates
    # Nothing chooses for a single answer, but a guard wants its value; in one graph that is half the time of two.
    valued = actions > 1 or trained.networks.contract.safety.value_guard.reaction != "ignore"
    chosen = {"actor": PolicySettings(kind="actor", candidates=actions, steps=1, valued=valued)}
    counts = {"sampler": steps or config.sampler.steps} | {f"sampler_k{count}": count for count in more_steps}
    for name, count in counts.items():
        chosen[name] = PolicySettings(
            kind="sampler",
            candidates=candidates or config.sampler.candidates,
            steps=count,
            sigmas=sampling_levels(spread, sampler_config(trained.networks, count)),
        )
    for precision in precisions:
        for name in ("actor", "sampler"):
            chosen[f"{name}_{precision}"] = msgspec.structs.replace(chosen[name], precision=precision)
    return chosen


def sampler_config(networks: TrainedNetworks, steps: int) -> SamplerConfig:
    """Return the run's sampler with another number of steps."""
    return dataclasses.replace(networks.config.sampler, steps=steps)


@dataclass(frozen=True)
class View:
    """A module to export, and its tensors."""

    module: nn.Module
    inputs: dict[str, torch.Tensor]
    """Name -> example of the static shape."""
    outputs: tuple[str, ...]


def policy_view(trained: Trained, settings: PolicySettings) -> View:
    """Return the deployed form of a policy."""
    contract, normalizer = trained.networks.contract, trained.networks.normalizer
    module: nn.Module
    if settings.kind == "actor" and not settings.valued:
        module = SingleActorView(contract, normalizer, trained.actor)
    elif settings.kind == "actor":
        module = ActorView(contract, normalizer, trained.actor, trained.q_networks)
    else:
        config = sampler_config(trained.networks, settings.steps)
        module = SamplerView(contract, normalizer, trained.denoiser, trained.q_networks, config)
    noise = torch.zeros(settings.candidates, contract.action_size)
    inputs = {"observation": torch.zeros(1, contract.observation_size), "noise": noise}
    return View(module, inputs, ("action", "value") if settings.valued else ("action",))


def critic_view(trained: Trained) -> View:
    """Return the deployed form of the critic."""
    contract = trained.networks.contract
    module = CriticView(contract, trained.networks.normalizer, trained.q_networks, trained.value)
    inputs = {"observation": torch.zeros(1, contract.observation_size), "action": torch.zeros(1, contract.action_size)}
    return View(module, inputs, ("q", "v"))


def write_graphs(
    folder: Path,
    trained: Trained,
    policies: Mapping[str, PolicySettings],
    observations: FloatArray,
    announce: Announce,
) -> None:
    """Write `<policy>.onnx` for every policy, `critic.onnx`, and `policy.onnx` for loaders of LEAPP files.

    Args:
        folder: Where to.
        trained: The networks.
        policies: Name -> settings.
        observations: (count, obs_dim) of the dataset, from which int8 takes its ranges.
        announce: Told of every file.
    """
    contract = trained.networks.contract
    exact = {name: chosen for name, chosen in policies.items() if chosen.precision == "float32"}
    views = {name: policy_view(trained, chosen) for name, chosen in exact.items()}
    for name, view in {**views, CRITIC: critic_view(trained)}.items():
        metadata = graph_metadata(contract, name)
        onnx_from_torch(view.module, view.inputs, list(view.outputs), folder / f"{name}.onnx", metadata)
    for name in policies.keys() - exact.keys():
        settings = policies[name]
        model = onnx.load(folder / f"{name.removesuffix(f'_{settings.precision}')}.onnx")
        noise = draw_noise(0, len(observations), (settings.candidates, contract.action_size))
        feeds = [{"observation": o[np.newaxis], "noise": n} for o, n in zip(observations, noise, strict=True)]
        lowered = lower_precision(model, settings.precision, feeds)
        onnx.helper.set_model_props(lowered, graph_metadata(contract, name))
        (folder / f"{name}.onnx").write_bytes(lowered.SerializeToString())
    shared = folder / f"{LEAPP_NODE}.onnx"
    write_leapp_policy(folder / "actor.onnx", contract, shared, graph_metadata(contract, "actor"))
    for path in sorted(folder.glob("*.onnx")):
        announce(f"{path.name}: {path.stat().st_size / 1024:.0f} KiB, opset checked")


def graph_metadata(contract: Contract, role: str) -> dict[str, str]:
    """Return `metadata_props` under the keys that mjlab's and legged_control2's loaders read, and a few of our own.

    Lists are comma-separated as theirs are, but numbers keep all their digits. Our graphs take and give robot units,
    so a loader that computes `default_joint_pos + action_scale * action` must be told 0 and 1. There is no
    `joint_stiffness` and no `joint_damping`: the contract does not know the gains, and a made-up gain moves a robot.
    """
    joints = contract.action.names

    def numbers(values: tuple[float, ...]) -> str:
        return ",".join(map(repr, values))

    return {
        "joint_names": ",".join(joints),
        "default_joint_pos": numbers((0.0,) * len(joints)),
        "action_scale": numbers((1.0,) * len(joints)),
        "observation_names": ",".join(term.name for term in contract.observation),
        "observation_elements": ",".join(contract.element_names),
        "action_kind": contract.action.kind,
        "action_lower": numbers(contract.action.lower),
        "action_upper": numbers(contract.action.upper),
        "update_rate": repr(contract.rate_hz),
        "task": contract.name,
        "role": role,
    }
