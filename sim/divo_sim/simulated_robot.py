"""A robot that takes commands in time: a command watchdog, and episodes scored as in the gymnasium task.

No ROS, no clock, no thread: one call of `advance` is one step of physics. An episode's clock starts with the first
command after a reset, whatever its value, because a policy that hesitates loses time as it would on the robot. After
its end, and when commands stop coming, the robot brakes within the contract's acceleration limits and holds still.
What moves and what counts is the body's: `divo_sim.arm_body`, `divo_sim.base_body`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from divo_runtime.contract import Contract
from divo_runtime.fields import JointArray
from divo_runtime.safety.clamping import clamp, decelerate
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
    """Which way was taken: -1 or +1, as the task says; 0 if none."""
    return_: float
    """Undiscounted sum of the task's rewards."""
    steps: int
    """Control periods."""
    path: tuple[Vector, ...]
    """Position of the tool (x, y, z), or of the base (x, y), after each period [m]."""
    joints: tuple[Vector, ...]
    """Positions of the action's joints after each period [rad]; empty for a base."""
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


class EpisodeState(Protocol):
    """Where an episode of a task stands."""

    @property
    def success(self) -> bool:
        """Whether the goal has been reached."""

    @property
    def collision_free(self) -> bool:
        """Whether it has been reached without any contact."""

    @property
    def contacts(self) -> int:
        """Control periods with contact."""

    @property
    def route(self) -> int:
        """Which way was taken; 0 if none."""

    @property
    def steps(self) -> int:
        """Control periods."""

    @property
    def terminated(self) -> bool:
        """Whether the task is over."""

    @property
    def truncated(self) -> bool:
        """Whether the time is up."""


class Body(Protocol):
    """What moves: physics of one robot, and the rules of its task."""

    physics_hz: int
    """Steps of physics per second."""

    @property
    def episode(self) -> EpisodeState:
        """Where the present episode stands."""

    def reset(self, seed: int) -> None:
        """Begin an episode as the gymnasium task does with this seed."""

    def drive(self, command: JointArray) -> None:
        """Let (act_dim,) velocities be followed from now on."""

    def advance(self) -> bool:
        """Let one step of physics pass; return whether something was touched."""

    def score(self, contact: bool) -> float:
        """Account for a control period with or without contact; return its reward."""

    def place(self) -> Vector:
        """Return where the tool or the base is [m]."""

    def joints(self) -> Vector:
        """Return the positions of the action's joints [rad]; empty for a base."""

    def messages(self, stamp_ns: int) -> dict[str, Any]:
        """Return what the sensors say now, by topic."""

    def close(self) -> None:
        """End the physics client."""


class SimulatedRobot:
    """Watchdog and scoring of one robot.

    Args:
        body: What moves; it is closed with the robot.
        contract: Contract of its task.
        seed: Seed of the first episode.
        timeout_s: Commands that stay away for longer than this make the robot brake [s].
    """

    def __init__(self, body: Body, contract: Contract, seed: int = 0, timeout_s: float = 0.2) -> None:
        self._body = body
        self._lower, self._upper = contract.action_range()
        self._acceleration = np.array([limit.acceleration for limit in contract.limits()])
        self._substeps = round(body.physics_hz / contract.rate_hz)
        self._timeout = max(round(timeout_s * body.physics_hz), 1)
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
        """Begin an episode as the gymnasium task does with this seed, and wait for the first command."""
        self._body.reset(seed)
        self._number, self._seed = self._number + 1, seed
        self._velocity = np.zeros(len(self._lower))
        self._record: EpisodeRecord | None = None
        self._contact = False
        self._silence, self._longest_silence = 0, 0
        self._substep = 0
        self._commands, self._bad_commands, self._gaps = 0, 0, 0
        self._return = 0.0
        self._path: list[Vector] = []
        self._joints: list[Vector] = []

    def command(self, values: Sequence[float]) -> bool:
        """Take in a velocity command (act_dim,) in the contract's units; return whether it was accepted.

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
        self._drive(clamp(wanted, self._lower, self._upper))
        return True

    def advance(self) -> None:
        """Let one step of physics pass."""
        if self.begun and self._record is None:
            self._silence += 1
            self._gaps += self._silence == self._timeout + 1
        if self._record is not None or self._silence > self._timeout:
            self._drive(decelerate(self._velocity, self._acceleration, 1.0 / self._body.physics_hz))
        contact = self._body.advance()
        if self.begun and self._record is None:
            self._contact = self._contact or contact
            self._substep += 1
            if self._substep % self._substeps == 0:
                self._score()

    def messages(self, stamp_ns: int) -> dict[str, Any]:
        """Return what the sensors say now, by topic."""
        return self._body.messages(stamp_ns)

    def close(self) -> None:
        """End the physics client."""
        self._body.close()

    def _drive(self, velocity: JointArray) -> None:
        self._velocity = velocity
        self._body.drive(velocity)

    def _score(self) -> None:
        body = self._body
        self._return += body.score(self._contact)
        self._contact = False
        self._path.append(body.place())
        self._joints.append(body.joints())
        after = body.episode
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
                joints=tuple(filter(None, self._joints)),
                commands=self._commands,
                longest_gap_s=max(self._longest_silence, self._silence) / body.physics_hz,
                command_gaps=self._gaps,
                bad_commands=self._bad_commands,
            )
