"""Films of episodes that were played elsewhere, drawn afterwards from the recorded joint positions.

Rendering takes a whole core, so it must not run beside a controller whose latency is measured.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from divo_sim.arm_scene import ArmScene
from divo_sim.camera import Camera, Picture
from divo_sim.film import CLEAN_COLOUR, CONTACT_COLOUR, TEXT_COLOUR
from divo_sim.outcomes import Outcome

CAPTION_SIZE = 12


def choose_episodes(outcomes: Sequence[Outcome], count: int = 2) -> list[Outcome]:
    """Return the first recorded episode of each route, whatever came of it, filled up with the first others."""
    recorded = [outcome for outcome in outcomes if outcome.joints]
    by_route = {route: next((one for one in recorded if one.route == route), None) for route in (-1, 1)}
    chosen = [outcome for outcome in by_route.values() if outcome]
    return [*chosen, *(outcome for outcome in recorded if outcome not in chosen)][:count]


def film_replay(
    scene: ArmScene, outcome: Outcome, caption: str, rate_hz: float, camera: Camera, every: int
) -> list[Picture]:
    """Draw each `every`-th control period of a recorded episode, and the last one.

    Args:
        scene: Where it is acted again; placed anew.
        outcome: With joint positions.
        caption: First words on every picture.
        rate_hz: Control rate.
        camera: Viewpoint and size.
        every: Control periods from picture to picture, >= 1.
    """
    scene.reset(np.random.default_rng(outcome.seed))
    goal, post = scene.goal, scene.post
    corners = [tuple(point) for point in camera.project(np.array(outcome.path))]
    touched = outcome.success and not outcome.collision_free
    font = ImageFont.load_default(CAPTION_SIZE)
    frames = []
    for index in sorted({*range(0, len(outcome.joints), every), len(outcome.joints) - 1}):
        scene.place(np.array(outcome.joints[index]), goal, post)
        picture = Image.fromarray(scene.render(camera))
        draw = ImageDraw.Draw(picture)
        if index > 0:
            draw.line(corners[: index + 1], fill=CONTACT_COLOUR if touched else CLEAN_COLOUR, width=2)
        end = "" if index + 1 < len(outcome.joints) else f"  {_verdict(outcome)}"
        draw.text((7, 5), f"{caption}  {(index + 1) / rate_hz:.1f} s{end}", fill=TEXT_COLOUR, font=font)
        frames.append(np.asarray(picture))
    return frames


def tile(films: Sequence[Sequence[Picture]], columns: int) -> list[Picture]:
    """Show films at the same time, row by row; one that ends earlier stands still on its last picture.

    Empty places of the last row are white.
    """
    blank = np.full_like(films[0][0], 255)
    longest = max(map(len, films))
    places = [*films, *[[blank]] * (-len(films) % columns)]
    pictures = []
    for index in range(longest):
        shown = [film[min(index, len(film) - 1)] for film in places]
        rows = [np.concatenate(shown[first : first + columns], axis=1) for first in range(0, len(shown), columns)]
        pictures.append(np.concatenate(rows, axis=0))
    return pictures


def _verdict(outcome: Outcome) -> str:
    if not outcome.success:
        return "not reached"
    return "reached" if outcome.collision_free else "reached, with contact"
