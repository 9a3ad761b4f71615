"""Scores as Markdown; nothing here trains or plays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from divo_train.benchmark.cells import evaluations
from divo_train.benchmark.pictures import draw_scores
from divo_train.benchmark.plan import Plan, policies_of
from divo_train.benchmark.scores import Played, Row, iqm, overall, read_played, titles, trial_rows
from divo_train.benchmark.statistics import Estimate, Scores


def write_tables(plan: Plan, results: Path) -> Path:
    """Write `tables.md` and `scores.png` into a results folder; return the path of the tables."""
    results.mkdir(parents=True, exist_ok=True)
    trials = {trial.name: read_played(plan, trial, results) for trial in plan.trials}
    parts = [f"# {plan.name}\n\n{plan.tuning}\n", f"## Over all\n\n{overall_table(plan, overall(plan, trials))}"]
    parts += [f"## {name}\n\n{trial_table(plan, played)}" for name, played in trials.items()]
    path = results / "tables.md"
    path.write_text("\n".join(parts), encoding="utf-8")
    draw_scores(plan, trials, results / "scores.png")
    return path


def trial_table(plan: Plan, played: Played) -> str:
    """Return a table of one trial, and below it what is missing."""
    names, environments = titles(plan), tuple(evaluations(played.trial))
    heads = [f"{head}, {name}" if len(environments) > 1 else head for name in environments for head in SHARES]
    rows = trial_rows(plan, played)
    lines = [_line(["method", "score", *heads, "seeds"]), "|---" * (3 + len(heads)) + "|"]
    lines += [_line([names[row.policy], show(row.score), *_shares(row), _seeds(row, plan)]) for row in rows]
    missing = [names[name] for name in policies_of(plan, played.trial) if name not in {row.policy for row in rows}]
    if not rows:
        return "Nothing of this has been run yet.\n"
    note = f"\nNot run yet: {'; '.join(missing)}.\n" if missing else ""
    return "\n".join(lines) + "\n" + note


def overall_table(plan: Plan, scores: Mapping[str, Scores]) -> str:
    """Return interquartile means over the counted trials, best first, and below what is missing."""
    names = titles(plan)
    estimates = {policy: iqm(one) for policy, one in scores.items()}
    lines = ["| method | IQM | mean |", "|---|---|---|"]
    lines += [
        _line([names[policy], show(estimate), f"{scores[policy].mean():.1f}"])
        for policy, estimate in sorted(estimates.items(), key=lambda item: -item[1].value)
    ]
    if not scores:
        return "Nothing has been run on every dataset yet.\n"
    missing = [names[policy] for policy in plan.policies if policy not in scores]
    note = f"\nNot run on every dataset yet: {'; '.join(missing)}.\n" if missing else ""
    return "\n".join(lines) + "\n" + note


def show(estimate: Estimate) -> str:
    """Return a number with its interval."""
    return f"{estimate.value:.1f} [{estimate.low:.1f}, {estimate.high:.1f}]"


SHARES = ("reached", "untouched")


def _shares(row: Row) -> list[str]:
    return [f"{share:.1%}" for shares in row.shares.values() for share in shares]


def _seeds(row: Row, plan: Plan) -> str:
    seeds = ", ".join(f"{score:.1f}" for score in row.seeds)
    return seeds if row.whole else f"{seeds} ({len(row.seeds)} of {plan.seeds})"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
