"""The arm task with one way round the post closed, which no observation tells: does a policy keep the other way?

A light curtain stands on one side of the post, in the vertical plane through the post across the way to the goal. When
the tool passes that plane on the closed side, a protective stop ends the attempt. The episode is then over without
success, or, while attempts are left, the robot is put back to where it began and tries again in the same scene.

Physics, observation, reward and the open side are those of `divo/ArmReach-v0`. A deterministic policy does the same in
every attempt; one with both ways in it succeeds in the share of attempts that takes the open way. What was touched in
an earlier attempt does not count against the last.
"""

from __future__ import annotations

from typing import Any, Literal

import gymnasium

from divo_runtime.observation import FloatArray
from divo_sim.arm_episode import INNER, OUTER
from divo_sim.arm_reach import ArmReach

Side = Literal["inner", "outer"]
SIDES: dict[Side, int] = {"inner": INNER, "outer": OUTER}
SEEDS = 2**31


class ClosedRoute(gymnasium.Wrapper[FloatArray, FloatArray, FloatArray, FloatArray]):
    """`ArmReach` with a light curtain on one side.

    `info["attempts"]` counts the attempts that have begun. Every attempt has the task's step limit; rewards go on.

    Args:
        closed: The side that is closed.
        attempts: How often the robot may begin.
    """

    def __init__(self, closed: Side, attempts: int = 1, render_mode: str | None = None) -> None:
        super().__init__(ArmReach(render_mode))
        self._closed, self._attempts = SIDES[closed], attempts
        self._seed, self._begun = 0, 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[FloatArray, dict[str, Any]]:
        """Begin an episode; without a seed, with one that the last one leads to."""
        self._seed = int(self.np_random.integers(SEEDS)) if seed is None else seed
        self._begun = 1
        observation, info = self.env.reset(seed=self._seed, options=options)
        return observation, self._counted(info)

    def step(self, action: FloatArray) -> tuple[FloatArray, float, bool, bool, dict[str, Any]]:
        """Let one control period pass, and stop the robot if its tool has passed on the closed side."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        if info["route"] != self._closed:
            return observation, float(reward), terminated, truncated, self._counted(info)
        if self._begun == self._attempts:
            return (
                observation,
                float(reward),
                False,
                True,
                self._counted({**info, "success": False, "collision_free": False}),
            )
        self._begun += 1
        observation, info = self.env.reset(seed=self._seed)
        return observation, float(reward), False, False, self._counted(info)

    def _counted(self, info: dict[str, Any]) -> dict[str, Any]:
        return {**info, "attempts": self._begun}
