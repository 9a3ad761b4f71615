"""A program ends with the process that started it, also if that is killed."""

from __future__ import annotations

import os
import select
import subprocess
import sys

from divo_sim.leash import leashed

PATIENCE_MS = 20_000
STARTER = """
import os, sys
from pathlib import Path
from divo_sim.program import Program

program = Program("sleeper", ["sleeper", sys.argv[2]], os.environ, Path(sys.argv[1]))
print(program.pid, flush=True)
sys.stdin.read()
"""


def ends(process: int) -> bool:
    """Wait for the end of a process that is nobody's child here."""
    handle = os.pidfd_open(process)
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    try:
        return bool(poll.poll(PATIENCE_MS))
    finally:
        os.close(handle)


def test_a_program_ends_when_the_process_that_started_it_is_killed(tmp_path):
    (tmp_path / "sleeper.py").write_text("import signal, sys; open(sys.argv[1], 'w').close(); signal.pause()")
    ready = tmp_path / "ready"
    os.mkfifo(ready)
    command = [sys.executable, "-c", STARTER, str(tmp_path / "log"), str(ready)]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, text=True, env=environment, **pipes) as starter:
        program = int(starter.stdout.readline())
        ready.read_text()  # waits until the program runs
        starter.kill()
        assert ends(program)


def test_a_program_whose_parent_has_ended_before_it_began_does_not_run():
    command = leashed(["this"])
    command[command.index(str(os.getpid()))] = "1" if os.getppid() != 1 else "2"
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "The process that started this has ended." in done.stderr


def test_the_module_sees_its_own_arguments(tmp_path):
    (tmp_path / "told.py").write_text("import sys; print(sys.argv[1:], __name__)")
    done = subprocess.run(leashed(["told", "--one", "2"]), capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout == "['--one', '2'] __main__\n"
