"""The blocks of docs/results.md that are made from the committed CSV; what stands between them is written by hand."""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import isnan

from benchmarks.label_curves import LabelRow
from benchmarks.results_summary import Summary, last_labels, mode_rows, way_rows
from divo_runtime.errors import DivoError
from divo_train.benchmark.plan import Plan, split_policy
from divo_train.benchmark.scores import answers, difference, iqm, titles, trial_rows
from divo_train.benchmark.tables import overall_table, show, trial_table
from divo_train.config import FitConfig

BLOCK = re.compile(r"<!-- results (?P<name>\S+) -->.*?<!-- /results -->", re.DOTALL)
NOT_YET = "Not run yet.\n"
SCORES, CURVES, LABELS = "results.png", "results-curves.png", "results-labels.png"
"""Pictures beside the page."""


class PageError(DivoError):
    """The page asks for a block that there is not, or lacks one."""


def fill_page(text: str, blocks: Mapping[str, str], where: str) -> str:
    """Return the page with the current blocks between their markers.

    Raises:
        PageError: If the page does not have every block once.
    """
    asked = [match["name"] for match in BLOCK.finditer(text)]
    if sorted(asked) != sorted(blocks):
        raise PageError("The page's blocks are others.", where=where, got=", ".join(asked), expected=", ".join(blocks))
    return BLOCK.sub(lambda match: f"<!-- results {match['name']} -->\n{blocks[match['name']]}<!-- /results -->", text)


def page_blocks(plan: Plan, summary: Summary, labels: list[LabelRow]) -> dict[str, str]:
    """Return name of the block -> Markdown."""
    curves = plan.curves and any(cell.point for played in summary.trials.values() for cell in played.cells)
    any_scores = any(played.cells for played in summary.trials.values())
    return {
        "protocol": _protocol(plan),
        "differences": differences_table(plan, summary),
        "overall": overall_table(plan, summary.scores),
        "picture": f"![Scores with their intervals; dots are seeds]({SCORES})\n" if any_scores else NOT_YET,
        "trials": _trials(plan, summary),
        "modes": modes_table(plan, summary),
        "ways": ways_table(plan, summary),
        "curves": f"![Scores while training]({CURVES})\n" if curves else NOT_YET,
        "labels": labels_table(labels) + (f"\n![Precision and recall while training]({LABELS})\n" if labels else ""),
    }


def further_blocks(plan: Plan, summary: Summary, first: Summary) -> dict[str, str]:
    """Return the blocks of a further plan of the same datasets and seeds, which begin with its name."""
    return {
        f"{plan.name}.changes": changes_table(plan, summary, first),
        f"{plan.name}.differences": differences_table(plan, summary),
        f"{plan.name}.overall": overall_table(plan, summary.scores),
        f"{plan.name}.trials": _trials(plan, summary),
    }


def candidates_blocks(plan: Plan, summary: Summary) -> dict[str, str]:
    """Return the blocks of a plan that plays policies with several numbers of candidates."""
    return {
        f"{plan.name}.scores": candidates_table(plan, summary),
        f"{plan.name}.differences": gains_table(plan, summary),
    }


def candidates_table(plan: Plan, summary: Summary) -> str:
    """Return the scores of each policy by the number of answers that it chooses among, in the plan's order."""
    counted = [name for name, played in summary.trials.items() if played.trial.counted]
    by_trial = {
        name: {row.policy: row.score for row in trial_rows(plan, summary.trials[name])} for name in counted
    }  # fmt: skip
    lines = [f"| {' | '.join(['policy', 'over all', *counted])} |", "|---" * (2 + len(counted)) + "|"]
    for policy in (one for one in plan.policies if one in summary.scores):
        cells = (iqm(summary.scores[policy]), *(by_trial[name][policy] for name in counted))
        lines.append(f"| {_with_answers(plan, policy)} | {' | '.join(show(each) for each in cells)} |")
    return "\n".join(lines) + "\n" if summary.scores else NOT_YET


def gains_table(plan: Plan, summary: Summary) -> str:
    """Return what DIVO's sampler gains on each other policy of a plan, paired by seed; the best baseline is named."""
    counted = [name for name, played in summary.trials.items() if played.trial.counted]
    heads = [f"{_with_answers(plan, 'sampler')}, minus", "over all", *counted]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    others = [policy for policy in plan.policies if policy in summary.scores and policy != "sampler"]
    for policy in others if "sampler" in summary.scores else ():
        own, other = summary.scores["sampler"], summary.scores[policy]
        parts = [difference(own[:, [column]], other[:, [column]]) for column in range(len(counted))]
        name = _with_answers(plan, policy) + (" (the best of them over all)" if policy == summary.best else "")
        lines.append(f"| {name} | {' | '.join(show(each) for each in (difference(own, other), *parts))} |")
    return "\n".join(lines) + "\n" if len(lines) > 2 else NOT_YET


def _with_answers(plan: Plan, policy: str) -> str:
    """Return a policy's name and among how many answers it chooses, by its `@` or by the plan's settings."""
    name, count = split_policy(policy)
    group = "actor" if name == "actor" else "sampler"
    count = count or plan.settings.get(group, {}).get("candidates", getattr(FitConfig(), group).candidates)
    named = {"sampler": "DIVO, sampler", "actor": "DIVO, actor"}.get(name) or titles(plan)[name]
    return f"{named}, {answers(count)}"


def differences_table(plan: Plan, summary: Summary) -> str:
    """Return what DIVO gains on others, with what each comparison is about."""
    names, counted = titles(plan), [name for name, played in summary.trials.items() if played.trial.counted]
    actor = names["actor"].replace("DIVO, actor", "its one-step actor")
    heads = ["DIVO's sampler minus", "what it isolates", "over all", "over all, unpaired", *counted]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    about = {
        "divo_minus_best_baseline": (f"{names.get(summary.best or '', '-')}, the best baseline", "all of it"),
        "divo_minus_w1": (f"{names['divo_w1']} (the same policy as IDQL here)", "the binary weight"),
        "divo_minus_exp": (names["divo_exp"], "binary instead of exponential"),
        "divo_minus_actor": (actor, "distillation, by a wider network and with a choice among fewer answers"),
    }
    found = {name: estimate for name, estimate in summary.differences.items() if name in about}
    for name, estimate in found.items():
        numbers = " | ".join(show(each) for each in (estimate, summary.unpaired[name], *summary.by_trial[name]))
        lines.append(f"| {' | '.join(about[name])} | {numbers} |")
    return "\n".join(lines) + "\n" if found else NOT_YET


def changes_table(plan: Plan, summary: Summary, first: Summary) -> str:
    """Return what each policy of a further plan gains on the same policy in the first one, paired by seed."""
    names, counted = titles(plan), [name for name, played in summary.trials.items() if played.trial.counted]
    lines = [f"| {' | '.join(['method', 'over all', *counted])} |", "|---" * (2 + len(counted)) + "|"]
    both = [policy for policy in summary.scores if policy in first.scores]
    for policy in both:
        now, before = summary.scores[policy], first.scores[policy]
        parts = [difference(now[:, [column]], before[:, [column]]) for column in range(len(counted))]
        lines.append(f"| {names[policy]} | {' | '.join(show(each) for each in (difference(now, before), *parts))} |")
    return "\n".join(lines) + "\n" if both else NOT_YET


def modes_table(plan: Plan, summary: Summary) -> str:
    """Return who keeps both ways round the post, and what it is worth when one is closed."""
    names, parts = titles(plan), []
    for trial, played in summary.trials.items():
        rows = mode_rows(played)
        if not rows:
            continue
        lines = [
            f"### {trial}\n",
            "| method | by the inner way | by the outer way | inner closed | outer closed | the worse of the two |",
            "|---|---|---|---|---|---|",
        ]
        for row in rows:
            shares = (row.inner, row.outer, row.inner_closed, row.outer_closed, row.worse)
            lines.append(f"| {names[row.policy]} | " + " | ".join(f"{share:.0%}" for share in shares) + " |")
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts) or NOT_YET


def ways_table(plan: Plan, summary: Summary) -> str:
    """Return which way each policy goes when both are open, and after how many steps it arrives."""
    names, parts = titles(plan), []
    for trial, played in summary.trials.items():
        rows = way_rows(played)
        lines = [f"### {trial}\n", "| method | way -1 | way +1 | steps to arrive |", "|---|---|---|---|"]
        for row in rows:
            steps = "-" if isnan(row.steps) else f"{row.steps:.1f}"
            lines.append(f"| {names[row.policy]} | {row.minus:.0%} | {row.plus:.0%} | {steps} |")
        parts += ["\n".join(lines) + "\n"] if rows else []
    return "\n".join(parts) or NOT_YET


def labels_table(rows: list[LabelRow]) -> str:
    """Return the labels in use, a mean over seeds for each dataset."""
    lines = [
        "| dataset | good in the data | full weight | precision | recall | area under the ROC curve |",
        "|---|---|---|---|---|---|",
    ]
    found = last_labels(rows)
    lines += [
        f"| {trial} | {row.good:.1%} | {row.positive:.1%} | {row.precision:.1%} | {row.recall:.1%} | {row.auc:.3f} |"
        for trial, row in found.items()
    ]
    return "\n".join(lines) + "\n" if found else NOT_YET


def _trials(plan: Plan, summary: Summary) -> str:
    parts = [f"### {name}\n\n{trial_table(plan, played)}" for name, played in summary.trials.items()]
    return "\n".join(parts)


def _protocol(plan: Plan) -> str:
    counted = ", ".join(f"`{trial.name}`" for trial in plan.trials if trial.counted)
    lines = [
        f"* Datasets in the score over all: {counted}.",
        f"* Training seeds: {plan.seeds} (0 to {plan.seeds - 1}), of weights, batches and noise; one file per dataset.",
        f"* Evaluation: last checkpoint, {plan.episodes} episodes per training seed and environment, seeds from "
        f"{plan.first_seed}.",
        f"* Tuning: {plan.tuning}",
    ]
    return "\n".join(lines) + "\n"
