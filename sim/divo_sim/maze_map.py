"""Maps of the maze task as text, and what can be said of them without physics: cells, ways, walls.

Cells are 1 m wide. Cell (i, j) is the i-th from the left and the j-th from below, counted from 0, and its centre is at
(i, j) m: x points to the right of the text and y up.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

MapName = Literal["umaze", "medium", "large"]
Cell = tuple[int, int]
WALL = "#"


@dataclass(frozen=True)
class Box:
    """A wall seen from above [m]."""

    x: float
    y: float
    half_width: float
    half_height: float


@dataclass(frozen=True)
class MazeMap:
    """One map and what the task asks for on it."""

    name: MapName
    rows: tuple[str, ...]
    """As seen from above; `#` is wall."""
    far_pairs: tuple[tuple[Cell, Cell], ...]
    """Start and goal of the fixed evaluation pairs, far apart."""
    play_goals: tuple[Cell, ...]
    """The goals of `play` data; those of the far pairs are among them."""
    gates: tuple[Cell, Cell]
    """One cell on each of two ways round, to tell them apart; the same cell twice where there is one way."""
    purposeful_cells: int
    """Longest way of purposeful data [cells]; all far pairs are farther apart."""
    step_limit: int
    """Control periods until an episode is truncated: twice the expert's mean on the far pairs, to the nearest ten."""

    @cached_property
    def cells(self) -> tuple[Cell, ...]:
        """Every free cell, from below, left to right."""
        height = len(self.rows)
        return tuple((i, j) for j in range(height) for i, mark in enumerate(self.rows[height - 1 - j]) if mark != WALL)

    def neighbours(self, cell: Cell) -> tuple[Cell, ...]:
        """Return the free cells beside a free cell."""
        i, j = cell
        return tuple(other for other in ((i + 1, j), (i, j + 1), (i - 1, j), (i, j - 1)) if other in self._free)

    def distances(self, goal: Cell, closed: Collection[Cell] = ()) -> dict[Cell, int]:
        """Return how many cells each cell is away from `goal`; cells that cannot reach it are left out.

        Args:
            goal: A free cell.
            closed: Cells that may not be entered.
        """
        found, queue = {goal: 0}, deque([goal])
        while queue:
            cell = queue.popleft()
            for other in self.neighbours(cell):
                if other not in found and other not in closed:
                    found[other] = found[cell] + 1
                    queue.append(other)
        return found

    def shortest_way(self, start: Cell, goal: Cell) -> list[Cell]:
        """Return the cells of a shortest way, both ends included; always the same one of several.

        Raises:
            ValueError: If there is no way.
        """
        away = self.distances(goal)
        if start not in away:
            raise ValueError(f"There is no way from {start} to {goal} on the map '{self.name}'.")
        way = [start]
        while way[-1] != goal:
            way.append(min(self.neighbours(way[-1]), key=away.__getitem__))
        return way

    def walls(self) -> list[Box]:
        """Return boxes that cover the walls: every straight run of at least two cells, or a lone cell.

        Runs across and along overlap, so that no box ends in the middle of a face that a robot could slide along; it
        would catch at the seam.
        """
        height, columns = len(self.rows), ["".join(row[i] for row in self.rows) for i in range(len(self.rows[0]))]
        across = [(first, last, j, j) for j in range(height) for first, last in _runs(self.rows[height - 1 - j])]
        along = [(i, i, first, last) for i, column in enumerate(columns) for first, last in _runs(column[::-1])]
        runs = [run for run in (*across, *along) if run[0] != run[1] or run[2] != run[3]]
        covered = {(i, j) for a, b, c, d in runs for i in range(a, b + 1) for j in range(c, d + 1)}
        alone = {run for run in across if run[0] == run[1] and (run[0], run[2]) not in covered}
        return [
            Box((a + b) / 2, (c + d) / 2, (b - a + 1) / 2, (d - c + 1) / 2) for a, b, c, d in (*runs, *sorted(alone))
        ]

    @cached_property
    def _free(self) -> frozenset[Cell]:
        return frozenset(self.cells)


def _runs(line: Sequence[str]) -> list[tuple[int, int]]:
    """Return first and last index of every run of wall marks."""
    ends = [index for index in range(len(line)) if line[index] == WALL and line[index + 1 : index + 2] != WALL]
    starts = [index for index in range(len(line)) if line[index] == WALL and (index == 0 or line[index - 1] != WALL)]
    return list(zip(starts, ends, strict=True))


UMAZE = MazeMap(
    name="umaze",
    rows=(
        "#####",
        "#...#",
        "###.#",
        "#...#",
        "#####",
    ),
    far_pairs=(((1, 1), (1, 3)), ((1, 3), (1, 1)), ((2, 1), (1, 3)), ((1, 1), (2, 3))),
    play_goals=((1, 1), (3, 2), (1, 3), (2, 3)),
    gates=((3, 2), (3, 2)),
    purposeful_cells=3,
    step_limit=150,
)
MEDIUM = MazeMap(
    name="medium",
    rows=(
        "#########",
        "#...#...#",
        "#.#.#.#.#",
        "#.#...#.#",
        "#.###.#.#",
        "#.......#",
        "#########",
    ),
    far_pairs=(((1, 5), (7, 5)), ((7, 5), (1, 5)), ((1, 3), (7, 4)), ((7, 3), (2, 5)), ((2, 5), (7, 4))),
    play_goals=((1, 5), (7, 5), (7, 4), (2, 5), (1, 1), (7, 1), (4, 3), (4, 1)),
    gates=((4, 3), (4, 1)),
    purposeful_cells=6,
    step_limit=270,
)
LARGE = MazeMap(
    name="large",
    rows=(
        "#############",
        "#...#.....#.#",
        "#.#.#.###.#.#",
        "#.#...#...#.#",
        "#.###.#.###.#",
        "#.....#.....#",
        "#.#######.#.#",
        "#...........#",
        "#############",
    ),
    far_pairs=(((1, 7), (11, 7)), ((11, 7), (1, 7)), ((3, 6), (11, 6)), ((11, 5), (2, 7)), ((7, 4), (1, 5))),
    play_goals=((1, 7), (11, 7), (11, 6), (2, 7), (1, 5), (1, 1), (11, 1), (5, 6), (8, 7), (7, 3), (5, 1), (5, 3)),
    gates=((8, 7), (5, 1)),
    purposeful_cells=6,
    step_limit=500,
)
MAPS: dict[MapName, MazeMap] = {"umaze": UMAZE, "medium": MEDIUM, "large": LARGE}
