"""An independent referee: TD3+BC, IQL and ReBRAC of d3rlpy beside ours, on the same transitions, seeds and updates.

`python -m benchmarks.referee --dataset data/divo/arm_reach/mixed-25-v0` makes `.venv-referee`, trains both, lets our
evaluator play both with the same evaluation seeds, and writes a table with 95 % intervals over training seeds. Nets,
batches, steps, discount and targets are the same; `DIFFERENCES` says what is not.
"""

from __future__ import annotations

import csv
import dataclasses
import json
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
import tyro
from rich.console import Console
from scipy.stats import t as student
from scipy.stats import ttest_ind

from benchmarks.referee_process import RefereeProcess, make_environment, write_data
from divo_runtime.interfaces import PolicyAction
from divo_runtime.observation import FloatArray
from divo_train.config import FitConfig
from divo_train.data.minari import load_minari
from divo_train.data.training_set import training_set
from divo_train.evaluate import play_episode
from divo_train.fit import fit, seed_folder
from divo_train.policies import torch_policy
from divo_train.trained import TrainedNetworks, load_networks

DIFFERENCES = """\
Ours: observations are cut at 10 standard deviations.
IQL is our `iql_joint`: critic, policy and its width together, on the raw advantage, no LayerNorm; theirs weighs by the
critic after the step's update, ours by that before it. TD3+BC and ReBRAC: theirs move their targets with the policy, at
every second update of the critic, ours at every update by half the rate. ReBRAC: after a time-out theirs is penalised
for the distance to a zero action, ours is not.
"""
TARGET_RATE = 0.005
"""Of the running averages; d3rlpy's default."""
OURS = {"iql": "iql_joint"}
"""d3rlpy's method -> ours, where that has another name."""
FIRST_SEED = 20_000
"""Of the evaluation; far from the seeds of data and of tuning. `benchmarks.normalization` measured random and expert
episodes on scenes of the same seeds. That matters to no number here: returns are compared as they are, not normalised.
"""


@dataclass(frozen=True)
class RefereeConfig:
    """Compare our baselines with d3rlpy's."""

    dataset: Path = Path("data/divo/arm_reach/mixed-25-v0")
    """Dataset folder."""
    out: Path = Path("reports/referee")
    """Folder of runs, policies, per-episode CSV and the table."""
    methods: tuple[str, ...] = ("td3bc", "iql", "rebrac")
    """Which methods."""
    seeds: int = 5
    """Training seeds 0, 1, ..."""
    updates: int = 50_000
    """Gradient steps; of critic and of policy alike."""
    episodes: int = 100
    """Evaluation episodes per seed."""
    width: int = 256
    """Units per hidden layer."""
    depth: int = 2
    """Hidden layers."""
    learning_rate: float = 3e-4
    """Constant step size, of everything; d3rlpy's default of TD3+BC and IQL."""
    discount: float = 0.97
    """Per control step."""
    alpha: float = 2.5
    """TD3+BC's weight of Q in the policy's loss."""
    actor_penalty: float = 0.1
    """ReBRAC's weight of the squared error in the policy's loss."""
    environment: str = ""
    """Gymnasium id; by default the contract's."""
    workers: int = 2
    """Processes."""

    def run(self) -> None:
        """Train, play, write the table."""
        console = Console(highlight=False)
        self.out.mkdir(parents=True, exist_ok=True)
        python = make_environment(console)
        data = training_set(load_minari(self.dataset), "cpu")
        transitions = write_data(data, self.discount, self.out / "data.npz")
        ours = self.fit_config()
        fit(ours, console)
        jobs = [(method, seed) for method in self.methods for seed in range(self.seeds)]
        console.print(f"d3rlpy: {len(jobs)} runs of {self.updates:,} updates")
        environment = self.environment or data.contract.environment
        cells: dict[tuple[str, str], list[list[float]]] = {}
        with ProcessPoolExecutor(self.workers, get_context("spawn")) as pool:
            trained = [pool.submit(train_theirs, self, str(python), *job, transitions) for job in jobs]
            for job, done in zip(jobs, trained, strict=True):
                console.print(f"  {job[0]} seed {job[1]}: {done.result():.0f} updates/s")
            played = [
                (who, method, pool.submit(play, who, method, run, self.policy_path(method, seed), environment, self))
                for method, seed in jobs
                for who, run in (("ours", seed_folder(ours, seed)), ("d3rlpy", seed_folder(ours, seed)))
            ]
            for who, method, done in played:
                cells.setdefault((method, who), []).append(done.result())
        write_rows(self.out / "episodes.csv", cells)
        table = table_text(self, cells, transitions)
        (self.out / "referee.md").write_text(table, encoding="utf-8")
        console.print(table, markup=False)

    def fit_config(self) -> FitConfig:
        """Return our settings: d3rlpy's defaults, as far as ours can say them."""
        base = FitConfig()
        return dataclasses.replace(
            base,
            dataset=str(self.dataset),
            out=str(self.out / "runs"),
            methods=tuple(OURS.get(method, method) for method in self.methods),
            replicas=self.seeds,
            workers=self.workers,
            network=dataclasses.replace(base.network, width=self.width, depth=self.depth, regressor="relu"),
            optimizer=dataclasses.replace(
                base.optimizer, learning_rate=self.learning_rate, final_fraction=1.0, batch_size=256
            ),
            value=dataclasses.replace(
                base.value, updates=self.updates, learning_rate=self.learning_rate, members=2, aggregate="min",
                expectile=0.7, discount=self.discount, backup_s=0.0, target_rate=TARGET_RATE,
            ),
            actor_critic=dataclasses.replace(
                base.actor_critic, updates=self.updates, learning_rate=self.learning_rate, layer_norm=False,
                target_rate=TARGET_RATE / base.actor_critic.policy_every,
            ),
            td3bc=dataclasses.replace(base.td3bc, alpha=self.alpha),
            rebrac=dataclasses.replace(base.rebrac, actor_penalty=self.actor_penalty, critic_penalty=0.01),
            iql=dataclasses.replace(base.iql, layer_norm=False),
        )  # fmt: skip

    def their_job(self, method: str, seed: int) -> dict[str, Any]:
        """Return the same settings for d3rlpy."""
        extra = {
            "td3bc": {"alpha": self.alpha},
            "rebrac": {"actor_beta": self.actor_penalty, "critic_beta": 0.01},
        }
        return {
            "algorithm": method,
            "data": str((self.out / "data.npz").resolve()),
            "seed": seed,
            "width": self.width,
            "depth": self.depth,
            "batch_size": 256,
            "learning_rate": self.learning_rate,
            "discount": self.discount,
            "target_rate": TARGET_RATE,
            "extra": extra.get(method, {}),
        }

    def policy_path(self, method: str, seed: int) -> Path:
        """Return where d3rlpy's policy of one run goes."""
        return self.out.resolve() / f"d3rlpy-{method}-{seed}.pt"


@dataclass(frozen=True)
class ScriptedPolicy:
    """d3rlpy's policy in our evaluator: our normaliser before it, our action range behind it."""

    networks: TrainedNetworks
    script: torch.jit.ScriptModule

    @property
    def noise_shape(self) -> tuple[int, int]:
        """It is deterministic; the evaluator draws noise all the same."""
        return 1, self.networks.contract.action_size

    @torch.no_grad()
    def act(self, observation: FloatArray, _: FloatArray) -> PolicyAction:
        """(obs_dim,) in contract units -> action in robot units."""
        normalised = self.networks.normalizer(torch.from_numpy(observation).unsqueeze(0))
        return PolicyAction(self.networks.robot_units(self.script(normalised)[0]).numpy(), float("nan"))


def train_theirs(config: RefereeConfig, python: str, method: str, seed: int, transitions: int) -> float:
    """Train one of d3rlpy's and save its policy, unless that was done; return its updates per second."""
    path = config.policy_path(method, seed)
    note = path.with_suffix(".json")
    job = {**config.their_job(method, seed), "updates": config.updates}
    if note.exists() and (before := json.loads(note.read_text()))["job"] == job:
        return float(before["rate"])
    with RefereeProcess(Path(python), path.with_suffix(".log")) as referee:
        found = referee.ask(do="make", **config.their_job(method, seed))
        if found["transitions"] != transitions:
            raise AssertionError(f"d3rlpy sees {found['transitions']} transitions, not {transitions}")
        rate = config.updates / referee.ask(do="update", count=config.updates)["seconds"]
        referee.ask(do="save", path=str(path))
    note.write_text(json.dumps({"job": job, "rate": rate, **found}) + "\n")
    return rate


def play(who: str, method: str, run: Path, path: Path, environment: str, config: RefereeConfig) -> list[float]:
    """Play one trained policy and return (episodes,) returns."""
    torch.set_num_threads(1)
    networks = load_networks(run)
    policy: Any = (
        torch_policy(networks, OURS.get(method, method))
        if who == "ours"
        else ScriptedPolicy(networks, torch.jit.load(path))
    )
    world = gymnasium.make(environment)
    try:
        seeds = range(FIRST_SEED, FIRST_SEED + config.episodes)
        return [play_episode(world, policy, seed).return_ for seed in seeds]
    finally:
        world.close()


def interval(seeds: list[float]) -> tuple[float, float, float]:
    """Return the mean over training seeds and its 95 % interval (Student); the whole line for a single seed."""
    mean = float(np.mean(seeds))
    if len(seeds) < 2:
        return mean, -np.inf, np.inf
    half = float(student.ppf(0.975, len(seeds) - 1) * np.std(seeds, ddof=1) / np.sqrt(len(seeds)))
    return mean, mean - half, mean + half


def interval_of_difference(first: list[float], second: list[float]) -> tuple[float, float, float]:
    """Return the difference of the means over training seeds and its 95 % interval (Welch); the whole line for one."""
    gap = float(np.mean(first) - np.mean(second))
    if min(len(first), len(second)) < 2:
        return gap, -np.inf, np.inf
    found = ttest_ind(first, second, equal_var=False).confidence_interval()
    return gap, float(found.low), float(found.high)


def table_text(config: RefereeConfig, cells: dict[tuple[str, str], list[list[float]]], transitions: int) -> str:
    """Return the table as Markdown."""
    lines = [
        f"# Referee: {config.dataset}",
        "",
        f"{transitions:,} transitions, {config.updates:,} updates, {config.seeds} training seeds, {config.episodes} "
        f"episodes each. Mean return, 95 % interval over seeds (Student; of the difference, Welch).",
        "",
        "| method | ours | d3rlpy | ours minus d3rlpy | our mean in its interval |",
        "|---|---|---|---|---|",
    ]
    for method in config.methods:
        runs = [[float(np.mean(run)) for run in cells[method, who]] for who in ("ours", "d3rlpy")]
        own, theirs, gap = interval(runs[0]), interval(runs[1]), interval_of_difference(*runs)
        shown = " | ".join(f"{mean:.2f} [{low:.2f}, {high:.2f}]" for mean, low, high in (own, theirs, gap))
        lines.append(f"| {method} | {shown} | {'yes' if theirs[1] <= own[0] <= theirs[2] else 'no'} |")
    return "\n".join([*lines, "", DIFFERENCES])


def write_rows(path: Path, cells: dict[tuple[str, str], list[list[float]]]) -> None:
    """Write every episode's return."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["method", "who", "training_seed", "episode_seed", "return"])
        for (method, who), runs in cells.items():
            for seed, returns in enumerate(runs):
                writer.writerows([method, who, seed, FIRST_SEED + i, round(each, 5)] for i, each in enumerate(returns))


if __name__ == "__main__":
    tyro.cli(RefereeConfig).run()
