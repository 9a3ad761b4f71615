"""What happens in an episode of the maze task: arrival, contact, route, reward. Pure functions, no physics.

The reward is sparse: 1 on arriving, 0 before. Touching a wall ends nothing and costs nothing by itself; it is counted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from divo_runtime.fields import JointArray
from divo_sim.maze_map import Cell, MazeMap

GOAL_RADIUS_M = 0.4
SUCCESS_REWARD = 1.0
FIRST_WAY, UNDECIDED, SECOND_WAY = -1, 0, 1


@dataclass(frozen=True, slots=True)
class Episode:
    """Where an episode stands after a number of control steps."""

    maze: MazeMap
    steps: int
    position: JointArray
    """(2,) centre of the base in the map frame [m]."""
    route: int = UNDECIDED
    """Which of the map's two gates was entered last: -1 the first, +1 the second, 0 none."""
    contact: bool = False
    """Whether the base touched a wall during the last step."""
    contacts: int = 0
    """Number of steps with contact so far."""
    success: bool = False
    """Whether the base has arrived at the goal."""

    @property
    def collision_free(self) -> bool:
        """Whether the base has arrived without ever touching a wall."""
        return self.success and self.contacts == 0

    @property
    def terminated(self) -> bool:
        """Whether the task is over: only arriving ends it."""
        return self.success

    @property
    def truncated(self) -> bool:
        """Whether the time is up without arriving."""
        return not self.success and self.steps >= self.maze.step_limit


def begin_episode(maze: MazeMap, position: JointArray) -> Episode:
    """Return the episode at its start, with the base at `position` (2,) [m]."""
    return Episode(maze, 0, position)


def advance_episode(episode: Episode, position: JointArray, goal: JointArray, contact: bool) -> Episode:
    """Account for one control step.

    Args:
        episode: The episode before the step.
        position: (2,) centre of the base after the step [m].
        goal: (2,) goal [m].
        contact: Whether the base touched a wall during the step.
    """
    return Episode(
        maze=episode.maze,
        steps=episode.steps + 1,
        position=position,
        route=_route(episode, cell_at(position)),
        contact=contact,
        contacts=episode.contacts + int(contact),
        success=bool(np.linalg.norm(goal - position) < GOAL_RADIUS_M),
    )


def step_reward(after: Episode) -> float:
    """Return the reward of the step that led to `after`."""
    return SUCCESS_REWARD if after.success else 0.0


def cell_at(position: JointArray) -> Cell:
    """Return the cell that a point (2,) [m] lies in."""
    return round(float(position[0])), round(float(position[1]))


def _route(episode: Episode, cell: Cell) -> int:
    first, second = episode.maze.gates
    if first == second or cell not in (first, second):
        return episode.route
    return FIRST_WAY if cell == first else SECOND_WAY
