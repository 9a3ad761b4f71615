"""A recording, computed again, is the same to the bit; and where it is not, the first difference is named."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("mcap")

from mcap.stream_reader import StreamReader

from divo_runtime import cli
from divo_runtime.bundle.loading import load_bundle
from divo_runtime.controller import Controller
from divo_runtime.errors import RecordingError, ReplayDifferenceError
from divo_runtime.recording.mcap_file import McapFile
from divo_runtime.recording.messages import decode_cycle, encode_cycle
from divo_runtime.recording.reader import RecordingReader
from divo_runtime.replay.comparison import NamedPolicies, Replay
from divo_runtime.replay.report import replay_file
from recorded_run import start_run

FOLLOW = np.array([[1.0, 0, 0.1, 0, 0], [0, 1.0, 0, 0.1, 0]])


@pytest.fixture
def folder(write_tiny_bundle, tmp_path, arm) -> Path:
    return write_tiny_bundle(tmp_path, arm, FOLLOW, noise_gain=0.05)


@pytest.fixture
def other_folder(write_tiny_bundle, tmp_path, arm) -> Path:
    """Return a bundle whose second action is larger by 1/16."""
    weights = FOLLOW.copy()
    weights[1, 4] = 0.0625
    return write_tiny_bundle(tmp_path / "other", arm, weights, noise_gain=0.05)


@pytest.fixture
def run(folder, tmp_path):
    run = start_run(tmp_path, folder)
    yield run
    run.recorder.close()


def drive(run, cycles: int) -> None:
    for number in range(cycles):
        run.cycle((0.05 * number, 0.2 - 0.01 * number))


def rewrite(path: Path, out: Path, change) -> Path:
    """Copy a recording; `change(role, data)` returns what to write instead of a message, or None to leave it out."""
    file, channels, schemas = McapFile(out), {}, {}
    with path.open("rb") as stream:
        for record in StreamReader(stream).records:
            kind = type(record).__name__
            if kind == "Schema":
                schemas[record.id] = record
            elif kind == "Channel" and record.id not in channels:
                schema = schemas[record.schema_id]
                number = file.add_channel(record.topic, schema.name, schema.data.decode(), record.metadata)
                channels[record.id] = (number, record.metadata["role"])
            elif kind == "Metadata":
                file.describe(record.name, record.metadata)
            elif kind == "Attachment":
                file.attach(record.name, record.media_type, record.data, record.log_time)
            elif kind == "Message":
                number, role = channels[record.channel_id]
                data = change(role, record.data)
                if data is not None:
                    file.write(number, data, record.log_time, record.publish_time)
    file.close()
    return out


def change_cycle(number: int, **fields):
    def change(role, data):
        if role == "cycle" and (cycle := decode_cycle(data)).number == number:
            return encode_cycle(replace(cycle, **{name: value(cycle) for name, value in fields.items()}))
        return data

    return change


def flip_last_bit(array: np.ndarray, index: int) -> np.ndarray:
    flipped = array.copy()
    flipped.view(f"u{array.itemsize}")[index] ^= 1
    return flipped


def test_a_message_that_was_used_for_many_cycles_stays_the_same_message(run):
    """The controller tells a repeated message from a new one by identity, so the replay must keep it."""
    run.activate()
    run.cycle()
    for _ in range(3):
        run.now_ns += 10_000_000
        run.controller.step(run.now_ns, run.measurements)
    run.recorder.close()

    assert replay_file(run.path, None, False).startswith("4 cycles")


@pytest.mark.parametrize(
    ("field", "change", "element", "values"),
    [
        ("observation", lambda c: flip_last_bit(c.observation, 3), "goal.y", ("-0.25", "-0.2500000298023224")),
        ("action", lambda c: flip_last_bit(c.action, 1), "b", None),
        ("command", lambda c: flip_last_bit(c.command, 0), "a", None),
        ("noise", lambda c: flip_last_bit(c.noise, 5), "b[2]", None),
        ("mode", lambda c: "holding", "", ("running", "holding")),
        ("command", lambda c: c.command[:1], "", ("2 values", "1 values")),
    ],
)
def test_one_bit_is_found_and_named(run, tmp_path, field, change, element, values):
    run.activate()
    drive(run, 8)
    run.recorder.close()
    changed = rewrite(run.path, tmp_path / "changed.mcap", change_cycle(6, **{field: change}))

    with pytest.raises(ReplayDifferenceError) as caught:
        replay_file(changed, None, False)

    error = caught.value
    assert error.what == "The replay differs after 5 equal cycles."
    where = f"{changed}, cycle 6 (call 7), {field}" + (f", {element}" if element else "")
    assert error.where == where
    computed, recorded = values or (error.got, error.expected.removesuffix(", as recorded"))
    assert (error.got, error.expected) == (computed, f"{recorded}, as recorded")
    assert computed != recorded


def test_an_unchanged_copy_is_the_same(run, tmp_path):
    run.activate()
    drive(run, 3)
    run.recorder.close()
    copy = rewrite(run.path, tmp_path / "copy.mcap", lambda role, data: data)
    assert replay_file(copy, None, False).startswith("3 cycles")


def test_a_shadow_s_beginning_is_repeated_as_one(run):
    assert run.controller.activate(run.now_ns, run.measurements, 3, moving=True) == ()
    drive(run, 3)
    run.recorder.close()
    assert next(iter(RecordingReader(run.path).timeline())).kind == "activate_moving"
    assert replay_file(run.path, None, False).startswith("3 cycles")


def test_another_bundle_is_refused_unless_forced_and_then_its_first_decision_differs(run, other_folder):
    run.activate()
    drive(run, 3)
    run.recorder.close()

    with pytest.raises(RecordingError, match="another bundle"):
        replay_file(run.path, other_folder, False)
    with pytest.raises(ReplayDifferenceError) as caught:
        replay_file(run.path, other_folder, True)

    assert caught.value.where.endswith("cycle 1 (call 2), action, b")
    first = run.outputs[0].action[1]
    assert float(caught.value.got) == pytest.approx(float(first) + 0.0625, abs=1e-6)
    assert "Another bundle" in caught.value.fix


def test_after_lost_calls_the_replay_begins_again_at_the_next_activation(run, tmp_path):
    run.activate()
    drive(run, 5)
    run.controller.deactivate()
    run.cycle()
    run.controller.activate(run.now_ns, run.measurements, 4)
    drive(run, 4)
    run.recorder.close()
    lost = rewrite(
        run.path,
        tmp_path / "lost.mcap",
        lambda role, data: None if role == "cycle" and decode_cycle(data).order in (3, 4) else data,
    )

    text = replay_file(lost, None, False)

    # cycle 1 and the four after the second activation; lost are 2 and 3; 4, 5 and the inactive one are not compared
    assert text.startswith("5 cycles and 2 other calls")
    assert "2 calls were lost while recording; 3 cycles after that not compared." in text


def test_a_recording_that_broke_off_is_computed_again_as_far_as_it_goes(run, tmp_path):
    run.activate()
    drive(run, 4)
    run.recorder.close()
    cut = tmp_path / "cut.mcap"
    cut.write_bytes(run.path.read_bytes()[:-500])

    text = replay_file(cut, None, False)

    assert text.startswith("4 cycles")
    assert "was not finished" in text


def test_an_unknown_call_of_a_later_version_is_a_difference(run, tmp_path):
    from divo_runtime.recording.journal import Call

    run.activate()
    run.controller._note(Call("levitate"))
    run.recorder.close()

    with pytest.raises(ReplayDifferenceError) as caught:
        replay_file(run.path, None, False)
    assert "levitate" in caught.value.expected


def test_a_message_that_is_missing_is_named(run, tmp_path):
    run.activate()
    drive(run, 2)
    run.recorder.close()
    seen = []

    def drop_first_state(role, data):
        if role == "input" and not seen:
            seen.append(role)
            return None
        return data

    lacking = rewrite(run.path, tmp_path / "lacking.mcap", drop_first_state)
    with pytest.raises(RecordingError, match="A message that was used is not in the recording"):
        replay_file(lacking, None, False)


def test_progress_counts_the_cycles(run, arm, folder):
    run.activate()
    drive(run, 3)
    run.recorder.close()
    bundle = load_bundle(folder)
    policies = NamedPolicies(bundle.open_policy, 4, 2)
    counts = []

    result = Replay(
        RecordingReader(run.path), arm, policies, lambda: Controller(arm, policies, 3, lambda: 0), lambda about: None
    ).run(counts.append)

    assert counts == [0, 1, 2, 3]
    assert (result.cycles, result.activations, result.difference) == (3, 1, None)


def test_the_command_line_says_same_different_or_wrong_by_its_exit_code(run, tmp_path, monkeypatch, capsys):
    run.activate()
    drive(run, 6)
    run.recorder.close()
    changed = rewrite(run.path, tmp_path / "c.mcap", change_cycle(2, command=lambda c: flip_last_bit(c.command, 1)))

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["divo-runtime", "replay", *map(str, arguments)])
        try:
            cli.main()
        except SystemExit as stop:
            return stop.code, capsys.readouterr()
        return 0, capsys.readouterr()

    code, said = call(run.path)
    assert (code, said.err) == (0, "")
    assert "6 cycles" in said.out
    code, said = call(changed)
    assert (code, said.out) == (1, "")
    assert "cycle 2 (call 3), command, b" in said.err
    code, said = call(tmp_path / "nothing.mcap")
    assert code == 2
    assert "There is no recording." in said.err
