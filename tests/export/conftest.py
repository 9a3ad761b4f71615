"""Runs with random networks: what export promises must not depend on what was learned."""

from __future__ import annotations

import dataclasses
from datetime import datetime, timezone
from pathlib import Path

import pytest
import torch

from divo_export.bundle import export_bundle
from divo_train.checkpoint import save_tensors
from divo_train.config import ActorConfig, FitConfig, NetworkConfig, SamplerConfig, ValueConfig
from divo_train.data.minari import load_minari
from divo_train.data.training_set import training_set
from divo_train.networks import Denoiser, OneStepActor, QEnsemble, Regressor, Value
from divo_train.run_folder import run_metadata

CREATED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def make_run(arm_dataset, tmp_path_factory):
    """Write a finished run with untrained networks and `candidates` for both policies; return its folder."""

    def make_run(candidates: int = 4, methods=("divo", "bc"), seed: int = 0) -> Path:
        config = FitConfig(
            dataset=str(arm_dataset),
            methods=methods,
            network=NetworkConfig(width=16, depth=3),
            value=dataclasses.replace(ValueConfig(), members=3),
            sampler=dataclasses.replace(SamplerConfig(), candidates=candidates),
            actor=dataclasses.replace(ActorConfig(), candidates=candidates, width=24),
        )
        dataset = load_minari(arm_dataset)
        sizes = dataset.contract.observation_size, dataset.contract.action_size
        torch.manual_seed(seed)
        parts: dict[str, torch.nn.Module] = {"normalizer": training_set(dataset, "cpu").normalizer}
        if "divo" in methods:
            parts |= {
                "denoiser": Denoiser(*sizes, 16, 3, training_set(dataset, "cpu").action_std),
                "actor": OneStepActor(*sizes, 24, 3),
                "q_networks": QEnsemble(*sizes, 16, 3, 3),
                "value": Value(sizes[0], 16, 3),
            }
        if "bc" in methods:
            parts["cloning"] = Regressor(*sizes, 16, 3)
        folder = tmp_path_factory.mktemp("run")
        weights = {f"{name}.{key}": t for name, part in parts.items() for key, t in part.state_dict().items()}
        save_tensors(folder / "policy.safetensors", weights, run_metadata(config, dataset))
        return folder

    return make_run


@pytest.fixture(scope="session")
def export():
    """Export a run quietly, at a fixed time, comparing on 60 observations."""
    return lambda run, out: export_bundle(run, out, 60, CREATED, announce=lambda _: None)


@pytest.fixture(scope="session", params=[1, 4], ids=["one-candidate", "best-of-4"])
def exported(request, make_run, export, tmp_path_factory):
    """A run and its bundle."""
    run = make_run(request.param)
    return run, export(run, tmp_path_factory.mktemp("bundles") / "arm_reach")
