"""What `benchmarks.inference` writes: a table, a plot, a JSON file, figures, and the table of docs/inference.md."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot
from rich.box import SIMPLE_HEAD
from rich.table import Table

from divo_runtime.backends import OPENERS
from divo_runtime.timing.latency import Percentiles

NS_PER_US = 1e3
DEFAULT = "onnxruntime"
"""The backend that a controller uses unless it is told otherwise."""
EAGER = "torch eager"
BEGIN, END = "<!-- inference results -->", "<!-- /inference results -->"


@dataclass(frozen=True)
class Row:
    """One contestant in one case."""

    case: str
    contestant: str
    p50_us: float
    p99_us: float
    p999_us: float
    max_us: float
    calls: int
    ratio_to_floor: float
    """p50 over the floor's."""
    ratio_to_calls: float
    """p50 over that of the products with their calls from Python."""


@dataclass(frozen=True)
class CaseResult:
    """Everything measured for one policy, in turns."""

    case: str
    floor_us: float
    """p50 of the products less that of the calls."""
    products_us: float
    """p50 of the products with a call from Python for each."""
    multiplications: int
    rows: tuple[Row, ...]

    def row(self, contestant: str) -> Row | None:
        """Return a contestant's row."""
        return next((row for row in self.rows if row.contestant == contestant), None)

    @property
    def fastest(self) -> Row:
        """Return the row of the backend with the least p50 on this machine."""
        return min((row for row in self.rows if row.contestant in OPENERS), key=lambda row: row.p50_us)


def summarize(
    case: str, timed: Mapping[str, Percentiles], products: str, calls_alone: str, multiplications: int
) -> CaseResult:
    """Turn times into a result; `products` and `calls_alone` name the two chains of the floor."""
    floor_us = (timed[products].p50 - timed[calls_alone].p50) / NS_PER_US
    rows = tuple(
        Row(
            case,
            name,
            *(round(ns / NS_PER_US, 2) for ns in (p.p50, p.p99, p.p999, p.max)),
            p.count,
            round(p.p50 / NS_PER_US / floor_us, 3),
            round(p.p50 / timed[products].p50, 3),
        )
        for name, p in timed.items()
        if name not in (products, calls_alone)
    )
    return CaseResult(case, round(floor_us, 2), round(timed[products].p50 / NS_PER_US, 2), multiplications, rows)


def eager_speed(result: CaseResult) -> float:
    """Return how many times faster the fastest backend is than torch's eager mode, in its faster form."""
    return min(row.p50_us for row in result.rows if row.contestant.startswith(EAGER)) / result.fastest.p50_us


def result_table(results: Sequence[CaseResult]) -> Table:
    """Return the table for the terminal."""
    table = Table(box=SIMPLE_HEAD, title="one inference, one thread, one core [us]")
    for column in ("case", "contestant"):
        table.add_column(column)
    for column in ("p50", "p99", "p99.9", "max", "times floor", "times calls"):
        table.add_column(column, justify="right")
    for result in results:
        products = f"{result.multiplications / 1e6:.2f} M mult-adds"
        table.add_row(f"[bold]{result.case}", f"floor: {products}", f"{result.floor_us:.1f}", *[""] * 3, "1.00")
        table.add_row("", "floor with calls", f"{result.products_us:.1f}", *[""] * 4, "1.00")
        for row in result.rows:
            numbers = (f"{us:.1f}" for us in (row.p50_us, row.p99_us, row.p999_us, row.max_us))
            table.add_row("", row.contestant, *numbers, f"{row.ratio_to_floor:.2f}", f"{row.ratio_to_calls:.2f}")
        table.add_section()
    return table


def write_json(
    path: Path, machine: Mapping[str, str], results: Sequence[CaseResult], process: Mapping[str, float]
) -> None:
    """Write everything that was measured."""
    path.parent.mkdir(parents=True, exist_ok=True)
    report = {"machine": dict(machine), "process": dict(process), "cases": [asdict(result) for result in results]}
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def plot_results(path: Path, results: Sequence[CaseResult]) -> None:
    """Draw p50 (point) to p99.9 (line) of every contestant, with the floor as a bar, on a logarithmic axis."""
    contestants = list(dict.fromkeys(row.contestant for result in results for row in result.rows))
    figure, axes = pyplot.subplots(figsize=(9, 0.42 * len(results) + 1.6), layout="constrained")
    for line, result in enumerate(results):
        label = "floor: matrix products alone" if line == 0 else None
        axes.barh(line, result.floor_us, height=0.8, color="0.88", label=label)
    for number, contestant in enumerate(contestants):
        shift = 0.3 * (2 * number / max(len(contestants) - 1, 1) - 1)
        rows = [(line, result.row(contestant)) for line, result in enumerate(results)]
        present = [(line + shift, row) for line, row in rows if row]
        lines = [line for line, _ in present]
        axes.hlines(lines, [r.p50_us for _, r in present], [r.p999_us for _, r in present], f"C{number}", lw=1)
        axes.plot([r.p50_us for _, r in present], lines, "o", color=f"C{number}", ms=4, label=contestant)
    axes.set(xscale="log", xlabel="microseconds per action: p50 (point) to p99.9 (end of line)")
    axes.set_yticks(range(len(results)), [result.case for result in results])
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.3)
    figure.legend(loc="outside upper center", ncols=3, fontsize=8)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def figures_of(
    results: Sequence[CaseResult], process: Mapping[str, float], deployed: str
) -> dict[str, tuple[float, str]]:
    """Return the figures to record, name -> value and unit.

    A case's figures are those of the fastest backend, which the page names; the default one has its own beside them.

    Args:
        results: What was measured.
        process: Opening time and memory of the runtime.
        deployed: The actor's case in the bundle.
    """
    figures: dict[str, tuple[float, str]] = {
        "bundle.open_ms": (round(process["open_ms"], 1), "ms"),
        "runtime.rss_mb": (round(process["rss_mb"], 1), "MB"),
    }
    for result in results:
        graph, default, name = result.fastest, result.row(DEFAULT), f"inference.{result.case}"
        assert default is not None
        figures[f"{name}.floor_us"] = (result.floor_us, "us")
        figures[f"{name}.ratio_to_floor"] = (graph.ratio_to_floor, "1")
        figures[f"{name}.ratio_to_calls"] = (graph.ratio_to_calls, "1")
        figures[f"{name}.speed_vs_torch_eager"] = (round(eager_speed(result), 3), "1")
        for key in ("p50_us", "p99_us", "p999_us", "max_us"):
            figures[f"{name}.{key}"] = (getattr(graph, key), "us")
        figures[f"{name}.{DEFAULT}.p50_us"] = (default.p50_us, "us")
        figures[f"{name}.{DEFAULT}.ratio_to_floor"] = (default.ratio_to_floor, "1")
        if result.case == deployed:
            figures["inference.actor.p50_us"] = (graph.p50_us, "us")
    return figures


def write_page(page: Path, results: Sequence[CaseResult]) -> None:
    """Write table and picture between the page's two marks, as quotes that `benchmarks.figures` fills."""
    columns = (("p50_us", ".1f"), ("p99_us", ".1f"), ("p999_us", ".1f"), ("max_us", ".0f"), ("floor_us", ".1f"))
    ratios = (("ratio_to_floor", ".2f"), ("ratio_to_calls", ".2f"), ("speed_vs_torch_eager", ".1f"))
    default = ((f"{DEFAULT}.p50_us", ".1f"), (f"{DEFAULT}.ratio_to_floor", ".2f"))
    head = "| case | fastest backend | p50 | p99 | p99.9 | max | floor | times floor | times floor with calls"
    lines = [f"{head} | times eager's speed | `{DEFAULT}`: p50 | times floor |", "|---" * 12 + "|"]
    for result in results:
        name = f"inference.{result.case}"
        cells = (f"<!-- figure {name}.{key} {form} --><!-- /figure -->" for key, form in (*columns, *ratios, *default))
        lines.append(f"| `{result.case}` | `{result.fastest.contestant}` | " + " | ".join(cells) + " |")
    lines += ["", "![p50 to p99.9 of every contestant, beside the floor](inference.png)"]
    text = page.read_text(encoding="utf-8")
    before, after = text.partition(BEGIN)[0], text.partition(END)[2]
    page.write_text(f"{before}{BEGIN}\n" + "\n".join(lines) + f"\n{END}{after}", encoding="utf-8")
