"""`python -m benchmarks.soak`: one node at 200 Hz for an hour, with random faults at random times.

The observer judges every command, the node's memory is looked at every few seconds, and a node that dies is counted.
What lies in the work folder after each minute is the whole result so far, so that a run that is broken off is not lost.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import tyro
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from benchmarks import figures
from benchmarks.faults.domains import free_domain
from benchmarks.faults.fault import Fault
from benchmarks.faults.rig import Rig
from benchmarks.faults.series import judge_fault, open_rig
from benchmarks.faults.soak_plot import plot_soak
from benchmarks.faults.table import faults_of
from benchmarks.timing.machine import describe_timing_machine
from divo_runtime.errors import DivoError

SCRIPT = "benchmarks/soak.py"
RESULTS = figures.ROOT / "benchmarks" / "results" / "soak.json"
PICTURE = figures.ROOT / "docs" / "soak.png"
WARM_UP_S = 120.0
"""Memory is compared with what the node has after this."""

WINDOW_S = 60.0
"""Memory is the median over so long, at the begin and at the end."""

LOOK_S = 2.0
MEGABYTE = 1e6
PUBLISHED_MINUTES = 60.0


@dataclass
class SoakLog:
    """What happened so far."""

    minutes: float = 0.0
    commands: int = 0
    unseen: int = 0
    """Commands that did not reach the observer; they were judged by their neighbours only."""
    unsafe_commands: int = 0
    crashes: int = 0
    faults: list[tuple[float, str, list[str]]] = field(default_factory=list)
    """Minute, name, and what was not as the table says."""
    memory: list[tuple[float, float]] = field(default_factory=list)
    """Minute, resident memory of the node [MB]."""

    @property
    def handled(self) -> int:
        """How many faults went as the table says."""
        return sum(not wrong for _, _, wrong in self.faults)


@dataclass(frozen=True)
class SoakCommand:
    """Run the node for long, with random faults at random times, and count what it commands outside its limits."""

    minutes: float = 60.0
    """How long [min]."""
    pause_s: float = 4.0
    """Longest pause between two faults [s]; each is drawn between a tenth of it and all of it."""
    seed: int = 0
    """Of the faults, their order, times and what they hit."""
    work: Path = Path("runs/soak")
    """Folder for logs and the result so far."""
    record: bool = False
    """Publish: docs/figures.json, docs/soak.png and benchmarks/results/soak.json."""

    def run(self, console: Console) -> int:
        """Run, print, publish if asked to; return how much was not as it should be.

        Raises:
            DivoError: If the rig does not come up, or a run is too short to be published.
        """
        if self.record and self.minutes < PUBLISHED_MINUTES:
            raise DivoError("Short runs are not published.", got=f"{self.minutes:g} minutes", expected="60 or more")
        machine, log = describe_timing_machine(), SoakLog()
        columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
        with (
            open_rig(self.work, free_domain(os.getpid()), "plain") as rig,
            Progress(*columns, console=console) as progress,
        ):
            task = progress.add_task("soak", total=self.minutes)

            def report() -> None:
                progress.update(task, completed=log.minutes, description=describe(log))
                if not console.is_terminal:
                    console.print(f"{log.minutes:.1f} of {self.minutes:g} min: {describe(log)}", highlight=False)
                self._write(self.work / "soak.json", log, machine)

            self._soak(rig, log, report)
        console.print(f"{log.minutes:.1f} min: {describe(log)}", highlight=False)
        for minute, name, wrong in log.faults:
            for line in wrong:
                console.print(f"minute {minute:.1f}, {name}: {line}", markup=False, highlight=False)
        plot_soak(self.work / "soak.png", log.memory, [(at, name, not wrong) for at, name, wrong in log.faults])
        if self.record:
            self._publish(log, machine)
        return log.unsafe_commands + log.crashes + len(log.faults) - log.handled

    def _soak(self, rig: Rig, log: SoakLog, report: Callable[[], None]) -> None:
        rng, rows = np.random.default_rng(self.seed), [row for row in faults_of("node") if row.soak]
        begun_s, reported, deck = time.monotonic(), -1.0, list[Fault]()
        before = rig.look()
        while log.minutes < self.minutes:
            due_s = time.monotonic() + self.pause_s * float(rng.uniform(0.1, 1.0))
            while (left_s := due_s - time.monotonic()) > 0:
                time.sleep(min(left_s, LOOK_S))
                log.memory.append(((time.monotonic() - begun_s) / 60.0, rig.resident_bytes() / MEGABYTE))
            deck = deck or [rows[place] for place in rng.permutation(len(rows))]  # each once before any comes again
            row, at = deck.pop(), (time.monotonic() - begun_s) / 60.0
            log.faults.append((at, row.name, judge_fault(rig, row, int(rng.integers(2**31)))["wrong"]))
            look = rig.look()
            log.commands, log.unseen = look["commands"] - before["commands"], look["unseen"] - before["unseen"]
            log.unsafe_commands, log.crashes = look["unsafe_count"] - before["unsafe_count"], rig.crashes
            log.minutes = (time.monotonic() - begun_s) / 60.0
            if int(log.minutes) > reported:
                reported = int(log.minutes)
                report()
        report()

    def _write(self, path: Path, log: SoakLog, machine: dict[str, str]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        about = {"machine": machine, "commit": figures.commit(), "seed": self.seed}
        memory = [(round(at, 3), round(size, 2)) for at, size in log.memory[:: max(len(log.memory) // 500, 1)]]
        faults = [(round(at, 3), name, wrong) for at, name, wrong in log.faults]
        told = {**about, **asdict(log), "handled": log.handled, "memory": memory, "faults": faults}
        temporary = path.with_suffix(".writing")
        text = json.dumps(told).replace(f"{figures.ROOT}/", "")  # a hang's reason names a file of this machine
        temporary.write_text(f"{text}\n", encoding="utf-8")
        os.replace(temporary, path)

    def _publish(self, log: SoakLog, machine: dict[str, str]) -> None:
        measured = {
            "soak.minutes": (round(log.minutes, 1), "min"),
            "soak.commands": (log.commands, "1"),
            "soak.unsafe_commands": (log.unsafe_commands, "1"),
            "soak.crashes": (log.crashes, "1"),
            "soak.faults": (len(log.faults), "1"),
            "soak.faults_handled": (log.handled, "1"),
            "soak.rss_growth_mb": (round(memory_growth(log.memory), 2), "MB"),
        }
        figures.record_all(measured, SCRIPT)
        self._write(RESULTS, log, machine)
        plot_soak(PICTURE, log.memory, [(at, name, not wrong) for at, name, wrong in log.faults])
        figures.main(["fill"])


def memory_growth(memory: list[tuple[float, float]]) -> float:
    """Return the median of the last minute less that of the first one after warm-up [MB].

    Args:
        memory: (minute, MB) in order; of a run that is too short for both, its first and last quarter are compared.
    """
    if not memory:
        return 0.0
    end = memory[-1][0]
    begin, window = WARM_UP_S / 60.0, WINDOW_S / 60.0
    if end < begin + 2 * window:
        begin, window = memory[0][0], (end - memory[0][0]) / 4
    first = [size for at, size in memory if begin <= at <= begin + window]
    last = [size for at, size in memory if at >= end - window]
    return float(np.median(last) - np.median(first))


def describe(log: SoakLog) -> str:
    """Return the result so far in a line."""
    return (
        f"{log.unsafe_commands} of {log.commands} commands unsafe, {log.handled} of {len(log.faults)} faults handled, "
        f"{log.crashes} crashes, memory {memory_growth(log.memory):+.1f} MB"
    )


def main() -> int:
    """Return the exit status: 0 if all was well, 1 if not, 2 if it could not be run."""
    console = Console()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # it outlives its terminal
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # so that its processes end too
    try:
        return int(tyro.cli(SoakCommand).run(console) > 0)
    except DivoError as error:
        console.print(f"error: {error}", markup=False, highlight=False)
        return 2


if __name__ == "__main__":
    sys.exit(main())
