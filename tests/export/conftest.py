"""Runs with random networks: what export promises must not depend on what was learned."""

from __future__ import annotations

import dataclasses
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from divo_export import graphs
from divo_export.bundle import export_bundle
from divo_export.options import ExportOptions
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
                "diffusion.average": Denoiser(*sizes, 16, 3, training_set(dataset, "cpu").action_std),
                "actor.actor": OneStepActor(*sizes, 24, 3),
                "selector.q": QEnsemble(*sizes, 16, 3, 3),
                "selector.value": Value(sizes[0], 16, 3),
            }
        if "bc" in methods:
            parts["cloning.policy"] = Regressor(*sizes, 16, 3)
        folder = tmp_path_factory.mktemp("run")
        weights = {f"{name}.{key}": t for name, part in parts.items() for key, t in part.state_dict().items()}
        save_tensors(folder / "policy.safetensors", weights, run_metadata(config, dataset))
        return folder

    return make_run


@pytest.fixture(scope="session")
def export():
    """Export a run quietly, at a fixed time, comparing on 60 observations and on no episodes."""

    def export(run: Path, out: Path, **options):
        chosen = ExportOptions(**{"more_steps": (2,), "parity_observations": 60, "episodes": 0} | options)
        return export_bundle(run, out, chosen, CREATED, announce=lambda _: None)

    return export


@pytest.fixture(scope="session", params=[1, 4], ids=["one-candidate", "best-of-4"])
def exported(request, make_run, export, tmp_path_factory):
    """A run and its bundle."""
    run = make_run(request.param)
    return run, export(run, tmp_path_factory.mktemp("bundles") / "arm_reach")


@pytest.fixture
def older(tmp_path):
    """A folder that holds what an earlier version may have written."""
    folder = tmp_path / "bundles" / "arm_reach"
    folder.mkdir(parents=True)
    for name in ("actor.onnx", "planner.onnx", "arm_reach.yaml", "parity.json"):
        (folder / name).write_text(f"older {name}")
    return folder


@pytest.fixture
def spoil(monkeypatch):
    """Return a function that makes the exporter change one weight of one graph, as a faulty one would.

    The weight belongs to the first matrix product of the graph.
    """

    def spoil(network: str) -> None:
        export_graph = graphs.onnx_from_torch

        def export_wrongly(module, inputs, outputs, path, metadata):
            export_graph(module, inputs, outputs, path, metadata)
            if path.stem == network:
                model = onnx.load(path)
                change_weight(model, matrix_products(model)[0])
                onnx.save(model, path)

        monkeypatch.setattr(graphs, "onnx_from_torch", export_wrongly)

    return spoil


@pytest.fixture(name="matrix_products", scope="session")
def matrix_products_of():
    """Return `matrix_products`."""
    return matrix_products


@pytest.fixture(name="change_weight", scope="session")
def change_weight_of():
    """Return `change_weight`."""
    return change_weight


def matrix_products(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """Return the nodes that multiply by a stored matrix."""
    stored = {tensor.name for tensor in model.graph.initializer}
    return [node for node in model.graph.node if node.op_type in ("MatMul", "Gemm") and node.input[1] in stored]


def change_weight(model: onnx.ModelProto, node: onnx.NodeProto) -> None:
    """Change every weight of a matrix product; another node with the same weights keeps them."""
    tensor = next(tensor for tensor in model.graph.initializer if tensor.name == node.input[1])
    weights = numpy_helper.to_array(tensor)
    changed = weights + np.float32(0.3) * np.cos(np.arange(weights.size, dtype=np.float32)).reshape(weights.shape)
    model.graph.initializer.append(numpy_helper.from_array(changed, f"{tensor.name}_changed"))
    node.input[1] = f"{tensor.name}_changed"
