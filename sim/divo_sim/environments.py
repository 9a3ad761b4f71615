"""Registration of the simulated tasks with gymnasium.

Gymnasium has loaded no plugins by entry point since 1.0; it does import a module that is named before a colon. So
whoever must not import this package makes a task as `gymnasium.make("divo_sim.environments:divo/ArmReach-v0")`, which
is what a contract's `environment` says.
"""

from __future__ import annotations

from itertools import product
from typing import Any, get_args

import gymnasium

from divo_sim.closed_route import Side
from divo_sim.maze_map import MAPS, MapName
from divo_sim.maze_pairs import Pairs

ARM_REACH_ID = "divo/ArmReach-v0"
ARM_REACH_BIASED_ID = "divo/ArmReachBiased-v0"
ATTEMPTS = 3
"""In the closed routes' `Retry` environments."""


def base_maze_id(maze: MapName, pairs: Pairs) -> str:
    """Return the id of a maze with fixed far pairs or random pairs, such as `divo/BaseMazeMediumFar-v0`."""
    return f"divo/BaseMaze{maze.capitalize()}{pairs.capitalize()}-v0"


def closed_route_id(closed: Side, retry: bool) -> str:
    """Return the id of the arm task with one side closed, such as `divo/ArmReachInnerClosedRetry-v0`."""
    return f"divo/ArmReach{closed.capitalize()}Closed{'Retry' if retry else ''}-v0"


def qualified(environment: str) -> str:
    """Return an id in the form in which contracts name it."""
    return f"{__name__}:{environment}"


def register() -> None:
    """Register every task of this package; a second call does nothing."""
    _register(ARM_REACH_ID, "divo_sim.arm_reach:ArmReach")
    _register(ARM_REACH_BIASED_ID, "divo_sim.arm_reach:ArmReach", {"biased": True})
    for closed, retry in product(get_args(Side), (False, True)):
        settings = {"closed": closed, "attempts": ATTEMPTS if retry else 1}
        _register(closed_route_id(closed, retry), "divo_sim.closed_route:ClosedRoute", settings)
    for maze in MAPS:
        for pairs in get_args(Pairs):
            _register(base_maze_id(maze, pairs), "divo_sim.base_maze:BaseMaze", {"maze": maze, "pairs": pairs})


def _register(environment: str, entry_point: str, settings: dict[str, Any] | None = None) -> None:
    if environment not in gymnasium.registry:
        # No max_episode_steps: gymnasium's own time limit would also call an arrival in the last step truncated.
        gymnasium.register(environment, entry_point=entry_point, kwargs=settings or {})


register()
