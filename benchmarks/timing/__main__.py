"""`python -m benchmarks.timing`: measure how punctual the node is, say so in a table, and keep every sample."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import tyro
from rich.box import SIMPLE
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks import figures
from benchmarks.timing import cells as plan
from benchmarks.timing.bundles import write_bundle_at
from benchmarks.timing.cells import Cell
from benchmarks.timing.machine import describe_timing_machine, realtime_permitted
from benchmarks.timing.page import headline_figures, results_text, table_figures, write_results
from benchmarks.timing.plots import TITLES, plot_histograms, plot_rates
from benchmarks.timing.results import (
    block_file,
    is_measured,
    mark_measured,
    summarize_cell,
    write_samples,
    write_summaries,
)
from benchmarks.timing.summary import Summary, ratio
from benchmarks.timing.trial import Conditions, run_block
from divo_controller.parameters import Parameters
from divo_runtime.backends import find_obstacle
from divo_runtime.errors import DivoError

SCRIPT = "benchmarks/timing/__main__.py"
RESULTS = figures.ROOT / "benchmarks" / "results"
PAGE = figures.ROOT / "docs" / "timing.md"
START_S = 6.0
"""Starting, discovering and stopping the processes of one block, for the estimate of the time left."""
QUICK_S = 3.0
QUIET_LOAD = 0.5
"""Load average of the last minute above which a machine is busy with something else."""
SHOWN = ("wakeup", "inference", "compute", "age", "end_to_end")
WIDTH = 240
"""Columns that the table of results needs."""


@dataclass(frozen=True)
class TimingCommand:
    """Measure how punctual the controller node is on this machine; about 50 minutes in full."""

    bundle: Path = Path("bundles/arm_reach")
    """Bundle whose networks are run, at every rate."""
    work: Path = Path("runs/timing")
    """Folder for raw samples; cells that lie there already, of the same code and settings, are not measured again."""
    only: tuple[str, ...] = ()
    """Only cells whose name contains one of these texts, such as 200hz-actor or -loaded."""
    headline: bool = False
    """Only the headline: the actor at 200 Hz, idle and loaded, beside the no-operation node."""
    quick: bool = False
    """A few seconds per cell, for trying; not to be published."""
    limit_s: float = float("inf")
    """At most this long per cell after warm-up, in one block, for trying [s]."""
    fresh: bool = False
    """Measure again what lies in the folder already."""
    record: bool = False
    """Publish: docs/figures.json, docs/timing.md with its pictures, and benchmarks/results."""
    realtime_priority: int = Parameters().realtime_priority
    """SCHED_FIFO priority of our node, where the machine permits; the node's own default. 0: normal scheduling."""
    cpu: int = Parameters().cpu
    """Core that the control thread is pinned to; -1: the one on which it begins, -2: any."""
    rehearse_us: int = Parameters().rehearse_us
    """How long before each deadline our node rehearses the cycle [us]; 0: never."""

    def run(self, console: Console) -> None:
        """Measure, print, and publish if asked to."""
        cells = self._cells(console)
        if self.record and (self.quick or self.limit_s < float("inf")):
            raise DivoError("Short runs are not published.", got="--record with --quick or --limit-s")
        key = f"{figures.commit()} {self.bundle.resolve()} {self.realtime_priority} {self.cpu} {self.rehearse_us}"
        machine = describe_timing_machine()
        if os.getloadavg()[0] > QUIET_LOAD:
            console.print(f"This machine is not idle (load {machine['load before']}); the results will say so.")
        failed = self._measure(console, cells, key)
        cells = [cell for cell in cells if cell not in failed]
        summaries = {cell.name: summarize_cell(self.work, cell) for cell in cells}
        console.print(summary_table(summaries))
        console.print(verdict(summaries))
        write_summaries(self.work / "timing.json", summaries, self._about(machine))
        plot_histograms(self.work / "timing_200hz.png", summaries, plan.HEADLINE_HZ)
        plot_rates(self.work / "timing_rates.png", summaries)
        console.print(f"Samples, summary and pictures: {self.work}")
        if failed:
            names = ", ".join(cell.name for cell in failed)
            raise DivoError("Not every cell could be measured.", got=names, fix="Look above; the same call goes on.")
        if self.record:
            self._publish(cells, summaries, machine)

    def _about(self, machine: dict[str, str]) -> dict[str, object]:
        conditions = asdict(self._conditions())
        return {"machine": machine, "commit": figures.commit(), "conditions": conditions, "unit": "us"}

    def _conditions(self) -> Conditions:
        return Conditions(self.realtime_priority, self.cpu, self.rehearse_us)

    def _cells(self, console: Console) -> list[Cell]:
        limit_s = min(self.limit_s, QUICK_S if self.quick else float("inf"))
        cells = plan.chosen(plan.matrix(), self.only, self.headline)
        if "record" not in Parameters.__dataclass_fields__ and any(cell.recording for cell in cells):
            console.print("This node has no recorder; the cells with recording are left out.")
            cells = [cell for cell in cells if not cell.recording]
        if any(cell.litert for cell in cells) and (obstacle := find_obstacle("litert")):
            console.print(f"The cells with LiteRT are left out. {obstacle}", markup=False)
            cells = [cell for cell in cells if not cell.litert]
        if not realtime_permitted():
            console.print("This user may not ask for real-time priority; every cell runs with ordinary priority.")
            cells = [cell for cell in cells if not cell.ordinary]
        if not cells:
            names = ", ".join(cell.name for cell in plan.matrix())
            raise DivoError("No cell has such a name.", got=", ".join(self.only), expected=f"a part of {names}")
        return [plan.shortened(cell, limit_s) for cell in cells] if limit_s < float("inf") else cells

    def _measure(self, console: Console, cells: list[Cell], key: str) -> list[Cell]:
        """Measure every block that is not there yet; return the cells of which one could not be measured."""
        failed: list[Cell] = []
        todo = [
            (cell, block)
            for cell, block in plan.blocks(cells)
            if self.fresh or not is_measured(self.work, cell, block, key)
        ]
        bundles = {
            rate: write_bundle_at(self.bundle, rate, self.work / "bundles" / f"{rate}hz")
            for rate in sorted({cell.rate_hz for cell, _ in todo})
        }
        conditions = self._conditions()
        seconds = [replace(cell, blocks=1).seconds + START_S for cell, _ in todo]
        with Progress(console=console) as progress:
            task = progress.add_task("timing", total=sum(seconds))
            for number, ((cell, block), lasts_s) in enumerate(zip(todo, seconds, strict=True)):
                progress.update(task, description=f"{cell.name} {block + 1}/{cell.blocks}")
                file = block_file(self.work, cell, block)
                file.unlink(missing_ok=True)
                try:
                    run_block(cell, bundles[cell.rate_hz], file, conditions, domain=1 + (os.getpid() + number) % 100)
                    mark_measured(self.work, cell, block, key)
                except DivoError as error:  # the other cells are worth their time
                    console.print(f"{cell.name}: {error}", markup=False)
                    failed += [cell] if cell not in failed else []
                progress.advance(task, lasts_s)
        return failed

    def _publish(self, cells: list[Cell], summaries: dict[str, Summary], machine: dict[str, str]) -> None:
        figures.record_all(table_figures(summaries) | headline_figures(summaries), SCRIPT)
        write_summaries(RESULTS / "timing.json", summaries, self._about(machine))
        actor = [cell for cell in cells if plan.is_headline(cell) and cell.subject == "actor"]
        write_samples(RESULTS / "timing_200hz.npz", self.work, actor)
        plot_histograms(PAGE.parent / "timing_200hz.png", summaries, plan.HEADLINE_HZ)
        plot_rates(PAGE.parent / "timing_rates.png", summaries)
        write_results(PAGE, results_text(summaries, machine))
        figures.main(["fill"])


def summary_table(summaries: dict[str, Summary]) -> Table:
    """Return the results for a terminal, in milliseconds."""
    table = Table(title="p50 / p99 / p99.9 / max [ms]", box=SIMPLE)
    table.add_column("cell", min_width=28, no_wrap=True)
    for heading in (
        "n",
        "missed",
        "stolen",
        "in a row",
        "holds",
        "unseen",
        "robot late",
        *(TITLES[name] for name in SHOWN),
    ):
        table.add_column(heading, justify="right", no_wrap=True, min_width=max(len(heading), 6))
    for name, summary in summaries.items():
        counts = (summary.cycles, summary.missed, summary.stolen, summary.worst_streak, summary.holds, summary.unseen)
        spreads = [summary.spreads[quantity] for quantity in SHOWN]
        shown = [" ".join(f"{us / 1e3:.2f}" for us in (one.p50, one.p99, one.p999, one.maximum)) for one in spreads]
        table.add_row(name, *map(str, counts), f"{summary.robot_missed_share:.1%}", *shown)
    return table


def verdict(summaries: dict[str, Summary]) -> str:
    """Return what the node's work costs beside the no-operation node, where both were measured."""
    lines = []
    for name, summary in summaries.items():
        floor = summaries.get(name.replace("-actor-", "-noop-"))
        if "-actor-" in name and floor:
            numbers = [ratio(summary, floor, q, p) for q in ("end_to_end", "reaction") for p in ("p50", "p99")]
            e2e_p50, e2e_p99, reaction_p50, reaction_p99 = numbers
            lines.append(
                f"{name} over no-operation: stamp to command p50 {e2e_p50:.2f}, p99 {e2e_p99:.2f}; "
                f"inputs taken to command p50 {reaction_p50:.2f}, p99 {reaction_p99:.2f}"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    output = Console(width=max(Console().width, WIDTH))
    try:
        tyro.cli(TimingCommand).run(output)
    except DivoError as error:
        output.print(f"error: {error}", markup=False)
        raise SystemExit(1) from None
