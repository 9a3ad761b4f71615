"""`divo-sim collect`: make a dataset of scripted behaviours, with a progress bar and a table at the end."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as ProgressBar
from rich.table import Table

from divo_runtime.errors import DivoError
from divo_sim.collect import Progress, Recipe, collect
from divo_sim.maze_map import MapName
from divo_sim.maze_pairs import Goals
from divo_sim.mixtures import BIASED_MIXTURES, Mixture
from divo_sim.tasks import find_task


@dataclass(frozen=True, slots=True)
class CollectCommand:
    """Make a dataset of scripted behaviours, in Minari's layout.

    The same settings give the same bytes, with any number of workers. A collection that was interrupted goes on where
    it stopped; a dataset that is already there is kept.
    """

    task: Literal["arm_reach", "base_maze"] = "arm_reach"
    """Simulated task."""
    map: MapName = "medium"
    """Map of base_maze."""
    data: Goals = "diverse"
    """Goals of base_maze: `play` has a few fixed goals, `diverse` any."""
    mixture: Mixture = "mixed-25"
    """Behaviours: `mixed-p` has p percent good transitions and the rest poor; `random` is aimless, `expert` all good.
    Of arm_reach only: `medium` is sloppy; `biased` has the post off-centre and the better way round is the rarer."""
    transitions: int = 100_000
    """Number of transitions; a few more come, since episodes are kept whole."""
    seed: int = 0
    """Seed of everything random."""
    out: Path = Path("data")
    """Root folder of the datasets; give it to Minari as MINARI_DATASETS_PATH."""
    workers: int = 0
    """Number of processes; 0 means one per core."""
    overwrite: bool = False
    """Replace a dataset of the same name that was made with other settings."""

    def run(self) -> None:
        """Collect and print what the dataset holds.

        Raises:
            DivoError: If a setting is out of range or another dataset is in the way.
        """
        if self.transitions < 1 or self.workers < 0 or self.seed < 0:
            raise DivoError(
                "A setting is out of range.",
                got=f"transitions {self.transitions}, workers {self.workers}, seed {self.seed}",
                expected="transitions >= 1, workers >= 0, seed >= 0",
            )
        task = find_task(self._task_name(), self.mixture)
        recipe = Recipe(self.mixture, self.transitions, self.seed, task.name)
        console = Console()
        with _bar(console) as bar:
            line = bar.add_task(recipe.dataset_id.split("/")[-1], total=self.transitions, note="starting")

            def report(progress: Progress) -> None:
                elapsed_s = bar.tasks[line].elapsed or 1e-9
                note = (
                    f"{progress.transitions:,} at {progress.transitions / elapsed_s:,.0f}/s  "
                    f"{progress.episodes / elapsed_s:.0f} episodes/s  "
                    f"success {progress.successes / progress.episodes:.0%}"
                )
                bar.update(line, completed=progress.transitions, note=note)

            folder = collect(recipe, self.out, self.workers or os.cpu_count() or 1, report, self.overwrite)
            bar.update(line, total=1, completed=1)
        metadata = json.loads((folder / "data" / "metadata.json").read_text(encoding="utf-8"))
        console.print(_table(metadata))
        console.print(f"{folder}  {metadata['dataset_size']} MB  content sha256 {metadata['content_sha256'][:16]}")

    def _task_name(self) -> str:
        if self.task == "base_maze":
            return f"base_maze/{self.map}-{self.data}"
        return "arm_reach_biased" if self.mixture in BIASED_MIXTURES else "arm_reach"


def _bar(console: Console) -> ProgressBar:
    return ProgressBar(
        TextColumn("{task.description}"),
        BarColumn(bar_width=10),
        TaskProgressColumn(),
        TextColumn("{task.fields[note]}"),
        TimeRemainingColumn(),
        console=console,
    )


def _table(metadata: dict[str, object]) -> Table:
    table = Table(
        box=SIMPLE_HEAD,
        collapse_padding=True,
        pad_edge=False,
        title=f"{metadata['dataset_id']}: {metadata['total_steps']:,} transitions",
    )
    for heading in ("behaviour", "transitions", "share", "episodes", "success", "no contact", "return", "steps"):
        table.add_column(heading, justify="left" if heading == "behaviour" else "right")
    statistics = metadata["statistics"]
    assert isinstance(statistics, dict)
    for name, row in statistics.items():
        table.add_row(
            name,
            f"{row['transitions']:,}",
            f"{row['share']:.1%}",
            f"{row['episodes']:,}",
            f"{row['success']:.0%}",
            f"{row['collision_free']:.0%}",
            f"{row['mean_return']:.2f}",
            f"{row['mean_steps']:.1f}",
        )
    return table
