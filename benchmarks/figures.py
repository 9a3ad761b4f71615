"""The one source of figures: benchmarks write `docs/figures.json`, documents quote from it and from nothing else.

`python -m benchmarks.figures fill` writes the current figures into README.md and docs/*.md, and `check` instead of
`fill` fails where a document says something else.

A document quotes a figure between two markers, `<!-- figure NAME FORMAT -->...<!-- /figure -->`, where FORMAT is a
Python format such as `.1%` or `.2f`, or one of the fields `unit`, `script`, `commit`, `date`, `machine`.
"""

from __future__ import annotations

import json
import math
import os
import platform
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path

from rich.console import Console

from divo_runtime.errors import DivoError

ROOT = Path(__file__).resolve().parents[1]
FIGURES = ROOT / "docs" / "figures.json"
FIELDS = ("value", "unit", "script", "commit", "date", "machine")
QUOTE = re.compile(r"<!-- figure (?P<name>\S+) (?P<format>\S+) -->(?P<text>[^<]*)<!-- /figure -->")
MARKER = re.compile(r"<!-- /?figure\b")

Figures = dict[str, dict[str, object]]


class FigureError(DivoError):
    """A figure is not a number, or a document quotes one that does not exist."""


def record(name: str, value: float, unit: str, script: str) -> None:
    """Write one figure, as `record_all` does."""
    record_all({name: (value, unit)}, script)


def record_all(
    measured: Mapping[str, tuple[float, str]], script: str, path: Path = FIGURES, now: datetime | None = None
) -> None:
    """Write figures that were measured together; figures of other names stay.

    Args:
        measured: Dotted name -> value and unit; a share has the unit `1`.
        script: Path of the script that measured them, from the repository's root.
        path: File of figures, sorted by name and replaced in one step.
        now: Time of the measurement; by default the present.

    Raises:
        FigureError: If a value is not finite.
    """
    for name, (value, _) in measured.items():
        if isinstance(value, bool) or not math.isfinite(value):
            raise FigureError("A figure is not a finite number.", where=f"{script}, {name}", got=repr(value))
    date = (now or datetime.now(timezone.utc)).date().isoformat()
    origin = {"script": script, "commit": commit(), "date": date, "machine": _machine()}
    figures = read_figures(path)
    for name, (value, unit) in measured.items():
        figures[name] = {"value": value if isinstance(value, int) else float(value), "unit": unit, **origin}
    temporary = path.with_suffix(".writing")
    temporary.write_text(json.dumps(dict(sorted(figures.items())), indent=1) + "\n", encoding="utf-8")
    os.replace(temporary, path)


def changed(measured: Mapping[str, tuple[float, str]], figures: Figures) -> dict[str, tuple[float, str]]:
    """Return what is not among the figures with the same value: computed again, a result keeps its date and machine."""
    return {name: it for name, it in measured.items() if name not in figures or figures[name]["value"] != it[0]}


def read_figures(path: Path = FIGURES) -> Figures:
    """Return name -> fields; none if nothing has been measured yet."""
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def quoted(text: str, figures: Figures, where: str) -> str:
    """Return a document's text with the current figure between every pair of markers.

    Raises:
        FigureError: If a figure does not exist, a format does not fit, or a marker lacks its other half.
    """

    def fill(match: re.Match[str]) -> str:
        name, form = match["name"], match["format"]
        line = f"{where}:{text.count(chr(10), 0, match.start()) + 1}"
        if name not in figures:
            fix = "Run the script that measures it, or mend the name."
            raise FigureError("A document quotes a figure that does not exist.", where=line, got=name, fix=fix)
        try:
            shown = figures[name][form] if form in FIELDS else format(figures[name]["value"], form)
        except ValueError as error:
            expected = f"a Python format such as .1%, or one of {', '.join(FIELDS)}"
            raise FigureError("A format does not fit.", where=line, got=form, expected=expected) from error
        return f"<!-- figure {name} {form} -->{shown}<!-- /figure -->"

    if len(MARKER.findall(text)) != 2 * len(QUOTE.findall(text)):
        expected = "<!-- figure NAME FORMAT -->...<!-- /figure -->"
        raise FigureError("A marker lacks its other half or its format.", where=where, expected=expected)
    return QUOTE.sub(fill, text)


def documents(root: Path = ROOT) -> list[Path]:
    """Return the documents that may quote figures."""
    return [path for path in (root / "README.md", *sorted((root / "docs").glob("*.md"))) if path.exists()]


def disagreements(paths: Sequence[Path], figures: Figures) -> list[str]:
    """Return a line for every quote that is not the current figure."""
    found = []
    for path in paths:
        text = path.read_text(encoding="utf-8")
        pairs = zip(QUOTE.finditer(text), QUOTE.finditer(quoted(text, figures, str(path))), strict=True)
        found += [f"{path}: {a['name']} is {b['text']}, not {a['text']}" for a, b in pairs if a["text"] != b["text"]]
    return found


def main(arguments: Sequence[str]) -> int:
    """Fill or check the documents and return the exit status."""
    console = Console(stderr=True, highlight=False, soft_wrap=True, markup=False)
    if list(arguments) not in (["fill"], ["check"]):
        console.print("usage: python -m benchmarks.figures fill|check")
        return 2
    try:
        found = disagreements(documents(), read_figures())
        for path in documents() if arguments[0] == "fill" else []:
            path.write_text(quoted(path.read_text(encoding="utf-8"), read_figures(), str(path)), encoding="utf-8")
    except FigureError as error:
        console.print(f"error: {error}")
        return 2
    console.print(*found, sep="\n", end="\n" if found else "")
    return int(bool(found) and arguments[0] == "check")


def commit() -> str:
    """Return the commit, with `+changes` if code differs from it; the documents may, for they are being filled."""

    def ask(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()

    status = ("status", "--porcelain", "--untracked-files=no", "--", ".", ":!docs", ":!README.md")
    try:
        return ask("rev-parse", "HEAD") + ("+changes" if ask(*status) else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _machine() -> str:
    models = re.findall(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
    return f"{[*models, 'unknown'][0]}, {os.cpu_count()} cores, {platform.system()} {platform.release()}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
