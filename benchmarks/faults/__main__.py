"""`python -m benchmarks.faults`: inject every fault into the real node over DDS, and say what was handled."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro
from rich.box import SIMPLE
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from benchmarks import figures
from benchmarks.faults import page
from benchmarks.faults.domains import free_domain
from benchmarks.faults.fault import Fault
from benchmarks.faults.series import Outcome, read_repetition, run_repetition, summarize, table_key, write_repetition
from benchmarks.faults.table import faults_of
from benchmarks.timing.machine import describe_timing_machine
from divo_runtime.errors import DivoError

SCRIPT = "benchmarks/faults/__main__.py"
PUBLISHED = 20
"""Repetitions that a published series has at least."""


@dataclass(frozen=True)
class FaultCommand:
    """Inject every fault of the table into the real node over DDS; about a minute for each repetition."""

    repeat: int = 1
    """How often the whole table is run; each repetition hits other joints and elements."""
    only: tuple[str, ...] = ()
    """Only rows whose name contains one of these texts."""
    work: Path = Path("runs/faults")
    """Folder for logs and finished repetitions; those of the same code and table are not run again."""
    fresh: bool = False
    """Run again what lies in the folder already."""
    record: bool = False
    """Publish: docs/figures.json, docs/faults.md and benchmarks/results/faults.json."""

    def run(self, console: Console) -> int:
        """Run, print, publish if asked to; return how many faults were not handled.

        Raises:
            DivoError: If a series that is too short or not whole is to be published.
        """
        if self.record and (self.only or self.repeat < PUBLISHED):
            fix = f"--repeat {PUBLISHED} without --only"
            raise DivoError("Only whole and long series are published.", got="--record", fix=fix)
        machine = describe_timing_machine()
        repetitions = self._run_all(console, table_key(figures.commit()))
        rows = summarize(repetitions)
        total, handled = sum(row["runs"] for row in rows.values()), sum(row["handled"] for row in rows.values())
        console.print(result_table(rows))
        console.print(f"{handled} of {total} faults handled as the table says, in {len(repetitions)} repetitions.")
        if self.record:
            _publish(rows, total, handled, machine)
        return total - handled

    def _run_all(self, console: Console, key: str) -> list[dict[str, Outcome]]:
        chosen = [row for row in faults_of("node") if not self.only or any(part in row.name for part in self.only)]
        repetitions: list[dict[str, Outcome]] = []
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
        with Progress(*columns, TimeRemainingColumn(), console=console) as progress:
            task = progress.add_task("faults", total=self.repeat * len(chosen))
            not_handled = 0

            def done(row: Fault, outcome: Outcome) -> None:
                nonlocal not_handled
                not_handled += bool(outcome["wrong"])
                for line in outcome["wrong"]:
                    console.print(f"{row.name}: {line}", markup=False, highlight=False)
                progress.update(task, advance=1, description=f"{not_handled} not handled; {row.name}"[:60])

            for number in range(self.repeat):
                file = self.work / "repetitions" / f"{number}.json"
                outcomes = {} if self.fresh or self.only else read_repetition(file, key)
                if outcomes:
                    progress.advance(task, len(chosen))
                else:
                    outcomes = run_repetition(self.work, number, free_domain(os.getpid() + number), chosen, done)
                    if not self.only:
                        write_repetition(file, key, outcomes)
                repetitions.append(outcomes)
        return repetitions


def result_table(rows: Mapping[str, Mapping[str, Any]]) -> Table:
    """Return the results for a terminal."""
    table = Table(title="worst times [ms]", box=SIMPLE)
    table.add_column("fault", no_wrap=True)
    for heading in ("handled", "noticed", "latched", "at rest", "silence", "back"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, row in rows.items():
        keys = ("reaction_ms", "latched_ms", "rest_ms", "gap_ms", "back_ms")
        times = (f"{row[key]:.0f}" if key in row else "" for key in keys)
        style = "" if row["handled"] == row["runs"] else "bold red"
        table.add_row(name, f"{row['handled']}/{row['runs']}", *times, style=style)
    return table


def _publish(rows: Mapping[str, Mapping[str, Any]], total: int, handled: int, machine: Mapping[str, str]) -> None:
    measured = {"faults.total": (total, "1"), "faults.handled": (handled, "1"), "faults.rows": (len(rows), "1")}
    figures.record_all(measured, SCRIPT)
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(row)}" for name, row in rows.items())
    about = json.dumps({"machine": machine, "commit": figures.commit(), "unit": "ms"})
    page.RESULTS.parent.mkdir(parents=True, exist_ok=True)
    page.RESULTS.write_text(f'{{\n"about": {about},\n"rows": {{\n{lines}\n}}\n}}\n', encoding="utf-8")
    page.main()
    figures.main(["fill"])


def main() -> int:
    """Return the exit status: 0 if every fault was handled, 1 if not, 2 if the series could not be run."""
    console = Console()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # so that its processes end too
    try:
        return int(tyro.cli(FaultCommand).run(console) > 0)
    except DivoError as error:
        console.print(f"error: {error}", markup=False, highlight=False)
        return 2


if __name__ == "__main__":
    sys.exit(main())
