"""The report of a validation: one HTML file with everything inside it, so that it opens anywhere without a network."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from divo_sim.outcomes import Estimate, Score, score
from divo_sim.validation import TITLES, PolicyResult, Validation, differences

TEMPLATE = "report.html.j2"
MEDIA = {".png": "image/png", ".gif": "image/gif"}
ABSENT = "-"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table of results, ready to be read."""

    policy: str
    where: str
    success: str
    collision_free: str
    return_: str
    steps: str
    outer: str
    p50_ms: str = ABSENT
    p99_ms: str = ABSENT
    missed: str = ABSENT
    highlight: bool = False
    """Whether it was measured over ROS topics."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A picture with its caption."""

    file: Path
    title: str
    caption: str = ""


def render_report(
    validation: Validation,
    paths: Mapping[str, Path],
    latencies: Mapping[str, Path],
    film: Path | None,
    film_caption: str,
) -> str:
    """Return the report as HTML.

    Args:
        validation: What was measured.
        paths: Policy (also `bc`) -> picture of its tool paths.
        latencies: Policy -> picture of its latency histogram.
        film: Animation of a few episodes.
        film_caption: What it shows.
    """
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["inline"] = inline
    template = environment.from_string((files("divo_sim") / TEMPLATE).read_text(encoding="utf-8"))
    return template.render(
        validation=validation,
        headline=write_headline(validation),
        verdicts=[write_verdict(result, validation.period_ms) for result in validation.results],
        rows=table_rows(validation),
        paths=[Figure(file, _path_title(policy)) for policy, file in paths.items()],
        latencies=[
            Figure(file, _title(policy), _latency_caption(validation, policy)) for policy, file in latencies.items()
        ],
        film=film,
        film_caption=film_caption,
    )


def write_headline(validation: Validation) -> str:
    """Return the verdict in one sentence."""
    parts = []
    for result in validation.results:
        clean = sum(outcome.collision_free for outcome in result.loop_outcomes)
        parts.append(f"the {result.title} in {clean} of {len(result.loop)} ({_share(clean / len(result.loop))})")
    listed = " and ".join(parts)
    did = "the simulated arm reached the goal without touching the post"
    return f"Driven by the controller node over ROS 2, {did}: {listed}."


def write_verdict(result: PolicyResult, period_ms: float) -> str:
    """Return what the path over ROS topics cost one policy, and how quickly its node answered."""
    points = 100.0 * (result.loop_score.success.value - result.in_process_score.success.value)
    only_in_process, only_loop = differences(result.in_process, result.loop_outcomes)
    latency = result.latency
    return (
        f"{_capital(result.title)}: reached {_share(result.loop_score.success.value)} over ROS 2 and "
        f"{_share(result.in_process_score.success.value)} in process on the same seeds ({points:+.0f} points; "
        f"{only_in_process} reached only in process, {only_loop} only over ROS 2). Its command left "
        f"{latency.p50_ms:.2f} ms (median) and {latency.p99_ms:.2f} ms (p99) after its newest measurement was taken, "
        f"of {period_ms:g} ms; {latency.missed} deadlines were missed in {latency.cycles:,} cycles, and the robot's "
        f"longest wait between two commands was {latency.longest_gap_ms:.0f} ms."
    )


def table_rows(validation: Validation) -> list[Row]:
    """Return the table of results, in process beside over ROS topics, behaviour cloning last."""
    rows = []
    for result in validation.results:
        latency = result.latency
        rows.append(_row(result.title, "in process", result.in_process_score))
        times = (f"{latency.p50_ms:.2f}", f"{latency.p99_ms:.2f}", f"{latency.missed} of {latency.cycles:,}")
        rows.append(_row(result.title, "over ROS 2", result.loop_score, times, highlight=True))
    if validation.cloning:
        rows.append(_row(TITLES["bc"], "in process", score(validation.cloning)))
    return rows


def inline(file: Path) -> str:
    """Return a picture as a data URI."""
    text = base64.b64encode(file.read_bytes()).decode("ascii")
    return f"data:{MEDIA[file.suffix]};base64,{text}"


def _row(
    policy: str,
    where: str,
    what: Score,
    times: tuple[str, str, str] = (ABSENT, ABSENT, ABSENT),
    highlight: bool = False,
) -> Row:
    return Row(
        policy,
        f"{where} ({what.episodes})",
        _percent(what.success),
        _percent(what.collision_free),
        str(what.mean_return),
        ABSENT if what.steps is None else f"{what.steps:.1f}",
        ABSENT if what.outer_share is None else _share(what.outer_share),
        *times,
        highlight=highlight,
    )


def _share(value: float) -> str:
    return f"{100 * value:.0f} %"


def _percent(estimate: Estimate) -> str:
    return f"{100 * estimate.value:.0f} % [{100 * estimate.low:.0f}, {100 * estimate.high:.0f}]"


def _path_title(policy: str) -> str:
    return f"{_title(policy)}, {'in process' if policy == 'bc' else 'over ROS 2'}"


def _title(policy: str) -> str:
    return _capital(TITLES.get(policy, policy))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _latency_caption(validation: Validation, policy: str) -> str:
    (latency,) = (result.latency for result in validation.results if result.policy == policy)
    return (
        f"p50 {latency.p50_ms:.2f} ms, p99 {latency.p99_ms:.2f} ms, p99.9 {latency.p999_ms:.2f} ms, "
        f"worst {latency.max_ms:.2f} ms of {latency.cycles:,} cycles"
    )
