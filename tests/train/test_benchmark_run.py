"""A tiny benchmark from a dataset to its tables, killed on the way, and refused where its runs are others'."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import gymnasium
import pytest
import yaml
from rich.console import Console

from divo_runtime.errors import DivoError
from divo_train.benchmark.cells import cells_of
from divo_train.benchmark.command import BenchmarkConfig, run_benchmark
from divo_train.benchmark.episodes import read_results
from divo_train.benchmark.plan import fit_configs, read_plan
from divo_train.benchmark.snapshots import load_snapshot
from divo_train.evaluate import play_episode
from divo_train.policies import torch_policy
from divo_train.trained import load_networks

PATIENCE_S = 120
SETTINGS = {
    "network": {"width": 8, "depth": 2}, "optimizer": {"batch_size": 16}, "checkpoint_every": 10, "log_every": 5,
    "value": {"updates": 20}, "diffusion": {"updates": 20}, "cloning": {"updates": 20},
    "actor": {"updates": 20, "width": 8, "cached_candidates": 2, "keep": 1},
}  # fmt: skip


def plan_file(folder, dataset, **changes):
    plan = {
        "name": "tiny", "policies": ["sampler", "bc"], "seeds": 2, "episodes": 2, "probe_episodes": 1,
        "curves": {"snapshots": 2, "episodes": 1, "policies": ["sampler"]}, "settings": SETTINGS,
        "method_settings": {"bc": {"cloning": {"updates": 10}}},
        "trials": [{
            "name": "arm", "dataset": str(dataset), "random_return": -10, "expert_return": 8,
            "probes": {"closed": "divo_sim.environments:divo/ArmReachInnerClosed-v0"},
        }],
    }  # fmt: skip
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump({**plan, **changes}))
    return path


def run(plan, folder, tables_only=False):
    command = BenchmarkConfig(plan, folder / "runs", folder / "results", workers=1, tables_only=tables_only)
    return run_benchmark(command, Console(quiet=True))


@pytest.mark.slow
def test_a_benchmark_that_was_killed_plays_the_rest_and_publishes_every_episode(arm_dataset, tmp_path):
    path = plan_file(tmp_path, arm_dataset)
    plan = read_plan(path)
    trial, folder = plan.trials[0], tmp_path / "runs" / "tiny" / "arm"
    words = ["benchmark", str(path), "--runs", str(tmp_path / "runs"), "--results", str(tmp_path / "results")]
    process = subprocess.Popen(
        [sys.executable, "-m", "divo_train.cli", *words, "--workers", "1"], stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + PATIENCE_S
    while not list(folder.glob("episodes/*.csv")):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    kept = {cell: cell.path(folder).stat().st_mtime_ns for cell in cells_of(plan, trial) if cell.path(folder).exists()}
    weights = {file: file.stat().st_mtime_ns for file in folder.rglob("policy.safetensors")}
    assert not (tmp_path / "results" / "tiny").exists()
    run(path, tmp_path, tables_only=True)
    assert set(read_results(tmp_path / "results" / "tiny" / "arm.csv", "arm")) == set(kept)

    tables = run(path, tmp_path)
    assert {cell: cell.path(folder).stat().st_mtime_ns for cell in kept} == kept
    assert {file: file.stat().st_mtime_ns for file in weights} == weights
    played = read_results(tmp_path / "results" / "tiny" / "arm.csv", "arm")
    assert {cell: len(episodes) for cell, episodes in played.items()} == {
        cell: 1 if cell.point or cell.environment == "closed" else 2 for cell in cells_of(plan, trial)
    }
    assert len(played) == 2 * 2 + 2 * 2 + 2  # evaluation, probe, half-way point of the sampler's curve
    assert "| BC |" in tables.read_text()

    world = gymnasium.make("divo_sim.environments:divo/ArmReach-v0")
    for cell in [cell for cell in played if not cell.point and cell.environment == "default"]:
        out = folder / "bc" if cell.policy == "bc" else folder
        policy = torch_policy(load_networks(out / f"seed-{cell.seed}"), cell.policy)
        for together in played[cell]:  # the same episodes as one at a time
            alone = play_episode(world, policy, together.seed)
            assert (together.steps, together.success) == (alone.steps, alone.success)
            assert together.return_ == pytest.approx(alone.return_, rel=1e-5)
    world.close()

    configs = fit_configs(plan, trial, folder)
    early, late = load_snapshot(configs["divo"], 1, 1), load_snapshot(configs["divo"], 1, 2)
    final = load_networks(Path(configs["divo"].out) / "seed-1")
    assert set(early.stages) == set(final.stages) == {"value", "selector", "diffusion", "actor"}
    key = next(iter(final.stages["diffusion"]))
    assert (late.stages["diffusion"][key] == final.stages["diffusion"][key]).all()
    assert not (early.stages["diffusion"][key] == final.stages["diffusion"][key]).all()
    assert load_networks(folder / "bc" / "seed-0").config.cloning.updates == 10

    more = {"name": "more", "networks": "tiny", "curves": None}
    run(plan_file(tmp_path, arm_dataset, **more, policies=["sampler", "sampler@3"]), tmp_path)
    assert {file: file.stat().st_mtime_ns for file in weights} == weights  # nothing is trained again
    by_candidates = read_results(tmp_path / "results" / "more" / "arm.csv", "arm")
    assert len(by_candidates) == 2 * 2 * 2
    assert {cell: by_candidates[cell] for cell in by_candidates if cell.policy == "sampler"} == {
        cell: played[cell] for cell in by_candidates if cell.policy == "sampler"
    }
    with pytest.raises(DivoError, match="does not choose"):
        run(plan_file(tmp_path, arm_dataset, **more, policies=["bc@2"]), tmp_path)

    with pytest.raises(DivoError, match="other settings"):
        run(plan_file(tmp_path, arm_dataset, episodes=3, settings={**SETTINGS, "value": {"updates": 30}}), tmp_path)


def test_a_backend_that_is_not_there_says_what_to_install(arm_dataset, tmp_path, monkeypatch):
    command = BenchmarkConfig(plan=plan_file(tmp_path, arm_dataset), runs=tmp_path, results=tmp_path, backend="ray")
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(DivoError, match="pip install ray"):
        run_benchmark(command, Console(quiet=True))
    with pytest.raises(DivoError, match="loky or ray"):
        run_benchmark(BenchmarkConfig(plan=command.plan, backend="dask"), Console(quiet=True))
