"""Where episodes of the maze task begin and where they should end, in evaluation and in data."""

from __future__ import annotations

from typing import Literal

import numpy as np

from divo_sim.maze_map import Cell, MazeMap

Pairs = Literal["far", "random"]
"""Start and goal in evaluation: one of the map's fixed far pairs, or any two cells."""
Goals = Literal["play", "diverse"]
"""Goals of data: the map's few goals, or any cell; starts are any cell in both."""

LEAST_CELLS = 2
"""Start and goal that are drawn are at least so far apart [cells]."""


def evaluation_pair(maze: MazeMap, pairs: Pairs, rng: np.random.Generator) -> tuple[Cell, Cell]:
    """Return start and goal of an episode of evaluation."""
    if pairs == "far":
        return maze.far_pairs[rng.integers(len(maze.far_pairs))]
    return _pair_to(maze, maze.cells[rng.integers(len(maze.cells))], None, rng)


def data_pair(maze: MazeMap, goals: Goals, behaviour: str, rng: np.random.Generator) -> tuple[Cell, Cell]:
    """Return start and goal of an episode of data; purposeful ways are at most as long as the map says."""
    among = maze.play_goals if goals == "play" else maze.cells
    longest = maze.purposeful_cells if behaviour == "purposeful" else None
    return _pair_to(maze, among[rng.integers(len(among))], longest, rng)


def _pair_to(maze: MazeMap, goal: Cell, longest: int | None, rng: np.random.Generator) -> tuple[Cell, Cell]:
    away = maze.distances(goal)
    starts = [cell for cell in away if LEAST_CELLS <= away[cell] <= (longest or len(maze.cells))]
    return starts[rng.integers(len(starts))], goal
