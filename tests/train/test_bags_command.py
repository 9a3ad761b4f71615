"""`divo-train import` as a person runs it."""

from __future__ import annotations

import pytest

import bag_maker as make
from divo_runtime.errors import DatasetError
from divo_train import cli
from divo_train.data.bags.bag import open_bag
from divo_train.data.minari import load_minari
from divo_train.import_command import find_sources


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
    assert "goal: stale: 39 (100.00%), first because of: 5048 ms old, allowed 1000 ms" in output
    assert "raise max_age_ms" in output
    assert "<html" in (tmp_path / "root" / "robot-v0.import.html").read_text()
    assert not (tmp_path / "root" / "robot-v0").exists()


def test_a_joint_that_is_missing_is_told_by_name_when_nothing_is_kept(run, tmp_path):
    tape = make.robot_tape(seconds=2)
    for at_ns, topic, _ in list(tape.entries):
        if topic == "/joint_states":
            gripper = make.joint_state(at_ns + make.MS, [0.1], [0], ("gripper",))
            tape.add(at_ns - make.BEGIN_NS + make.MS, topic, gripper)
    tape.write(tmp_path / "split")
    status, output = run("split", "--reward", "none")
    assert status == 2
    assert "first because of: a, b not among gripper" in output
    assert "One message must hold all joints" in output
    assert "no bag" not in output


def test_no_period_and_no_bag_are_told_apart(run, tmp_path):
    tape = make.robot_tape(seconds=2)
    tape.entries = [entry for entry in tape.entries if entry[1] != "/commands"]
    tape.write(tmp_path / "silent")
    status, output = run("silent", "--reward", "none", "--keep-going")
    assert status == 2
    assert "no bag that could be read (silent: The bag does not hold the topic of the command.)" in output
    last = max(at for at, _, _ in tape.entries)
    tape.entries = [entry for entry in tape.entries if entry[1] != "/goal"]
    tape.add(last - make.BEGIN_NS, "/goal", make.point(last, 0, 0)).write(tmp_path / "late")
    status, output = run("late", "--reward", "none", "--action", "measured")
    assert status == 2
    assert "1 bags with 201 messages, and no control period" in output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--reward", "none"), "No recording is given"),
        (("nowhere", "--reward", "none"), "no recording that can be imported"),
        (("contract.yaml", "--reward", "none"), "no recording that can be imported"),
        (("bags", "bags/one", "--reward", "none"), "given twice"),
        (("bags", "--reward", "none", "--gap", "0.5"), "out of range"),
        (("bags", "--reward", "none", "--remap", "goal"), "remap cannot be read"),
        (("bags", "--reward", "none", "--remap", "gaol:=/goal"), "Did you mean goal?"),
        (("bags", "--reward", "none", "--remap", "camera:=/goal"), "joint_states, goal, commands"),
        (("bags", "--reward", "none", "--remap", "goal:=/a", "/goal:=/b"), "remapped twice"),
    ],
)
def test_wrong_arguments_are_named(run, arguments, message):
    status, output = run(*arguments)
    assert status == 2
    assert message in output


def test_a_remap_may_be_spelled_as_ros_does(run, tmp_path):
    tape = make.robot_tape(seconds=2)
    tape.entries = [(at, "/camera/goal" if topic == "/goal" else topic, m) for at, topic, m in tape.entries]
    tape.write(tmp_path / "renamed")
    status, output = run("renamed", "--reward", "none", "--remap", "/goal:=/camera/goal")
    assert status == 0, output


def test_a_folder_of_a_controller_s_recordings_holds_one_bag_per_file(run, tmp_path):
    folder = tmp_path / "recordings"
    folder.mkdir()
    for name in ("arm_20260101_180000", "arm_20260101_180000_2", "arm_20260102_090000"):
        make.robot_tape(seconds=2).write_mcap(folder / f"{name}.mcap")
    make.robot_tape(seconds=2).write(folder / "by_hand")
    status, output = run("recordings", "--reward", "none", "--workers", "1")
    assert status == 0, output
    assert "156 transitions, 4 episodes" in output


def test_splits_without_metadata_are_one_bag_and_other_files_are_not(tmp_path):
    folder = tmp_path / "run.v1"
    folder.mkdir()
    for name in ("run.v1_0.mcap", "run.v1_1.mcap", "run.v1_10.mcap.zstd"):
        (folder / name).touch()
    assert find_sources((tmp_path,)) == [folder]
    (folder / "other.mcap").touch()
    assert [path.name for path in find_sources((tmp_path,))] == sorted(path.name for path in folder.iterdir())
    with pytest.raises(DatasetError, match=r"several bags[\s\S]*run\.v1_0"):
        open_bag(folder)
