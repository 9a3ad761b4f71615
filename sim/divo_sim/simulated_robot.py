"""The arm as a robot that takes commands in time: a command watchdog, and episodes scored as in the gymnasium task.

No ROS, no clock, no thread: one call of `advance` is 1/240 s. An episode's clock starts with the first command after a
reset, whatever its value, because a policy that hesitates loses time as it would on the robot. After its end, and when
commands stop coming, the arm brakes within the contract's acceleration limits and holds still.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from divo_runtime.contract import Contract
from divo_runtime.fields import JointArray
from divo_runtime.safety import clamp, decelerate
from divo_sim.arm_episode import Episode, advance_episode, begin_episode, step_reward
from divo_sim.arm_scene import PHYSICS_HZ, ArmScene
from divo_sim.messages import Message
from divo_sim.outcomes import Outcome

Vector = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class EpisodeRecord:
    """A finished episode, as it is published."""

    number: int
    """Counts the resets of this robot, so that an old record cannot be taken for a new one."""
    seed: int
    success: bool
    collision_free: bool
    contacts: int
    """Control periods with contact."""
    route: int
    """-1 inner, +1 outer, 0 not passed."""
    return_: float
    """Undiscounted sum of the task's rewards."""
    steps: int
    """Control periods."""
    path: tuple[Vector, ...]
    """Tool position (x, y, z) after each period [m]."""
    joints: tuple[Vector, ...]
    """Positions of the action's joints after each period [rad]."""
    commands: int
    """Commands received."""
    longest_gap_s: float
    """Longest time between two commands [s]."""
    command_gaps: int
    """How often commands stayed away for longer than the timeout."""
    bad_commands: int
    """Commands of a wrong size or with values that are not finite; they were ignored."""

    @property
    def outcome(self) -> Outcome:
        """What came of it, as every way of playing an episode tells it."""
        return Outcome(
            self.seed, self.success, self.collision_free, self.route, self.return_, self.steps, self.path, self.joints
        )


class SimulatedRobot:
    """Physics, watchdog and scoring of one arm.

    Args:
        contract: Contract of the arm task.
        seed: Seed of the first episode.
        timeout_s: Commands that stay away for longer than this make the arm brake [s].
    """

    def __init__(self, contract: Contract, seed: int = 0, timeout_s: float = 0.2) -> None:
        self._scene = ArmScene()
        limits = contract.limits()
        self._lower, self._upper = contract.action_range()
        self._acceleration = np.array([limit.acceleration for limit in limits])
        self._columns = [self._scene.panda.joint_names.index(name) for name in contract.action.names]
        self._substeps = round(PHYSICS_HZ / contract.rate_hz)
        self._timeout = max(round(timeout_s * PHYSICS_HZ), 1)
        self._number = 0
        self.reset(seed)

    @property
    def record(self) -> EpisodeRecord | None:
        """The episode that began at the last reset, once it is over."""
        return self._record

    @property
    def begun(self) -> bool:
        """Whether a command has come since the last reset."""
        return self._commands > 0

    def reset(self, seed: int) -> None:
        """Place arm, post and goal as `ArmReach.reset(seed=seed)` does, and wait for the first command."""
        self._scene.reset(np.random.default_rng(seed))
        self._number, self._seed = self._number + 1, seed
        self._velocity = np.zeros(len(self._lower))
        self._episode: Episode = begin_episode(self._scene.tool())
        self._record: EpisodeRecord | None = None
        self._contact = False
        self._silence, self._longest_silence = 0, 0
        self._substep = 0
        self._commands, self._bad_commands, self._gaps = 0, 0, 0
        self._return = 0.0
        self._path: list[Vector] = []
        self._joints: list[Vector] = []

    def command(self, values: Sequence[float]) -> bool:
        """Take in a velocity command (act_dim,) [rad/s]; return whether it was accepted.

        It is clipped to the action's range, as in the gymnasium task. After the end of the episode it is ignored.
        """
        if self._record is not None:
            return False
        wanted = np.asarray(values, dtype=np.float64)
        if wanted.shape != self._velocity.shape or not np.isfinite(wanted).all():
            self._bad_commands += 1
            return False
        if self.begun:
            self._longest_silence = max(self._longest_silence, self._silence)
        self._commands += 1
        self._silence = 0
        self._move(clamp(wanted, self._lower, self._upper))
        return True

    def advance(self) -> None:
        """Let 1/240 s pass."""
        if self.begun and self._record is None:
            self._silence += 1
            self._gaps += self._silence == self._timeout + 1
        if self._record is not None or self._silence > self._timeout:
            self._move(decelerate(self._velocity, self._acceleration, 1.0 / PHYSICS_HZ))
        contact = self._scene.advance(1)
        if self.begun and self._record is None:
            self._contact = self._contact or contact
            self._substep += 1
            if self._substep % self._substeps == 0:
                self._score()

    def messages(self, stamp_ns: int) -> dict[str, Message]:
        """Return what the sensors say now, by topic."""
        return self._scene.messages(stamp_ns)

    def close(self) -> None:
        """End the physics client."""
        self._scene.close()

    def _move(self, velocity: JointArray) -> None:
        self._velocity = velocity
        self._scene.set_velocity(velocity)

    def _score(self) -> None:
        tool = self._scene.tool()
        before = self._episode
        after = advance_episode(before, tool, self._scene.goal, self._scene.post, self._contact)
        self._episode, self._contact = after, False
        self._return += step_reward(before, after)
        positions, _ = self._scene.panda.joint_state()
        self._path.append(tuple(tool.tolist()))
        self._joints.append(tuple(positions[column] for column in self._columns))
        if after.terminated or after.truncated:
            self._record = EpisodeRecord(
                number=self._number,
                seed=self._seed,
                success=after.success,
                collision_free=after.collision_free,
                contacts=after.contacts,
                route=after.route,
                return_=self._return,
                steps=after.steps,
                path=tuple(self._path),
                joints=tuple(self._joints),
                commands=self._commands,
                longest_gap_s=max(self._longest_silence, self._silence) / PHYSICS_HZ,
                command_gaps=self._gaps,
                bad_commands=self._bad_commands,
            )
