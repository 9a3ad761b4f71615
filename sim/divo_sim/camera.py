"""Pictures of a scene by PyBullet's software renderer: no display and no GPU needed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from divo_runtime.fields import JointArray
from divo_sim.bullet import pybullet

Picture = NDArray[np.uint8]

NEAR_M, FAR_M = 0.1, 5.0


@dataclass(frozen=True, slots=True)
class Camera:
    """A viewpoint and a picture size."""

    width: int = 480
    """Width of the picture [pixels]."""
    height: int = 360
    """Height of the picture [pixels]."""
    eye: tuple[float, float, float] = (1.45, -0.62, 1.06)
    """Where the camera stands [m]."""
    target: tuple[float, float, float] = (0.35, 0.03, 0.24)
    """What it looks at [m]."""
    field_of_view_deg: float = 38.0
    """Vertical opening angle [degrees]."""
    oversampling: int = 1
    """Rays per pixel and direction; 2 makes smooth edges and takes four times as long."""

    def capture(self, client: int) -> Picture:
        """Return what the camera sees in a physics client: (height, width, 3) uint8."""
        width, height = self.width * self.oversampling, self.height * self.oversampling
        view, projection = self._matrices()
        _, _, pixels, _, _ = pybullet.getCameraImage(
            width,
            height,
            view,
            projection,
            lightDirection=[0.6, -0.6, 1.6],
            shadow=True,
            renderer=pybullet.ER_TINY_RENDERER,
            physicsClientId=client,
        )
        fine = np.asarray(pixels, dtype=np.uint8).reshape(
            self.height, self.oversampling, self.width, self.oversampling, 4
        )
        return fine[..., :3].mean(axis=(1, 3)).round().astype(np.uint8)

    def project(self, points: JointArray) -> JointArray:
        """Return where points (n, 3) [m] appear in the picture: (n, 2) column and row [pixels]."""
        view, projection = (np.reshape(matrix, (4, 4), order="F") for matrix in self._matrices())
        clip = np.column_stack([points, np.ones(len(points))]) @ (projection @ view).T
        device = clip[:, :2] / clip[:, 3:]
        return (device * (1.0, -1.0) + 1.0) / 2.0 * (self.width, self.height)

    def _matrices(self) -> tuple[list[float], list[float]]:
        """View and projection, each 16 numbers column by column as OpenGL has them."""
        view = pybullet.computeViewMatrix(self.eye, self.target, [0.0, 0.0, 1.0])
        aspect = self.width / self.height
        return view, pybullet.computeProjectionMatrixFOV(self.field_of_view_deg, aspect, NEAR_M, FAR_M)
