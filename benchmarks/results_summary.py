"""What the published comparison says, as numbers: from the committed CSV to estimates and figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.label_curves import LabelRow
from divo_train.benchmark.cells import evaluations
from divo_train.benchmark.plan import Plan
from divo_train.benchmark.scores import Played, best_baseline, difference, iqm, overall, read_played, trial_rows
from divo_train.benchmark.statistics import Estimate, Scores

Figures = dict[str, tuple[float, str]]

CLOSED = ("no-inner", "no-outer")
"""Probes of the arm's trials."""
INNER, OUTER = -1, 1
"""Values of an episode's route."""
DIGITS = 3
FIGURE_NAMES = {"sampler": "divo", "actor": "divo_actor"}
"""What figures call the policies of DIVO with its binary weight."""


@dataclass(frozen=True)
class Summary:
    """All trials of a plan, and what they say together; what has not been run is absent."""

    trials: Mapping[str, Played]
    scores: Mapping[str, Scores]
    """Policy -> (seeds, counted trials), of those played everywhere."""
    best: str | None
    """The best baseline."""
    differences: Mapping[str, Estimate]
    """`divo_minus_w1` and the like."""
    unpaired: Mapping[str, Estimate]
    """The same as if equal seeds had nothing in common."""
    by_trial: Mapping[str, tuple[Estimate, ...]]
    """The same on each counted trial."""


@dataclass(frozen=True)
class ModeRow:
    """Which ways one policy takes on the arm task, and what becomes of it when one is closed."""

    policy: str
    inner: float
    """Share of all episodes that arrive untouched by the inner way, both open."""
    outer: float
    """The same by the outer way."""
    inner_closed: float
    """Share of all episodes that arrive untouched, in up to three attempts, when the inner way is closed."""
    outer_closed: float

    @property
    def worse(self) -> float:
        """The lower of the two: what is sure, whichever way is closed."""
        return min(self.inner_closed, self.outer_closed)


@dataclass(frozen=True)
class WayRow:
    """Which of two ways one policy takes (docs/tasks.md: `route`), both open, and how long it takes to arrive."""

    policy: str
    minus: float
    """Share of all episodes, arrived or not, whose route is -1: on the arm, the inner way."""
    plus: float
    """The same of +1: on the arm, the outer way."""
    steps: float
    """Mean number of steps of the episodes that arrive; NaN of none."""


def summarize_results(plan: Plan, results: Path) -> Summary:
    """Read the CSV of every trial."""
    trials = {trial.name: read_played(plan, trial, results) for trial in plan.trials}
    scores = overall(plan, trials)
    best = best_baseline(scores)
    others = {"best_baseline": best, "w1": "divo_w1", "exp": "divo_exp", "actor": "actor"}
    pairs = {
        f"divo_minus_{name}": (scores["sampler"], scores[other])
        for name, other in others.items()
        if other in scores and "sampler" in scores
    }
    found = {name: difference(*pair) for name, pair in pairs.items()}
    unpaired = {name: difference(*pair, paired=False) for name, pair in pairs.items()}
    columns = range(sum(trial.counted for trial in plan.trials))
    by_trial = {
        name: tuple(difference(own[:, [column]], other[:, [column]]) for column in columns)
        for name, (own, other) in pairs.items()
    }
    return Summary(trials, scores, best, found, unpaired, by_trial)


def figures_of(plan: Plan, summary: Summary, labels: Sequence[LabelRow]) -> Figures:
    """Return the figures of docs/figures.json, name -> value and unit; a point is a hundredth of random to expert."""
    figures: Figures = {}
    for trial, played in summary.trials.items():
        for row in trial_rows(plan, played):
            if row.whole:
                name = f"benchmark.{trial}.{FIGURE_NAMES.get(row.policy, row.policy)}"
                figures |= _interval(f"{name}.iqm", row.score)
                for environment, (reached, _) in row.shares.items():
                    place = f"{environment}." if len(row.shares) > 1 else ""
                    figures[f"{name}.{place}reached"] = (round(reached, 4), "1")
    figures |= overall_figures(plan, summary)
    for trial, row in last_labels(labels).items():
        figures[f"filter.{trial}.precision"] = (round(row.precision, 4), "1")
        figures[f"filter.{trial}.recall"] = (round(row.recall, 4), "1")
    return figures


def overall_figures(plan: Plan, summary: Summary) -> Figures:
    """Return the figures over all of a plan's datasets, under its name."""
    figures: Figures = {}
    for policy, scores in summary.scores.items():
        figures |= _interval(f"benchmark.{plan.name}.{FIGURE_NAMES.get(policy, policy)}.iqm", iqm(scores))
    if summary.best:
        figures |= _interval(f"benchmark.{plan.name}.best_baseline.iqm", iqm(summary.scores[summary.best]))
    for name, estimate in summary.differences.items():
        figures |= _interval(f"benchmark.{plan.name}.{name}", estimate)
    return figures


def mode_rows(played: Played) -> list[ModeRow]:
    """Return which ways the policies take, those first that lose least where one way is closed."""
    policies = dict.fromkeys(cell.policy for cell in played.cells if cell.environment in CLOSED)
    rows = []
    for policy in policies:
        both_open = [episode for name in evaluations(played.trial) for episode in played.episodes(policy, name)]
        ways = [share([e.collision_free and e.route == side for e in both_open]) for side in (INNER, OUTER)]
        closed = [share([e.collision_free for e in played.episodes(policy, name)]) for name in CLOSED]
        rows.append(ModeRow(policy, *ways, *closed))
    return sorted(rows, key=lambda row: -row.worse)


def way_rows(played: Played) -> list[WayRow]:
    """Return which way the policies go when they may choose, most of -1 first; nothing where there are no ways."""
    rows = []
    for policy in dict.fromkeys(cell.policy for cell in played.cells):
        own = [episode for name in evaluations(played.trial) for episode in played.episodes(policy, name)]
        minus, plus = (share([e.route == side for e in own]) for side in (INNER, OUTER))
        arrived = [e.steps for e in own if e.success]
        rows.append(WayRow(policy, minus, plus, float(np.mean(arrived)) if arrived else float("nan")))
    return sorted(rows, key=lambda row: -row.minus) if any(row.minus or row.plus for row in rows) else []


def last_labels(rows: Sequence[LabelRow]) -> dict[str, LabelRow]:
    """Return trial -> the labels in use, a mean over training seeds."""
    found = {}
    for trial in dict.fromkeys(row.trial for row in rows):
        last = max(row.updates for row in rows if row.trial == trial)
        own = [row for row in rows if (row.trial, row.updates) == (trial, last)]
        numbers = np.mean([[row.good, row.auc, row.positive, row.precision, row.recall] for row in own], axis=0)
        found[trial] = LabelRow(trial, -1, last, *map(float, numbers))
    return found


def share(counted: Sequence[bool]) -> float:
    """Return the share of what is true; 0 of nothing."""
    return sum(counted) / len(counted) if counted else 0.0


def _interval(name: str, estimate: Estimate) -> Figures:
    numbers = {name: estimate.value, f"{name}.low": estimate.low, f"{name}.high": estimate.high}
    return {key: (round(number, DIGITS), "points") for key, number in numbers.items()}
