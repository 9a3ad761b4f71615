"""An examination as text of at most 100 columns, and as a page that opens without a network."""

from __future__ import annotations

import html
import textwrap
from collections.abc import Sequence

import numpy as np

from divo_runtime.doctor.examination import Examination
from divo_runtime.doctor.topic_findings import delay_ms, rate_hz
from divo_runtime.fields import JointArray

WIDTH = 96
Row = Sequence[str]
Section = tuple[str, Sequence[Row]]
"""Title, and rows of which the first names the columns."""

STYLE = (
    "body{font:15px/1.5 sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem}table{border-collapse:collapse}"
    "th,td{padding:.15rem .7rem;text-align:right;border-bottom:1px solid #ddd}th:first-child,td:first-child"
    "{text-align:left}.bad{background:#fff3e0;border-left:4px solid #e65100;padding:.5rem 1rem;margin:.5rem 0}"
    ".good{background:#e8f5e9;border-left:4px solid #2e7d32;padding:.5rem 1rem}"
)


def render_text(found: Examination) -> str:
    """Return the report as plain text."""
    lines = [*_head(found), ""]
    for title, rows in _sections(found):
        lines += [title, *_aligned(rows), ""]
    lines += [f"note: {note}" for note in found.notes]
    if not found.findings:
        return "\n".join([*lines, _verdict(found)])
    lines += [_verdict(found)]
    for number, each in enumerate(found.findings, 1):
        lines += textwrap.wrap(f"{number}. {each.subject}: {each.what}", WIDTH, subsequent_indent="   ")
        lines += textwrap.wrap(each.advice, WIDTH, initial_indent="   ", subsequent_indent="   ")
    return "\n".join(lines)


def render_page(found: Examination) -> str:
    """Return the report as one HTML page."""
    parts = [f"<h1>{html.escape(found.contract.name)}</h1>", *(f"<p>{html.escape(line)}</p>" for line in _head(found))]
    parts.append(f'<p class="{"bad" if found.findings else "good"}"><b>{html.escape(_verdict(found))}</b></p>')
    for each in found.findings:
        words = f"<b>{html.escape(each.subject)}</b>: {html.escape(each.what)}<br>{html.escape(each.advice)}"
        parts.append(f'<div class="bad">{words}</div>')
    parts += [f"<p>{html.escape(note)}</p>" for note in found.notes]
    for title, (head, *rows) in _sections(found):
        cells = "".join(f"<th>{html.escape(cell)}</th>" for cell in head)
        body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
        parts.append(f"<h2>{html.escape(title)}</h2><table><tr>{cells}</tr>{body}</table>")
    title = f"<title>doctor: {html.escape(found.contract.name)}</title>"
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8">{title}<style>{STYLE}</style>{"".join(parts)}</html>\n'
    )


def _head(found: Examination) -> list[str]:
    periods = found.periods
    seconds = (int(periods.times_ns[-1]) - int(periods.times_ns[0])) / 1e9
    grid = {"cycles": "the controller's own cycles", "commands": "the commands", "regular": "a regular grid"}
    usable = np.isfinite(periods.observations).all(axis=1).mean()
    lines = [
        f"bundle {found.bundle}, policy {found.policy}",
        f"bag    {found.bag}: {len(periods):,} periods in {seconds:.1f} s on {grid[periods.grid]}, {usable:.1%} usable",
    ]
    before, after = found.surprise
    if np.isfinite(before):
        mended = f", {after:.2f} after putting right what was found" if after < before else ""
        lines.append(f"mean surprise {before:.2f}{mended} (the training data's own: about 0.5)")
    if np.isfinite(found.novel):
        lines.append(f"beyond the novelty guard's bound: {found.novel:.1%} of the observations")
    return lines


def _verdict(found: Examination) -> str:
    count = len(found.findings)
    return f"{count} finding{'s' * (count > 1)}:" if count else "Nothing looks wrong."


def _sections(found: Examination) -> list[Section]:
    sections: list[Section] = [("Inputs", _topic_rows(found)), ("Observation, 5 % .. 50 % .. 95 %", _rows(found))]
    if found.agreement:
        sections.append(("Commands, compared with the policy's answers", _command_rows(found)))
    return sections


def _topic_rows(found: Examination) -> list[Row]:
    rows: list[Row] = [("topic", "messages", "rate [Hz]", "longest gap [ms]", "delay [ms]", "frame", "unusable")]
    for topic, times in found.periods.topics.items():
        terms = [term.name for term in found.contract.observation if term.topic == topic]
        counts = [count for (term, _), count in found.periods.problems.items() if term in terms]
        gap_ms = float(np.diff(times.arrivals_ns).max(initial=0)) / 1e6
        numbers = f"{rate_hz(times):.1f}", f"{gap_ms:.0f}", f"{delay_ms(times):.1f}"
        unusable = f"{max([0, *counts]) / len(found.periods):.1%}"
        rows.append((times.name, f"{len(times.arrivals_ns):,}", *numbers, times.frame or "-", unusable))
    return rows


def _rows(found: Examination) -> list[Row]:
    training, seen = found.training, found.periods.observations.astype(np.float64)
    rows: list[Row] = [("element", "trained on", "in the bag", "outside", "shift [std]", "spread")]
    for index, name in enumerate(found.contract.element_names):
        values, deviation = seen[np.isfinite(seen[:, index]), index], training.deviation[index]
        if not len(values):
            rows.append((name, _spread(training.quantiles[:, index], deviation), "nothing", "-", "-", "-"))
            continue
        quantiles = np.quantile(values, (0.05, 0.5, 0.95))
        shift = (quantiles[1] - training.quantiles[1, index]) / deviation
        ratio = values.std() / deviation
        numbers = f"{found.outside[index]:.0%}", f"{shift:+.1f}", f"x{ratio:.2f}"
        spreads = (_spread(each, deviation) for each in (training.quantiles[:, index], quantiles))
        rows.append((name, *spreads, *numbers))
    return rows


def _spread(quantiles: JointArray, deviation: float) -> str:
    """Return three quantiles with as many digits as matter."""
    digits = 2 if 0.02 <= deviation < 1e3 else 4 if deviation < 0.02 else 0
    shown = (f"{value:.{digits}f}" if abs(value) < 1e5 else f"{value:.2g}" for value in quantiles)
    return " .. ".join(shown)


def _command_rows(found: Examination) -> list[Row]:
    agreement = found.agreement
    assert agreement is not None, "the section is left out without it"
    rows: list[Row] = [("command", "correlation", "at best", "shift", "size", "difference (rms)")]
    difference = found.answers - found.periods.commands
    rms = np.sqrt(np.nanmean(np.square(difference), axis=0))
    lag = int(agreement.lags[agreement.best])
    for index, name in enumerate(found.contract.action.names):
        if not agreement.active[index]:
            rows.append((name, "stands still", "-", "-", "-", f"{rms[index]:.3g} {found.contract.action.unit}"))
            continue
        best = agreement.correlation[agreement.best, index, index]
        numbers = f"{agreement.now[index, index]:+.2f}", f"{best:+.2f}", f"{lag:+d}"
        size = f"x{agreement.ratio[index]:.2f}"
        rows.append((name, *numbers, size, f"{rms[index]:.3g} {found.contract.action.unit}"))
    return rows


def _aligned(rows: Sequence[Row]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
