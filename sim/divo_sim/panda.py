"""The Franka Panda of pybullet_data, driven by joint velocities.

Joints are known by their URDF names. The tool is the point between the finger tips (link `panda_grasptarget`), given in
the frame of the arm's base, which stands at the world's origin. Inertias and efforts are the URDF's, not calibrated.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pybullet_data

from divo_runtime.fields import JointArray
from divo_sim.bullet import pybullet

ARM_JOINTS = 7
FINGER_OPENING_M = 0.01
HOME_RAD = (0.0, -0.1, 0.0, -2.3, 0.0, 2.2, 0.785)
"""Posture that the redundant degree of freedom is drawn to: elbow up, hand down."""

Vector = tuple[float, float, float]


class Panda:
    """One arm in one physics client.

    Args:
        client: PyBullet client to load the arm into.
    """

    def __init__(self, client: int) -> None:
        self._client = client
        urdf = Path(pybullet_data.getDataPath()) / "franka_panda" / "panda.urdf"
        self.body: int = pybullet.loadURDF(str(urdf), useFixedBase=True, physicsClientId=client)
        joints = [
            pybullet.getJointInfo(self.body, index, physicsClientId=client)
            for index in range(pybullet.getNumJoints(self.body, physicsClientId=client))
        ]
        movable = [joint for joint in joints if joint[2] != pybullet.JOINT_FIXED]
        self.joint_names = [joint[1].decode() for joint in movable]
        """The seven joints of the arm, then the two fingers."""
        self._indices = [joint[0] for joint in movable]
        self._arm = self._indices[:ARM_JOINTS]
        self._efforts = [joint[10] for joint in movable]
        self._tool = next(joint[0] for joint in joints if joint[12] == b"panda_grasptarget")
        self._still = [0.0] * len(movable)

    def reset(self, position: JointArray) -> None:
        """Put the arm at rest at `position` (7,) [rad]."""
        fingers = [FINGER_OPENING_M] * (len(self._indices) - ARM_JOINTS)
        for index, angle in zip(self._indices, [*position.tolist(), *fingers], strict=True):
            pybullet.resetJointState(self.body, index, angle, 0.0, physicsClientId=self._client)
        pybullet.setJointMotorControlArray(
            self.body,
            self._indices[ARM_JOINTS:],
            pybullet.POSITION_CONTROL,
            targetPositions=fingers,
            forces=self._efforts[ARM_JOINTS:],
            physicsClientId=self._client,
        )
        self.set_velocity(np.zeros(ARM_JOINTS))

    def set_velocity(self, command: JointArray) -> None:
        """Ask for joint velocities `command` (7,) [rad/s], held until the next call."""
        pybullet.setJointMotorControlArray(
            self.body,
            self._arm,
            pybullet.VELOCITY_CONTROL,
            targetVelocities=command.tolist(),
            forces=self._efforts[:ARM_JOINTS],
            physicsClientId=self._client,
        )

    def joint_state(self) -> tuple[list[float], list[float]]:
        """Return the positions [rad, m] and velocities [rad/s, m/s] of all joints, in the order of `joint_names`."""
        states = pybullet.getJointStates(self.body, self._indices, physicsClientId=self._client)
        return [state[0] for state in states], [state[1] for state in states]

    def tool_pose(self) -> tuple[Vector, tuple[float, float, float, float]]:
        """Return the tool's position [m] and orientation (x, y, z, w)."""
        state = pybullet.getLinkState(
            self.body, self._tool, computeForwardKinematics=True, physicsClientId=self._client
        )
        return state[4], state[5]

    def tool_jacobian(self) -> JointArray:
        """Return d(tool position)/d(joint position) where the arm is now: (3, 7) [m/rad]."""
        position, _ = self.joint_state()
        linear, _ = pybullet.calculateJacobian(
            self.body, self._tool, [0.0, 0.0, 0.0], position, self._still, self._still, physicsClientId=self._client
        )
        return np.array(linear)[:, :ARM_JOINTS]

    def reach(self, target: JointArray, iterations: int = 100) -> JointArray:
        """Move the arm, without physics, until the tool is at `target` (3,) [m]; return its position (7,) [rad]."""
        position = np.array(HOME_RAD)
        for _ in range(iterations):
            self.reset(position)
            error = target - np.array(self.tool_pose()[0])
            position = position + resolve_velocity(self.tool_jacobian(), error, 0.1 * (np.array(HOME_RAD) - position))
        return position


def resolve_velocity(jacobian: JointArray, tool: JointArray, posture: JointArray, damping: float = 0.05) -> JointArray:
    """Joint velocities that move the tool as asked and use the freedom left for the posture.

    Damped least squares with null-space projection: dq = J# v + (I - J# J) p, J# = J' (J J' + d^2 I)^-1.
    Source: Wampler 1986, IEEE Trans. SMC 16(1), and Liegeois 1977, IEEE Trans. SMC 7(12).

    Args:
        jacobian: (3, n) [m/rad].
        tool: (3,) wanted tool velocity [m/s].
        posture: (n,) joint velocity wanted if it did not disturb the tool [rad/s].
        damping: d [m/rad], keeps the result bounded near singular postures.

    Returns:
        (n,) joint velocity [rad/s].
    """
    square = jacobian @ jacobian.T + damping**2 * np.eye(3)
    inverse = np.linalg.solve(square, jacobian).T
    return inverse @ tool + posture - inverse @ (jacobian @ posture)
