"""Write a bundle from a finished run: graphs, parity report, manifest; all of it or nothing."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import nn

import divo_runtime
from divo_export.onnx_from_torch import onnx_from_torch
from divo_export.parity import Parity, compare, compare_critic, require_parity, write_parity
from divo_export.provenance import git_commit
from divo_export.views import ActorView, CriticView, SamplerView
from divo_runtime.backends import open_backend
from divo_runtime.bundle import Bundle, load_bundle
from divo_runtime.contract import Contract
from divo_runtime.errors import BundleError
from divo_runtime.manifest import Moments, PolicySettings, Provenance, Statistics, compose_manifest, write_manifest
from divo_runtime.observation import FloatArray
from divo_runtime.policy import NetworkPolicy
from divo_runtime.ports import PolicyRole
from divo_train.checkpoint import CheckpointError
from divo_train.data.dataset import Dataset
from divo_train.data.minari import load_minari
from divo_train.diffusion import sampling_levels
from divo_train.networks import Denoiser, OneStepActor, QEnsemble, Value
from divo_train.policies import TrainedNetworks, load_networks, torch_policy

BACKEND = "onnxruntime"
POLICIES: tuple[PolicyRole, ...] = ("actor", "sampler")
Announce = Callable[[str], None]
BUNDLE_FILE = re.compile(r".+\.(onnx|yaml)|parity\.json|engines")
"""What may be removed when a bundle is replaced."""


@dataclass(frozen=True)
class Trained:
    """A run's DIVO networks, all of them present."""

    networks: TrainedNetworks
    denoiser: Denoiser
    actor: OneStepActor
    q_networks: QEnsemble
    value: Value


def export_bundle(run: Path, out: Path, parity_observations: int, created: datetime, announce: Announce) -> Bundle:
    """Export a run and verify what was written.

    Args:
        run: Run folder of `divo-train fit`.
        out: Bundle folder; replaced only when everything has passed.
        parity_observations: Dataset observations on which torch and ONNX Runtime are compared.
        created: Time that the manifest states, UTC.
        announce: Told what happens, a line each.

    Raises:
        CheckpointError: If the run is missing or has no DIVO networks.
        ParityError: If a graph differs from the trained networks.
        BundleError: If `out` is a folder of something else, or what was written does not verify.
    """
    trained = load_trained(run)
    contract = trained.networks.contract
    dataset = load_minari(Path(trained.networks.config.dataset), contract)
    _require_replaceable(out)
    with tempfile.TemporaryDirectory(dir=_existing(out.parent), prefix=f".{out.name}-") as scratch:
        folder = Path(scratch) / contract.name
        folder.mkdir()
        write_graphs(folder, trained, announce)
        results = check_parity(folder, trained.networks, sample_observations(dataset, parity_observations), announce)
        write_parity(folder / "parity.json", results)
        _write_manifest(folder, trained, dataset, run, created)
        load_bundle(folder)
        if out.exists():
            shutil.rmtree(out)
        shutil.move(folder, out)
    return load_bundle(out)


def load_trained(run: Path) -> Trained:
    """Load a run and require that DIVO was trained in it.

    Raises:
        CheckpointError: If a network is missing.
    """
    networks = load_networks(run)
    parts = (networks.denoiser, networks.actor, networks.q_networks, networks.value)
    if any(part is None for part in parts):
        raise CheckpointError(
            "The run has no DIVO policy to export.", where=str(run), got=f"methods {networks.config.methods}",
            expected="divo among the methods", fix="Train with --methods divo.",
        )  # fmt: skip
    return Trained(networks, *parts)  # type: ignore[arg-type]


def write_graphs(folder: Path, trained: Trained, announce: Announce) -> None:
    """Write `actor.onnx`, `sampler.onnx` and `critic.onnx`."""
    networks, config = trained.networks, trained.networks.config
    contract, normalizer = networks.contract, networks.normalizer
    observation = torch.zeros(1, contract.observation_size)
    views: dict[str, tuple[nn.Module, dict[str, torch.Tensor], list[str]]] = {
        "actor": (
            ActorView(contract, normalizer, trained.actor, trained.q_networks),
            {"observation": observation, "noise": torch.zeros(config.actor.candidates, contract.action_size)},
            ["action", "value"],
        ),
        "sampler": (
            SamplerView(contract, normalizer, trained.denoiser, trained.q_networks, config.sampler),
            {"observation": observation, "noise": torch.zeros(config.sampler.candidates, contract.action_size)},
            ["action", "value"],
        ),
        "critic": (
            CriticView(contract, normalizer, trained.q_networks, trained.value),
            {"observation": observation, "action": torch.zeros(1, contract.action_size)},
            ["q", "v"],
        ),
    }
    for name, (view, inputs, outputs) in views.items():
        path = folder / f"{name}.onnx"
        onnx_from_torch(view, inputs, outputs, path, graph_metadata(contract, name))
        announce(f"{path.name}: {path.stat().st_size / 1024:.0f} KiB, opset checked")


def graph_metadata(contract: Contract, role: str) -> dict[str, str]:
    """Return `metadata_props` under the keys that other robot loaders read; lists as JSON, floats with all digits."""
    values = {
        "joint_names": contract.action.names,
        "observation_names": contract.element_names,
        "action_lower": contract.action.lower,
        "action_upper": contract.action.upper,
        "update_rate": contract.rate_hz,
    }
    return {key: json.dumps(value) for key, value in values.items()} | {"task": contract.name, "role": role}


def check_parity(folder: Path, networks: TrainedNetworks, observations: FloatArray, announce: Announce) -> list[Parity]:
    """Compare every policy and the critic in ONNX Runtime with torch.

    Raises:
        ParityError: At the first graph that is off.
    """
    contract, results = networks.contract, []
    for name in POLICIES:
        with closing(open_backend(folder / f"{name}.onnx", BACKEND)) as network:
            exported = NetworkPolicy(network, contract)
            results.append(compare(torch_policy(networks, name), exported, observations, contract, (name, BACKEND)))
    with closing(open_backend(folder / "critic.onnx", BACKEND)) as network:
        results.append(compare_critic(networks, network, observations, BACKEND))
    for result in results:
        require_parity(result)
        announce(
            f"{result.policy}: torch and {result.backend} agree on {result.observations} observations, "
            f"worst {max(result.worst_of_range):.1e} of the range"
        )
    return results


def sample_observations(dataset: Dataset, count: int, seed: int = 0) -> FloatArray:
    """Return (count, obs_dim) observations of the dataset, all different where it has enough."""
    rng = np.random.default_rng(seed)
    rows = rng.choice(len(dataset.observations), size=count, replace=count > len(dataset.observations))
    return dataset.observations[rows]


def moments(values: FloatArray) -> Moments:
    """Return the statistics that the bundle carries, (count, n) -> n each."""

    def numbers(row: Iterable[float]) -> tuple[float, ...]:
        return tuple(float(number) for number in row)

    return Moments(
        mean=numbers(values.mean(0, dtype=np.float64)),
        std=numbers(values.std(0, dtype=np.float64)),
        minimum=numbers(values.min(0)),
        maximum=numbers(values.max(0)),
    )


def _write_manifest(folder: Path, trained: Trained, dataset: Dataset, run: Path, created: datetime) -> None:
    networks, config = trained.networks, trained.networks.config
    sampler = config.sampler
    manifest = compose_manifest(
        folder,
        networks.contract,
        {
            "actor": PolicySettings(candidates=config.actor.candidates, steps=1),
            "sampler": PolicySettings(
                candidates=sampler.candidates,
                steps=sampler.steps,
                sigmas=sampling_levels(float(trained.denoiser.sigma_data), sampler),
            ),
        },
        Statistics(observation=moments(dataset.observations), action=moments(dataset.actions)),
        Provenance(
            dataset=dataset.name,
            dataset_sha256=dataset.digest,
            transitions=len(dataset),
            git_commit=git_commit(Path(__file__).parent),
            divo_version=divo_runtime.__version__,
            created=created.isoformat(timespec="seconds"),
            config=dataclasses.asdict(config) | {"run": str(run)},
        ),
        {
            "exporter": f"divo {divo_runtime.__version__}",
            "torch version": str(torch.__version__),
            "onnx version": onnx.__version__,
        },
        critics=config.value.members,
    )
    write_manifest(folder / f"{networks.contract.name}.yaml", manifest)


def _require_replaceable(out: Path) -> None:
    """Refuse a folder that holds anything that is not of a bundle, because it will be removed whole."""
    strangers = [path.name for path in out.iterdir() if not BUNDLE_FILE.fullmatch(path.name)] if out.is_dir() else []
    if strangers or (out.exists() and not out.is_dir()):
        raise BundleError(
            "The output folder holds something else.", where=str(out), got=", ".join(sorted(strangers)[:5]) or "a file",
            expected="nothing, or an older bundle", fix="Choose another --out.",
        )  # fmt: skip


def _existing(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
