"""The arm task as a gymnasium environment: reach a goal around a post that can be passed on two sides.

Observations are made by the controller's own `ObservationBuilder` from the messages that the simulated robot would
publish, and actions are the contract's joint velocities, so what is learned here means the same on the robot.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from divo_runtime.errors import DivoError
from divo_runtime.observation import FloatArray, Measurement, ObservationBuilder
from divo_sim.arm_episode import Episode, advance_episode, begin_episode, step_reward
from divo_sim.arm_scene import BIASED_POST_CENTRE_M, PHYSICS_HZ, POST_CENTRE_M, ArmScene
from divo_sim.behaviours import BEHAVIOURS
from divo_sim.camera import Camera
from divo_sim.contracts import arm_reach_contract
from divo_sim.rollout import Act


class ArmReach(gymnasium.Env[FloatArray, FloatArray]):
    """Observation (23,) and action (7,) [rad/s] as the contract says; 20 Hz, at most 120 steps.

    Reward: -0.05 per step, +10 on arriving within 4 cm of the goal (which alone terminates), -6 when contact with the
    post begins, -0.25 for each further step in contact.

    Args:
        render_mode: `rgb_array` for pictures, or None.
        camera: Viewpoint of the pictures.
        biased: Put the post off-centre, so that one way round it is clearly shorter than the other.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 20}  # noqa: RUF012  the name and form are gymnasium's

    def __init__(self, render_mode: str | None = None, camera: Camera | None = None, biased: bool = False) -> None:
        self.contract = arm_reach_contract()
        self.render_mode = render_mode
        self.scene = ArmScene(BIASED_POST_CENTRE_M if biased else POST_CENTRE_M)
        lower, upper = self.contract.action_range()
        self.observation_space = spaces.Box(-np.inf, np.inf, (self.contract.observation_size,), np.float32)
        self.action_space = spaces.Box(lower.astype(np.float32), upper.astype(np.float32), dtype=np.float32)
        self._camera = camera or Camera()
        self._builder = ObservationBuilder(self.contract)
        self._substeps = round(PHYSICS_HZ / self.contract.rate_hz)
        self.episode: Episode = begin_episode(self.scene.tool())
        """Where the present episode stands."""

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[FloatArray, dict[str, Any]]:
        """Begin an episode with a new post, goal and start posture.

        Args:
            seed: Makes the episode reproducible.
            options: Not used.
        """
        super().reset(seed=seed)
        self.scene.reset(self.np_random)
        self.episode = begin_episode(self.scene.tool())
        return self._observe(), self._info()

    def step(self, action: FloatArray) -> tuple[FloatArray, float, bool, bool, dict[str, Any]]:
        """Hold the joint velocities `action` (7,) [rad/s] for one control period.

        Raises:
            DivoError: If the action is not (7,) finite numbers.
        """
        command = np.asarray(action, dtype=np.float64)
        if command.shape != self.action_space.shape or not np.isfinite(command).all():
            raise DivoError(
                "The environment cannot take this action.",
                got=repr(action),
                expected=f"{self.contract.action_size} finite joint velocities [rad/s]",
                fix="Look for a policy that diverged or has another action size.",
            )
        self.scene.set_velocity(np.clip(command, self.action_space.low, self.action_space.high))
        contact = self.scene.advance(self._substeps)
        before = self.episode
        after = advance_episode(before, self.scene.tool(), self.scene.goal, self.scene.post, contact)
        self.episode = after
        return self._observe(), step_reward(before, after), after.terminated, after.truncated, self._info()

    @property
    def behaviours(self) -> tuple[str, ...]:
        """Names of the scripted behaviours; the place in the tuple is the label in datasets."""
        return tuple(BEHAVIOURS)

    def begin(self, behaviour: str, seed: int) -> tuple[FloatArray, dict[str, Any], Act]:
        """Begin an episode of a scripted behaviour; return the first observation and info, and what acts in it."""
        observation, info = self.reset(seed=seed)
        pilot = BEHAVIOURS[behaviour](self.contract, self.scene, np.random.default_rng([seed, 1]))
        return observation, info, lambda: pilot.act(self.scene)

    def render(self) -> NDArray[np.uint8] | None:
        """Return a picture (360, 480, 3) uint8 if the render mode asks for one."""
        return self.scene.render(self._camera) if self.render_mode == "rgb_array" else None

    def close(self) -> None:
        """End the physics client."""
        self.scene.close()

    def _observe(self) -> FloatArray:
        now_ns = self.episode.steps * self.contract.period_ns
        messages = self.scene.messages(now_ns)
        measurements = {topic: Measurement(message, now_ns, now_ns) for topic, message in messages.items()}
        return self._builder.build(measurements, now_ns).usable()

    def _info(self) -> dict[str, Any]:
        """Return the same keys at reset and at every step, as dataset writers need it."""
        episode = self.episode
        return {
            "success": episode.success,
            "contact": episode.contact,
            "contacts": episode.contacts,
            "collision_free": episode.collision_free,
            "route": episode.route,
            "tool_position": episode.tool,
        }
