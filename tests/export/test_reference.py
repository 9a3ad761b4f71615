"""The batched reference is the trained policy, and a run with a NaN in it is refused by name."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from divo_export.closed_loop import deployed_in_torch
from divo_export.graphs import load_trained
from divo_export.options import ExportOptions, require_sensible
from divo_export.reference import sample_observations, torch_sample
from divo_runtime.errors import DivoError
from divo_runtime.parity.sample import draw_noise
from divo_train.checkpoint import CheckpointError, load_tensors, save_tensors
from divo_train.data.minari import load_minari


@pytest.mark.parametrize("name", ["actor", "sampler", "sampler_k2"])
def test_the_reference_is_what_the_trained_policy_does(exported, name, arm_dataset):
    run, bundle = exported
    trained, policies = load_trained(run), bundle.manifest.x_divo.policies
    observations = sample_observations(load_minari(arm_dataset), 30, seed=2)
    sample = torch_sample(trained, policies, observations, seed=9)
    policy = deployed_in_torch(trained.networks, policies[name])
    noise = draw_noise(9, 30, policy.noise_shape)
    reference = sample.policies[name]
    for index, observation in enumerate(observations):
        chosen = policy.act(observation, noise[index])
        np.testing.assert_allclose(reference.action[index], chosen.action, atol=2e-6)
        value = chosen.value if policies[name].valued else 0.0  # nothing chooses, so nothing is valued
        assert reference.value[index].max() == pytest.approx(value, abs=1e-5)
        best = reference.value[index].argmax()
        np.testing.assert_array_equal(reference.candidates[index, best], reference.action[index])


@pytest.mark.parametrize(
    ("key", "at", "what", "where"),
    [
        ("normalizer.std", (16,), "An observation statistic is not finite", r"element 'tool_position\.z'"),
        ("actor.actor.trunk.head.bias", (2,), "A weight is not finite", r"actor\.trunk\.head\.bias\[2\]"),
    ],
)
def test_a_run_with_a_nan_in_it_is_not_exported(make_run, export, tmp_path, key, at, what, where):
    run = make_run(1)
    tensors, metadata = load_tensors(run / "policy.safetensors")
    tensors[key] = tensors[key].clone()
    tensors[key][at] = torch.nan
    save_tensors(run / "policy.safetensors", tensors, metadata)
    with pytest.raises(CheckpointError, match=rf"{what}[\s\S]*{where}[\s\S]*got: nan"):
        export(run, tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "where"),
    [
        ({"candidates": 0}, "--candidates"),
        ({"steps": -1}, "--steps"),
        ({"more_steps": (2, 0)}, "--more-steps"),
        ({"parity_observations": 0}, "--parity-observations"),
        ({"episodes": -1}, "--episodes"),
    ],
)
def test_an_option_that_means_nothing_is_refused(options, where):
    with pytest.raises(DivoError) as caught:
        require_sensible(ExportOptions(**options))
    assert caught.value.where == where
    require_sensible(ExportOptions(episodes=0))
