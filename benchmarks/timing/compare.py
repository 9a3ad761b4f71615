"""`python -m benchmarks.timing.compare`: settings of the node side by side, in turns, on an idle machine.

Machines have better and worse minutes, and a worse one costs more than most settings gain. So every setting is measured
in every round, and what counts is each round's ratio to the first setting.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import tyro
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.timing.bundles import write_bundle_at
from benchmarks.timing.cells import WARM_S, Cell
from benchmarks.timing.trial import Conditions, run_block
from divo_runtime.errors import DivoError

NUMBERS = ("compute p50 [ms]", "compute p99 [ms]", "policy p50 [ms]", "policy p99 [ms]", "missed")


@dataclass(frozen=True)
class Compare:
    """Measure the node with other settings beside its defaults."""

    settings: tuple[str, ...] = ("", "rehearse_us=0", "cpu=-2", "wake_us=0", "realtime_priority=0")
    """Each a list of parameters, name=value with commas, of which the first is what the others are compared with."""
    bundle: Path = Path("bundles/arm_reach")
    """Bundle whose networks are run."""
    rate_hz: int = 200
    """Control rate [Hz]."""
    policy: Literal["actor", "sampler"] = "actor"
    """Which policy."""
    rounds: int = 3
    """How often each setting is measured."""
    seconds: float = 10.0
    """How long each time, after warm-up [s]."""

    def run(self, console: Console) -> None:
        """Measure and print."""
        measured: dict[str, list[NDArray[np.float64]]] = {name: [] for name in self.settings}
        turns = [name for _ in range(self.rounds) for name in self.settings]
        with tempfile.TemporaryDirectory(prefix="divo-compare-") as folder:
            bundle = write_bundle_at(self.bundle, self.rate_hz, Path(folder) / "bundle")
            for number, name in enumerate(track(turns, "comparing", console=console)):
                file = Path(folder) / f"{number}.npz"
                cell = Cell(self.policy, self.rate_hz, loaded=False, cycles=round(self.seconds * self.rate_hz))
                run_block(cell, bundle, file, conditions_of(name), domain=1 + (os.getpid() + number) % 100)
                measured[name].append(numbers_of(file, min(round(WARM_S * self.rate_hz), cell.warm_cycles)))
        console.print(comparison({name: np.stack(rows) for name, rows in measured.items()}, self.rate_hz))


def conditions_of(settings: str) -> Conditions:
    """Return the conditions that a list of parameters stands for, the node's defaults for all others.

    Raises:
        DivoError: If it is no such list.
    """
    own: dict[str, int] = {}
    more: list[str] = []
    for pair in filter(None, settings.split(",")):
        name, sign, value = pair.partition("=")
        counted = name in ("realtime_priority", "cpu", "rehearse_us")
        if not sign or (counted and not value.removeprefix("-").isdigit()):
            raise DivoError(
                "That is no setting of the node.",
                where="--settings",
                got=pair,
                expected="name=value, such as rehearse_us=0",
                fix="`divo-controller --help` lists names and values; commas join several.",
            )
        if counted:
            own[name] = int(value)
        else:
            more += [f"--{name.replace('_', '-')}", value]
    return Conditions(**own, more=tuple(more))


def numbers_of(file: Path, warm_cycles: int) -> NDArray[np.float64]:
    """Return (5,) what `NUMBERS` names, after warm-up."""
    with np.load(file) as saved:
        names = str(saved["fields"]).split(",")
        timing = saved["timing"][warm_cycles:]
    total, policy, missed = (timing[:, names.index(name)] for name in ("total_us", "policy_us", "missed"))
    spread = [np.percentile(values, percent) / 1e3 for values in (total, policy) for percent in (50, 99)]
    return np.array([*spread, missed[-1] - missed[0]])


def comparison(measured: dict[str, NDArray[np.float64]], rate_hz: int) -> Table:
    """Return a table of medians over rounds, and of each round's ratio to the first setting.

    Args:
        measured: Setting -> (rounds, 5).
        rate_hz: For the title.
    """
    first = next(iter(measured.values()))
    rounds = len(first)
    table = Table(
        title=f"{rate_hz} Hz, medians of {rounds} rounds; missed: sum; ratios: median of the rounds' (lowest, highest)"
    )
    for column in ("setting", *NUMBERS, "ratio of p50", "ratio of p99"):
        table.add_column(column, justify="left" if column == "setting" else "right")
    for name, rows in measured.items():
        ratios = rows[:, :2] / first[:, :2]
        shown = [f"{np.median(r):.2f} ({r.min():.2f}, {r.max():.2f})" for r in ratios.T]
        medians = [f"{value:.2f}" for value in np.median(rows[:, :4], axis=0)]
        table.add_row(name or "defaults", *medians, f"{rows[:, 4].sum():.0f}", *shown)
    return table


if __name__ == "__main__":
    output = Console(width=max(Console().width, 140))
    try:
        tyro.cli(Compare).run(output)
    except DivoError as error:
        output.print(f"error: {error}", markup=False)
        raise SystemExit(1) from None
