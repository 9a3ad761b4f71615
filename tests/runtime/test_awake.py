"""The request that cores stay awake: what is written, for how long, and what happens where nobody listens."""

from __future__ import annotations

import struct

from divo_runtime.timing.awake import AwakeCores


def test_the_request_is_a_number_of_microseconds_that_holds_while_the_file_is_open(tmp_path):
    path = tmp_path / "latency"
    path.touch()
    awake = AwakeCores(20, path)
    assert awake.warnings == ()
    assert path.read_bytes() == struct.pack("=i", 20)
    held = awake._file
    assert not held.closed
    awake.close()
    awake.close()
    assert held.closed


def test_a_machine_without_the_file_is_a_warning_and_not_an_error(tmp_path):
    awake = AwakeCores(0, tmp_path / "absent")
    (warning,) = awake.warnings
    assert "the cores may sleep" in warning
    assert "absent: No such file" in warning
    assert not (tmp_path / "absent").exists()
    awake.close()
