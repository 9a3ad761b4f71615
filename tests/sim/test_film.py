from __future__ import annotations

import numpy as np
from PIL import Image

from divo_sim.camera import Camera
from divo_sim.film import film, write_animation


def test_what_the_camera_looks_at_is_in_the_middle_of_the_picture():
    camera = Camera(width=200, height=100, eye=(2.0, 0.0, 1.0), target=(0.0, 0.0, 1.0), field_of_view_deg=90.0)
    # 2 m away and 90 degrees high: half a picture's height (50 pixels) is 2 m; seen from +x, +y is right and +z is up
    points = camera.project(np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 1.0], [0.0, 0.0, 2.0]]))
    np.testing.assert_allclose(points, [[100.0, 50.0], [125.0, 50.0], [100.0, 25.0]], atol=1e-4)


def test_a_film_shows_its_episodes_side_by_side_in_real_time(environment, tmp_path):
    frames = film(environment, ["inner", "outer"], seed=0, camera=Camera(width=64, height=48))
    assert {frame.shape for frame in frames} == {(48, 128, 3)}
    write_animation(str(tmp_path / "film.gif"), frames, rate_hz=20.0)
    with Image.open(tmp_path / "film.gif") as animation:
        assert animation.n_frames == len(frames)
        assert animation.info["duration"] == 50
