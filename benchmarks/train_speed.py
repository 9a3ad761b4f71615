"""Updates per second of every method, beside d3rlpy's TD3+BC and IQL at the same sizes, one thread each, in one run.

Each contender does a few updates in turn, again and again, so that whatever else the machine does hits all alike; a
ratio is the median of the rounds' ratios. `make bench-train` runs it, with `TRAIN=--record` for the figures.
"""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import tyro
from rich.console import Console
from rich.table import Table

from benchmarks.figures import record_all
from benchmarks.referee import RefereeConfig
from benchmarks.referee_process import RefereeProcess, make_environment, write_data
from divo_train.config import FitConfig
from divo_train.data.minari import load_minari
from divo_train.data.training_set import TrainingSet, training_set
from divo_train.methods import METHODS, stages_of
from divo_train.methods.divo import SELECTOR
from divo_train.products import product
from divo_train.replicas import Replicas, replica_of
from divo_train.stage import Stage
from divo_train.updates import make_update

Timed = Callable[[int], float]
"""Number of updates -> seconds."""
THEIRS = ("td3bc", "iql")
EXACT = "actor, candidates drawn per update"
TORCHS, OURS = "a layer's product, by torch", "a layer's product, as we train"
SCRIPT = "benchmarks/train_speed.py"


@dataclass(frozen=True)
class TrainSpeed:
    """Measure updates per second."""

    dataset: Path = Path("data/divo/arm_reach/mixed-25-v0")
    """Dataset folder."""
    methods: tuple[str, ...] = tuple(METHODS)
    """Our methods."""
    width: int = 256
    """Units per hidden layer."""
    depth: int = 2
    """Hidden layers."""
    seeds: int = 5
    """Seeds side by side, beside one."""
    cores: int = 2
    """Torch threads that one seed and several side by side may have, where that is faster; all else has one."""
    updates: int = 50
    """Updates per contender and round."""
    rounds: int = 20
    """Rounds; the first is not counted."""
    record: bool = False
    """Write the figures to docs/figures.json."""

    def run(self) -> None:
        """Measure and print."""
        torch.set_num_threads(1)
        console = Console(highlight=False)
        python = make_environment(console)
        settings = RefereeConfig(dataset=self.dataset, width=self.width, depth=self.depth)
        data = training_set(load_minari(self.dataset), "cpu")
        with (
            tempfile.TemporaryDirectory(prefix="divo-speed-") as name,
            RefereeProcess(python, Path(name) / "td3bc.log") as td3bc,
            RefereeProcess(python, Path(name) / "iql.log") as iql,
        ):
            settings = replace(settings, out=Path(name))
            write_data(data, settings.discount, settings.out / "data.npz")
            contenders: dict[str, Timed] = {}
            for method, process in zip(THEIRS, (td3bc, iql), strict=True):
                process.ask(do="make", **settings.their_job(method, 0))
                contenders[f"d3rlpy {method}"] = _theirs(process)
            stages, built = self.stages(data, settings.fit_config())
            contenders |= stages | {TORCHS: _products(self.width, torch.mm), OURS: _products(self.width, product)}
            seconds = measure(contenders, self.updates, self.rounds)
        self.report(seconds, built, console)

    def stages(self, data: TrainingSet, config: FitConfig) -> tuple[dict[str, Timed], dict[str, float]]:
        """Return what runs each stage's updates, and the seconds that building each stage took (its caches)."""
        timed: dict[str, Timed] = {}
        built: dict[str, float] = {}
        upstream: dict[str, dict[str, torch.Tensor]] = {}
        for stage in stages_of(self.methods):
            begun = time.perf_counter()
            replicas = _replicas(stage, data, config, upstream, 1)
            built[stage.name] = time.perf_counter() - begun
            upstream[stage.name] = replica_of({k: v.detach() for k, v in replicas.tensors.items()}, 0, 1)
            upstream[stage.name] = {k.removeprefix("networks."): v for k, v in upstream[stage.name].items()}
            timed[stage.name] = _ours(replicas, config)
            if stage.name == "actor":
                drawing = replace(config, actor=replace(config.actor, refresh_every=1))
                timed[EXACT] = _ours(_replicas(stage, data, drawing, upstream, 1), drawing)
            if stage.name == "td3bc":
                for seeds, threads in itertools.product((1, self.seeds), (1, self.cores)):
                    replicas = _replicas(stage, data, config, upstream, seeds)
                    timed[_side_by_side(seeds, threads)] = _ours(replicas, config, threads)
        return timed, built

    def report(self, seconds: dict[str, list[float]], built: dict[str, float], console: Console) -> None:
        """Print the table and write the figures."""
        per_update = {name: np.array(each) / self.updates for name, each in seconds.items()}
        table = Table(title=f"{self.width} units, {self.depth} hidden layers, batch 256")
        for column in ("stage or contender", "updates/s", "slowest round", "fastest round"):
            table.add_column(column, justify="left" if column.startswith("stage") else "right")
        for name, each in per_update.items():
            table.add_row(name, *(f"{1 / x:.0f}" for x in (np.median(each), each.max(), each.min())))
        console.print(table)
        figures = self.figures(per_update, built)
        for name, (value, unit) in figures.items():
            console.print(f"{name}: {value:.2f} {unit}")
        if self.record:
            record_all(figures, SCRIPT)

    def figures(self, per_update: dict[str, np.ndarray], built: dict[str, float]) -> dict[str, tuple[float, str]]:
        """Return the ratios.

        One DIVO update is one of its critic, its denoiser and its actor, with the drawing of the candidates divided by
        the updates that use them; our IQL is the published form, critic and policy together, as d3rlpy's is.
        """
        config = FitConfig()
        found: dict[str, tuple[float, str]] = {}
        found["train.product.speed_vs_torch"] = (float(np.median(per_update[TORCHS] / per_update[OURS])), "times")
        if "td3bc" in per_update:
            td3bc = per_update["td3bc"]
            found["train.td3bc.speed_vs_d3rlpy"] = (float(np.median(per_update["d3rlpy td3bc"] / td3bc)), "times")
            several, one = (  # each with the number of threads that suits it: two can be slower than one
                min((per_update[_side_by_side(seeds, threads)] for threads in (1, self.cores)), key=np.median)
                for seeds in (self.seeds, 1)
            )
            found[f"train.seeds{self.seeds}.cost_vs_1"] = (float(np.median(several / one)), "times")
            alone = per_update[_side_by_side(1, 1)]
            found[f"train.seeds{self.seeds}.cost_vs_1_on_one_core"] = (float(np.median(several / alone)), "times")
        if "iql_joint" in per_update:
            own = per_update["iql_joint"]
            found["train.iql.speed_vs_d3rlpy"] = (float(np.median(per_update["d3rlpy iql"] / own)), "times")
        if {"td3bc", "actor"} <= per_update.keys():
            cost = _divo_cost(per_update, built, config)
            found["train.divo.cost_vs_td3bc"] = (float(np.median(cost / per_update["td3bc"])), "times")
        return found


def _divo_cost(per_update: dict[str, np.ndarray], built: dict[str, float], config: FitConfig) -> np.ndarray:
    """Return (rounds,) seconds of one update of all that DIVO trains, caches included.

    A critic that labels and then goes on to select is one critic, in two stages.
    """
    twice = {SELECTOR} if config.value.selector == "continued" else set()
    stages = [stage for stage in stages_of(("divo",)) if stage not in twice]
    return np.sum([per_update[stage.name] + built[stage.name] / stage.updates(config) for stage in stages], axis=0)


def measure(contenders: dict[str, Timed], updates: int, rounds: int) -> dict[str, list[float]]:
    """Return name -> seconds of each round, the first left out."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds + 1):
        for name, timed in contenders.items():
            took = timed(updates)
            if number:
                seconds[name].append(took)
    return seconds


def _theirs(process: RefereeProcess) -> Timed:
    return lambda count: float(process.ask(do="update", count=count)["seconds"])


def _side_by_side(seeds: int, threads: int) -> str:
    return f"td3bc, seeds {seeds}, threads {threads}"


def _ours(replicas: Replicas, config: FitConfig, threads: int = 1) -> Timed:
    update, _ = make_update(replicas, config.optimizer.learning_rate, "cpu")
    done = 0

    def timed(count: int) -> float:
        nonlocal done
        torch.set_num_threads(threads)
        begun = time.perf_counter()
        for _ in range(count):
            done += 1
            update(done)
        return time.perf_counter() - begun

    return timed


def _products(width: int, multiply: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> Timed:
    a, b = torch.randn(256, width), torch.randn(width, width)

    def timed(count: int) -> float:
        torch.set_num_threads(1)
        begun = time.perf_counter()
        for _ in range(count):
            multiply(a, b)
        return time.perf_counter() - begun

    return timed


def _replicas(
    stage: Stage, data: TrainingSet, config: FitConfig, upstream: dict[str, dict[str, torch.Tensor]], seeds: int
) -> Replicas:
    return Replicas([stage.build(data, replace(config, seed=seed), upstream) for seed in range(seeds)])


if __name__ == "__main__":
    tyro.cli(TrainSpeed).run()
