"""The benchmark's figures, and the part of docs/timing.md that quotes them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from benchmarks.timing.cells import HEADLINE_HZ, RATES_HZ
from benchmarks.timing.summary import Summary, ratio
from divo_runtime.errors import DivoError

BEGIN, END = "<!-- timing results -->", "<!-- /timing results -->"
SUBJECTS = {"noop": "no-operation node", "actor": "actor", "sampler": "sampler", "naive": "rclpy timer node"}
VARIANTS = {"recording": "recorder on", "ordinary": "ordinary priority", "litert": "LiteRT"}
COLUMNS = {
    "wakeup_p50_us": ("wakeup", "p50", 1.0, "us"),
    "wakeup_p99_us": ("wakeup", "p99", 1.0, "us"),
    "inference_p99_us": ("inference", "p99", 1.0, "us"),
    "node_p50_ms": ("compute", "p50", 1e-3, "ms"),
    "node_p99_ms": ("compute", "p99", 1e-3, "ms"),
    "age_p99_ms": ("age", "p99", 1e-3, "ms"),
    "e2e_p50_ms": ("end_to_end", "p50", 1e-3, "ms"),
    "e2e_p99_ms": ("end_to_end", "p99", 1e-3, "ms"),
}
"""Columns of the tables: end of the figure's name -> quantity, percentile, factor from microseconds, unit."""

PERIOD_ERROR = "actor.period_error_p99_ms"
HEADLINE = (
    "At 200 Hz the actor missed {actor.missed:d} of {actor.cycles:d} deadlines on an idle machine and "
    "{actor.missed_under_load:d} of as many under load; {actor.missed_stolen:d} and {actor.missed_stolen_under_load:d} "
    "of them passed while a bare thread of the highest priority stood still as well. Its node compute p99 was "
    "{actor.node_p99_ms:.2f} ms. From stamp to command it took {actor.e2e_p50_vs_noop:.2f} times as long as the "
    "no-operation node at p50 and {actor.e2e_p99_vs_noop:.2f} times at p99; from inputs taken to command "
    "{actor.reaction_p50_vs_noop:.2f} and {actor.reaction_p99_vs_noop:.2f} times."
)
"""Sentence about the headline; `{name:form}` becomes a quoted figure."""
PICTURES = (
    "![Distributions at 200 Hz, idle and under load](timing_200hz.png)\n\n"
    "![p50, p99 and maximum at each rate, idle and under load](timing_rates.png)\n"
)

Figures = dict[str, tuple[float, str]]


def headline_figures(summaries: Mapping[str, Summary]) -> Figures:
    """Return the figures of the headline, as far as their cells were measured."""
    figures: Figures = {}
    rate = f"timing.{HEADLINE_HZ}hz"
    actor, loaded = (summaries.get(f"{HEADLINE_HZ}hz-actor-{load}") for load in ("idle", "loaded"))
    noop = summaries.get(f"{HEADLINE_HZ}hz-noop-idle")
    if actor:
        figures[f"{rate}.actor.cycles"] = (actor.cycles, "cycles")
        figures[f"{rate}.actor.missed"] = (actor.missed, "deadlines")
        figures[f"{rate}.actor.missed_stolen"] = (actor.stolen, "deadlines")
    if loaded:
        figures[f"{rate}.actor.missed_under_load"] = (loaded.missed, "deadlines")
        figures[f"{rate}.actor.missed_stolen_under_load"] = (loaded.stolen, "deadlines")
    for name in ("p50", "p99") if actor and noop else ():
        assert actor
        assert noop
        figures[f"{rate}.actor.e2e_{name}_vs_noop"] = (round(ratio(actor, noop, "end_to_end", name), 3), "1")
        figures[f"{rate}.actor.reaction_{name}_vs_noop"] = (round(ratio(actor, noop, "reaction", name), 3), "1")
    if fast := summaries.get("1000hz-actor-idle"):
        figures[f"timing.1000hz.{PERIOD_ERROR}"] = (round(fast.spreads["period_error"].p99 / 1e3, 4), "ms")
    return figures


def table_figures(summaries: Mapping[str, Summary]) -> Figures:
    """Return a figure per cell and column, and the share of missed deadlines of each cell."""
    figures: Figures = {}
    for name, summary in summaries.items():
        prefix = _prefix(name)
        for column, (quantity, percentile, factor, unit) in COLUMNS.items():
            value = getattr(summary.spreads[quantity], percentile) * factor
            figures[f"{prefix}.{_ending(name, column)}"] = (round(value, 1 if unit == "us" else 4), unit)
        figures[f"{prefix}.{_ending(name, 'missed_share')}"] = (round(summary.missed_share, 7), "1")
    return figures


def results_text(summaries: Mapping[str, Summary], about: Mapping[str, str]) -> str:
    """Return the results as Markdown; every number stands between figure markers, which `figures fill` fills."""
    lines = [f"{key}: {value}" for key, value in about.items()]
    parts = ["Measured on: " + "; ".join(lines) + ".\n"]
    if {f"{HEADLINE_HZ}hz-{name}" for name in ("actor-idle", "actor-loaded", "noop-idle")} <= set(summaries):
        parts.append(re.sub(r"\{(\S+?):(\S+?)\}", _quote_headline, HEADLINE) + "\n")
    if "1000hz-actor-idle" in summaries:
        parts.append(
            f"At 1000 Hz the period error's p99 was {_quote(f'timing.1000hz.{PERIOD_ERROR}', '.3f')} ms, idle.\n"
        )
    parts.append(PICTURES)
    for load, title in (("idle", "Idle machine"), ("loaded", "One busy process per core")):
        names = [f"{rate}hz-{subject}-{load}" for rate in RATES_HZ for subject in SUBJECTS]
        varied = [f"{rate}hz-actor-{load}-{variant}" for rate in RATES_HZ for variant in VARIANTS]
        parts.append(f"### {title}\n\n" + _table([name for name in names + varied if name in summaries], summaries))
    parts.append(_cold_table(summaries))
    return "\n".join(parts)


def write_results(path: Path, text: str) -> None:
    """Replace what stands between the markers in a document.

    Raises:
        DivoError: If the document lacks the markers.
    """
    page = path.read_text(encoding="utf-8")
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise DivoError("The page has no place for the results.", where=str(path), expected=f"{BEGIN} and {END}")
    path.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")


def _table(names: list[str], summaries: Mapping[str, Summary]) -> str:
    rows = [
        "| rate, node | wake-up p50 / p99 [us] | inference p99 [us] | compute p50 / p99 [ms] | age p99 [ms] "
        "| stamp to command p50 / p99 [ms] | missed | in a row | n | compute of the worst start, p99; max [ms] |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name in names:
        summary = summaries[name]
        compute = summary.spreads["compute"]

        def cell(column: str, form: str, name: str = name) -> str:
            return _quote(f"{_prefix(name)}.{_ending(name, column)}", form)

        rate, subject, _, *extras = name.split("-")
        title = f"{rate.removesuffix('hz')} Hz, {SUBJECTS[subject]}" + "".join(f", {VARIANTS[word]}" for word in extras)
        rows.append(
            f"| {title} | {cell('wakeup_p50_us', '.0f')} / {cell('wakeup_p99_us', '.0f')} "
            f"| {cell('inference_p99_us', '.0f')} | {cell('node_p50_ms', '.2f')} / {cell('node_p99_ms', '.2f')} "
            f"| {cell('age_p99_ms', '.2f')} | {cell('e2e_p50_ms', '.2f')} / {cell('e2e_p99_ms', '.2f')} "
            f"| {cell('missed_share', '.4%')} "
            f"| {summary.worst_streak} | {summary.cycles} "
            f"| {max(compute.block_p99) / 1e3:.2f}; {compute.maximum / 1e3:.2f} |"
        )
    return "\n".join(rows) + "\n"


def _cold_table(summaries: Mapping[str, Summary]) -> str:
    rows = ["### Cold start (the first cycles, not counted above)\n", "| cell | compute p50 [ms] | compute max [ms] |"]
    rows.append("|---|---|---|")
    for name, summary in summaries.items():
        if "compute" in summary.cold:
            p50, maximum = summary.cold["compute"]
            rows.append(f"| {name} | {p50 / 1e3:.2f} | {maximum / 1e3:.2f} |")
    return "\n".join(rows) + "\n"


def _quote(name: str, form: str) -> str:
    """Return the place of a figure, which `figures fill` fills."""
    return f"<!-- figure {name} {form} --><!-- /figure -->"


def _quote_headline(match: re.Match[str]) -> str:
    return _quote(f"timing.{HEADLINE_HZ}hz.{match[1]}", match[2])


def _prefix(name: str) -> str:
    rate, subject = name.split("-")[:2]
    return f"timing.{rate}.{subject}"


def _ending(name: str, column: str) -> str:
    _, _, load, *extras = name.split("-")
    return column + "".join(f"_{word}" for word in extras) + ("_under_load" if load == "loaded" else "")
