"""Films of episodes: the scene with the tool's path and a caption, several episodes side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from divo_sim.arm_reach import ArmReach
from divo_sim.camera import Camera, Picture
from divo_sim.rollout import roll_out

CLEAN_COLOUR, CONTACT_COLOUR, TEXT_COLOUR = (28, 100, 210), (214, 48, 40), (50, 50, 50)
PATH_WIDTH = 3
CAPTION_SIZE = 17


class Reel:
    """The frames of one episode; pass its `watch` to `roll_out`.

    Args:
        camera: Viewpoint and size.
        caption: First words of the line on every frame.
    """

    def __init__(self, camera: Camera, caption: str) -> None:
        self.frames: list[Picture] = []
        self._camera = camera
        self._caption = caption
        self._path: list[np.ndarray] = []
        self._contacts: list[bool] = []

    def watch(self, environment: ArmReach) -> None:
        """Take a frame of the environment as it is now."""
        episode = environment.episode
        self._path.append(episode.tool)
        self._contacts.append(episode.contact)
        picture = Image.fromarray(environment.scene.render(self._camera))
        draw = ImageDraw.Draw(picture)
        corners = [tuple(point) for point in self._camera.project(np.array(self._path))]
        for start, end, contact in zip(corners, corners[1:], self._contacts[1:], strict=False):
            draw.line([start, end], fill=CONTACT_COLOUR if contact else CLEAN_COLOUR, width=PATH_WIDTH)
        state = "  arrived" if episode.success else ""
        touched = f"  {episode.contacts} steps in contact" if episode.contacts else ""
        text = f"{self._caption}  {episode.steps / environment.contract.rate_hz:.2f} s{touched}{state}"
        draw.text((10, 8), text, fill=TEXT_COLOUR, font=ImageFont.load_default(CAPTION_SIZE))
        self.frames.append(np.asarray(picture))


def film(environment: ArmReach, behaviours: Sequence[str], seed: int, camera: Camera) -> list[Picture]:
    """Run one episode of each behaviour from the same seed and return the frames, side by side.

    Episodes that end earlier stand still on their last frame.
    """
    reels = [Reel(camera, name) for name in behaviours]
    for reel, name in zip(reels, behaviours, strict=True):
        roll_out(environment, name, seed, reel.watch)
    longest = max(len(reel.frames) for reel in reels)
    return [
        np.concatenate([reel.frames[min(index, len(reel.frames) - 1)] for reel in reels], axis=1)
        for index in range(longest)
    ]


def write_animation(path: str, frames: Sequence[Picture], rate_hz: float, rest_s: float = 1.5) -> None:
    """Write frames as an endless GIF in real time, with a rest on the last frame.

    All frames share one palette, without dithering: what does not move then costs no bytes.
    """
    images = [Image.fromarray(frame) for frame in frames]
    palette = images[-1].quantize(96, dither=Image.Dither.NONE)
    pictures = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]
    durations_ms = [round(1000 / rate_hz)] * (len(pictures) - 1) + [round(1000 * rest_s)]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=durations_ms, loop=0, optimize=False)
