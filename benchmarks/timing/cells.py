"""What is measured: one cell per rate, subject, load and recorder, and in which order its blocks run.

Blocks of cells that are compared with each other alternate, so that a noisy minute of the machine hits all of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Literal

Subject = Literal["actor", "sampler", "noop", "naive"]
RATES_HZ = (50, 100, 200, 500, 1000)
HEADLINE_HZ = 200
HEADLINE = ("actor-idle", "actor-loaded", "noop-idle", "noop-loaded")
HEADLINE_CYCLES = 120_000
HEADLINE_BLOCKS = 5
NOOP_CYCLES = 36_000
"""Of the no-operation node beside the headline: 360 samples above p99."""
SECONDS: dict[Subject, int] = {"actor": 20, "sampler": 15, "noop": 10, "naive": 10}
"""How long each cell beside the headline lasts."""
VARIED_HZ = (200, 1000)
"""Rates that are measured with the recorder on, with ordinary priority, and with LiteRT, too."""
VARIANTS = ("recording", "ordinary", "litert")
WARM_CYCLES = 1000
WARM_S = 5.0


@dataclass(frozen=True, slots=True)
class Cell:
    """One condition of the matrix."""

    subject: Subject
    """`actor` and `sampler`: our node; `noop`: our node without its work; `naive`: an rclpy timer."""
    rate_hz: int
    loaded: bool
    """Whether one busy process per core runs beside it."""
    recording: bool = False
    ordinary: bool = False
    """Whether our node runs without real-time priority, as it must where the machine does not permit it."""
    litert: bool = False
    """Whether LiteRT runs the networks, and not ONNX Runtime, the default."""
    cycles: int = 1
    """Cycles per block, after warm-up."""
    blocks: int = 1
    """Fresh starts of the node."""

    @property
    def name(self) -> str:
        """Name, such as `200hz-actor-loaded`."""
        load = "loaded" if self.loaded else "idle"
        extras = "".join(f"-{name}" for name in VARIANTS if getattr(self, name))
        return f"{self.rate_hz}hz-{self.subject}-{load}{extras}"

    @property
    def warm_cycles(self) -> int:
        """First cycles of a block that are reported apart, as cold start."""
        return min(WARM_CYCLES, round(WARM_S * self.rate_hz), self.cycles)

    @property
    def seconds(self) -> float:
        """How long its control loops run, all blocks together [s]."""
        return self.blocks * (self.cycles + self.warm_cycles) / self.rate_hz


def matrix() -> list[Cell]:
    """Return every cell at full length, those that are compared with each other side by side."""
    cells = []
    for rate_hz in (HEADLINE_HZ, *(rate for rate in RATES_HZ if rate != HEADLINE_HZ)):
        for loaded in (False, True):
            of_rate = [Cell(subject, rate_hz, loaded, cycles=s * rate_hz) for subject, s in SECONDS.items()]
            if rate_hz == HEADLINE_HZ:
                of_rate = [_headline(cell) for cell in of_rate]
            if rate_hz in VARIED_HZ:
                plain = Cell("actor", rate_hz, loaded, cycles=SECONDS["actor"] * rate_hz)
                of_rate += [replace(plain, **{variant: True}) for variant in VARIANTS]
            cells += of_rate
    return cells


def _headline(cell: Cell) -> Cell:
    cycles = {"actor": HEADLINE_CYCLES, "noop": NOOP_CYCLES}.get(cell.subject)
    return replace(cell, cycles=cycles // HEADLINE_BLOCKS, blocks=HEADLINE_BLOCKS) if cycles else cell


def is_headline(cell: Cell) -> bool:
    """Return whether a cell belongs to the headline: the actor at 200 Hz and the no-operation node beside it."""
    return cell.rate_hz == HEADLINE_HZ and cell.name.split("-", 1)[1] in HEADLINE


def chosen(cells: Sequence[Cell], only: Sequence[str], headline: bool) -> list[Cell]:
    """Return the cells whose name contains one of the texts, such as `200hz-actor`; no text chooses all."""
    return [
        cell
        for cell in cells
        if (not only or any(text in cell.name for text in only)) and (not headline or is_headline(cell))
    ]


def shortened(cell: Cell, limit_s: float) -> Cell:
    """Return a cell in one block of at most `limit_s` after warm-up, for trying; unchanged if it is no longer."""
    cycles = max(1, round(limit_s * cell.rate_hz))
    return cell if cell.blocks * cell.cycles <= cycles else replace(cell, cycles=cycles, blocks=1)


def blocks(cells: Sequence[Cell]) -> Iterator[tuple[Cell, int]]:
    """Yield (cell, block) in the order of measuring: within one rate and load, the cells take turns."""
    for _, group in groupby(cells, key=lambda cell: (cell.rate_hz, cell.loaded)):
        turn = list(group)
        for block in range(max(cell.blocks for cell in turn)):
            yield from ((cell, block) for cell in turn if block < cell.blocks)
