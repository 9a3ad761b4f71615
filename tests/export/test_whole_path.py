"""From nothing to a policy that acts: collect, train, export, load, play; tiny, but every part is the real one."""

from __future__ import annotations

import dataclasses
import json
from datetime import datetime, timezone

import pytest
from rich.console import Console

from divo_export.bundle import export_bundle
from divo_export.options import ExportOptions
from divo_export.parity import export_backends
from divo_runtime.bundle.loading import load_bundle
from divo_sim.arm_body import simulated_arm
from divo_sim.arm_episode import STEP_LIMIT
from divo_sim.collect import Recipe, collect
from divo_sim.inprocess import play_episode
from divo_train.config import (
    ActorConfig,
    CloningConfig,
    DiffusionConfig,
    FitConfig,
    NetworkConfig,
    OptimizerConfig,
    ValueConfig,
)
from divo_train.fit import fit


@pytest.mark.slow
def test_a_recording_becomes_a_policy_that_acts_in_the_simulator(tmp_path):
    dataset = collect(Recipe("mixed-25", 3000, seed=1), tmp_path / "data", workers=2, report=lambda _: None)
    config = FitConfig(
        dataset=str(dataset),
        out=str(tmp_path / "run"),
        network=NetworkConfig(width=32, depth=2),
        optimizer=dataclasses.replace(OptimizerConfig(), batch_size=64),
        value=dataclasses.replace(ValueConfig(), updates=200),
        diffusion=dataclasses.replace(DiffusionConfig(), updates=200),
        actor=dataclasses.replace(ActorConfig(), updates=200, width=32, cached_candidates=4, keep=2),
        cloning=CloningConfig(updates=200),
    )
    run = fit(config, Console(quiet=True))
    created = datetime(2026, 1, 1, tzinfo=timezone.utc)
    lines: list[str] = []
    options = ExportOptions(more_steps=(2,), parity_observations=100, episodes=2)
    out = export_bundle(run, tmp_path / "bundle", options, created, lines.append).folder
    kinds = len(export_backends()[0])
    assert len(lines) == 5 + kinds * (5 + 3)  # five graphs; per backend comparisons, policies in closed loop

    with load_bundle(out) as bundle:
        assert (
            bundle.manifest.x_divo.provenance.dataset_sha256
            == json.loads((dataset / "data" / "metadata.json").read_text())["content_sha256"]
        )
        robot, contract = simulated_arm(bundle.contract), bundle.contract
        outcomes = [play_episode(robot, contract, bundle.open_policy(role), 10_000) for role in ("actor", "sampler")]
        again = play_episode(robot, contract, bundle.open_policy("sampler"), 10_000)
        robot.close()
    for outcome in outcomes:
        assert 1 <= outcome.steps <= STEP_LIMIT
        assert len(outcome.path) == outcome.steps
        assert -50 < outcome.return_ < 50
    assert again == outcomes[1]
