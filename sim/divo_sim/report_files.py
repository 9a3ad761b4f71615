"""Every file of a report that a person looks at: pictures, the film, and the HTML that holds them all."""

from __future__ import annotations

from pathlib import Path

from divo_sim.arm_scene import ArmScene
from divo_sim.camera import Camera
from divo_sim.film import write_animation
from divo_sim.loop_episode import total_ms
from divo_sim.plots import plot_latency, plot_paths
from divo_sim.replay_film import choose_episodes, film_replay, tile
from divo_sim.report import render_report
from divo_sim.validation import Validation

FILM_CAMERA = Camera(width=320, height=240, oversampling=2)
FILM_EVERY = 2
"""Control periods per picture: 10 pictures per second keep the file small."""


def write_report(folder: Path, validation: Validation) -> Path:
    """Write pictures, film and `report.html` into a folder; return the path of the report."""
    paths, latencies = {}, {}
    for result in validation.results:
        paths[result.policy] = folder / f"paths-{result.policy}.png"
        plot_paths(paths[result.policy], result.loop_outcomes, validation.layouts)
        latencies[result.policy] = folder / f"latency-{result.policy}.png"
        plot_latency(latencies[result.policy], total_ms(result.loop), result.latency, validation.period_ms)
    if validation.cloning:
        paths["bc"] = folder / "paths-bc.png"
        plot_paths(paths["bc"], validation.cloning, validation.layouts)
    film, caption = _write_film(folder / "episodes.gif", validation)
    report = folder / "report.html"
    report.write_text(render_report(validation, paths, latencies, film, caption), encoding="utf-8")
    return report


def _write_film(path: Path, validation: Validation) -> tuple[Path | None, str]:
    rate_hz = 1e3 / validation.period_ms
    scene = ArmScene()
    try:
        films = [
            film_replay(scene, outcome, f"{result.policy}, seed {outcome.seed}", rate_hz, FILM_CAMERA, FILM_EVERY)
            for result in validation.results
            for outcome in choose_episodes(result.loop_outcomes)
        ]
    finally:
        scene.close()
    if not films:
        return None, ""
    write_animation(str(path), tile(films, min(len(films), 2)), rate_hz / FILM_EVERY)
    titles = " and ".join(result.title for result in validation.results)
    return path, (
        f"Simulated episodes over ROS 2 in real time, by {titles}: for each, the first episode of either route, "
        "whatever came of it. Drawn afterwards from the recorded joint positions."
    )
