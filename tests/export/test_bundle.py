from __future__ import annotations

import copy
import json

import numpy as np
import onnx
import pytest
import torch

from divo_export.bundle import BACKEND, moments, sample_observations
from divo_export.parity import ParityError
from divo_export.views import ActorView, CriticView, SamplerView
from divo_runtime.bundle import load_bundle
from divo_runtime.conformance import check_backend, check_policy
from divo_runtime.errors import BundleError
from divo_train.checkpoint import CheckpointError
from divo_train.data.minari import load_minari
from divo_train.diffusion import draw_actions
from divo_train.policies import load_networks, torch_policy

FILES = {"actor.onnx", "sampler.onnx", "critic.onnx", "parity.json", "arm_reach.yaml"}
CLOSE = 1e-5
"""Of an action's range, or of a value: float32 sums in another order."""


@pytest.fixture
def older(tmp_path):
    """A folder that holds what an earlier version may have written."""
    folder = tmp_path / "bundles" / "arm_reach"
    folder.mkdir(parents=True)
    for name in ("actor.onnx", "planner.onnx", "arm_reach.yaml", "parity.json"):
        (folder / name).write_text(f"older {name}")
    return folder


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def observations(arm_dataset):
    return sample_observations(load_minari(arm_dataset), 40, seed=3)


@pytest.mark.parametrize("role", ["actor", "sampler"])
def test_a_graph_acts_as_the_trained_networks_do(exported, observations, role):
    run, bundle = exported
    reference, rng = torch_policy(load_networks(run), role), np.random.default_rng(4)
    lower, upper = bundle.contract.action_range()
    with load_bundle(bundle.folder) as opened:
        policy = opened.open_policy(role)
        assert policy.noise_shape == reference.noise_shape
        for observation in observations:
            noise = rng.standard_normal(policy.noise_shape, dtype=np.float32)
            expected, got = reference.act(observation, noise), policy.act(observation, noise)
            assert np.abs((got.action - expected.action) / (upper - lower)).max() < CLOSE
            assert got.value == pytest.approx(expected.value, abs=CLOSE)


@torch.no_grad()
def test_the_sampler_s_graph_chooses_the_candidate_that_the_critic_values_most(exported, observations):
    run, bundle = exported
    networks, rng = load_networks(run), np.random.default_rng(5)
    chosen = set()
    with load_bundle(bundle.folder) as opened:
        network = opened.open_network("sampler")
        for observation in observations:
            noise = rng.standard_normal((networks.config.sampler.candidates, 7), dtype=np.float32)
            outputs = network.run({"observation": observation[None], "noise": noise})
            normalized = networks.normalizer(torch.from_numpy(observation[None]))
            candidates = draw_actions(networks.denoiser, normalized, torch.from_numpy(noise), networks.config.sampler)
            q = networks.q_networks(normalized.expand(len(noise), -1), candidates).mean(dim=0)
            np.testing.assert_allclose(outputs["value"], q.numpy(), atol=CLOSE)
            best = int(outputs["value"].argmax())
            np.testing.assert_allclose(outputs["action"][0], networks.robot_units(candidates)[best].numpy(), atol=1e-4)
            chosen.add(best)
    assert len(chosen) == networks.config.sampler.candidates  # each was the best one somewhere


@torch.no_grad()
def test_the_critic_s_graph_values_actions_in_robot_units(exported, observations):
    run, bundle = exported
    networks = load_networks(run)
    lower, upper = bundle.contract.action_range()
    with load_bundle(bundle.folder) as opened:
        critic = opened.open_network("critic")
        for share in (0.0, 0.25, 1.0):
            scaled = torch.full((1, 7), 2 * share - 1)
            action = (lower + share * (upper - lower)).astype(np.float32)[None]
            outputs = critic.run({"observation": observations[:1], "action": action})
            normalized = networks.normalizer(torch.from_numpy(observations[:1]))
            np.testing.assert_allclose(outputs["q"], networks.q_networks(normalized, scaled)[:, 0].numpy(), atol=CLOSE)
            np.testing.assert_allclose(outputs["v"], networks.value(normalized).numpy(), atol=CLOSE)


def test_a_bundle_loads_and_its_networks_keep_the_runtime_s_rules(exported, observations):
    _, bundle = exported
    assert set(contents(bundle.folder)) == FILES
    with load_bundle(bundle.folder) as opened:
        for role in ("actor", "sampler"):
            check_policy(opened.open_policy(role), observations[0], np.random.default_rng(0))
        for role in ("actor", "sampler", "critic"):
            check_backend(opened.open_network(role), np.random.default_rng(0))


@pytest.mark.parametrize("role", ["actor", "sampler", "critic"])
def test_graphs_are_valid_carry_their_names_and_nothing_of_the_exporting_machine(exported, role):
    _, bundle = exported
    model = onnx.load(bundle.folder / f"{role}.onnx")
    onnx.checker.check_model(model, full_check=True)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    contract = bundle.contract
    assert json.loads(metadata["joint_names"]) == [f"panda_joint{i}" for i in range(1, 8)]
    assert json.loads(metadata["observation_names"]) == list(contract.element_names)
    assert json.loads(metadata["action_lower"]) == list(contract.action.lower)
    assert json.loads(metadata["action_upper"]) == list(contract.action.upper)
    assert json.loads(metadata["update_rate"]) == 20
    assert metadata["role"] == role
    assert metadata["task"] == "arm_reach"
    assert len(metadata) == 7
    assert b".py" not in model.SerializeToString()  # stack traces name files


def test_the_manifest_says_what_the_networks_were_trained_on(exported, arm_dataset):
    run, bundle = exported
    extras, dataset = bundle.manifest.x_divo, load_minari(arm_dataset)
    np.testing.assert_allclose(
        extras.statistics.observation.mean, dataset.observations.mean(0, dtype=float), rtol=1e-12
    )
    np.testing.assert_allclose(extras.statistics.action.std, dataset.actions.std(0, dtype=float), rtol=1e-12)
    np.testing.assert_array_equal(extras.statistics.action.maximum, dataset.actions.max(0).astype(float))
    provenance = extras.provenance
    assert (provenance.dataset_sha256, provenance.transitions) == (dataset.digest, len(dataset))
    assert provenance.created == "2026-01-02T03:04:05+00:00"
    assert provenance.config["run"] == str(run)
    networks = load_networks(run)
    candidates = networks.config.sampler.candidates
    sampler = extras.policies["sampler"]
    assert (sampler.candidates, sampler.steps) == (candidates, networks.config.sampler.steps)
    assert len(sampler.sigmas) == sampler.steps + 1
    spread = float(networks.denoiser.sigma_data)
    assert sampler.sigmas[0] == pytest.approx(networks.config.sampler.sigma_max * spread)
    assert sampler.sigmas[-1] == 0
    assert (extras.policies["actor"].candidates, extras.policies["actor"].steps) == (candidates, 1)


def test_the_parity_report_names_every_graph_and_stays_far_below_the_tolerance(exported):
    _, bundle = exported
    report = json.loads((bundle.folder / "parity.json").read_text())
    assert [(row["policy"], row["backend"]) for row in report["results"]] == [
        ("actor", BACKEND), ("sampler", BACKEND), ("critic", BACKEND)
    ]  # fmt: skip
    assert report["tolerance_of_range"] == 1e-4
    for row in report["results"]:
        assert row["observations"] == 60
        assert max(row["worst_of_range"]) < CLOSE
        assert row["ties"] == 0


def test_moments_by_hand():
    statistics = moments(np.array([[1.0, 0.0], [3.0, 0.0]], np.float32))
    assert (statistics.mean, statistics.std) == ((2.0, 0.0), (1.0, 0.0))
    assert (statistics.minimum, statistics.maximum) == ((1.0, 0.0), (3.0, 0.0))


def spoiled(view, part):
    """Return the view with one weight changed, as a faulty exporter would."""

    def build(*arguments):
        arguments = copy.deepcopy(arguments)
        built = view(*arguments)
        with torch.no_grad():
            part(built)[-1].add_(0.05)
        return built

    return build


@pytest.mark.parametrize(
    ("view", "part", "where"),
    [
        (ActorView, lambda v: v.actor.trunk.head.bias, r"actor in onnxruntime, action 'panda_joint7'"),
        (SamplerView, lambda v: v.denoiser.trunk.head.bias, r"sampler in onnxruntime, action 'panda_joint7'"),
        (CriticView, lambda v: v.critic.net.biases[-1], r"critic in onnxruntime, action 'q2'"),
    ],
)
def test_a_graph_that_computes_something_else_fails_the_export_and_changes_nothing(
    view, part, where, make_run, export, older, monkeypatch
):
    monkeypatch.setattr(f"divo_export.bundle.{view.__name__}", spoiled(view, part))
    before = contents(older)
    with pytest.raises(ParityError, match=where):
        export(make_run(1), older)
    assert contents(older) == before
    assert [path.name for path in older.parent.iterdir()] == [older.name]


def test_an_older_bundle_is_replaced_whole(make_run, export, older):
    bundle = export(make_run(2), older)
    assert set(contents(older)) == FILES
    assert bundle.folder == older
    assert [path.name for path in older.parent.iterdir()] == [older.name]


def test_a_folder_that_holds_anything_else_is_refused_and_kept(make_run, export, tmp_path):
    out = tmp_path / "models"
    out.mkdir()
    (out / "other.onnx").write_bytes(b"somebody's")
    (out / "notes.txt").write_text("mine")
    with pytest.raises(BundleError, match=r"holds something else[\s\S]*notes\.txt"):
        export(make_run(1), out)
    assert set(contents(out)) == {"other.onnx", "notes.txt"}


def test_a_run_without_divo_cannot_be_exported(make_run, export, tmp_path):
    with pytest.raises(CheckpointError, match=r"no DIVO policy[\s\S]*--methods divo"):
        export(make_run(methods=("bc",)), tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []
