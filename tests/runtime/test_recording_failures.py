"""What becomes of a recording when the disk, the processor or the process fails."""

from __future__ import annotations

import resource
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("mcap")


from mcap.reader import make_reader
from std_msgs.msg import Float64MultiArray

from divo_runtime.bundle.loading import load_bundle
from divo_runtime.errors import RecordingError
from divo_runtime.recording.mcap_file import McapFile, free_path
from divo_runtime.recording.messages import (
    CYCLE_TYPE,
)
from divo_runtime.recording.reader import RecordingReader
from divo_runtime.recording.tape import Lane, Tape
from recorded_run import make_recorder, start_run

FOLLOW = np.array([[1.0, 0, 0.1, 0, 0], [0, 1.0, 0, 0.1, 0]])
"""A linear policy over position a, position b, goal x, goal y, 1."""


@pytest.fixture
def folder(write_tiny_bundle, tmp_path, arm) -> Path:
    return write_tiny_bundle(tmp_path, arm, FOLLOW, noise_gain=0.05)


@pytest.fixture
def run(folder, tmp_path):
    run = start_run(tmp_path, folder)
    yield run
    run.recorder.close()


def test_a_full_lane_drops_the_oldest_and_knows_how_many():
    lane = Lane(3)
    for item in "abcde":
        lane.put(item)

    assert [lane.take() for _ in range(4)] == [(3, "c"), (4, "d"), (5, "e"), None]
    assert lane.dropped == 2


def test_lost_calls_leave_a_mark(run):
    from divo_runtime.recording.journal import Call

    scribe = run.recorder._scribe
    scribe.write_note(1, Call("deactivate"))
    scribe.write_note(5, Call("deactivate"))
    run.recorder.close()

    events = list(RecordingReader(run.path).timeline())
    assert [(event.order, event.kind, event.text) for event in events] == [
        (1, "deactivate", ""),
        (4, "lost", "3 calls"),
        (5, "deactivate", ""),
    ]


def test_a_file_that_was_never_finished_is_read_up_to_its_last_chunk(run, tmp_path):
    run.activate()
    run.cycle()
    run.controller.deactivate()
    run.recorder._tape.stop(5.0)
    whole = run.path.read_bytes()
    complete = len(list(RecordingReader(run.path).timeline()))
    cut = tmp_path / "cut.mcap"
    counts = set()
    for size in range(0, len(whole), 97):
        cut.write_bytes(whole[:size])
        try:
            reader = RecordingReader(cut)
        except RecordingError:  # nothing but the head is left
            counts.add(-1)
            continue
        counts.add(len(list(reader.timeline())))
        assert reader.damage
    assert counts == {-1, 0, complete}


def test_damage_in_the_middle_is_told(run, tmp_path):
    run.activate()
    run.cycle()
    run.recorder.close()
    data = bytearray(run.path.read_bytes())
    with run.path.open("rb") as file:
        chunk = make_reader(file).get_summary().chunk_indexes[0]
    data[chunk.chunk_start_offset + chunk.chunk_length // 2] ^= 0xFF
    broken = tmp_path / "broken.mcap"
    broken.write_bytes(data)

    reader = RecordingReader(broken)
    list(reader.timeline())

    assert "of " in reader.damage


@pytest.mark.parametrize("content", [None, b"", b"no recording at all, but longer than eight bytes"])
def test_what_is_no_recording_is_refused(tmp_path, content):
    path = tmp_path / "x.mcap"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RecordingError, match=r"There is no recording|There is nothing in this recording"):
        RecordingReader(path)


def test_recording_ends_at_the_size_limit_and_control_goes_on(folder, tmp_path):
    run = start_run(tmp_path, folder, max_bytes=9_000)
    run.activate()
    for _ in range(3000):
        run.cycle()
    run.recorder.close()

    assert "size limit" in run.recorder.problem
    assert "0.009 MB" in run.recorder.problem
    assert run.path.stat().st_size < 9_000 + 300_000
    assert run.outputs[-1].command is not None
    assert run.outputs[-1].mode.value == "running"


def test_a_full_disk_ends_the_recording_and_nothing_else(folder, tmp_path):
    run = start_run(tmp_path, folder)
    run.activate()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (run.path.stat().st_size + 2_000, hard))  # writing beyond it fails
    try:
        for _ in range(200):
            run.cycle()
        run.recorder.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert "File too large" in run.recorder.problem
    assert run.outputs[-1].mode.value == "running"
    reader = RecordingReader(run.path)
    list(reader.timeline())
    assert reader.damage


def test_a_place_that_cannot_be_written_is_a_problem_and_no_exception(folder, tmp_path):
    (tmp_path / "file").write_text("")
    run = start_run(tmp_path / "file" / "below", folder)

    assert "Not a directory" in run.recorder.problem
    assert run.activate() == ()
    assert run.cycle().command is not None
    run.recorder.close()


def test_a_message_that_cannot_be_encoded_ends_the_recording_and_nothing_else(folder, tmp_path):
    run = start_run(tmp_path, folder, convert=lambda command, now_ns: Float64MultiArray)
    run.activate()
    run.cycle()
    run.recorder.close()

    assert run.recorder.problem.startswith("AttributeError: ")
    assert run.cycle().command is not None


def test_an_existing_file_is_never_overwritten(folder, tmp_path):
    path = tmp_path / "run.mcap"
    path.write_text("precious")
    with pytest.raises(RecordingError, match="File exists"):
        McapFile(path)
    recorder = make_recorder(path, load_bundle(folder))

    assert "File exists" in recorder.problem
    assert path.read_text() == "precious"
    assert free_path(path, "arm", "now") == tmp_path / "run_2.mcap"
    (tmp_path / "run_2.mcap").write_text("")
    assert free_path(path, "arm", "now") == tmp_path / "run_3.mcap"
    assert free_path(tmp_path, "arm", "now") == tmp_path / "arm_now.mcap"


def test_the_tape_empties_every_lane_before_it_ends():
    first, second, written = Lane(100), Lane(100), []
    tape = Tape(
        {first: lambda number, item: written.append(item), second: lambda number, item: written.append(item)},
        lambda: None,
        lambda: written.append("end"),
        lambda: None,
    )
    for number in range(50):
        first.put(number)
        second.put(-number)
    tape.start()
    tape.stop(5.0)

    assert tape.problem == ""
    assert written[-1] == "end"
    assert sorted(written[:-1]) == sorted([*range(50), *(-n for n in range(50))])


def test_a_recording_of_another_version_is_refused_by_name(run, tmp_path):
    run.recorder.close()
    data = run.path.read_bytes()
    other = McapFile(tmp_path / "other.mcap")
    other.add_channel("/divo_controller/cycle", CYCLE_TYPE, "uint8 x\n", {"role": "cycle"})
    other.write(1, b"\x00\x01\x00\x00\x00", 0, 0)
    other.close()

    assert data
    with pytest.raises(RecordingError, match="writes other messages"):
        RecordingReader(tmp_path / "other.mcap")
