"""Command messages to actions, in the order of the contract's names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any

import numpy as np

from divo_runtime.contract import Contract
from divo_runtime.fields import JointArray
from divo_runtime.observation import LARGEST

ReadCommand = Callable[[Any], JointArray | str]
"""Message -> (act_dim,) float64 in robot units, or why it is none."""


def command_reader(contract: Contract) -> ReadCommand:
    """Return what reads commands of a contract's type.

    Float64MultiArray is bare numbers in the contract's order, unless its layout names them (as our own controller
    does); JointTrajectory brings its joint names and has one point, as our controller publishes it (of several, the
    first is often where the robot stands, and nobody can tell which one is a period's action); TwistStamped is read by
    component.
    """
    names = contract.action.names
    if contract.action.type == "std_msgs/msg/Float64MultiArray":
        return _checked(lambda message: _from_array(message, names), names)
    if contract.action.type == "trajectory_msgs/msg/JointTrajectory":
        field = "positions" if contract.action.kind == "joint_position" else "velocities"
        return _checked(lambda message: _from_trajectory(message, field, names), names)
    parts = [attrgetter(f"twist.{name}") for name in names]
    return _checked(lambda message: [part(message) for part in parts], names)


def _checked(read: Callable[[Any], Any], names: Sequence[str]) -> ReadCommand:
    def read_checked(message: Any) -> JointArray | str:
        try:
            values = read(message)
        except (AttributeError, TypeError, ValueError, IndexError) as error:
            return f"command unreadable ({error})"
        if isinstance(values, str):
            return values
        array = np.asarray(values, dtype=np.float64)
        if array.shape != (len(names),):
            return f"command of {array.size} values, expected {len(names)}"
        if not (np.abs(array) <= LARGEST).all():
            return "command not finite"
        return array

    return read_checked


def _from_array(message: Any, names: Sequence[str]) -> Any:
    labels = message.layout.dim[0].label.split(",") if len(message.layout.dim) else []
    if len(labels) == len(names) == len(message.data) and set(labels) == set(names):
        return [message.data[labels.index(name)] for name in names]
    return message.data


def _from_trajectory(message: Any, field: str, names: Sequence[str]) -> Any:
    listed = list(message.joint_names)
    absent = [name for name in names if name not in listed]
    if absent:
        return f"command without {', '.join(absent)}"
    if len(message.points) > 1:
        return f"command of {len(message.points)} points"
    values = getattr(message.points[0], field)
    if len(values) != len(listed):
        return f"command with {len(listed)} names but {len(values)} {field}"
    return [values[listed.index(name)] for name in names]
