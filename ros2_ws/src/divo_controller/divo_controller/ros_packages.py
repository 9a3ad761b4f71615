"""Finding ROS's Python packages, with an error that says what to install when they are not there."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable
from typing import Any

from divo_runtime.errors import DivoError

NODE_MODULES = (
    "rclpy",
    "builtin_interfaces.msg",
    "diagnostic_msgs.msg",
    "geometry_msgs.msg",
    "lifecycle_msgs.msg",
    "nav_msgs.msg",
    "rcl_interfaces.msg",
    "sensor_msgs.msg",
    "std_msgs.msg",
    "std_srvs.srv",
    "trajectory_msgs.msg",
)
"""Every ROS module that the node can need, whatever the contract says."""


class RosPackageError(DivoError):
    """A Python package of ROS cannot be imported."""


def require_modules(modules: Iterable[str] = NODE_MODULES) -> None:
    """Import each module.

    Raises:
        RosPackageError: Naming all that cannot be imported and the pip packages that hold them.
    """
    tried = {module.partition(".")[0]: _try_import(module) for module in modules}
    if failures := {package: error for package, error in tried.items() if error}:
        raise _explain(failures)


def message_class(type_name: str) -> type[Any]:
    """Return the class of a message type such as `sensor_msgs/msg/JointState`.

    Raises:
        RosPackageError: If its package is not there or has no such message.
    """
    package, _, name = type_name.split("/")
    try:
        found = getattr(importlib.import_module(f"{package}.msg"), name, None)
    except ImportError as error:
        raise _explain({package: error}) from error
    if not isinstance(found, type):
        raise RosPackageError(
            f"The package '{package}' has no message '{name}'.",
            got=type_name,
            expected="package/msg/Name of a message that this ROS distribution has",
            fix="Correct the type in the contract, or install the version of the package that has it.",
        )
    return found


def _try_import(module: str) -> ImportError | None:
    try:
        importlib.import_module(module)
    except ImportError as error:
        return error
    return None


def _explain(failures: dict[str, ImportError]) -> RosPackageError:
    wanted = " ".join(f'"{_pip_name(package)}"' for package in failures)
    return RosPackageError(
        f"ROS 2 is not complete in this Python: cannot import {', '.join(failures)}.",
        where=f"Python {sys.version_info.major}.{sys.version_info.minor}, {sys.executable}",
        got="; ".join(dict.fromkeys(str(error) for error in failures.values())),
        expected="a sourced ROS 2 distribution for this Python version, or its packages from pip",
        fix=f"source /opt/ros/<distribution>/setup.bash, or without a distribution: pip install {wanted}",
    )


def _pip_name(package: str) -> str:
    return "ros-kilted-rclpy[fastrtps]" if package == "rclpy" else f"ros-{package.replace('_', '-')}"
