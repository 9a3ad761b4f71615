"""What the guards of a bundle notice, and how often they cry wolf.

False alarms are counted on held-out episodes of the dataset and while the bundle's own policies drive the simulated
arm; detections on held-out observations that were spoiled in the ways in which robots are really wired wrongly. Beside
the novelty that the bundle uses stand two simpler ones, each with its own bound at the same share of held-out
observations. `python -m benchmarks.gates --bundle BUNDLE`
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from divo_export.calibration import held_out_episodes
from divo_runtime.bundle.loading import Bundle, load_bundle
from divo_runtime.contract import Contract
from divo_runtime.fields import JointArray
from divo_runtime.interfaces import Policy
from divo_runtime.safety.calibration import novelty_scores
from divo_runtime.safety.guards import NOVELTY_TAIL, open_guard
from divo_sim.arm_body import simulated_arm
from divo_sim.inprocess import play_episode
from divo_train.data.minari import load_minari

SHRINKAGE = 0.01
"""Of the covariance towards its diagonal, for the Mahalanobis distance."""

FIRST_SEED = 90_000
"""Far from the seeds of collecting, evaluating and validating."""

Score = Callable[[JointArray], JointArray]


@dataclass(frozen=True)
class Gates:
    """Measure false alarms and detections of a bundle's guards."""

    bundle: Path = Path("bundles/arm_reach")
    """Bundle folder."""
    dataset: Path = Path("data/divo/arm_reach/mixed-25-v0")
    """Dataset that it was trained on."""
    observations: int = 4000
    """Held-out observations that are spoiled in each way."""
    episodes: int = 200
    """Episodes that each policy drives."""
    policies: tuple[str, ...] = ("actor", "sampler")
    """Which policies drive."""


def main() -> None:
    """Entry point."""
    command, console = tyro.cli(Gates), Console()
    with load_bundle(command.bundle) as bundle:
        dataset = load_minari(command.dataset, bundle.contract)
        held = held_out_episodes(dataset)
        usual = dataset.observations[dataset.rows[~held]].astype(np.float64)
        others = dataset.observations[dataset.rows[held]].astype(np.float64)
        rng = np.random.default_rng(0)
        some = others[rng.permutation(len(others))[: command.observations]]
        console.print(_detections(bundle, _scores(bundle, usual), others, some, rng))
        console.print(_false_alarms(bundle, command))
        console.print(_cost(bundle))


def _scores(bundle: Bundle, usual: JointArray) -> dict[str, Score]:
    calibration = bundle.manifest.x_divo.calibration
    if calibration is None:
        raise SystemExit(f"{bundle.folder} has no calibration; export it again")
    mean, scale, lower, upper = usual.mean(0), usual.std(0), usual.min(0), usual.max(0)
    correlation = np.corrcoef(usual, rowvar=False)
    shrunk = (1 - SHRINKAGE) * correlation + SHRINKAGE * np.eye(len(mean))
    whitening = np.linalg.inv(np.linalg.cholesky(shrunk)) / scale
    return {
        "novelty": lambda x: novelty_scores(x, calibration.novelty),
        "Mahalanobis": lambda x: np.linalg.norm((x - mean) @ whitening.T, axis=1),
        "range": lambda x: np.maximum((x - upper) / scale, (lower - x) / scale).max(1),
    }


def _detections(
    bundle: Bundle, scores: dict[str, Score], others: JointArray, some: JointArray, rng: np.random.Generator
) -> Table:
    columns = ("held-out observations, spoiled by", *scores, "value, actor", "value, sampler")
    table = Table(*columns, title=f"share beyond the bound, {len(some)} observations, one cycle each")
    bounds = {name: np.quantile(score(others), 1 - NOVELTY_TAIL) for name, score in scores.items()}
    guard, policies = open_guard(bundle), [bundle.open_policy(name) for name in ("actor", "sampler")]
    for how, spoiled in _spoil(bundle.contract, some, rng):
        shares = [(scores[name](spoiled) > bounds[name]).mean() for name in scores]
        for policy in policies:
            sample = spoiled[:1000].astype(np.float32)
            trips = [guard.judge(x, _value(policy, x, rng)) for x in sample]
            shares.append(np.mean([any(trip.guard == "value" for trip in several) for several in trips]))
        table.add_row(how, *(f"{share:.1%}" for share in shares))
    return table


def _value(policy: Policy, observation: np.ndarray, rng: np.random.Generator) -> float:
    return policy.act(observation, rng.standard_normal(policy.noise_shape, dtype=np.float32)).value


def _spoil(contract: Contract, some: JointArray, rng: np.random.Generator) -> Iterator[tuple[str, JointArray]]:
    """Yield what was done, and (n, obs_dim) observations to which it was done."""
    names = list(contract.element_names)
    columns = {
        term.name: slice(names.index(term.element_names[0]), names.index(term.element_names[0]) + term.width)
        for term in contract.observation
    }
    rows, width = np.arange(len(some)), columns["joint_position"].stop

    def changed(term: str, change: Callable[[JointArray], JointArray | float]) -> JointArray:
        copy = some.copy()
        copy[:, columns[term]] = change(copy[:, columns[term]])
        return copy

    def somewhere(distance: float) -> JointArray:
        direction = rng.normal(size=(len(some), 3))
        return distance * direction / np.linalg.norm(direction, axis=1, keepdims=True)

    def of_one_joint(change: Callable[[JointArray], JointArray]) -> JointArray:
        copy, joints = some.copy(), rng.integers(0, width, len(some))
        copy[rows, joints] = change(copy[rows, joints])
        return copy

    def permuted(orders: np.ndarray) -> JointArray:
        copy = some.copy()
        for term in ("joint_position", "joint_velocity"):
            copy[:, columns[term]] = np.take_along_axis(copy[:, columns[term]], orders, axis=1)
        return copy

    yield "nothing", some
    for distance in (0.1, 0.2, 0.5):
        yield f"the goal {distance:g} m off", changed("goal_offset", lambda x, d=distance: x + somewhere(d))
    yield "the post 0.3 m off", changed("post_offset", lambda x: x + somewhere(0.3))
    for offset in (0.1, 0.6):
        signs = rng.choice([-1.0, 1.0], len(some))
        yield f"one joint {offset:g} rad off", of_one_joint(lambda x, d=offset * signs: x + d)
    yield "one joint's sign", of_one_joint(lambda x: -x)
    yield "joints in any order", permuted(np.array([rng.permutation(width) for _ in some]))
    neighbours = np.tile(np.arange(width), (len(some), 1))
    first = rng.integers(0, width - 1, len(some))
    neighbours[rows, first], neighbours[rows, first + 1] = first + 1, first
    yield "two neighbouring joints swapped", permuted(neighbours)
    yield "positions in degrees", changed("joint_position", np.rad2deg)
    yield "velocities in degrees", changed("joint_velocity", np.rad2deg)
    yield "tool position in millimetres", changed("tool_position", lambda x: 1000.0 * x)
    yield "tool position zero", changed("tool_position", lambda x: 0.0 * x)


class Tally:
    """A guard's judgements while a policy drives, counted and never acted on."""

    def __init__(self, bundle: Bundle) -> None:
        self._guard = open_guard(bundle)
        self.cycles, self.single, self.reactions = 0, 0, 0

    def forget(self) -> None:
        """Begin an episode."""
        self._guard.forget()

    def judge(self, observation: np.ndarray, value: float) -> tuple[()]:
        """Object to nothing."""
        return ()

    def check(self, observation: np.ndarray, value: float) -> tuple[()]:
        """Count one cycle."""
        self.cycles += 1
        self.single += bool(self._guard.judge(observation, value))
        self.reactions += bool(self._guard.check(observation, value))
        return ()


def _false_alarms(bundle: Bundle, command: Gates) -> Table:
    columns = ("policy", "episodes", "reached without contact", "cycles", "beyond a bound", "in a row, so warned")
    table = Table(*columns, title="the bundle's own policies in simulation")
    robot = simulated_arm(bundle.contract)
    for name in command.policies:
        policy, tally, clean = bundle.open_policy(name), Tally(bundle), 0
        for seed in range(FIRST_SEED, FIRST_SEED + command.episodes):
            clean += play_episode(robot, bundle.contract, policy, seed, tally).collision_free
        counts = (command.episodes, f"{clean / command.episodes:.0%}", tally.cycles, tally.single, tally.reactions)
        table.add_row(name, *map(str, counts))
    return table


def _cost(bundle: Bundle, calls: int = 5000) -> Table:
    """Time the guard, and for comparison the critic that a gate on V would have to run too."""
    guard, critic = open_guard(bundle), bundle.open_network("critic")
    observation = bundle.typical_observation
    feeds = {"observation": observation[None], "action": np.zeros((1, bundle.contract.action_size), np.float32)}
    table = Table("per cycle", "median [µs]", title="cost")
    for what, call in (("guard", lambda: guard.check(observation, 0.0)), ("critic network", lambda: critic.run(feeds))):
        durations = []
        for _ in range(calls):
            begun = time.perf_counter_ns()
            call()
            durations.append(time.perf_counter_ns() - begun)
        table.add_row(what, f"{np.median(durations) / 1e3:.1f}")
    return table


if __name__ == "__main__":
    main()
