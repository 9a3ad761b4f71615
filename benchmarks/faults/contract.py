"""The robot of the fault table: three joints with different limits, four inputs of different kinds, 200 Hz.

Joint `b` has a jerk limit that binds at this rate, and joint `c` is driven without regard to where it stands, so that
it keeps running into its position limits.
"""

from __future__ import annotations

import yaml

from divo_runtime.contract import Contract
from divo_runtime.schema import parse_yaml

TEXT = """
schema: 1
name: faulty_arm
rate_hz: 200
observation:
  - {name: joint_position, topic: joint_states, type: sensor_msgs/msg/JointState, field: position, joints: [a, b, c],
     unit: rad, max_age_ms: 100}
  - {name: joint_velocity, topic: joint_states, type: sensor_msgs/msg/JointState, field: velocity, joints: [a, b, c],
     unit: rad/s, max_age_ms: 100}
  - {name: tool_position, topic: tool_pose, type: geometry_msgs/msg/PoseStamped, field: pose.position, unit: m,
     max_age_ms: 100}
  - {name: goal_offset, topic: goal, type: geometry_msgs/msg/PointStamped, field: point, relative_to: tool_position,
     unit: m, max_age_ms: 200}
  - {name: scan, topic: scan, type: sensor_msgs/msg/LaserScan, field: ranges, size: 3, unit: m, max_age_ms: 100}
action:
  kind: joint_velocity
  names: [a, b, c]
  unit: rad/s
  lower: [-0.8, -0.8, -0.8]
  upper: [0.8, 0.8, 0.8]
  topic: commands
  type: std_msgs/msg/Float64MultiArray
safety:
  measured_position: joint_position
  measured_velocity: joint_velocity
  blend_s: 0.1
  fault_after_ms: 400
  limits:
    - {name: a, position: [-1.5, 1.5], velocity: 1.0, acceleration: 5.0, hard_position: [-1.7, 1.7], hard_velocity: 2.0}
    - {name: b, position: [-1.5, 1.5], velocity: 1.0, acceleration: 5.0, jerk: 200.0, hard_velocity: 2.0}
    - {name: c, position: [-0.1, 0.1], velocity: 1.0, acceleration: 8.0, hard_position: [-0.6, 0.6]}
"""


def fault_contract() -> Contract:
    """Return the contract, checked."""
    return parse_yaml(TEXT, Contract, "benchmarks/faults/contract.py")


def plain_contract() -> dict[str, object]:
    """Return the same text as plain data, for whoever must not depend on the product's reading of it."""
    return dict(yaml.safe_load(TEXT))
