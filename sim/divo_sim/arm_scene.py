"""The physical arm scene: a Panda, a post on the table in its way, and a goal behind the post.

One class serves the gymnasium environment and the simulated robot on ROS topics, so both have the same physics.
Bodies are made once and moved at every reset; the saved state wipes what the solver remembers of the last episode, so
that an episode depends on its seed and on nothing before it.
"""

from __future__ import annotations

import numpy as np

from divo_runtime.fields import JointArray
from divo_sim.bullet import pybullet
from divo_sim.camera import Camera
from divo_sim.messages import Header, JointState, Message, Point, PointStamped, Pose, PoseStamped, Quaternion, Time
from divo_sim.panda import Panda

PHYSICS_HZ = 240
POST_RADIUS_M = 0.05
POST_HEIGHT_M = 0.20
POST_CENTRE_M = (0.53, 0.0, 0.0)
BIASED_POST_CENTRE_M = (0.575, 0.0, 0.0)
"""Farther from the base, so that the way round on the base's side is clearly the shorter one."""
POST_SPREAD_M = (0.02, 0.04, 0.0)
GOAL_CENTRE_M = (0.53, 0.28, 0.13)
GOAL_SPREAD_M = (0.05, 0.05, 0.03)
START_TOOL_M = (0.53, -0.28, 0.13)
START_SPREAD_RAD = 0.05
BASE_FRAME = "panda_link0"


class ArmScene:
    """The world of the arm task in a PyBullet client of its own. Call `close` when done.

    Args:
        post_centre: Where the post's foot is on average (x, y, z) [m].
    """

    def __init__(self, post_centre: tuple[float, float, float] = POST_CENTRE_M) -> None:
        self._client: int = pybullet.connect(pybullet.DIRECT)
        pybullet.setTimeStep(1.0 / PHYSICS_HZ, physicsClientId=self._client)
        pybullet.setGravity(0.0, 0.0, -9.81, physicsClientId=self._client)
        self.panda = Panda(self._client)
        self._table = self._body(pybullet.GEOM_BOX, (0.86, 0.86, 0.86, 1.0), halfExtents=[0.6, 0.8, 0.02])
        self._post = self._body(
            pybullet.GEOM_CYLINDER, (0.85, 0.33, 0.24, 1.0), radius=POST_RADIUS_M, height=POST_HEIGHT_M
        )
        self._goal = self._body(pybullet.GEOM_SPHERE, (0.16, 0.63, 0.36, 1.0), solid=False, radius=0.025)
        self._place(self._table, np.array([0.3, 0.0, -0.02]))
        self._start = self.panda.reach(np.array(START_TOOL_M))
        self.goal: JointArray = np.array(GOAL_CENTRE_M)
        """(3,) where the tool should go, in the base frame [m]."""
        self._post_centre = np.array(post_centre)
        self.post: JointArray = self._post_centre
        """(3,) centre of the post's foot, in the base frame [m]."""
        self._untouched: int = pybullet.saveState(physicsClientId=self._client)

    def reset(self, rng: np.random.Generator) -> None:
        """Draw a new post, goal and start posture, and put the arm there at rest."""
        post = self._post_centre + rng.uniform(-1.0, 1.0, 3) * POST_SPREAD_M
        goal = np.array(GOAL_CENTRE_M) + rng.uniform(-1.0, 1.0, 3) * GOAL_SPREAD_M
        self.place(self._start + START_SPREAD_RAD * rng.standard_normal(len(self._start)), goal, post)

    def place(self, position: JointArray, goal: JointArray, post: JointArray) -> None:
        """Begin from a given state.

        Args:
            position: (7,) joint positions [rad].
            goal: (3,) goal [m].
            post: (3,) centre of the post's foot [m].
        """
        pybullet.restoreState(self._untouched, physicsClientId=self._client)
        self.goal, self.post = goal, post
        self._place(self._post, post + np.array([0.0, 0.0, POST_HEIGHT_M / 2]))
        self._place(self._goal, goal)
        self.panda.reset(position)

    def set_velocity(self, command: JointArray) -> None:
        """Ask for joint velocities `command` (7,) [rad/s], held until the next call."""
        self.panda.set_velocity(command)

    def advance(self, substeps: int) -> bool:
        """Let `substeps` of 1/240 s pass; return whether any part of the robot touched the post meanwhile."""
        contact = False
        for _ in range(substeps):
            pybullet.stepSimulation(physicsClientId=self._client)
            contact = contact or self._touching()
        return contact

    def tool(self) -> JointArray:
        """Return the tool's position (3,) in the base frame [m]."""
        return np.array(self.panda.tool_pose()[0])

    def messages(self, stamp_ns: int) -> dict[str, Message]:
        """Return what the robot's sensors say now, by the topics of the contract, stamped with `stamp_ns`."""
        header = Header(Time.from_ns(stamp_ns), BASE_FRAME)
        positions, velocities = self.panda.joint_state()
        tool, orientation = self.panda.tool_pose()
        return {
            "joint_states": JointState(header, self.panda.joint_names, positions, velocities),
            "tool_pose": PoseStamped(header, Pose(Point(*tool), Quaternion(*orientation))),
            "goal": PointStamped(header, Point(*self.goal.tolist())),
            "post": PointStamped(header, Point(*self.post.tolist())),
        }

    def render(self, camera: Camera) -> np.ndarray:
        """Return a picture of the scene, (height, width, 3) uint8."""
        return camera.capture(self._client)

    def close(self) -> None:
        """End the physics client; the scene cannot be used afterwards. A second call does nothing."""
        if self._client >= 0:
            pybullet.disconnect(physicsClientId=self._client)
            self._client = -1

    def _touching(self) -> bool:
        points = pybullet.getContactPoints(self.panda.body, self._post, physicsClientId=self._client)
        return any(point[8] <= 0.0 for point in points)  # [8]: distance; near misses are listed with one above zero

    def _body(self, shape: int, colour: tuple[float, ...], solid: bool = True, **size: object) -> int:
        collision = pybullet.createCollisionShape(shape, physicsClientId=self._client, **size) if solid else -1
        if "height" in size:
            size["length"] = size.pop("height")  # PyBullet's two names for one thing
        visual = pybullet.createVisualShape(shape, rgbaColor=colour, physicsClientId=self._client, **size)
        return int(pybullet.createMultiBody(0.0, collision, visual, physicsClientId=self._client))

    def _place(self, body: int, position: JointArray) -> None:
        pybullet.resetBasePositionAndOrientation(body, position.tolist(), [0, 0, 0, 1], physicsClientId=self._client)
