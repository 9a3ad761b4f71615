"""The physical maze: a round base that drives and turns as two wheels would let it, among walls, with a laser scanner.

The base is a cylinder on two slides and a hinge, driven by motors of limited force that follow the commanded twist with
a first-order lag. So it stays on the plane by construction, meets the walls in PyBullet's contact solver, and slides
along them as a base with slipping wheels does. Wheels and floor are not modelled, and odometry is exact.
"""

from __future__ import annotations

import math

import numpy as np

from divo_runtime.fields import JointArray
from divo_sim.base_messages import BaseMessage, LaserScan, planar_odometry
from divo_sim.bullet import pybullet
from divo_sim.maze_map import Cell, MazeMap
from divo_sim.messages import Header, Point, PointStamped, Time

PHYSICS_HZ = 120
BASE_RADIUS_M = 0.2
BASE_HEIGHT_M = 0.3
BASE_MASS_KG = 10.0
SLIDE_MASS_KG = 0.01
"""Of the two slides: without mass the solver refuses them; this little does not show."""
DRIVE_FORCE_N = 60.0
TURN_TORQUE_N_M = 6.0
LAG_S = 0.15
"""Time constant of the drives."""
RAYS = 24
RANGE_MAX_M = 20.0
"""Longer than any corridor: the maze is closed, so every ray hits a wall."""
CONTACT_MARGIN_M = 1e-3
"""The solver lets bodies rest some micrometres apart; closer than this counts as touching."""
POSE_SPREAD_M = 0.1
MAP_FRAME, BASE_FRAME, SCAN_FRAME = "map", "base_link", "base_scan"

_WALL_GROUP, _BASE_GROUP = 1, 2
_RAY_GROUP = 1  # Bullet's own for rays
_X, _Y, _YAW = 0, 1, 2


class MazeScene:
    """One map with a base in a PyBullet client of its own. Call `close` when done.

    Args:
        maze: The map.
    """

    def __init__(self, maze: MazeMap) -> None:
        self.maze = maze
        self.goal: JointArray = np.zeros(2)
        """(2,) where the base should go, in the map frame [m]."""
        self._client: int = pybullet.connect(pybullet.DIRECT)
        pybullet.setTimeStep(1.0 / PHYSICS_HZ, physicsClientId=self._client)
        self._walls = self._build_walls()
        self._base = self._build_base()
        angles = np.arange(RAYS) * (2 * math.pi / RAYS)
        self._rays = np.stack([np.cos(angles), np.sin(angles)])
        self._command = np.zeros(2)
        self._twist = np.zeros(2)
        self._untouched: int = pybullet.saveState(physicsClientId=self._client)

    def reset(self, start: Cell, goal: Cell, rng: np.random.Generator) -> None:
        """Put the base at rest near the centre of `start`, facing anywhere, and the goal near that of `goal`."""
        x, y = start + POSE_SPREAD_M * rng.uniform(-1.0, 1.0, 2)
        yaw = rng.uniform(-math.pi, math.pi)
        self.place((x, y, yaw), np.array(goal) + POSE_SPREAD_M * rng.uniform(-1.0, 1.0, 2))

    def place(self, pose: tuple[float, float, float], goal: JointArray) -> None:
        """Begin from a given state.

        Args:
            pose: x [m], y [m], yaw [rad] of the base, at rest.
            goal: (2,) [m].
        """
        pybullet.restoreState(self._untouched, physicsClientId=self._client)
        self.goal = goal
        self._command, self._twist = np.zeros(2), np.zeros(2)
        for joint, value in enumerate(pose):
            pybullet.resetJointState(self._base, joint, value, 0.0, physicsClientId=self._client)

    def set_twist(self, command: JointArray) -> None:
        """Ask for a twist (2,): forward speed [m/s] and turn rate [rad/s], held until the next call."""
        self._command = np.asarray(command, dtype=np.float64)

    def advance(self, substeps: int) -> bool:
        """Let `substeps` of 1/120 s pass; return whether the base touched a wall meanwhile."""
        touched = False
        follow = 1.0 - math.exp(-1.0 / (PHYSICS_HZ * LAG_S))
        for _ in range(substeps):
            self._twist = self._twist + follow * (self._command - self._twist)
            speed, turn_rate = self._twist.tolist()
            yaw = self.pose()[2]
            pybullet.setJointMotorControlArray(
                self._base,
                (_X, _Y, _YAW),
                pybullet.VELOCITY_CONTROL,
                targetVelocities=(speed * math.cos(yaw), speed * math.sin(yaw), turn_rate),
                forces=(DRIVE_FORCE_N, DRIVE_FORCE_N, TURN_TORQUE_N_M),
                physicsClientId=self._client,
            )
            pybullet.stepSimulation(physicsClientId=self._client)
            touched = touched or self._touching()
        return touched

    def pose(self) -> tuple[float, float, float]:
        """Return x [m], y [m] and yaw [rad, not wrapped] of the base in the map frame."""
        x, y, yaw = pybullet.getJointStates(self._base, (_X, _Y, _YAW), physicsClientId=self._client)
        return x[0], y[0], yaw[0]

    def position(self) -> JointArray:
        """Return the base's centre (2,) in the map frame [m]."""
        return np.array(self.pose()[:2])

    def ranges(self) -> list[float]:
        """Return what the scanner sees: distances from the base's centre [m], from straight ahead counter-clockwise."""
        x, y, yaw = self.pose()
        turn = np.array([[math.cos(yaw), -math.sin(yaw)], [math.sin(yaw), math.cos(yaw)]])
        ends = (np.array([[x], [y]]) + RANGE_MAX_M * (turn @ self._rays)).T
        height = BASE_HEIGHT_M / 2
        hits = pybullet.rayTestBatch(
            [(x, y, height)] * RAYS,
            [(*end, height) for end in ends.tolist()],
            collisionFilterMask=_WALL_GROUP,
            physicsClientId=self._client,
        )
        return [hit[2] * RANGE_MAX_M for hit in hits]

    def messages(self, stamp_ns: int) -> dict[str, BaseMessage]:
        """Return what the robot's sensors say now, by the topics of the contract, stamped with `stamp_ns`."""
        stamp = Time.from_ns(stamp_ns)
        x, y, yaw = pybullet.getJointStates(self._base, (_X, _Y, _YAW), physicsClientId=self._client)
        forward = x[1] * math.cos(yaw[0]) + y[1] * math.sin(yaw[0])
        step = 2 * math.pi / RAYS
        scan = LaserScan(
            Header(stamp, SCAN_FRAME), 0.0, 2 * math.pi - step, step, BASE_RADIUS_M, RANGE_MAX_M, self.ranges()
        )
        pose = (x[0], y[0], yaw[0])
        return {
            "scan": scan,
            "odom": planar_odometry(Header(stamp, MAP_FRAME), BASE_FRAME, pose, forward, yaw[1]),
            "goal": PointStamped(Header(stamp, MAP_FRAME), Point(float(self.goal[0]), float(self.goal[1]), 0.0)),
        }

    def close(self) -> None:
        """End the physics client; the scene cannot be used afterwards. A second call does nothing."""
        if self._client >= 0:
            pybullet.disconnect(physicsClientId=self._client)
            self._client = -1

    def _touching(self) -> bool:
        points = pybullet.getContactPoints(self._base, self._walls, physicsClientId=self._client)
        return any(point[8] < CONTACT_MARGIN_M for point in points)  # [8]: distance

    def _build_walls(self) -> int:
        """Make all walls one body: far cheaper in the solver than one body each."""
        boxes = self.maze.walls()
        shape = pybullet.createCollisionShapeArray(
            shapeTypes=[pybullet.GEOM_BOX] * len(boxes),
            halfExtents=[[box.half_width, box.half_height, BASE_HEIGHT_M] for box in boxes],
            collisionFramePositions=[[box.x, box.y, BASE_HEIGHT_M] for box in boxes],
            physicsClientId=self._client,
        )
        body = int(pybullet.createMultiBody(0.0, shape, physicsClientId=self._client))
        self._filter(body, -1, _WALL_GROUP, _BASE_GROUP | _RAY_GROUP)
        return body

    def _build_base(self) -> int:
        cylinder = pybullet.createCollisionShape(
            pybullet.GEOM_CYLINDER, radius=BASE_RADIUS_M, height=BASE_HEIGHT_M, physicsClientId=self._client
        )
        links = 3
        body = int(
            pybullet.createMultiBody(
                0.0,
                basePosition=[0.0, 0.0, BASE_HEIGHT_M / 2],
                linkMasses=[SLIDE_MASS_KG, SLIDE_MASS_KG, BASE_MASS_KG],
                linkCollisionShapeIndices=[-1, -1, cylinder],
                linkVisualShapeIndices=[-1] * links,
                linkPositions=[[0.0, 0.0, 0.0]] * links,
                linkOrientations=[[0.0, 0.0, 0.0, 1.0]] * links,
                linkInertialFramePositions=[[0.0, 0.0, 0.0]] * links,
                linkInertialFrameOrientations=[[0.0, 0.0, 0.0, 1.0]] * links,
                linkParentIndices=[0, 1, 2],
                linkJointTypes=[pybullet.JOINT_PRISMATIC, pybullet.JOINT_PRISMATIC, pybullet.JOINT_REVOLUTE],
                linkJointAxis=[[1, 0, 0], [0, 1, 0], [0, 0, 1]],
                physicsClientId=self._client,
            )
        )
        self._filter(body, _YAW, _BASE_GROUP, _WALL_GROUP)
        return body

    def _filter(self, body: int, link: int, group: int, mask: int) -> None:
        pybullet.setCollisionFilterGroupMask(body, link, group, mask, physicsClientId=self._client)
