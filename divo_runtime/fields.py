"""Which numbers a ROS message holds, and where.

Messages are read by attribute, so the same code serves rclpy messages on the robot, messages that `rosbags` decoded
from a log, and the plain dataclasses that the simulator makes: whatever has the fields of the ROS type.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from operator import attrgetter
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

JointArray = NDArray[np.float64]
Layout = Literal["joints", "xyz", "xyzw", "array", "heading"]

JOINT_STATE = "sensor_msgs/msg/JointState"

LAYOUTS: dict[str, dict[str, Layout]] = {
    JOINT_STATE: {"position": "joints", "velocity": "joints", "effort": "joints"},
    "geometry_msgs/msg/PointStamped": {"point": "xyz"},
    "geometry_msgs/msg/PoseStamped": {
        "pose.position": "xyz",
        "pose.orientation": "xyzw",
        "pose.orientation.heading": "heading",
    },
    "geometry_msgs/msg/TwistStamped": {"twist.linear": "xyz", "twist.angular": "xyz"},
    "geometry_msgs/msg/WrenchStamped": {"wrench.force": "xyz", "wrench.torque": "xyz"},
    "nav_msgs/msg/Odometry": {
        "pose.pose.position": "xyz",
        "pose.pose.orientation": "xyzw",
        "pose.pose.orientation.heading": "heading",
        "twist.twist.linear": "xyz",
        "twist.twist.angular": "xyz",
    },
    "sensor_msgs/msg/Imu": {"orientation": "xyzw", "angular_velocity": "xyz", "linear_acceleration": "xyz"},
    "sensor_msgs/msg/LaserScan": {"ranges": "array"},
    "std_msgs/msg/Float64MultiArray": {"data": "array"},
}
"""Message type -> field -> how its numbers are laid out."""

PARTS: dict[Layout, tuple[str, ...]] = {"xyz": tuple("xyz"), "xyzw": tuple("xyzw"), "heading": ("cos", "sin")}
"""Layout -> its parts, where they are always the same."""


def reader(field: str, layout: Layout, components: str = "") -> Callable[[Any], JointArray]:
    """Return a function that reads one field of a message as a float64 array.

    Args:
        field: Dotted attribute path inside the message, such as `pose.position`.
        layout: How the numbers are laid out there.
        components: For `xyz` and `xyzw`: the wanted letters in the wanted order; empty means all.
    """
    if layout == "heading":
        get_quaternion = attrgetter(field.rpartition(".")[0])
        return lambda message: heading(get_quaternion(message))
    get = attrgetter(field)
    if layout in ("joints", "array"):
        return lambda message: np.asarray(get(message), dtype=np.float64)
    letters = components or layout

    def read_components(message: Any) -> JointArray:
        part = get(message)
        return np.array([getattr(part, letter) for letter in letters], dtype=np.float64)

    return read_components


def heading(quaternion: Any) -> JointArray:
    """Return cosine and sine of the yaw of a quaternion (x, y, z, w): (2,); NaN where it is no rotation.

    A policy should see these: the quaternion and its negative are the same rotation, so z and w jump somewhere.

    Source: z-y-x Euler angles, Diebel 2006, eq. 290; the common factor of sine and cosine drops out.
    """
    x, y, z, w = quaternion.x, quaternion.y, quaternion.z, quaternion.w
    cosine, sine = w * w + x * x - y * y - z * z, 2.0 * (w * z + x * y)
    length = math.hypot(cosine, sine)
    return np.array([cosine, sine]) / length if length > 0.0 else np.full(2, np.nan)
