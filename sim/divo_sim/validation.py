"""The result of a validation, as data and as files that a machine can read."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from divo_sim.loop_episode import Latency, LoopEpisode, measure_latency
from divo_sim.outcomes import Outcome, Score, score

SCHEMA = 1
TITLES = {"actor": "one-step actor", "sampler": "few-step sampler", "bc": "behaviour cloning"}


@dataclass(frozen=True, slots=True)
class Layout:
    """Where things stood in one episode."""

    goal: tuple[float, ...]
    """(x, y, z) [m]."""
    post: tuple[float, ...]
    """(x, y, z) of the centre of its foot [m]."""


@dataclass(frozen=True)
class PolicyResult:
    """The same seeds played in process and over ROS topics by one policy."""

    policy: str
    settings: Mapping[str, Any]
    """Candidates and steps, as the bundle's manifest has them."""
    in_process: tuple[Outcome, ...]
    loop: tuple[LoopEpisode, ...]

    @cached_property
    def in_process_score(self) -> Score:
        """What came of it in process."""
        return score(self.in_process)

    @cached_property
    def loop_score(self) -> Score:
        """What came of it over ROS topics."""
        return score(self.loop_outcomes)

    @cached_property
    def latency(self) -> Latency:
        """How quickly the node answered, and how well it kept time."""
        return measure_latency(self.loop)

    @property
    def loop_outcomes(self) -> tuple[Outcome, ...]:
        """What came of each episode over ROS topics."""
        return tuple(episode.outcome for episode in self.loop)

    @property
    def title(self) -> str:
        """What people call the policy."""
        return TITLES.get(self.policy, self.policy)


@dataclass(frozen=True, slots=True)
class Validation:
    """Everything a report says."""

    key: Mapping[str, str]
    """Hash of the bundle's manifest, and version of the programs."""
    bundle: str
    contract: str
    """Name of the robot task."""
    period_ms: float
    """Control period."""
    created: str
    """When the validation ended, ISO 8601."""
    machine: Mapping[str, str]
    command: str
    """How to do it again."""
    layouts: Mapping[int, Layout]
    """Seed -> where things stood."""
    results: tuple[PolicyResult, ...]
    cloning: tuple[Outcome, ...] = ()
    """Behaviour cloning, played in process; empty if it was not evaluated."""


def summarize(validation: Validation) -> dict[str, Any]:
    """Return everything but the episodes as plain data for JSON."""
    return {
        "schema": SCHEMA,
        "key": dict(validation.key),
        "bundle": validation.bundle,
        "contract": validation.contract,
        "period_ms": validation.period_ms,
        "created": validation.created,
        "command": validation.command,
        "machine": dict(validation.machine),
        "seeds": [min(validation.layouts), max(validation.layouts)],
        "policies": {result.policy: _summarize_policy(result) for result in validation.results},
        "behaviour_cloning": {"in_process": asdict(score(validation.cloning))} if validation.cloning else None,
    }


def write_validation(folder: Path, validation: Validation) -> None:
    """Write `validation.json` and `episodes.csv` into a folder."""
    text = json.dumps(summarize(validation), indent=2, allow_nan=False)
    (folder / "validation.json").write_text(text + "\n", encoding="utf-8")
    with (folder / "episodes.csv").open("w", encoding="utf-8", newline="") as file:
        rows = _episode_rows(validation)
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def differences(first: Sequence[Outcome], second: Sequence[Outcome]) -> tuple[int, int]:
    """Return how many seeds reached the goal only in `first`, and only in `second`; others are left out."""
    reached = {outcome.seed: outcome.success for outcome in second}
    pairs = [(outcome.success, reached[outcome.seed]) for outcome in first if outcome.seed in reached]
    return sum(a and not b for a, b in pairs), sum(b and not a for a, b in pairs)


def _summarize_policy(result: PolicyResult) -> dict[str, Any]:
    only_in_process, only_loop = differences(result.in_process, result.loop_outcomes)
    before, after = result.in_process_score, result.loop_score
    return {
        "settings": dict(result.settings),
        "in_process": asdict(before),
        "loop": asdict(after),
        "loop_minus_in_process": {
            "success": after.success.value - before.success.value,
            "collision_free": after.collision_free.value - before.collision_free.value,
            "reached_only_in_process": only_in_process,
            "reached_only_in_loop": only_loop,
        },
        "latency": asdict(result.latency),
        "command_gaps": sum(episode.command_gaps for episode in result.loop),
        "bad_commands": sum(episode.bad_commands for episode in result.loop),
        "faults": sum(episode.faults for episode in result.loop),
    }


def _episode_rows(validation: Validation) -> list[dict[str, Any]]:
    played = [
        (result.policy, "in process", outcome, None) for result in validation.results for outcome in result.in_process
    ]
    looped = [(result.policy, "ROS 2", one.outcome, one) for result in validation.results for one in result.loop]
    cloned = [("bc", "in process", outcome, None) for outcome in validation.cloning]
    return [
        {
            "policy": policy,
            "where": where,
            "seed": outcome.seed,
            "success": int(outcome.success),
            "collision_free": int(outcome.collision_free),
            "route": outcome.route,
            "return": round(outcome.return_, 6),
            "steps": outcome.steps,
            "contacts": episode.contacts if episode else "",
            "commands": episode.commands if episode else "",
            "longest_gap_ms": round(1e3 * episode.longest_gap_s, 3) if episode else "",
            "missed_deadlines": episode.missed if episode else "",
        }
        for policy, where, outcome, episode in [*played, *looped, *cloned]
    ]
