"""Plain messages with the attributes of the ROS types, for a simulation that needs no ROS.

Whoever reads fields by attribute, such as `divo_runtime.observation`, cannot tell them from rclpy's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

NS_PER_S = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Time:
    """builtin_interfaces/Time."""

    sec: int
    nanosec: int

    @classmethod
    def from_ns(cls, time_ns: int) -> Time:
        """Split nanoseconds into seconds and the rest."""
        return cls(*divmod(time_ns, NS_PER_S))


@dataclass(frozen=True, slots=True)
class Header:
    """std_msgs/Header."""

    stamp: Time
    frame_id: str = ""


@dataclass(frozen=True, slots=True)
class Point:
    """geometry_msgs/Point [m]."""

    x: float
    y: float
    z: float


@dataclass(frozen=True, slots=True)
class Quaternion:
    """geometry_msgs/Quaternion."""

    x: float
    y: float
    z: float
    w: float


@dataclass(frozen=True, slots=True)
class Pose:
    """geometry_msgs/Pose."""

    position: Point
    orientation: Quaternion


@dataclass(frozen=True, slots=True)
class JointState:
    """sensor_msgs/JointState, SI units."""

    header: Header
    name: list[str]
    position: Sequence[float]
    velocity: Sequence[float]
    effort: Sequence[float] = ()


@dataclass(frozen=True, slots=True)
class PoseStamped:
    """geometry_msgs/PoseStamped."""

    header: Header
    pose: Pose


@dataclass(frozen=True, slots=True)
class PointStamped:
    """geometry_msgs/PointStamped."""

    header: Header
    point: Point


Message = JointState | PoseStamped | PointStamped
