"""Frozen records to a CSV file, a column per field, replaced in one step."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import TypeVar

R = TypeVar("R")
"""A dataclass."""


def write_records(path: Path, kind: type[R], records: Sequence[R]) -> None:
    """Write records of one dataclass; a reader sees the old file or the new one, nothing between."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".writing")
    with temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(kind)], lineterminator="\n")  # type: ignore[arg-type]
        writer.writeheader()
        writer.writerows(asdict(record) for record in records)  # type: ignore[call-overload]
    os.replace(temporary, path)
