"""The arm as a simulated robot: 240 steps of physics per second, scored as `divo_sim.arm_reach` scores."""

from __future__ import annotations

import numpy as np

from divo_runtime.contract import Contract
from divo_runtime.fields import JointArray
from divo_sim.arm_episode import Episode, advance_episode, begin_episode, step_reward
from divo_sim.arm_scene import PHYSICS_HZ, ArmScene
from divo_sim.messages import Message
from divo_sim.simulated_robot import SimulatedRobot, Vector


class ArmBody:
    """Arm, post and goal.

    Args:
        contract: Contract of the arm task.
    """

    physics_hz = PHYSICS_HZ

    def __init__(self, contract: Contract) -> None:
        self._scene = ArmScene()
        self._columns = [self._scene.panda.joint_names.index(name) for name in contract.action.names]
        self.episode: Episode = begin_episode(self._scene.tool())

    def reset(self, seed: int) -> None:
        """Place arm, post and goal as `ArmReach.reset(seed=seed)` does."""
        self._scene.reset(np.random.default_rng(seed))
        self.episode = begin_episode(self._scene.tool())

    def drive(self, command: JointArray) -> None:
        """Let (7,) joint velocities [rad/s] be followed."""
        self._scene.set_velocity(command)

    def advance(self) -> bool:
        """Let 1/240 s pass; return whether the post was touched."""
        return self._scene.advance(1)

    def score(self, contact: bool) -> float:
        """Account for a control period; return its reward."""
        before = self.episode
        self.episode = advance_episode(before, self._scene.tool(), self._scene.goal, self._scene.post, contact)
        return step_reward(before, self.episode)

    def place(self) -> Vector:
        """Return the tool's position (x, y, z) [m]."""
        return tuple(self.episode.tool.tolist())

    def joints(self) -> Vector:
        """Return the positions of the action's joints [rad]."""
        positions, _ = self._scene.panda.joint_state()
        return tuple(positions[column] for column in self._columns)

    def messages(self, stamp_ns: int) -> dict[str, Message]:
        """Return what the sensors say now, by topic."""
        return self._scene.messages(stamp_ns)

    def close(self) -> None:
        """End the physics client."""
        self._scene.close()


def simulated_arm(contract: Contract, seed: int = 0, timeout_s: float = 0.2) -> SimulatedRobot:
    """Return the arm as a robot that takes commands, of its contract."""
    return SimulatedRobot(ArmBody(contract), contract, seed, timeout_s)
