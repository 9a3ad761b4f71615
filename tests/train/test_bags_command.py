"""`divo-train import` as a person runs it."""

from __future__ import annotations

import pytest

import bag_maker as make
from divo_train import cli
from divo_train.data.minari import load_minari


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run the command in an empty folder with `contract.yaml` and a bag `bags/one`; return status and output."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    (tmp_path / "contract.yaml").write_text(make.CONTRACT)
    (tmp_path / "bags").mkdir()
    make.robot_tape(seconds=2).write(tmp_path / "bags" / "one")

    def run(*arguments):
        command = ["divo-train", "import", *arguments, "--contract", "contract.yaml", "--out", "root/robot-v0"]
        monkeypatch.setattr("sys.argv", command)
        try:
            cli.main()
        except SystemExit as stop:
            status = stop.code
        else:
            status = 0
        streams = capsys.readouterr()
        return status, streams.out + streams.err

    return run


def test_a_folder_of_bags_becomes_a_dataset_with_a_report(run, tmp_path):
    make.robot_tape(seconds=2).write(tmp_path / "bags" / "two")
    status, output = run("bags", "--reward", "none", "--workers", "1")
    assert status == 0, output
    assert "78 transitions, 2 episodes" in output
    assert len(load_minari(tmp_path / "root" / "robot-v0")) == 78
    assert "<html" in (tmp_path / "root" / "robot-v0" / "import.html").read_text()


def test_warnings_are_printed(run, tmp_path):
    make.robot_tape(order=(1, 0)).write(tmp_path / "swapped")
    status, output = run("swapped", "--reward", "none")
    assert status == 0
    assert "warning (joint order): The command of a moves b" in output


def test_the_reward_s_source_must_be_said(run):
    status, output = run("bags")
    assert status == 2
    assert "Nothing says where the reward comes from" in output
    assert "--reward none" in output


def test_two_sources_of_reward_are_one_too_many(run):
    status, output = run("bags", "--reward", "module:function", "--reward-topic", "reward")
    assert status == 2
    assert "The reward's source is not clear" in output


def test_settings_of_the_command_line_stand_in_the_dataset_s_contract(run, tmp_path):
    status, output = run("bags", "--reward", "none", "--clock", "receive")
    assert status == 0, output
    assert load_minari(tmp_path / "root" / "robot-v0").contract.clock == "receive"


def test_when_nothing_is_kept_the_causes_are_told_and_the_report_is_written(run, tmp_path):
    tape = make.robot_tape(seconds=2)
    for _, topic, message in tape.entries:
        if topic == "/goal":
            message.header.stamp.sec -= 5
    tape.write(tmp_path / "stale")
    status, output = run("stale", "--reward", "none")
    assert status == 2
    assert "Not one transition could be imported" in output
    assert "goal: stale" in output
    assert "<html" in (tmp_path / "root" / "robot-v0.import.html").read_text()
    assert not (tmp_path / "root" / "robot-v0").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--reward", "none"), "No recording is given"),
        (("nowhere", "--reward", "none"), "no recording that can be imported"),
        (("contract.yaml", "--reward", "none"), "no recording that can be imported"),
        (("bags", "bags/one", "--reward", "none"), "given twice"),
        (("bags", "--reward", "none", "--gap", "0.5"), "out of range"),
        (("bags", "--reward", "none", "--remap", "goal"), "remap cannot be read"),
    ],
)
def test_wrong_arguments_are_named(run, arguments, message):
    status, output = run(*arguments)
    assert status == 2
    assert message in output
