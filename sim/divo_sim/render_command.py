"""`divo-sim render`: scripted behaviours as an animated GIF, or as a still picture of their paths."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from PIL import Image

from divo_runtime.errors import DivoError
from divo_sim.arm_reach import ArmReach
from divo_sim.camera import Camera
from divo_sim.film import film, write_animation

BehaviourName = Literal["inner", "outer", "sloppy", "straight", "random", "wrong"]


@dataclass(frozen=True, slots=True)
class RenderCommand:
    """Show scripted behaviours side by side, each from the same start."""

    behaviours: tuple[BehaviourName, ...] = ("inner", "outer")
    """Behaviours from left to right."""
    seed: int = 0
    """Seed of the episode: post, goal and start."""
    out: Path = Path("arm_reach.gif")
    """File to write: .gif for an animation in real time, .png for the last frame with the paths."""
    width: int = 480
    """Width of one behaviour's picture [pixels]; the height is three quarters of it."""

    def run(self) -> None:
        """Render and write the file.

        Raises:
            DivoError: If the file's ending is neither .gif nor .png, or nothing is to be shown.
        """
        if self.out.suffix not in (".gif", ".png") or not self.behaviours or self.width < 1:
            raise DivoError(
                "This picture cannot be made.",
                got=f"--out {self.out} --width {self.width} with {len(self.behaviours)} behaviours",
                expected="a .gif or .png file, a width above 0 and at least one behaviour",
            )
        environment = ArmReach()
        try:
            camera = Camera(width=self.width, height=self.width * 3 // 4, oversampling=2)
            frames = film(environment, self.behaviours, self.seed, camera)
            self.out.parent.mkdir(parents=True, exist_ok=True)
            if self.out.suffix == ".gif":
                write_animation(str(self.out), frames, environment.contract.rate_hz)
            else:
                Image.fromarray(frames[-1]).save(self.out)
        finally:
            environment.close()
        sys.stdout.write(f"{self.out}  {len(frames)} frames  {self.out.stat().st_size / 1e6:.2f} MB\n")
