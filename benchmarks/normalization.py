"""Measure what random and expert episodes reach in every environment: the ends of the normalised score.

Writes `sim/divo_sim/normalization.json`, which datasets and their cards quote, and from it a table in `docs/tasks.md`.
It takes about ten minutes on two cores. Environments that are named are measured anew, others stay as they are:
`python -m benchmarks.normalization [ENVIRONMENT ...]`
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Any, get_args

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from divo_sim.arm_reach import ArmReach
from divo_sim.base_maze import BaseMaze
from divo_sim.behaviours import BEHAVIOURS
from divo_sim.environments import ARM_REACH_BIASED_ID, ARM_REACH_ID, base_maze_id
from divo_sim.maze_behaviours import MAZE_BEHAVIOURS
from divo_sim.maze_map import MAPS
from divo_sim.maze_pairs import Pairs
from divo_sim.normalization import FILE, LEVELS, Level

ROOT = Path(__file__).parents[1]
TARGET = ROOT / "sim" / "divo_sim" / FILE
PAGE = ROOT / "docs" / "tasks.md"
BEGIN, END = "<!-- normalization -->", "<!-- /normalization -->"
ARM_LEVELS = {"random": ("random",), "expert": ("inner", "outer")}
MAZE_LEVELS = {"random": ("random",), "expert": ("expert",)}
Open = Callable[[], Any]

ENVIRONMENTS: dict[str, Open] = {
    ARM_REACH_ID: ArmReach,
    ARM_REACH_BIASED_ID: partial(ArmReach, biased=True),
    **{base_maze_id(maze, pairs): partial(BaseMaze, maze, pairs) for maze in MAPS for pairs in get_args(Pairs)},
}
"""Gymnasium id -> how to make it."""


@dataclass(frozen=True)
class Normalization:
    """Measure random and expert episodes."""

    environments: Annotated[tuple[str, ...], tyro.conf.Positional] = tuple(ENVIRONMENTS)
    """Gymnasium ids."""
    episodes: int = 500
    """Episodes of each level."""
    first_seed: int = 20_000
    """Far from the seeds of data, of tuning (50000) and of the published comparisons (70000). The referee's episodes
    have the same ones; their returns are not normalised."""
    workers: int = 2
    """Processes."""

    def run(self) -> None:
        """Measure, write the file and print a table."""
        measured = json.loads(TARGET.read_text(encoding="utf-8"))["environments"] if TARGET.exists() else {}
        jobs = [(environment, level) for environment in self.environments for level in LEVELS]
        table = Table("environment", "level", "return", "arrived", "no contact", "steps")
        with ProcessPoolExecutor(self.workers, get_context("spawn")) as pool:
            levels = pool.map(
                partial(measure, episodes=self.episodes, first_seed=self.first_seed), *zip(*jobs, strict=True)
            )
            for (environment, level), found in zip(jobs, levels, strict=True):
                entry = measured.setdefault(environment, {})
                entry.update({"episodes": self.episodes, "first_seed": self.first_seed, level: asdict(found)})
                steps = "-" if found.steps is None else f"{found.steps:.1f}"
                table.add_row(
                    environment,
                    level,
                    f"{found.return_:.4f}",
                    f"{found.success:.3f}",
                    f"{found.collision_free:.3f}",
                    steps,
                )
        ordered = {name: measured[name] for name in ENVIRONMENTS if name in measured}
        whole = {"pybullet": version("pybullet"), "environments": ordered}
        TARGET.write_text(json.dumps(whole, indent=2) + "\n", encoding="utf-8")
        fill_page(ordered)
        Console().print(table)


def measure(environment: str, level: str, episodes: int, first_seed: int) -> Level:
    """Run episodes of a level's behaviours in turn, each in the environment as it begins them."""
    task = ENVIRONMENTS[environment]()
    names = (MAZE_LEVELS if isinstance(task, BaseMaze) else ARM_LEVELS)[level]
    played = [play(task, names[index % len(names)], first_seed + index) for index in range(episodes)]
    task.close()
    returns, success, clean, steps = (np.array(column) for column in zip(*played, strict=True))
    return Level(
        behaviours=names,
        return_=float(returns.mean()),
        success=float(success.mean()),
        collision_free=float(clean.mean()),
        steps=float(steps[success].mean()) if success.any() else None,
    )


def fill_page(measured: Mapping[str, Any]) -> None:
    """Write the measured levels between the marks of the documentation's page."""
    lines = [
        "| environment | random: return | arrived | expert: return | arrived | untouched | steps |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, found in measured.items():
        random, expert = found["random"], found["expert"]
        lines.append(
            f"| `{name}` | {random['return_']:.3f} | {random['success']:.1%} | {expert['return_']:.3f} "
            f"| {expert['success']:.1%} | {expert['collision_free']:.1%} | {expert['steps']:.1f} |"
        )
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text("\n".join([f"{before}{BEGIN}", *lines, f"{END}{after}"]), encoding="utf-8")


def play(task: ArmReach | BaseMaze, behaviour: str, seed: int) -> tuple[float, bool, bool, int]:
    """Play one scripted episode; return its return, whether it arrived, without contact, and its steps."""
    _, info = task.reset(seed=seed)
    rng = np.random.default_rng([seed, 1])
    act: Callable[[], Any]
    if isinstance(task, BaseMaze):
        act = partial(MAZE_BEHAVIOURS[behaviour](task.contract, task.scene, rng).act, task.scene)
    else:
        act = partial(BEHAVIOURS[behaviour](task.contract, task.scene, rng).act, task.scene)
    total, over = 0.0, False
    while not over:
        _, reward, terminated, truncated, info = task.step(act().astype(np.float32))
        total, over = total + reward, terminated or truncated
    return total, bool(info["success"]), bool(info["collision_free"]), task.episode.steps


if __name__ == "__main__":
    tyro.cli(Normalization).run()
