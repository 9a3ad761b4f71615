from __future__ import annotations

import sys

import pytest

from divo_export.cli import main


@pytest.fixture
def run_cli(monkeypatch, capsys):
    def run_cli(*arguments):
        monkeypatch.setattr(sys, "argv", ["divo-export", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as end:
            code = end.code
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run_cli


def test_the_command_writes_a_bundle_and_lists_its_files_and_check_agrees(run_cli, make_run, tmp_path):
    run, out = make_run(2), tmp_path / "bundles" / "arm_reach"
    code, text, error = run_cli("bundle", run, "--out", out, "--parity-observations", 20, "--episodes", 0)
    assert (code, error) == (0, "")
    assert all(name in text for name in ("actor.onnx", "sampler.onnx", "critic.onnx", "parity.json"))
    assert (out / "arm_reach.yaml").exists()
    code, text, _ = run_cli("check", out, "--run", run, "--parity-observations", 20, "--episodes", 0)
    assert code == 0
    assert "computes what" in text
    code, _, error = run_cli("check", out, "--run", make_run(2, seed=7), "--parity-observations", 20, "--episodes", 0)
    assert code == 2
    assert "does not compute what was trained" in error


def test_a_run_that_is_not_there_is_one_clear_error(run_cli, tmp_path):
    code, _, error = run_cli("bundle", tmp_path / "nothing", "--out", tmp_path / "bundle")
    assert code == 2
    assert error.startswith("error: There is no finished run here.")
    assert "Traceback" not in error
