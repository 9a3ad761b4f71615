"""Plain messages of a mobile base with the attributes of the ROS types, beside those in `divo_sim.messages`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from divo_sim.messages import Header, Point, PointStamped, Pose, Quaternion

UNKNOWN = (0.0,) * 36
"""A covariance of zeros means that it is not known."""


@dataclass(frozen=True, slots=True)
class Vector3:
    """geometry_msgs/Vector3."""

    x: float = 0.0
    y: float = 0.0
    z: float = 0.0


@dataclass(frozen=True, slots=True)
class Twist:
    """geometry_msgs/Twist [m/s, rad/s]."""

    linear: Vector3
    angular: Vector3


@dataclass(frozen=True, slots=True)
class PoseWithCovariance:
    """geometry_msgs/PoseWithCovariance; the covariance is not known."""

    pose: Pose
    covariance: Sequence[float] = UNKNOWN


@dataclass(frozen=True, slots=True)
class TwistWithCovariance:
    """geometry_msgs/TwistWithCovariance; the covariance is not known."""

    twist: Twist
    covariance: Sequence[float] = UNKNOWN


@dataclass(frozen=True, slots=True)
class Odometry:
    """nav_msgs/Odometry: the pose in the frame of the header, the twist in that of the base."""

    header: Header
    child_frame_id: str
    pose: PoseWithCovariance
    twist: TwistWithCovariance


@dataclass(frozen=True, slots=True)
class LaserScan:
    """sensor_msgs/LaserScan."""

    header: Header
    angle_min: float
    """Angle of the first ray [rad]; 0 is straight ahead."""
    angle_max: float
    """Angle of the last ray [rad]."""
    angle_increment: float
    """Angle between two rays [rad]; counter-clockwise."""
    range_min: float
    range_max: float
    ranges: Sequence[float]
    """[m]"""
    time_increment: float = 0.0
    scan_time: float = 0.0
    intensities: Sequence[float] = ()


BaseMessage = LaserScan | Odometry | PointStamped


def planar_odometry(header: Header, child: str, pose: Sequence[float], speed: float, turn_rate: float) -> Odometry:
    """Return the odometry of a base on a plane.

    Args:
        header: With the frame of the pose.
        child: Frame of the base.
        pose: x [m], y [m], yaw [rad].
        speed: Forward [m/s].
        turn_rate: Counter-clockwise [rad/s].
    """
    x, y, yaw = pose
    orientation = Quaternion(0.0, 0.0, math.sin(yaw / 2), math.cos(yaw / 2))
    twist = Twist(Vector3(x=speed), Vector3(z=turn_rate))
    return Odometry(header, child, PoseWithCovariance(Pose(Point(x, y, 0.0), orientation)), TwistWithCovariance(twist))
