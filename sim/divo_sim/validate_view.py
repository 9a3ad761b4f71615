"""What a person sees of a validation in the terminal: a progress bar for each part, and the table at the end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.table import Table

from divo_sim.loop_episode import LoopEpisode, measure_latency
from divo_sim.outcomes import Estimate, Outcome, Score, score
from divo_sim.validation import Validation


class Line:
    """The progress of one part."""

    def __init__(self, bar: Progress, task: TaskID) -> None:
        self._bar = bar
        self._task = task

    def show(self, outcomes: Sequence[Outcome]) -> None:
        """Show the episodes so far."""
        self._bar.update(self._task, completed=len(outcomes), note=_count(outcomes))

    def show_loop(self, episodes: Sequence[LoopEpisode]) -> None:
        """Show the episodes over ROS topics so far."""
        latency = measure_latency(episodes)
        note = f"{_count([one.outcome for one in episodes])}, p99 {latency.p99_ms:.2f} ms, missed {latency.missed}"
        self._bar.update(self._task, completed=len(episodes), note=note)


class Lines:
    """The progress of a validation. Use it in a `with` statement.

    Args:
        console: Where to draw.
        episodes: Episodes of each part.
    """

    def __init__(self, console: Console, episodes: int) -> None:
        self._episodes = episodes
        self._bar = Progress(
            TextColumn("{task.description:18}"),
            BarColumn(bar_width=8),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            console=console,
        )

    @contextmanager
    def begin(self, title: str) -> Iterator[Line]:
        """Add a line for one part."""
        task = self._bar.add_task(title, total=self._episodes, note="starting")
        yield Line(self._bar, task)
        self._bar.stop_task(task)

    def note(self, text: str) -> None:
        """Say what comes next."""
        self._bar.console.print(text)

    def __enter__(self) -> Lines:
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._bar.stop()


def print_results(console: Console, validation: Validation) -> None:
    """Print the table of results; it fits 80 columns."""
    table = Table(
        box=SIMPLE_HEAD,
        padding=0,
        pad_edge=False,
        title=f"{validation.contract}, simulated",
        caption="% of episodes and return with 95 % intervals; node compute in ms; deadlines",
    )
    for heading in ("policy", "where", "reached", "no contact", "return", "p50", "p99", "missed"):
        table.add_column(heading, justify="left" if heading in ("policy", "where") else "right", overflow="fold")
    for result in validation.results:
        latency = result.latency
        times = (f"{latency.p50_ms:.2f}", f"{latency.p99_ms:.2f}", f"{latency.missed}/{latency.cycles}")
        table.add_row(result.policy, "process", *_cells(result.in_process_score))
        table.add_row(result.policy, "ROS 2", *_cells(result.loop_score), *times, style="bold")
    if validation.cloning:
        table.add_row("bc", "process", *_cells(score(validation.cloning)))
    console.print(table)


def _cells(what: Score) -> tuple[str, str, str]:
    value = what.mean_return
    returned = f"{value.value:.1f} [{value.low:.1f}, {value.high:.1f}]"
    return _percent(what.success), _percent(what.collision_free), returned


def _percent(estimate: Estimate) -> str:
    return f"{100 * estimate.value:.0f} [{100 * estimate.low:.0f}, {100 * estimate.high:.0f}]"


def _count(outcomes: Sequence[Outcome]) -> str:
    reached, clean = sum(one.success for one in outcomes), sum(one.collision_free for one in outcomes)
    return f"reached {reached}, clean {clean}"
