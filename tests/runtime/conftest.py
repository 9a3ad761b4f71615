"""A robot with two joints, small enough to work every number out by hand."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest

from divo_runtime.backends.fake import FakeBackend
from divo_runtime.bundle.ports import network_ports
from divo_runtime.contract import Contract
from divo_runtime.observation import Measurement
from divo_runtime.policy import NetworkPolicy
from divo_runtime.schema import parse_yaml

# 10 Hz and 2 rad/s^2: a command changes by at most 0.2 rad/s per period
ARM = """
schema: 1
name: two_joints
rate_hz: 10
observation:
  - name: joint_position
    topic: joint_states
    type: sensor_msgs/msg/JointState
    field: position
    joints: [a, b]
    unit: rad
    max_age_ms: 150
  - name: goal
    topic: goal
    type: geometry_msgs/msg/PointStamped
    field: point
    components: xy
    unit: m
    max_age_ms: 1000
action:
  kind: KIND
  names: [a, b]
  unit: UNIT
  lower: [-0.8, -0.8]
  upper: [0.8, 0.8]
  topic: commands
  type: std_msgs/msg/Float64MultiArray
safety:
  measured_position: joint_position
  blend_s: 0.4
  fault_after_ms: 300
  limits:
    - {name: b, position: [-1, 1], velocity: 1.0, acceleration: 2.0}
    - {name: a, position: [-1, 1], velocity: 1.0, acceleration: 2.0}
"""

BASE = """
schema: 1
name: base
rate_hz: 10
observation:
  - {name: scan, topic: scan, type: sensor_msgs/msg/LaserScan, field: ranges, size: 3, unit: m, max_age_ms: 100}
action:
  kind: twist
  names: [linear.x, angular.z]
  unit: m/s
  lower: [0.1, -1.0]
  upper: [0.5, 1.0]
  topic: cmd_vel
  type: geometry_msgs/msg/TwistStamped
safety:
  blend_s: 0.0
  limits:
    - {name: linear.x, velocity: 0.5, acceleration: 1.0}
    - {name: angular.z, velocity: 1.0, acceleration: 4.0}
"""


@pytest.fixture
def arm_text() -> str:
    return ARM.replace("KIND", "joint_velocity").replace("UNIT", "rad/s")


@pytest.fixture(scope="session")
def make_arm() -> Callable[..., Contract]:
    """Return a function that makes the arm's contract with commands of the given kind, and more limits if wanted."""

    def make_arm(kind: str, more_limits: str = "") -> Contract:
        text = ARM.replace("KIND", kind).replace("UNIT", "rad" if kind == "joint_position" else "rad/s")
        return parse_yaml(text.replace("2.0}", f"2.0{more_limits}}}"), Contract, f"{kind}.yaml")

    return make_arm


@pytest.fixture
def arm(make_arm) -> Contract:
    """Velocity commands."""
    return make_arm("joint_velocity")


@pytest.fixture
def position_arm(make_arm) -> Contract:
    """Position commands."""
    return make_arm("joint_position")


@pytest.fixture
def base() -> Contract:
    """Twist commands, forward only, no position limits, no blending."""
    return parse_yaml(BASE, Contract, "base.yaml")


@pytest.fixture
def measure() -> Callable[..., dict[str, Measurement]]:
    """Return a function that makes the arm's measurements, all stamped `stamp_ns`."""

    def measure(stamp_ns: int = 0, position=(0.0, 0.0), names=("a", "b"), goal=(0.5, 0.25)) -> dict[str, Measurement]:
        joints = SimpleNamespace(name=list(names), position=list(position))
        point = SimpleNamespace(point=SimpleNamespace(x=goal[0], y=goal[1], z=0.0))
        return {"joint_states": Measurement(joints, stamp_ns), "goal": Measurement(point, stamp_ns)}

    return measure


@pytest.fixture
def script_policy() -> Callable[..., NetworkPolicy]:
    """Return a function that makes a policy which answers the given actions in turn, the last one for ever."""

    def script_policy(contract: Contract, *actions) -> NetworkPolicy:
        inputs, outputs = (tuple(port.spec for port in side) for side in network_ports(contract, "actor", 1))
        answers = [
            action
            if isinstance(action, Exception)
            else {"action": np.broadcast_to(np.float32(action), (1, contract.action_size)), "value": np.zeros(1)}
            for action in actions
        ]
        return NetworkPolicy(FakeBackend(inputs, outputs, answers), contract)

    return script_policy
