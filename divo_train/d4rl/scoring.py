"""`divo-train evaluate RUN --d4rl NAME`: D4RL-normalised scores, and what they were measured with."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from divo_runtime.errors import DivoError
from divo_train.d4rl.environments import VERSIONS, differences, versions
from divo_train.d4rl.tasks import D4rlTask, find_task, gymnasium_id, normalised_score
from divo_train.evaluate import Episode, evaluate, summarize, write_evaluation
from divo_train.trained import load_networks

RESAMPLINGS = 5000
RESAMPLING_SEED = 0


@dataclass(frozen=True)
class Score:
    """One policy's score over the episodes of one training seed; says nothing about other seeds."""

    policy: str
    score: float
    """D4RL-normalised: 0 is random, 100 is D4RL's expert."""
    low: float
    """95 % interval over episodes."""
    high: float
    return_mean: float
    return_std: float
    steps_mean: float
    episodes: int


def score_episodes(task: D4rlTask, policy: str, episodes: Sequence[Episode]) -> Score:
    """Normalise the returns of some episodes.

    The interval is Clopper and Pearson's where a return is a success or none, else a bootstrap of the mean.
    """
    returns = np.array([episode.return_ for episode in episodes])
    if set(returns.tolist()) <= {0.0, 1.0}:
        low, high = summarize(episodes).success_interval
    else:
        picks = np.random.default_rng(RESAMPLING_SEED).integers(len(returns), size=(RESAMPLINGS, len(returns)))
        low, high = (float(each) for each in np.quantile(returns[picks].mean(axis=1), [0.025, 0.975]))
    return Score(
        policy,
        normalised_score(task, float(returns.mean())),
        normalised_score(task, low),
        normalised_score(task, high),
        float(returns.mean()),
        float(returns.std()),
        float(np.mean([episode.steps for episode in episodes])),
        len(episodes),
    )


def evaluate_d4rl(
    run: Path, name: str, policies: Sequence[str], episodes: int, first_seed: int, workers: int,
    candidates: int | None, version: str, console: Console, track: Callable[[str], Callable[[int], None]],
) -> Path:  # fmt: skip
    """Play a run's policies in a D4RL task, print the table, and return the file that it is also written to.

    Args:
        run: Run folder.
        name: D4RL's name of the task.
        policies: Names of the policies.
        episodes: Per policy.
        first_seed: Seed of the first episode; the others follow.
        workers: Processes.
        candidates: Best-of-N; None as trained.
        version: v4 or v5, of MuJoCo's models.
        console: Where the table goes.
        track: Policy -> what is called with the number of episodes played.

    Raises:
        DivoError: If the task does not exist, or the run was trained on observations of another size.
    """
    task = find_task(name)
    if version not in VERSIONS or (version != "v4" and task.environment.startswith("antmaze")):
        raise DivoError("There is no such version of the environment.", got=version, expected="v4, or v5 without maze")
    environment = gymnasium_id(task.environment, version)
    _require_fit(run, environment)
    scores = []
    for policy in policies:
        played = evaluate(run, policy, episodes, workers, candidates, first_seed, track(policy), environment)
        write_evaluation(run, f"d4rl-{name}-{version}-{policy}", played)
        scores.append(score_episodes(task, policy, played))
    known = {**versions(), "python": platform.python_version()}
    parts = differences(task.environment, version)
    console.print(_table(name, environment, scores))
    console.print("Measured with " + ", ".join(f"{key} {value}" for key, value in known.items()), highlight=False)
    for part in parts:
        console.print(f"Unlike D4RL: {part}.", highlight=False, soft_wrap=True)
    path = run / "evaluation" / f"d4rl-{name}-{version}.json"
    whole = {
        "task": name,
        "environment": environment,
        "versions": known,
        "differences": parts,
        "first_seed": first_seed,
        "scores": [asdict(score) for score in scores],
    }
    path.write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
    return path


def _require_fit(run: Path, environment: str) -> None:
    import gymnasium

    contract = load_networks(run).contract
    world = gymnasium.make(environment)
    try:
        sizes = world.observation_space.shape[0], world.action_space.shape[0]
    finally:
        world.close()
    if sizes != (contract.observation_size, contract.action_size):
        raise DivoError(
            "The run was trained for another task.", where=str(run),
            got=f"{contract.observation_size} observations, {contract.action_size} actions ('{contract.name}')",
            expected=f"{sizes[0]} and {sizes[1]}", fix="Train on the D4RL data of this task.",
        )  # fmt: skip


def _table(name: str, environment: str, scores: Sequence[Score]) -> Table:
    table = Table(title=f"{name} in {environment.rpartition(':')[2]}, D4RL-normalised, one training seed")
    for column in ("policy", "score", "95 % over episodes", "return", "steps", "episodes"):
        table.add_column(column, justify="left" if column == "policy" else "right")
    for row in scores:
        table.add_row(
            row.policy,
            f"{row.score:.1f}",
            f"[{row.low:.1f}, {row.high:.1f}]",
            f"{row.return_mean:.1f} ± {row.return_std:.1f}",
            f"{row.steps_mean:.0f}",
            str(row.episodes),
        )
    return table
