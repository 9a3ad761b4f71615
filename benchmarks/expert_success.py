"""How often the scripted experts reach the goal without contact, with exact intervals, and how the others fare.

python benchmarks/expert_success.py --episodes 200
"""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter

import numpy as np
import tyro
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from scipy.stats import binomtest

from divo_sim.arm_reach import ArmReach
from divo_sim.behaviours import BEHAVIOURS
from divo_sim.rollout import roll_out

DISCOUNT = 0.99


@dataclass(frozen=True, slots=True)
class ExpertSuccess:
    """Measure every scripted behaviour of the arm task."""

    episodes: int = 200
    """Episodes of each behaviour, seeds 0, 1, 2 and so on."""

    def run(self) -> None:
        """Print one row per behaviour."""
        heading = (
            "behaviour",
            "success",
            "no contact",
            "95 % interval",
            "return",
            "discounted",
            "steps",
            "range",
            "1/s",
        )
        table = Table(box=SIMPLE_HEAD, title=f"{self.episodes} episodes each; no contact: arrived and touched nothing")
        for name in heading:
            table.add_column(name, justify="right")
        environment = ArmReach()
        for behaviour in BEHAVIOURS:
            table.add_row(behaviour, *self._measure(environment, behaviour))
        environment.close()
        Console(width=120).print(table)

    def _measure(self, environment: ArmReach, behaviour: str) -> list[str]:
        start_s = perf_counter()
        episodes = [roll_out(environment, behaviour, seed) for seed in range(self.episodes)]
        elapsed_s = perf_counter() - start_s
        success = np.array([episode.infos["success"][-1] for episode in episodes])
        clean = success & np.array([not episode.infos["contact"].any() for episode in episodes])
        interval = binomtest(int(clean.sum()), self.episodes).proportion_ci(0.95, method="exact")  # Clopper and Pearson
        returns = np.array([episode.rewards.sum() for episode in episodes])
        discounted = [np.sum(episode.rewards * DISCOUNT ** np.arange(len(episode))) for episode in episodes]
        steps = np.array([len(episode) for episode in episodes])
        return [
            f"{success.mean():.3f}",
            f"{clean.mean():.3f}",
            f"[{interval.low:.3f}, {interval.high:.3f}]",
            f"{returns.mean():.2f} ± {returns.std():.2f}",
            f"{np.mean(discounted):.2f}",
            f"{steps.mean():.1f}",
            f"{steps.min()}-{steps.max()}",
            f"{steps.sum() / elapsed_s:.0f}",
        ]


if __name__ == "__main__":
    tyro.cli(ExpertSuccess).run()
