"""A bare thread that only sleeps and wakes, pinned to a core above every other priority: what the machine misses.

On a virtual machine the host takes cores away for milliseconds, and no program on it can do anything in that time. This
process notes when it happened, so that a deadline that the node missed in such a moment can be told from one that it
missed by itself.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic_ns, sleep, time_ns

import numpy as np
import tyro
from numpy.typing import NDArray

from divo_runtime.timing.realtime import freeze_garbage, prepare_thread

WITNESS_PRIORITY = 90
PERIOD_NS = 2_000_000
"""It can miss standstills shorter than this; a deadline at 200 Hz needs longer ones to be missed."""
LATE_NS = 1_000_000
"""A wake-up later than this is a standstill; of itself the thread is late by some 50 us."""
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)

Standstills = NDArray[np.int64]
"""(n, 2) begin and end of each, in system time [ns]."""


@dataclass(frozen=True)
class Witness:
    """Note the standstills of one core until a signal ends it."""

    cpu: int
    """Core to watch."""
    out: Path
    """File to write (npy)."""

    def run(self) -> None:
        """Entry point."""
        stopped: list[int] = []
        for number in STOP_SIGNALS:
            signal.signal(number, lambda received, frame: stopped.append(received))
        if refused := prepare_thread(WITNESS_PRIORITY, (self.cpu,)):
            sys.stderr.write("".join(f"{warning}\n" for warning in refused))
        freeze_garbage()
        found: list[tuple[int, int]] = []
        due_ns = monotonic_ns()
        while not stopped:
            due_ns += PERIOD_NS
            while (left_ns := due_ns - monotonic_ns()) > 0:
                sleep(left_ns / 1e9)
            late_ns = -left_ns
            if late_ns > LATE_NS:
                now_ns = time_ns()
                found.append((now_ns - late_ns, now_ns))
                due_ns += late_ns // PERIOD_NS * PERIOD_NS  # one standstill is one row
        writing = self.out.with_suffix(".writing.npy")
        np.save(writing, np.array(found, np.int64).reshape(-1, 2))
        os.replace(writing, self.out)


def read_standstills(paths: Iterable[Path]) -> Standstills:
    """Return the standstills of all cores together; none from files that do not exist."""
    parts = [np.load(path) for path in paths if path.exists()]
    return np.concatenate([np.zeros((0, 2), np.int64), *parts])


if __name__ == "__main__":
    tyro.cli(Witness).run()
