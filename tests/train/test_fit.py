"""`divo-train fit` as a user runs it: killed, started again, and given bad input."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from safetensors.torch import load_file

from divo_train.checkpoint import CheckpointError
from divo_train.cli import main
from divo_train.trained import load_networks

UPDATES = 240
SETTINGS = (
    "--network.width", "16", "--actor.width", "16", "--optimizer.batch-size", "32", "--value.updates", str(UPDATES),
    "--diffusion.updates", str(UPDATES), "--actor.updates", str(UPDATES), "--cloning.updates", str(UPDATES),
    "--actor.cached-candidates", "4", "--actor.keep", "2", "--checkpoint-every", "20", "--log-every", "10",
    "--workers", "1",
)  # fmt: skip
PATIENCE_S = 60


def command(dataset, out, *more):
    return [
        sys.executable,
        "-m",
        "divo_train.cli",
        "fit",
        "--dataset",
        str(dataset),
        "--out",
        str(out),
        *SETTINGS,
        *more,
    ]


def fit(dataset, out, *more):
    return subprocess.run(command(dataset, out, *more), capture_output=True, text=True, timeout=120)


def end_after_a_checkpoint(dataset, out, number):
    """Start a run and send the signal to what Ctrl-C (the whole group) or kill -9 (the one process) would reach."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it, and so would this
    path = out / "checkpoints" / "value.safetensors"
    before = path.stat().st_mtime_ns if path.exists() else 0
    process = subprocess.Popen(
        command(dataset, out), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    deadline = time.monotonic() + PATIENCE_S
    while not (path.exists() and path.stat().st_mtime_ns > before):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.002)
    workers = children_of(process.pid)
    if number == signal.SIGINT:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    out, error = process.communicate(timeout=PATIENCE_S)
    return process.returncode, out + error, workers


def children_of(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def wait_for_the_end_of(processes):
    deadline = time.monotonic() + PATIENCE_S
    while any(Path(f"/proc/{pid}").exists() for pid in processes):
        assert time.monotonic() < deadline, f"still running: {processes}"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def unbroken(arm_dataset, tmp_path_factory):
    folder = tmp_path_factory.mktemp("unbroken") / "run"
    done = fit(arm_dataset, folder)
    assert done.returncode == 0, done.stderr
    (folder.parent / "said").write_text(done.stdout)
    return folder


def test_a_run_folder_holds_weights_settings_metrics_and_curves(unbroken):
    names = {path.name for path in unbroken.iterdir()}
    assert names >= {"config.json", "contract.yaml", "dataset.json", "policy.safetensors", "curves.png", "metrics"}
    assert {path.stem for path in (unbroken / "metrics").iterdir()} == {
        "value", "selector", "diffusion", "actor", "cloning"
    }  # fmt: skip
    assert any((unbroken / "tensorboard" / "value").iterdir())
    networks = load_networks(unbroken)
    assert None not in (networks.denoiser, networks.actor, networks.q_networks, networks.value)
    assert "cloning" in networks.stages
    assert networks.config.network.width == 16


def test_a_log_which_has_no_bars_is_told_every_tenth_of_a_stage(unbroken):
    told = [line for line in (unbroken.parent / "said").read_text().splitlines() if line.startswith("value ")]
    steps = [int(line.split()[1]) for line in told if " of 240: value_loss " in line]
    assert steps == [30, 50, 80, 100, 120, 150, 170, 200, 220, 240]


@pytest.mark.slow
def test_a_run_that_was_interrupted_and_killed_ends_as_an_unbroken_one(arm_dataset, unbroken, tmp_path):
    out = tmp_path / "run"
    code, text, workers = end_after_a_checkpoint(arm_dataset, out, signal.SIGINT)
    assert code == 130
    assert "goes on from the last checkpoint" in text
    assert "Traceback" not in text
    wait_for_the_end_of(workers)
    code, _, workers = end_after_a_checkpoint(arm_dataset, out, signal.SIGKILL)
    assert code == -signal.SIGKILL
    wait_for_the_end_of(workers)  # a worker left behind would write into the run that is started next
    assert not (out / "policy.safetensors").exists()
    done = fit(arm_dataset, out)
    assert done.returncode == 0, done.stderr
    expected, got = load_file(unbroken / "policy.safetensors"), load_file(out / "policy.safetensors")
    assert expected.keys() == got.keys()
    assert all(expected[key].numpy().tobytes() == got[key].numpy().tobytes() for key in expected)
    for path in (unbroken / "metrics").iterdir():
        assert (out / "metrics" / path.name).read_bytes() == path.read_bytes()


def test_a_damaged_checkpoint_ends_the_run_with_its_name_and_a_fix(arm_dataset, unbroken, tmp_path):
    out = shutil.copytree(unbroken, tmp_path / "run")
    path = out / "checkpoints" / "cloning.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    done = fit(arm_dataset, out, "--methods", "bc")
    assert done.returncode == 2
    assert "Cannot read the weights" in done.stderr
    assert "cloning.safetensors" in done.stderr
    assert "Delete the file" in done.stderr
    assert "Traceback" not in done.stderr + done.stdout


@pytest.mark.parametrize("damage", [lambda content: content[:200], lambda content: b"", lambda content: b"x" * 300])
def test_damaged_weights_are_refused(unbroken, tmp_path, damage):
    path = tmp_path / "policy.safetensors"
    path.write_bytes(damage((unbroken / "policy.safetensors").read_bytes()))
    with pytest.raises(CheckpointError, match=r"policy\.safetensors"):
        load_networks(tmp_path)


def test_a_checkpoint_taken_for_the_weights_is_refused(unbroken, tmp_path):
    shutil.copy(unbroken / "checkpoints" / "actor.safetensors", tmp_path / "policy.safetensors")
    with pytest.raises(CheckpointError, match="do not say what they were trained for"):
        load_networks(tmp_path)


def test_a_run_without_weights_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"no finished run[\s\S]*divo-train fit"):
        load_networks(tmp_path)


@pytest.fixture
def refused(monkeypatch, capsys):
    """Run the command in this process; return its message after checking that it ends as a user can bear."""

    def refused(*arguments):
        monkeypatch.setattr(sys, "argv", ["divo-train", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            main()
        assert caught.value.code == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ")
        assert "Traceback" not in error
        return error

    return refused


def test_a_missing_dataset_is_one_clear_error(refused, tmp_path):
    error = refused("fit", "--dataset", tmp_path / "nothing", "--out", tmp_path / "run")
    assert "divo-sim collect" in error
    assert not (tmp_path / "run").exists()


def test_a_nan_in_the_data_is_named(refused, arm_dataset, tmp_path):
    dataset = shutil.copytree(arm_dataset, tmp_path / "data")
    with h5py.File(dataset / "data" / "main_data.hdf5", "r+") as file:
        file["episode_1/actions"][2, 3] = np.nan
        row = len(file["episode_0/actions"]) + 2
    error = refused("fit", "--dataset", dataset, "--out", tmp_path / "run")
    assert f"actions[{row}, 3]" in error


def test_another_dataset_under_a_run_is_refused(refused, arm_dataset, unbroken, tmp_path):
    out, dataset = shutil.copytree(unbroken, tmp_path / "run"), shutil.copytree(arm_dataset, tmp_path / "data")
    metadata = json.loads((dataset / "data" / "metadata.json").read_text())
    metadata["content_sha256"] = "0" * 64
    (dataset / "data" / "metadata.json").write_text(json.dumps(metadata))
    error = refused("fit", "--dataset", dataset, "--out", out, *SETTINGS)
    assert "another dataset" in error
    assert "0" * 64 in error


@pytest.mark.parametrize(
    ("setting", "value", "before"), [("value.members", 2, "4"), ("seed", 1, "0"), ("value.discount", 0.9, "0.97")]
)
def test_other_settings_under_a_run_are_refused_and_leave_its_note_alone(
    refused, arm_dataset, unbroken, setting, value, before
):
    note = (unbroken / "config.json").read_text()
    error = refused("fit", "--dataset", arm_dataset, "--out", unbroken, *SETTINGS, f"--{setting}", value)
    assert f"{setting} {value}" in error
    assert f"{setting} {before}" in error
    assert (unbroken / "config.json").read_text() == note


def test_what_does_not_change_the_result_may_change_under_a_run(arm_dataset, unbroken, tmp_path):
    out = shutil.copytree(unbroken, tmp_path / "run")
    moved = shutil.copytree(arm_dataset, tmp_path / "moved")
    before = (out / "policy.safetensors").read_bytes()
    done = fit(moved, out, "--threads", "2")
    assert done.returncode == 0, done.stderr
    assert (out / "policy.safetensors").read_bytes() == before


def test_a_device_that_is_not_there_is_refused(refused, arm_dataset, tmp_path):
    assert "--device" in refused("fit", "--dataset", arm_dataset, "--out", tmp_path / "run", "--device", "abacus")


def test_evaluating_a_run_that_is_not_there_is_one_clear_error(refused, tmp_path):
    assert "no finished run" in refused("evaluate", tmp_path)
