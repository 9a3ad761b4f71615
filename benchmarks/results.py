"""docs/results.md from the committed episodes of `divo-train benchmark`: tables, pictures, and the figures they give.

`python -m benchmarks.results fill` writes the page and its pictures from whatever has been run, `fill --record` also
docs/figures.json, and `check` fails where the page says something else than the CSV.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.console import Console

from benchmarks.figures import ROOT, changed, read_figures, record_all
from benchmarks.label_curves import read_labels
from benchmarks.label_picture import draw_labels
from benchmarks.results_page import CURVES, LABELS, SCORES, candidates_blocks, fill_page, further_blocks, page_blocks
from benchmarks.results_summary import figures_of, overall_figures, summarize_results
from divo_train.benchmark.pictures import draw_curves, draw_scores
from divo_train.benchmark.plan import read_plan

SCRIPT = "benchmarks/results.py"


@dataclass(frozen=True)
class ResultsCommand:
    """Make docs/results.md from the committed CSV, or check it."""

    act: Annotated[Literal["fill", "check"], tyro.conf.Positional] = "fill"
    """What to do."""
    plan: Path = ROOT / "benchmarks" / "mixed.yaml"
    """File that says what was compared."""
    further: Path = ROOT / "benchmarks" / "one_critic.yaml"
    """The same of a second comparison, for which the page has a section of its own."""
    candidates: Path = ROOT / "benchmarks" / "candidates.yaml"
    """File of the numbers of candidates that were compared."""
    results: Path = ROOT / "benchmarks" / "results"
    """Folder of the results; the CSV are in a folder with the plan's name."""
    page: Path = ROOT / "docs" / "results.md"
    """Page to fill; the pictures go beside it."""
    record: bool = False
    """Write docs/figures.json."""

    def run(self) -> int:
        """Fill or check, and return the exit status."""
        plan, further = read_plan(self.plan), read_plan(self.further)
        folder = self.results / plan.name
        summary, labels = summarize_results(plan, folder), read_labels(folder / "labels.csv")
        again = summarize_results(further, self.results / further.name)
        chosen = read_plan(self.candidates)
        before = self.page.read_text(encoding="utf-8")
        blocks = page_blocks(plan, summary, labels) | further_blocks(further, again, summary)
        blocks |= candidates_blocks(chosen, summarize_results(chosen, self.results / chosen.name))
        after = fill_page(before, blocks, str(self.page))
        if self.act == "check":
            if before != after:
                fix = "Run `python -m benchmarks.results fill`."
                Console(stderr=True).print(f"{self.page} is not what {self.results} gives. {fix}", soft_wrap=True)
            return int(before != after)
        self.page.write_text(after, encoding="utf-8")
        if any(played.cells for played in summary.trials.values()):
            draw_scores(plan, summary.trials, self.page.with_name(SCORES))
        if plan.curves:
            draw_curves(plan, plan.curves, summary.trials, self.page.with_name(CURVES))
        if labels:
            draw_labels(labels, self.page.with_name(LABELS))
        if self.record:
            found = figures_of(plan, summary, labels) | overall_figures(further, again)
            record_all(changed(found, read_figures()), SCRIPT)
        return 0


if __name__ == "__main__":
    sys.exit(tyro.cli(ResultsCommand).run())
