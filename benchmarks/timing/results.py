"""Files of the benchmark: raw blocks that are kept between calls, and the small ones that are published."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.timing.cells import Cell
from benchmarks.timing.samples import Block, join, joined, read_recording
from benchmarks.timing.summary import EDGES_US, Summary, summarize
from benchmarks.timing.witness import read_standstills

PUBLISHED = ("wakeup", "compute", "end_to_end")
"""Quantities whose samples are published for the headline's actor; everything else as histograms, to stay small."""


def block_file(folder: Path, cell: Cell, block: int) -> Path:
    """Return where a block's raw times lie."""
    return folder / cell.name / f"{block}.npz"


def is_measured(folder: Path, cell: Cell, block: int, key: str) -> bool:
    """Return whether a block was measured already with the same lengths, code and settings."""
    note = block_file(folder, cell, block).with_suffix(".key")
    return note.exists() and note.read_text(encoding="utf-8") == _note(cell, key)


def mark_measured(folder: Path, cell: Cell, block: int, key: str) -> None:
    """Note that a block is complete."""
    block_file(folder, cell, block).with_suffix(".key").write_text(_note(cell, key), encoding="utf-8")


def _note(cell: Cell, key: str) -> str:
    return json.dumps({**asdict(cell), "key": key})


def read_blocks(folder: Path, cell: Cell) -> tuple[list[Block], list[Block]]:
    """Return a cell's blocks after warm-up, and their warm-ups.

    Raises:
        JoinError: If a block's commands and cycles do not belong together.
    """
    period_us = 1e6 / cell.rate_hz
    recordings = [read_recording(block_file(folder, cell, block)) for block in range(cell.blocks)]
    first, last = cell.warm_cycles + 1, cell.warm_cycles + cell.cycles
    stood = [read_standstills(_witness_files(folder, cell, block)) for block in range(cell.blocks)]
    warm = [join(one, first, last, period_us, seen) for one, seen in zip(recordings, stood, strict=True)]
    return warm, [join(recording, 1, cell.warm_cycles, period_us) for recording in recordings]


def _witness_files(folder: Path, cell: Cell, block: int) -> list[Path]:
    return sorted((folder / cell.name).glob(f"{block}.witness*[0-9].npy"))


def summarize_cell(folder: Path, cell: Cell) -> Summary:
    """Return the summary of a measured cell."""
    warm, cold = read_blocks(folder, cell)
    return summarize(warm, cold, cell.cycles * cell.blocks)


def write_summaries(path: Path, summaries: Mapping[str, Summary], about: Mapping[str, object]) -> None:
    """Write every cell's numbers and what they were measured on, as JSON with a line per cell."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cells = [f"{json.dumps(name)}: {json.dumps(asdict(summary))}" for name, summary in summaries.items()]
    heads = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in about.items()]
    heads += [f'"edges_us": {json.dumps(EDGES_US.round(3).tolist())}', '"cells": {\n' + ",\n".join(cells) + "\n}"]
    path.write_text("{\n" + ",\n".join(heads) + "\n}\n", encoding="utf-8")


def write_samples(path: Path, folder: Path, cells: Sequence[Cell]) -> None:
    """Write the samples of some cells after warm-up, rounded to whole microseconds, all blocks one after the other."""
    arrays: dict[str, Any] = {}
    for cell in cells:
        warm, _ = read_blocks(folder, cell)
        for name in PUBLISHED:
            values = joined([getattr(block, name) for block in warm])
            arrays[f"{cell.name}/{name}_us"] = np.round(values).astype(np.int32)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **arrays)
