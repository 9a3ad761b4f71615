"""Settings of `divo-train import` for data without topics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Layout = Literal["auto", "d4rl", "ogbench", "d4rl_pybullet"]


@dataclass(frozen=True)
class FlatConfig:
    """Data without topics; recordings of a robot do not read these."""

    d4rl: str = ""
    """D4RL's name of the dataset, such as halfcheetah-medium-v2; by default told from D4RL's file names."""
    layout: Layout = "auto"
    """How rows become transitions: d4rl, ogbench, d4rl_pybullet; auto takes ogbench for npz without rewards."""
    keep_last: bool = False
    """Keep the last steps that D4RL's qlearning_dataset drops, where the file tells what followed."""
    reward_shift: float | None = None
    """Added to every reward, before the scale; by default -1 for D4RL's AntMaze, else 0."""
    reward_scale: float = 1.0
    """Every reward is multiplied by this."""
    rate_hz: float | None = None
    """Control steps per second; by default the D4RL task's, else 1, so that a second in the settings is a step."""
    environment: str = ""
    """Gymnasium id of the environment that policies are played in; by default the D4RL task's or Minari's."""
    max_episode_steps: int | None = None
    """Time limit, for files that do not mark it; by default the D4RL task's, else 1000."""
    observation_keys: tuple[str, ...] = ()
    """Which arrays of a dictionary observation, in this order; by default all, alphabetically."""
