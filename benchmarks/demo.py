"""The demo's numbers: print what `make demo` took, and write its figures when asked to.

Reads the report of `divo-sim validate` and the evaluation of `divo-train evaluate`; measures nothing itself.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import tyro
from rich.console import Console

from benchmarks.figures import record_all

SCRIPT = "benchmarks/demo.py"


@dataclass(frozen=True)
class DemoCommand:
    """Say how long the demo took; with --record, write its figures to docs/figures.json."""

    report: Path = Path("reports/arm_reach")
    """Report folder of `divo-sim validate`."""
    run: Path = Path("runs/arm_reach/mixed-25")
    """Run folder of `divo-train`."""
    seconds: int = 0
    """How long everything took [s]."""
    record: bool = False
    """Write docs/figures.json."""


def main() -> None:
    """Entry point."""
    command = tyro.cli(DemoCommand)
    if command.record:
        record_all(demo_figures(command), SCRIPT)
    Console().print(f"Done in {command.seconds / 60:.1f} minutes. Open {command.report / 'report.html'}")


def demo_figures(command: DemoCommand) -> dict[str, tuple[float, str]]:
    """Return the figures of a finished demo, name -> value and unit."""
    figures: dict[str, tuple[float, str]] = {"demo.minutes": (round(command.seconds / 60, 2), "min")}
    for policy in ("actor", "sampler", "bc"):
        summary = json.loads((command.run / "evaluation" / f"{policy}.json").read_text())["summary"]
        name = f"arm_reach.mixed-25.{policy}"
        figures[f"{name}.success"] = (summary["success"], "1")
        figures[f"{name}.collision_free"] = (summary["collision_free"], "1")
        figures[f"{name}.return"] = (round(summary["return_mean"], 3), "1")
        if summary["collision_free"] > 0:  # else there is no route to speak of
            figures[f"{name}.outer_share"] = (round(summary["outer_share"], 3), "1")
    validation = json.loads((command.report / "validation.json").read_text())
    for policy, node in (("actor", "actor"), ("sampler", "sampler_n4_k5")):
        result = validation["policies"][policy]
        figures[f"node.{node}.p50_ms"] = (round(result["latency"]["p50_ms"], 3), "ms")
        figures[f"node.{node}.p99_ms"] = (round(result["latency"]["p99_ms"], 3), "ms")
        figures[f"node.{node}.missed"] = (result["latency"]["missed"], "deadlines")
        figures[f"node.{node}.cycles"] = (result["latency"]["cycles"], "cycles")
        figures[f"loop.{policy}.success"] = (result["loop"]["success"]["value"], "1")
        figures[f"loop.{policy}.collision_free"] = (result["loop"]["collision_free"]["value"], "1")
        figures[f"loop.{policy}.success_minus_inprocess"] = (round(result["loop_minus_in_process"]["success"], 4), "1")
    return figures


if __name__ == "__main__":
    main()
