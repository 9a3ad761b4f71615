"""From per-episode CSV to tables, a plot and figures; nothing here trains or plays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from divo_train.benchmark.episodes import read_episodes
from divo_train.benchmark.plan import Plan, Trial
from divo_train.benchmark.run import cells_of
from divo_train.benchmark.statistics import Estimate, Scores, estimate_difference, estimate_iqm
from divo_train.methods import METHODS

matplotlib.use("agg")

RESAMPLING_SEED = 0


@dataclass(frozen=True)
class Row:
    """One policy on one trial."""

    policy: str
    score: Estimate
    """Normalised: 0 is random, 100 the clean expert; interquartile mean over seeds."""
    success: float
    collision_free: float
    seeds: tuple[float, ...]
    """Score of each seed."""
    episodes: int


def trial_scores(plan: Plan, trial: Trial, results: Path) -> dict[str, Scores]:
    """Return policy -> (seeds, environments) normalised scores, of the policies whose every cell was played."""
    found: dict[str, dict[tuple[int, str], float]] = {}
    for cell in cells_of(plan, trial):
        if cell.path(results).exists():
            returns = [episode.return_ for episode in read_episodes(cell.path(results))]
            scale = trial.expert_return - trial.random_return
            found.setdefault(cell.policy, {})[cell.seed, cell.environment] = (
                100 * (float(np.mean(returns)) - trial.random_return) / scale
            )
    environments = tuple(trial.environments) or ("default",)
    return {
        policy: np.array([[cells[seed, name] for name in environments] for seed in range(plan.seeds)])
        for policy, cells in found.items()
        if len(cells) == plan.seeds * len(environments)
    }


def trial_rows(plan: Plan, trial: Trial, results: Path) -> list[Row]:
    """Return the table of one trial, best first."""
    rows = []
    for policy, scores in trial_scores(plan, trial, results).items():
        played = [
            episode
            for cell in cells_of(plan, trial)
            if cell.policy == policy
            for episode in read_episodes(cell.path(results))
        ]
        rows.append(
            Row(
                policy,
                estimate_iqm(scores, np.random.default_rng(RESAMPLING_SEED)),
                float(np.mean([episode.success for episode in played])),
                float(np.mean([episode.collision_free for episode in played])),
                tuple(scores.mean(axis=1).round(1).tolist()),
                len(played),
            )
        )
    return sorted(rows, key=lambda row: -row.score.value)


def overall(plan: Plan, results: Path) -> dict[str, Scores]:
    """Return policy -> (seeds, trials x environments) scores, of the policies that were played everywhere."""
    parts = [trial_scores(plan, trial, results) for trial in plan.trials]
    everywhere = set.intersection(*(set(part) for part in parts)) if parts else set()
    return {
        name: np.concatenate([part[name] for part in parts], axis=1) for name in plan.policies if name in everywhere
    }


def difference(scores: Mapping[str, Scores], first: str, second: str) -> Estimate:
    """Return how much better one policy is than another, paired by seed."""
    return estimate_difference(scores[first], scores[second], np.random.default_rng(RESAMPLING_SEED))


def titles() -> dict[str, str]:
    """Return policy -> what tables call it."""
    return {
        policy: method.title + (", one-step actor" if policy.endswith("actor") else "")
        for method in METHODS.values()
        for policy in method.policies
    }


def markdown_table(rows: Sequence[Row]) -> str:
    """Return a table of one trial."""
    names = titles()
    lines = ["| method | score | reached | without contact | seeds |", "|---|---|---|---|---|"]
    lines += [
        f"| {names[row.policy]} | {row.score.value:.1f} [{row.score.low:.1f}, {row.score.high:.1f}] | "
        f"{row.success:.3f} | {row.collision_free:.3f} | {', '.join(f'{seed:.1f}' for seed in row.seeds)} |"
        for row in rows
    ]
    return "\n".join(lines) + "\n"


def write_tables(plan: Plan, results: Path) -> Path:
    """Write `tables.md` and `scores.png` into a results folder; return the path of the tables."""
    results.mkdir(parents=True, exist_ok=True)
    tables = [f"## {trial.name}\n\n{markdown_table(trial_rows(plan, trial, results))}" for trial in plan.trials]
    path = results / "tables.md"
    path.write_text("\n".join([f"# {plan.name}\n\n{plan.tuning}\n", *tables]), encoding="utf-8")
    draw_scores(plan, results, results / "scores.png")
    return path


def draw_scores(plan: Plan, results: Path, path: Path) -> None:
    """Draw every trial's scores with their intervals and the seeds as dots."""
    tables = {trial.name: trial_rows(plan, trial, results) for trial in plan.trials}
    most = max((len(rows) for rows in tables.values()), default=1)
    figure = Figure(figsize=(4.6 * max(len(tables), 1), 0.8 + 0.3 * most), layout="constrained")
    names = titles()
    for axis, (name, rows) in zip(figure.subplots(1, len(tables), squeeze=False)[0], tables.items(), strict=True):
        for line, row in enumerate(reversed(rows)):
            axis.plot([row.score.low, row.score.high], [line, line], color="C0", linewidth=3, alpha=0.5)
            axis.plot(row.seeds, [line] * len(row.seeds), ".", color="0.4", markersize=4)
            axis.plot(row.score.value, line, "|", color="C0", markersize=12, markeredgewidth=2)
        axis.set_yticks(range(len(rows)), [names[row.policy] for row in reversed(rows)], fontsize=8)
        axis.set_title(name, fontsize=10)
        axis.set_xlabel("score: 0 random, 100 expert", fontsize=8)
        axis.grid(axis="x", alpha=0.3)
    figure.savefig(path, dpi=110)
