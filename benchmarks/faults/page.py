"""The table in docs/faults.md: rows from the table itself, times from the last published series."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import figures
from benchmarks.faults.fault import Fault, Reaction
from benchmarks.faults.table import TABLE
from divo_runtime.errors import DivoError

PAGE = figures.ROOT / "docs" / "faults.md"
RESULTS = figures.ROOT / "benchmarks" / "results" / "faults.json"
BEGIN, END = "<!-- fault table -->", "<!-- /fault table -->"
NO_TIME = (Reaction.GO_ON, Reaction.RECOVER)
HEAD = (
    "| fault | how | must happen | noticed, latched, at rest within [ms] | handled | worst [ms] |",
    "|---|---|---|---|---|---|",
)


class PageError(DivoError):
    """The page lacks its markers."""


def read_results(path: Path = RESULTS) -> dict[str, dict[str, Any]]:
    """Return name -> summary of the last published series; nothing if there is none."""
    return dict(json.loads(path.read_text(encoding="utf-8"))["rows"]) if path.exists() else {}


def table_text(results: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the table in Markdown."""
    return "\n".join((*HEAD, *(_line(row, results.get(row.name)) for row in TABLE)))


def fill_page(text: str, results: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the page's text with the current table between its markers.

    Raises:
        PageError: If the markers are not there, once each and in order.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise PageError("The page lacks its markers.", where=str(PAGE), expected=f"{BEGIN} and {END}")
    return f"{before}{BEGIN}\n{table_text(results)}\n{END}{after}"


def _line(row: Fault, result: Mapping[str, Any] | None) -> str:
    must = row.reaction.value + (f'; says "{row.reason or row.says}"' if row.reason or row.says else "")
    if row.reaction in NO_TIME:
        limits = f"silence {row.gap_ms:g}"
    elif row.reaction is Reaction.DIE:
        limits = f"-, -, {row.rest_within_ms:g}"
    else:
        limits = ", ".join("-" if limit is None else f"{limit:g}" for limit in _limits(row))
    return f"| {row.name} | {row.injection} | {must} | {limits} | {_handled(row, result)} | {_worst(row, result)} |"


def _limits(row: Fault) -> tuple[float | None, ...]:
    return row.within_ms, row.latched_within_ms, row.rest_within_ms


def _handled(row: Fault, result: Mapping[str, Any] | None) -> str:
    if row.only == "controller":
        return "controller only"
    return f"{result['handled']} of {result['runs']}" if result else "not run yet"


def _worst(row: Fault, result: Mapping[str, Any] | None) -> str:
    if not result:
        return ""
    if row.reaction in NO_TIME:
        return f"silence {result.get('gap_ms', math.nan):.0f}"
    names = ("reaction_ms", "latched_ms", "rest_ms")
    wanted = _limits(row) if row.reaction is not Reaction.DIE else (None, None, row.rest_within_ms)
    shown = (
        f"{result[name]:.0f}" if name in result and limit is not None else "-"
        for name, limit in zip(names, wanted, strict=True)
    )
    return ", ".join(shown)


def main() -> int:
    """Write the table into the page."""
    try:
        PAGE.write_text(fill_page(PAGE.read_text(encoding="utf-8"), read_results()), encoding="utf-8")
    except (OSError, PageError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
