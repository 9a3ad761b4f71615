"""How far the exported networks are from the trained ones: the numbers of `divo-export check`, recorded.

`python -m benchmarks.parity` compares the bundle with its run; `--record` writes docs/figures.json.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from rich.console import Console

from benchmarks.figures import record_all
from divo_export.check import compare_with_run
from divo_runtime.bundle.loading import load_bundle
from divo_runtime.bundle.overview import parity_table
from divo_runtime.parity.report import ParityReport

SCRIPT = "benchmarks/parity.py"
QUOTED = ("actor", "sampler")


@dataclass(frozen=True)
class ParityCommand:
    """Compare a bundle with the run it was made from, on this machine."""

    bundle: Path = Path("bundles/arm_reach")
    """Bundle folder."""
    run: Path = Path("runs/arm_reach/mixed-25")
    """Run folder that it was exported from."""
    observations: int = 10_000
    """Dataset observations."""
    episodes: int = 30
    """Seeded episodes per policy."""
    record: bool = False
    """Write docs/figures.json."""


def parity_figures(report: ParityReport) -> dict[str, tuple[float, str]]:
    """Return name -> value and unit of what the documents quote: the worst case of every engine that was compared."""
    figures: dict[str, tuple[float, str]] = {}
    for network in QUOTED:
        of_network = [row for row in report.results if row.network == network]
        figures[f"parity.{network}.worst_fraction_of_range"] = (max(row.worst_fraction for row in of_network), "1")
        figures[f"parity.{network}.agreement"] = (min(row.agreement for row in of_network), "1")
        figures[f"parity.{network}.observations"] = (min(row.observations for row in of_network), "observations")
        loops = [loop for loop in report.closed_loop if loop.network == network]
        if loops:
            worst = min(loops, key=lambda loop: loop.mean_difference)
            figures[f"parity.{network}.return_difference"] = (worst.mean_difference, "1")
            figures[f"parity.{network}.episodes"] = (len(worst.seeds), "episodes")
    return figures


def main() -> None:
    """Entry point."""
    command = tyro.cli(ParityCommand)
    torch.set_num_threads(1)
    console = Console(highlight=False, soft_wrap=True)
    with load_bundle(command.bundle) as bundle:
        report = compare_with_run(bundle, command.run, (), command.observations, command.episodes, console.print)
    console.print("\n".join(["", *parity_table(report.results)]))
    figures = parity_figures(report)
    for name, (value, unit) in figures.items():
        console.print(f"{name}: {value:.3g} {unit}")
    if command.record:
        record_all(figures, SCRIPT)


if __name__ == "__main__":
    main()
