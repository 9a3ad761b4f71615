"""From episodes to scores: what each policy reached on each trial, over all trials, and against the best baseline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from divo_train.benchmark.cells import evaluations
from divo_train.benchmark.episodes import Cell, read_results
from divo_train.benchmark.plan import Plan, Trial, fit_configs, policies_of, split_policy
from divo_train.benchmark.statistics import Estimate, Scores, estimate_difference, estimate_iqm
from divo_train.config import FitConfig
from divo_train.evaluate import Episode
from divo_train.methods import METHODS

RESAMPLING_SEED = 0
OWN_POLICIES = {policy for name, method in METHODS.items() if name.startswith("divo") for policy in method.policies}
"""DIVO and its variants; every other policy is a baseline."""


@dataclass(frozen=True)
class Played:
    """A trial with all of its episodes that there are."""

    trial: Trial
    seeds: int
    """That the plan asks for."""
    cells: Mapping[Cell, list[Episode]]

    def episodes(self, policy: str, environment: str) -> list[Episode]:
        """Return a policy's episodes at its last checkpoints, of all seeds."""
        found = [self.cells.get(Cell(self.trial.name, policy, seed, environment), []) for seed in range(self.seeds)]
        return [episode for episodes in found for episode in episodes]

    def score(self, policy: str, seed: int, point: int = 0) -> float | None:
        """Return 100 (return - random) / (expert - random), a mean over environments; None if one was not played."""
        scores = []
        for environment in evaluations(self.trial):
            episodes = self.cells.get(Cell(self.trial.name, policy, seed, environment, point))
            if not episodes:
                return None
            random, expert = (
                constants[environment] if isinstance(constants, dict) else constants
                for constants in (self.trial.random_return, self.trial.expert_return)
            )
            mean = float(np.mean([episode.return_ for episode in episodes]))
            scores.append(100 * (mean - random) / (expert - random))
        return float(np.mean(scores))

    def scores(self, policy: str, point: int = 0) -> dict[int, float]:
        """Return seed -> score, of the seeds that were played."""
        found = {seed: self.score(policy, seed, point) for seed in range(self.seeds)}
        return {seed: score for seed, score in found.items() if score is not None}


@dataclass(frozen=True)
class Row:
    """One policy on one trial."""

    policy: str
    score: Estimate
    """Interquartile mean over seeds."""
    seeds: tuple[float, ...]
    """Score of each seed that was played."""
    whole: bool
    """Whether all seeds were."""
    shares: Mapping[str, tuple[float, float]]
    """Environment -> share of episodes that reached the goal, and that also touched nothing."""


def read_played(plan: Plan, trial: Trial, results: Path) -> Played:
    """Read a trial's published episodes."""
    return Played(trial, plan.seeds, read_results(results / f"{trial.name}.csv", trial.name))


def trial_rows(plan: Plan, played: Played) -> list[Row]:
    """Return the table of one trial, best first; policies without a single finished seed are not in it."""
    rows = []
    for policy in policies_of(plan, played.trial):
        scores = tuple(played.scores(policy).values())
        if scores:
            estimate = estimate_iqm(np.array(scores)[:, None], np.random.default_rng(RESAMPLING_SEED))
            shares = {name: shares_of(played.episodes(policy, name)) for name in evaluations(played.trial)}
            rows.append(Row(policy, estimate, scores, len(scores) == plan.seeds, shares))
    return sorted(rows, key=lambda row: -row.score.value)


def shares_of(episodes: list[Episode]) -> tuple[float, float]:
    """Return the shares of episodes that reached the goal, and that also touched nothing."""
    reached, untouched = np.mean([[episode.success, episode.collision_free] for episode in episodes], axis=0)
    return float(reached), float(untouched)


def overall(plan: Plan, trials: Mapping[str, Played]) -> dict[str, Scores]:
    """Return policy -> (seeds, counted trials) scores, of the policies that were played everywhere."""
    counted = [trials[trial.name] for trial in plan.trials if trial.counted]
    found = {}
    for policy in plan.policies:
        columns = [tuple(played.scores(policy).values()) for played in counted]
        if columns and all(len(column) == plan.seeds for column in columns):
            found[policy] = np.array(columns).T
    return found


def iqm(scores: Scores) -> Estimate:
    """Return the interquartile mean over seeds and trials with its interval."""
    return estimate_iqm(scores, np.random.default_rng(RESAMPLING_SEED))


def difference(first: Scores, second: Scores, paired: bool = True) -> Estimate:
    """Return how much better one policy is than another, paired by seed or as if their seeds had nothing in common."""
    return estimate_difference(first, second, np.random.default_rng(RESAMPLING_SEED), paired=paired)


def best_baseline(scores: Mapping[str, Scores]) -> str | None:
    """Return the baseline with the highest interquartile mean on these very scores, or None if none is whole.

    Chosen after the fact, which favours the baseline; the interval of a difference to it does not choose again.
    """
    baselines = [policy for policy in scores if not is_own(policy)]
    return max(baselines, key=lambda policy: iqm(scores[policy]).value, default=None)


def is_own(policy: str) -> bool:
    """Return whether a policy is DIVO's or a variant of it, with whatever number of candidates."""
    return split_policy(policy)[0] in OWN_POLICIES


def titles(plan: Plan) -> dict[str, str]:
    """Return policy -> what tables call it, of all that there are and of the plan's own, such as `idql@16`.

    An actor's name says among how many answers the critic chose, because a single one is what the method promises.
    """
    names = {policy: method.title for method in METHODS.values() for policy in method.policies}
    found = {}
    for policy in (*names, *plan.policies):
        name, count = split_policy(policy)
        actor = name.endswith("actor")
        chosen = answers(count) if count else answers(*_actor_candidates(plan)) if actor else ""
        found[policy] = ", ".join(part for part in (names[name], "actor" if actor else "", chosen) if part)
    return found


def answers(*candidates: int) -> str:
    """Return in words among how many answers the critic chooses."""
    return "a single answer" if candidates == (1,) else f"best of {' or '.join(map(str, candidates))}"


def _actor_candidates(plan: Plan) -> list[int]:
    """Return the numbers of answers among which the plan's actors choose: one, unless its trials differ."""
    configs = (config for trial in plan.trials for config in fit_configs(plan, trial, Path()).values())
    return sorted({config.actor.candidates for config in configs}) or [FitConfig().actor.candidates]
