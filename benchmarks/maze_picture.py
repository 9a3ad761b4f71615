"""Draw the maps of the maze task with the ways of their scripted expert: `python -m benchmarks.maze_picture`.

Every far pair is driven once. Circles are starts, crosses are goals.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from divo_runtime.fields import JointArray
from divo_sim.base_maze import BaseMaze
from divo_sim.maze_behaviours import MAZE_BEHAVIOURS
from divo_sim.maze_map import MAPS, MapName


@dataclass(frozen=True)
class MazePicture:
    """Draw every map."""

    out: Path = Path("docs/maze.png")
    """File to write."""
    seed: int = 0
    """Seed of the first pair's episode; the others follow."""

    def run(self) -> None:
        """Drive and draw."""
        widths = [len(maze.rows[0]) for maze in MAPS.values()]
        figure = Figure(figsize=(9.0, 3.2), dpi=90, layout="constrained")
        places = figure.subplots(1, len(MAPS), width_ratios=widths)
        for place, name in zip(places, MAPS, strict=True):
            draw_map(place, name, self.seed)
        figure.savefig(self.out, metadata={"Software": None})


def draw_map(place: Axes, name: MapName, seed: int) -> None:
    """Draw one map and a way for each of its far pairs."""
    maze = MAPS[name]
    for box in maze.walls():
        corner = (box.x - box.half_width, box.y - box.half_height)
        place.add_patch(Rectangle(corner, 2 * box.half_width, 2 * box.half_height, color="0.35", linewidth=0))
    for pair in range(len(maze.far_pairs)):
        path, goal = drive(name, pair, seed + pair)
        (line,) = place.plot(*path.T, linewidth=1.4)
        place.plot(*path[0], "o", color=line.get_color(), markersize=4)
        place.plot(*goal, "x", color=line.get_color(), markersize=6, markeredgewidth=1.8)
    place.set_aspect("equal")
    place.set_axis_off()
    place.set_title(f"{name}, {maze.step_limit} steps", fontsize=10)


def drive(name: MapName, pair: int, seed: int) -> tuple[JointArray, JointArray]:
    """Let the expert drive one far pair; return its path (steps + 1, 2) and the goal (2,) [m]."""
    environment = BaseMaze(name)
    _, info = environment.reset(seed=seed, options={"pair": pair})
    scene = environment.scene
    pilot = MAZE_BEHAVIOURS["expert"](environment.contract, scene, np.random.default_rng([seed, 1]))
    path, over = [info["position"]], False
    while not over:
        _, _, terminated, truncated, info = environment.step(pilot.act(scene).astype(np.float32))
        path.append(info["position"])
        over = terminated or truncated
    goal = scene.goal
    environment.close()
    return np.array(path), goal


if __name__ == "__main__":
    tyro.cli(MazePicture).run()
