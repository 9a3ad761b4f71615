"""The training loop: reproducible, resumable, and loud when it diverges."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from divo_train.checkpoint import CheckpointError, load_tensors, save_tensors
from divo_train.config import ActorConfig, FitConfig, NetworkConfig, OptimizerConfig
from divo_train.data.training_set import training_set
from divo_train.methods import METHODS, stages_of
from divo_train.metrics import MetricsLog, read_metrics
from divo_train.replicas import Replicas
from divo_train.training import (
    DivergedError,
    checkpoint_path,
    finished_tensors,
    learning_rate,
    snapshot_path,
    snapshot_steps,
    train,
)

UPDATES = 25


class KilledError(Exception):
    """Stands for whatever ends a run in its middle."""


class Dying:
    """A real learner that is killed at a step."""

    def __init__(self, learner, last_step):
        self.networks, self.averages, self._learner = learner.networks, learner.averages, learner
        self.period = learner.period
        self._last_step = last_step

    def draw(self, step):
        if step == self._last_step:
            raise KilledError
        return self._learner.draw(step)

    def loss(self, batch, step):
        return self._learner.loss(batch, step)


@pytest.fixture(scope="module")
def data(bandit):
    return training_set(bandit.bandit_dataset(200), "cpu")


@pytest.fixture
def config(tmp_path):
    return FitConfig(
        out=str(tmp_path / "run"),
        network=NetworkConfig(width=8, depth=2),
        optimizer=dataclasses.replace(OptimizerConfig(), batch_size=16),
        actor=dataclasses.replace(ActorConfig(), cached_candidates=4, keep=2),
        checkpoint_every=10,
        log_every=4,
    )


STAGES = {stage.name: stage for stage in stages_of(tuple(METHODS))}


def learner_of(name, data, config, seed=0):
    """Build a stage's learner on untrained upstream networks."""
    torch.manual_seed(99)
    value = STAGES["value"].build(data, config, {}).networks.state_dict()
    upstream = {"value": value, "selector": value}
    upstream |= {
        key: STAGES["diffusion"].build(data, config, upstream).networks.state_dict()
        for key in STAGES
        if key.startswith("diffusion")
    }
    torch.manual_seed(seed)
    return STAGES[name].build(data, config, upstream)


def run(learner, config, name, report=None, updates=UPDATES):
    """Train one learner."""
    return train(Replicas([learner]), updates, config, name, report or ignore)


def ignore(step, metrics):
    """Report to nobody."""


def folder_of(config):
    return Path(config.out)


def metrics_of(config, name):
    return (folder_of(config) / "metrics" / f"{name}.csv").read_bytes()


def saved(config, folder):
    return dataclasses.replace(config, out=f"{config.out}-{folder}")


@pytest.mark.parametrize("name", STAGES)
def test_a_killed_run_ends_in_the_same_state_as_an_unbroken_one(name, data, config):
    unbroken, broken = saved(config, "unbroken"), saved(config, "broken")
    run(learner_of(name, data, config), unbroken, name)
    with pytest.raises(KilledError):
        run(Dying(learner_of(name, data, config), last_step=17), broken, name)
    path = checkpoint_path(folder_of(broken), name)
    assert load_tensors(path)[1]["step"] == 10  # at most the last interval is lost
    assert finished_tensors(folder_of(broken), name, UPDATES) is None
    steps = []
    run(learner_of(name, data, config, seed=5), broken, name, lambda step, _: steps.append(step))
    assert steps == [12, 16, 20, 24, 25]
    (got, metadata), (expected, _) = load_tensors(path), load_tensors(checkpoint_path(folder_of(unbroken), name))
    assert metadata == {"step": UPDATES, "updates": UPDATES}
    assert {key: tensor.numpy().tobytes() for key, tensor in got.items()} == {
        key: tensor.numpy().tobytes() for key, tensor in expected.items()
    }  # optimiser included
    assert metrics_of(broken, name) == metrics_of(unbroken, name)


def test_another_seed_gives_other_weights(data, config):
    other = dataclasses.replace(saved(config, "other"), seed=1)
    first = run(learner_of("cloning", data, config), config, "cloning")
    second = run(learner_of("cloning", data, other), other, "cloning")
    assert any(not torch.equal(first[key], second[key]) for key in first)


def test_a_finished_stage_is_not_trained_again(data, config):
    first = run(learner_of("cloning", data, config), config, "cloning")
    steps = []
    again = run(learner_of("cloning", data, config, seed=5), config, "cloning", lambda s, _: steps.append(s))
    assert steps == []
    assert all(torch.equal(first[key], again[key]) for key in first)


class Diverging(Dying):
    """A real learner whose loss becomes NaN."""

    def draw(self, step):
        return self._learner.draw(step)

    def loss(self, batch, step):
        loss, metrics = self._learner.loss(batch, step)
        broken = loss * (float("nan") if step >= self._last_step else 1.0)
        return broken, {**metrics, "cloning_loss": broken}


@pytest.mark.parametrize("log_every", [4, 1000])
def test_a_loss_that_is_not_finite_ends_the_run_and_spoils_no_checkpoint(log_every, data, config):
    config = dataclasses.replace(config, log_every=log_every)
    with pytest.raises(DivergedError, match=r"stage 'cloning', step (16|20)"):
        run(Diverging(learner_of("cloning", data, config), last_step=15), config, "cloning")
    tensors, metadata = load_tensors(checkpoint_path(folder_of(config), "cloning"))
    assert metadata["step"] == 10
    assert all(tensor.isfinite().all() for tensor in tensors.values())


def test_snapshots_are_equally_spaced_and_the_last_one_is_the_result(data, config):
    assert snapshot_steps(25, 3) == (8, 17, 25)
    assert snapshot_steps(2, 4) == (1, 2)  # 0.5 and 1.5 round to even numbers, of which 0 is none
    assert snapshot_steps(25, 0) == ()
    final = run(learner_of("cloning", data, config), dataclasses.replace(config, snapshots=3), "cloning")
    files = sorted((folder_of(config) / "snapshots" / "cloning").iterdir())
    assert {file.name for file in files} == {"8.safetensors", "17.safetensors", "25.safetensors"}
    last, metadata = load_tensors(snapshot_path(folder_of(config), "cloning", 25))
    assert metadata["step"] == 25
    assert last.keys() == final.keys()
    assert all(torch.equal(last[name], final[name]) for name in final)
    first, _ = load_tensors(snapshot_path(folder_of(config), "cloning", 8))
    assert not any(torch.equal(first[name], final[name]) for name in final)


def test_the_step_size_falls_along_a_cosine_from_the_full_rate_to_its_fraction():
    settings = OptimizerConfig(learning_rate=0.1, final_fraction=0.2)
    assert learning_rate(1, 101, settings) == pytest.approx(0.1)
    assert learning_rate(51, 101, settings) == pytest.approx(0.06)  # half way: (0.1 + 0.02) / 2
    assert learning_rate(101, 101, settings) == pytest.approx(0.02)
    assert learning_rate(1, 1, settings) == pytest.approx(0.1)


def test_a_damaged_checkpoint_is_named(data, config):
    run(learner_of("cloning", data, config), config, "cloning", updates=10)
    path = checkpoint_path(folder_of(config), "cloning")
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(CheckpointError, match=r"cloning\.safetensors[\s\S]*Delete the file"):
        run(learner_of("cloning", data, config), config, "cloning")


def test_a_checkpoint_of_other_networks_is_refused(data, config):
    run(learner_of("cloning", data, config), config, "cloning", updates=10)
    wider = dataclasses.replace(config, network=NetworkConfig(width=16, depth=2))
    with pytest.raises(CheckpointError, match="other network settings"):
        run(learner_of("cloning", data, wider), wider, "cloning")


def test_a_foreign_tensor_file_is_refused(data, config):
    path = checkpoint_path(folder_of(config), "cloning")
    path.parent.mkdir(parents=True)
    save_file({"weight": torch.zeros(3)}, path)
    with pytest.raises(CheckpointError):
        run(learner_of("cloning", data, config), config, "cloning")


def test_a_kill_while_writing_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "weights.safetensors"
    save_tensors(path, {"weight": torch.ones(2)}, {"step": 1})

    def die(*_):
        raise KilledError

    monkeypatch.setattr("os.replace", die)
    with pytest.raises(KilledError):
        save_tensors(path, {"weight": torch.zeros(2)}, {"step": 2})
    tensors, metadata = load_tensors(path)
    assert tensors["weight"].tolist() == [1.0, 1.0]
    assert metadata == {"step": 1}


def test_rows_after_the_step_that_a_run_resumes_from_are_dropped(tmp_path):
    with MetricsLog(tmp_path, "value", 0) as log:
        for step in (2, 4, 6):
            log.write(step, {"loss": step / 8, "v": 1.0})
    with MetricsLog(tmp_path, "value", 4) as log:
        log.write(6, {"loss": 9.0, "v": 2.0})
    assert (tmp_path / "metrics" / "value.csv").read_text().split() == [
        "step,loss,v",
        "2,0.25,1.0",
        "4,0.5,1.0",
        "6,9.0,2.0",
    ]


@pytest.mark.parametrize("half", ["6", "6,0.7", "6,0.75,1", "6,0.75,1e-"])
def test_a_half_written_row_is_left_out(tmp_path, half):
    path = tmp_path / "metrics" / "value.csv"
    path.parent.mkdir()
    path.write_text(f"step,loss,v\r\n2,0.25,1.0\r\n{half}", newline="")
    assert read_metrics(path) == [{"step": 2.0, "loss": 0.25, "v": 1.0}]
