"""From the simulator's plain messages to those of ROS, by the names of their attributes."""

from __future__ import annotations

import importlib
from dataclasses import fields, is_dataclass
from typing import Any

from divo_runtime.errors import DivoError


class RosError(DivoError):
    """ROS is not there, or not completely."""


def ros_class(type_name: str) -> type[Any]:
    """Return the class of a ROS message type such as `sensor_msgs/msg/JointState`.

    Raises:
        RosError: If its package cannot be imported.
    """
    package, _, name = type_name.split("/")
    try:
        found: type[Any] = getattr(importlib.import_module(f"{package}.msg"), name)
    except ImportError as error:
        raise RosError(
            f"The simulated robot needs the ROS package '{package}'.",
            got=str(error),
            expected="a sourced ROS 2 distribution for this Python version, or its packages from pip",
            fix='source /opt/ros/<distribution>/setup.bash, or without a distribution: pip install "divo[ros]"',
        ) from error
    return found


def copy_message(plain: Any, message: Any) -> Any:
    """Copy every attribute of a plain message into the ROS message of the same type; return the ROS message."""
    for field in fields(plain):
        value = getattr(plain, field.name)
        if is_dataclass(value):
            copy_message(value, getattr(message, field.name))
        else:
            setattr(message, field.name, value)
    return message
