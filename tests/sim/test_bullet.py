"""What PyBullet says about its build stays out of terminals and logs, and nothing else does."""

from __future__ import annotations

import subprocess
import sys

SILENCED = """
import os
from divo_sim.bullet import silenced
os.write(2, b"before ")
with silenced():
    os.write(2, b"meanwhile ")
os.write(2, b"after")
"""


def said(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout + done.stderr


def test_importing_the_simulator_says_nothing():
    assert not said("import divo_sim.panda")


def test_what_is_written_before_and_after_gets_out():
    assert said(SILENCED) == "before after"
