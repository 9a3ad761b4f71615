from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch

from divo_export.bundle import moments
from divo_export.parity import export_backends
from divo_export.reference import sample_observations
from divo_runtime.bundle.loading import load_bundle
from divo_runtime.conformance import check_backend, check_policy
from divo_runtime.errors import BundleError
from divo_runtime.parity.check import check_bundle
from divo_runtime.parity.report import read_report
from divo_train.checkpoint import CheckpointError
from divo_train.data.minari import load_minari
from divo_train.diffusion import draw_actions
from divo_train.policies import torch_policy
from divo_train.trained import load_networks

NETWORKS = {"actor", "sampler", "sampler_k2", "critic", "policy"}
FILES = {f"{name}.onnx" for name in NETWORKS} | {"parity.json", "parity.npz", "arm_reach.yaml"}
CLOSE = 1e-5
"""Of an action's range, or of a value: float32 sums in another order."""


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
        for role in ("actor", "sampler", "sampler_k2"):
            check_policy(opened.open_policy(role), observations[0], np.random.default_rng(0))
        for role in ("actor", "sampler", "sampler_k2", "critic"):
            check_backend(opened.open_network(role), np.random.default_rng(0))


@pytest.mark.parametrize("role", sorted(NETWORKS))
def test_graphs_are_valid_carry_their_names_and_nothing_of_the_exporting_machine(exported, role):
    _, bundle = exported
    model = onnx.load(bundle.folder / f"{role}.onnx")
    onnx.checker.check_model(model, full_check=True)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    contract = bundle.contract
    assert metadata["joint_names"].split(",") == [f"panda_joint{i}" for i in range(1, 8)]
    assert metadata["observation_names"] == "joint_position,joint_velocity,tool_position,goal_offset,post_offset"
    assert metadata["observation_elements"].split(",") == list(contract.element_names)
    for key, expected in (
        ("default_joint_pos", (0.0,) * 7),  # graphs give robot units: nothing is added,
        ("action_scale", (1.0,) * 7),  # and nothing is scaled
        ("action_lower", contract.action.lower),
        ("action_upper", contract.action.upper),
    ):
        assert tuple(map(float, metadata[key].split(","))) == expected
    assert float(metadata["update_rate"]) == 20
    assert metadata["role"] == ("actor" if role == "policy" else role)
    assert metadata["task"] == "arm_reach"
    assert not {"joint_stiffness", "joint_damping"} & set(metadata)  # nobody knows them
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
    assert {name: (chosen.kind, chosen.steps, chosen.precision) for name, chosen in extras.policies.items()} == {
        "actor": ("actor", 1, "float32"),
        "sampler": ("sampler", 5, "float32"),
        "sampler_k2": ("sampler", 2, "float32"),
    }
    assert extras.policies["sampler_k2"].sigmas[0] == sampler.sigmas[0]
    assert len(extras.policies["sampler_k2"].sigmas) == 3


def test_the_parity_report_names_every_graph_and_stays_far_below_the_tolerance(exported):
    _, bundle = exported
    report = read_report(bundle.folder / "parity.json")
    compared, _ = export_backends()
    assert compared[0] == "onnxruntime"
    assert [(row.backend, row.network) for row in report.results] == [
        (kind, name) for kind in compared for name in ("actor", "sampler", "sampler_k2", "critic", "policy")
    ]
    for row in report.results:
        assert (row.precision, row.observations, row.compared) == ("float32", 60, 60)
        assert row.worst_fraction < CLOSE
        assert row.worst_value < CLOSE
        assert all(p999 <= worst for p999, worst in zip(row.p999, row.worst, strict=True))
        assert row.agreement == 1
    assert report.left_out["closed loop"] == "--episodes 0"
    assert "tensorrt" in report.left_out


def test_moments_by_hand():
    statistics = moments(np.array([[1.0, 0.0], [3.0, 0.0]], np.float32))
    assert (statistics.mean, statistics.std) == ((2.0, 0.0), (1.0, 0.0))
    assert (statistics.minimum, statistics.maximum) == ((1.0, 0.0), (3.0, 0.0))


def test_candidates_steps_and_precisions_are_chosen_at_export(make_run, export, tmp_path):
    bundle = export(make_run(4), tmp_path / "b", candidates=2, steps=3, more_steps=(), precisions=("float16",))
    chosen = bundle.manifest.x_divo.policies
    assert {name: (settings.candidates, settings.steps, settings.precision) for name, settings in chosen.items()} == {
        "actor": (2, 1, "float32"),
        "sampler": (2, 3, "float32"),
        "actor_float16": (2, 1, "float16"),
        "sampler_float16": (2, 3, "float16"),
    }
    size = {name: (bundle.folder / f"{name}.onnx").stat().st_size for name in chosen}
    assert size["sampler_float16"] < size["sampler"]
    with bundle:
        assert bundle.open_policy("sampler_float16").noise_shape == (2, 7)
    halves = [row for row in read_report(bundle.folder / "parity.json").results if row.precision == "float16"]
    assert [row.network for row in halves] == ["actor_float16", "sampler_float16"]
    assert all(1e-6 < row.worst_fraction < 2e-2 for row in halves)  # it is another precision, and near


def test_a_bundle_can_be_checked_without_torch(exported):
    _, bundle = exported
    with load_bundle(bundle.folder) as opened:
        results = check_bundle(opened)
    assert {parity.network for parity in results} == NETWORKS
    for parity in results:
        assert (parity.observations, parity.backend) == (60, "onnxruntime")
        assert parity.compared == 60
        assert parity.worst_fraction < CLOSE
        assert parity.agreement == 1


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
