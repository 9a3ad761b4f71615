import hashlib
import sys
from itertools import pairwise

import pytest

from divo_runtime import cli
from divo_runtime.parity.judgement import TOLERANCES, Tolerance


@pytest.fixture
def folder(write_tiny_bundle, tmp_path, arm):
    return write_tiny_bundle(tmp_path, arm, 0.5)


@pytest.fixture
def run(monkeypatch, capsys):
    """Return a function that runs the command line and returns (exit code, stdout, stderr)."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["divo-runtime", *map(str, arguments)])
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = stop.code
        return code, *capsys.readouterr()

    return run


def words(text):
    """Every line without the spaces that only align columns."""
    return [" ".join(line.split()) for line in text.splitlines()]


def test_inspect_shows_what_a_person_must_know(run, folder):
    code, out, _ = run("inspect", folder)
    assert code == 0
    sections = [above for above, line in pairwise(out.splitlines()) if line and set(line) == {"-"}]
    assert sections == [
        "two_joints",
        "Observation",
        "Action and limits",
        "Networks",
        "Training data per element",
        "Parity with the trained networks",
        "Provenance",
        "Training configuration",
        "Files (sha256, verified)",
    ]
    lines = words(out)
    for line in (
        "rate 10 Hz, ages by header time",
        "command std_msgs/msg/Float64MultiArray on 'commands' (joint_velocity)",
        "joint_position 2 rad joint_states sensor_msgs/JointState position 150 ms",
        "joint_position of a b",
        "name action [rad/s] position [rad] velocity [rad/s] acceleration",
        "a -0.8 .. 0.8 -1 .. 1 1 2",
        "sampler observation[1, 4] noise[4, 2] action[1, 2] value[4] best of 4, 5 steps float32 11 1 kB",
        "critic observation[1, 4] action[1, 2] q[2] v[1] Q and V float32 4 0 kB",
        "policy 2 terms, noise action[1, 2] actor for LEAPP float32 11 1 kB",
        "sampler sigma 1 0.1 0",
        "goal.x m 0 1 -1 1",
        "action.b rad/s 0 1 -1 1",
        "allowed in float32: 1e-04 of the range",
        "dataset_sha256 " + "0" * 64,
        "git_commit " + "0" * 40,
        "made_for tests",
    ):
        assert line in lines
    digest = hashlib.sha256((folder / "actor.onnx").read_bytes()).hexdigest()
    assert f"actor.onnx {digest}" in lines
    (sampler,) = [line for line in lines if line.startswith("sampler onnxruntime")]
    assert sampler.startswith("sampler onnxruntime float32 20 of 20 ")
    assert sampler.endswith("100.00%")
    assert max(map(len, out.splitlines())) <= 120


def test_inspect_goes_on_where_a_bundle_has_no_parity_report(run, write_tiny_bundle, tmp_path, arm):
    folder = write_tiny_bundle(tmp_path / "nan", arm, float("nan"))  # nothing to compare there
    code, out, _ = run("inspect", folder)
    assert code == 0
    assert "no parity report in this bundle" in out


def test_check_compares_with_the_answers_that_the_bundle_carries(run, folder):
    code, out, _ = run("check", folder)
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == ["network", "actor", "sampler", "critic", "policy"]


def test_check_tells_a_difference_with_exit_code_1(run, folder, monkeypatch):
    strictest = Tolerance(-1.0, -1.0, 1.0)
    monkeypatch.setitem(TOLERANCES, "float32", strictest)
    code, out, err = run("check", folder)
    assert (code, out) == (1, "")
    assert "actor in onnxruntime (float32)" in err


def test_bench_times_every_policy(run, folder):
    code, out, _ = run("bench", folder, "--calls", 20, "--warmup", 2)
    assert code == 0
    lines = out.splitlines()
    assert [line.split("(")[0].strip() for line in lines[1:]] == ["actor", "sampler"]
    assert all(line.split()[-1] == "20" for line in lines[1:])
    p50, p99, p999, worst = map(float, lines[1].split(")")[1].split()[:4])
    assert 0 < p50 <= p99 <= p999 <= worst


@pytest.mark.parametrize("arguments", [(command, "/no/such/folder") for command in ("inspect", "check", "bench")])
def test_a_mistake_ends_with_its_explanation_and_exit_code_2(run, arguments):
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert "There is no bundle folder." in err
    assert "/no/such/folder" in err
    assert "fix: " in err
    assert "Traceback" not in err


def test_bench_of_nothing_is_a_mistake(run, folder):
    code, _, err = run("bench", folder, "--calls", 0)
    assert code == 2
    assert "--calls >= 1" in err


def test_an_unknown_engine_is_a_mistake(run, folder):
    code, _, err = run("bench", folder, "--backend", "abacus")
    assert code == 2
    assert "one of onnxruntime" in err
