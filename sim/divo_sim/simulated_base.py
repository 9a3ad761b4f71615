"""The base in the maze as a robot that takes commands in time: a command watchdog, and episodes scored as in gymnasium.

What `divo_sim.simulated_robot` is for the arm: no ROS, no clock, no thread; one call of `advance` is 1/120 s. An
episode's clock starts with the first command after a reset. After its end, and when commands stop coming, the base
brakes within the contract's acceleration limits and stands still.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from divo_runtime.contract import Contract
from divo_runtime.fields import JointArray
from divo_runtime.safety import clamp, decelerate
from divo_sim.base_messages import BaseMessage
from divo_sim.maze_episode import Episode, advance_episode, begin_episode, step_reward
from divo_sim.maze_map import MAPS, MapName
from divo_sim.maze_pairs import Pairs, evaluation_pair
from divo_sim.maze_scene import PHYSICS_HZ, MazeScene
from divo_sim.simulated_robot import EpisodeRecord, Vector


class SimulatedBase:
    """Physics, watchdog and scoring of one base.

    Args:
        contract: Contract of the maze task.
        maze: Name of the map.
        seed: Seed of the first episode.
        timeout_s: Commands that stay away for longer than this make the base brake [s].
        pairs: Start and goal of an episode.
    """

    def __init__(
        self, contract: Contract, maze: MapName, seed: int = 0, timeout_s: float = 0.2, pairs: Pairs = "far"
    ) -> None:
        self._scene = MazeScene(MAPS[maze])
        self._lower, self._upper = contract.action_range()
        self._acceleration = np.array([limit.acceleration for limit in contract.limits()])
        self._substeps = round(PHYSICS_HZ / contract.rate_hz)
        self._timeout = max(round(timeout_s * PHYSICS_HZ), 1)
        self._pairs: Pairs = pairs
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
        """Place base and goal as `BaseMaze.reset(seed=seed)` does, and wait for the first command."""
        rng = np.random.default_rng(seed)
        self._scene.reset(*evaluation_pair(self._scene.maze, self._pairs, rng), rng)
        self._number, self._seed = self._number + 1, seed
        self._twist = np.zeros(len(self._lower))
        self._episode: Episode = begin_episode(self._scene.maze, self._scene.position())
        self._record: EpisodeRecord | None = None
        self._contact = False
        self._silence, self._longest_silence = 0, 0
        self._substep = 0
        self._commands, self._bad_commands, self._gaps = 0, 0, 0
        self._return = 0.0
        self._path: list[Vector] = []

    def command(self, values: Sequence[float]) -> bool:
        """Take in a twist (2,) [m/s, rad/s]; return whether it was accepted.

        It is clipped to the action's range, as in the gymnasium task. After the end of the episode it is ignored.
        """
        if self._record is not None:
            return False
        wanted = np.asarray(values, dtype=np.float64)
        if wanted.shape != self._twist.shape or not np.isfinite(wanted).all():
            self._bad_commands += 1
            return False
        if self.begun:
            self._longest_silence = max(self._longest_silence, self._silence)
        self._commands += 1
        self._silence = 0
        self._drive(clamp(wanted, self._lower, self._upper))
        return True

    def advance(self) -> None:
        """Let 1/120 s pass."""
        if self.begun and self._record is None:
            self._silence += 1
            self._gaps += self._silence == self._timeout + 1
        if self._record is not None or self._silence > self._timeout:
            self._drive(decelerate(self._twist, self._acceleration, 1.0 / PHYSICS_HZ))
        contact = self._scene.advance(1)
        if self.begun and self._record is None:
            self._contact = self._contact or contact
            self._substep += 1
            if self._substep % self._substeps == 0:
                self._score()

    def messages(self, stamp_ns: int) -> dict[str, BaseMessage]:
        """Return what the sensors say now, by topic."""
        return self._scene.messages(stamp_ns)

    def close(self) -> None:
        """End the physics client."""
        self._scene.close()

    def _drive(self, twist: JointArray) -> None:
        self._twist = twist
        self._scene.set_twist(twist)

    def _score(self) -> None:
        after = advance_episode(self._episode, self._scene.position(), self._scene.goal, self._contact)
        self._episode, self._contact = after, False
        self._return += step_reward(after)
        self._path.append(tuple(after.position.tolist()))
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
                joints=(),
                commands=self._commands,
                longest_gap_s=max(self._longest_silence, self._silence) / PHYSICS_HZ,
                command_gaps=self._gaps,
                bad_commands=self._bad_commands,
            )
