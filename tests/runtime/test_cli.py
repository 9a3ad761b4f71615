import sys

import pytest

from divo_runtime import cli


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


def test_inspect_shows_what_a_person_must_know(run, folder):
    code, out, _ = run("inspect", folder)
    assert code == 0
    for text in (
        "10 Hz",
        "std_msgs/msg/Float64MultiArray on 'commands'",
        "joint_position.a",
        "-0.8 .. 0.8",
        "-1 .. 1",
        "observation[1, 4] noise[4, 2]",
        "best of 4, 5 steps, sigma 1 0.1 0",
        "actor.onnxruntime  0 0",
        "made_for",
        "actor.onnx ",
    ):
        assert text in out


def test_inspect_counts_the_parameters_of_each_network(run, folder):
    _, out, _ = run("inspect", folder)
    (actor,) = [line for line in out.splitlines() if line.startswith("actor ")]
    assert actor.split("action[1, 2] value[1]")[1].split()[0] == "11"  # weight 2 * 4, bias 2, gain 1


def test_bench_times_every_policy(run, folder):
    code, out, _ = run("bench", folder, "--calls", 20, "--warmup", 2)
    assert code == 0
    lines = out.splitlines()
    assert [line.split("(")[0].strip() for line in lines[1:]] == ["actor", "sampler"]
    assert all(line.split()[-1] == "20" for line in lines[1:])
    p50, p99, p999, worst = map(float, lines[1].split(")")[1].split()[:4])
    assert 0 < p50 <= p99 <= p999 <= worst


@pytest.mark.parametrize("arguments", [("inspect", "/no/such/folder"), ("bench", "/no/such/folder")])
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
