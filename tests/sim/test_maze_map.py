from __future__ import annotations

import pytest

from divo_sim.maze_map import MAPS, UMAZE, Box

EVERY_MAP = pytest.mark.parametrize("maze", MAPS.values(), ids=MAPS)


def test_cells_are_counted_from_below_and_from_the_left():
    # the text's second line from below is "#...#", its third "###.#"
    assert UMAZE.cells == ((1, 1), (2, 1), (3, 1), (3, 2), (1, 3), (2, 3), (3, 3))
    assert set(UMAZE.neighbours((3, 2))) == {(3, 1), (3, 3)}


def test_the_way_round_the_u_is_six_cells_long():
    assert UMAZE.shortest_way((1, 1), (1, 3)) == [(1, 1), (2, 1), (3, 1), (3, 2), (3, 3), (2, 3), (1, 3)]
    assert UMAZE.distances((1, 3))[(1, 1)] == 6


def test_a_closed_cell_cuts_the_way_and_the_error_says_between_what():
    assert (1, 1) not in UMAZE.distances((1, 3), closed={(3, 2)})
    with pytest.raises(ValueError, match=r"no way from \(0, 0\) to \(1, 3\)"):
        UMAZE.shortest_way((0, 0), (1, 3))


def test_the_medium_map_has_two_ways_between_its_upper_corners():
    medium = MAPS["medium"]
    assert medium.distances((7, 5))[(1, 5)] == 10  # through the middle: 2 right, 2 down, 2 right, 2 up, 2 right
    assert medium.distances((7, 5), closed={(4, 3)})[(1, 5)] == 14  # round below: 4 down, 6 right, 4 up


@EVERY_MAP
def test_every_cell_can_be_reached_and_far_goals_are_farther_than_purposeful_data_go(maze):
    assert all(len(maze.distances(cell)) == len(maze.cells) for cell in maze.cells)
    assert 4 <= len(maze.far_pairs) <= 6
    assert min(maze.distances(goal)[start] for start, goal in maze.far_pairs) > maze.purposeful_cells


@EVERY_MAP
def test_what_a_map_names_is_free_and_far_goals_are_among_the_play_goals(maze):
    assert {cell for pair in maze.far_pairs for cell in pair} | set(maze.play_goals) | set(maze.gates) <= set(
        maze.cells
    )
    assert {goal for _, goal in maze.far_pairs} <= set(maze.play_goals)
    assert len(set(maze.play_goals)) == len(maze.play_goals) < len(maze.cells)


@EVERY_MAP
def test_the_walls_cover_every_wall_cell_and_no_free_one(maze):
    def inside(box: Box, x: float, y: float) -> bool:
        return abs(x - box.x) <= box.half_width and abs(y - box.y) <= box.half_height

    height, width = len(maze.rows), len(maze.rows[0])
    covered = {(i, j) for i in range(width) for j in range(height) if any(inside(box, i, j) for box in maze.walls())}
    assert covered == {(i, j) for i in range(width) for j in range(height)} - set(maze.cells)


@EVERY_MAP
def test_no_wall_ends_in_the_middle_of_a_face(maze):
    """Along every face between a wall and a corridor, one box must reach as far as the face does."""
    free = set(maze.cells)
    for i, j in maze.cells:
        for dj in (1, -1):
            pair = ((i, j + dj), (i + 1, j + dj))
            if (i + 1, j) in free and not free & set(pair):
                assert any(
                    box.half_height == 0.5 and box.y == j + dj and abs(box.x - i - 0.5) <= box.half_width - 1.0
                    for box in maze.walls()
                )
