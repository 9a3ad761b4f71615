"""What each network of a bundle takes and gives, as the contract dictates it: to write, to check and to run them."""

from __future__ import annotations

from typing import Literal

import numpy as np

from divo_runtime.contract import ActionKind, Contract, ObservationTerm
from divo_runtime.interfaces import TensorSpec
from divo_runtime.observation import FloatArray
from divo_runtime.schema import Record

PolicyKind = Literal["actor", "sampler"]
Role = Literal["actor", "sampler", "critic"]
PolicyRole = PolicyKind
"""Older name of `PolicyKind`; a bundle's policies have free names, such as `sampler_k2`, and one of these kinds."""

CRITIC = "critic"
"""Name of the critic's network; every other network is a policy of the same name."""

LEAPP_NODE = "policy"
"""Name of the one network that LEAPP loaders see."""

ACTION_KINDS: dict[ActionKind, str] = {
    "joint_position": "target/joint/position",
    "joint_velocity": "target/joint/velocity",
    "twist": "target/body/twist",
    "dimensionless": "target/dimensionless",
}
"""LEAPP's words for the action; it has none for a whole twist or a number without unit, so the last two are ours."""

NOISE_KIND = "input/noise"
"""Ours: standard normal numbers, fresh for every call. LEAPP has no word for them."""

TERM_KINDS: dict[tuple[str, str], str] = {
    ("sensor_msgs/msg/JointState", "position"): "state/joint/position",
    ("sensor_msgs/msg/JointState", "velocity"): "state/joint/velocity",
    ("sensor_msgs/msg/JointState", "effort"): "state/joint/effort",
    ("geometry_msgs/msg/PoseStamped", "pose.position"): "state/body/position",
    ("geometry_msgs/msg/PoseStamped", "pose.orientation"): "state/body/rotation",
    ("geometry_msgs/msg/PointStamped", "point"): "state/vector3d",
    ("geometry_msgs/msg/TwistStamped", "twist.linear"): "state/body/linear_velocity",
    ("geometry_msgs/msg/TwistStamped", "twist.angular"): "state/body/angular_velocity",
    ("nav_msgs/msg/Odometry", "pose.pose.position"): "state/body/position",
    ("nav_msgs/msg/Odometry", "pose.pose.orientation"): "state/body/rotation",
    ("nav_msgs/msg/Odometry", "twist.twist.linear"): "state/body/linear_velocity",
    ("nav_msgs/msg/Odometry", "twist.twist.angular"): "state/body/angular_velocity",
    ("sensor_msgs/msg/Imu", "orientation"): "state/body/rotation",
    ("sensor_msgs/msg/Imu", "angular_velocity"): "state/body/angular_velocity",
    ("sensor_msgs/msg/Imu", "linear_acceleration"): "state/body/linear_acceleration",
}
"""LEAPP's words for a whole field of a message. Source: InputKindEnum of leapp 0.7.2."""


class Port(Record, frozen=True, kw_only=True, omit_defaults=True):
    """One tensor at the border of a network, as LEAPP writes it."""

    name: str
    dtype: Literal["float32"]
    shape: tuple[int, ...]
    type: Literal["tensor"]
    kind: str | None = None
    """LEAPP's word for what it means, such as `target/joint/velocity`."""
    element_names: tuple[tuple[str, ...], ...] | None = None
    """Names along each dimension; empty for a dimension without."""

    @property
    def spec(self) -> TensorSpec:
        """The tensor without its meaning."""
        return TensorSpec(self.name, self.shape, self.dtype)


def network_ports(
    contract: Contract, role: Role, rows: int, valued: bool = True
) -> tuple[tuple[Port, ...], tuple[Port, ...]]:
    """Return inputs and outputs of a network.

    Args:
        contract: The robot task.
        role: `actor` and `sampler`: observation (1, obs_dim) and noise (rows, act_dim) to action (1, act_dim) in robot
            units and value (rows,); `critic`: observation and action to q (rows,) and v (1,).
        rows: Candidates of a policy, or members of the critic's ensemble, >= 1.
        valued: Whether a policy has the output `value`.
    """
    names = contract.action.names
    observation = _port("observation", (1, contract.observation_size), "state/observation", contract.element_names)
    action = _port("action", (1, len(names)), ACTION_KINDS[contract.action.kind], names)
    if role == "critic":
        return (observation, action), (_port("q", (rows,)), _port("v", (1,)))
    noise = _port("noise", (rows, len(names)), NOISE_KIND)
    return (observation, noise), (action, _port("value", (rows,))) if valued else (action,)


def leapp_ports(contract: Contract, candidates: int) -> tuple[tuple[Port, ...], tuple[Port, ...]]:
    """Return inputs and outputs of the network that other stacks load: one input per term of the contract.

    Every tensor has a leading batch dimension of 1, and elements bear the names that a message has for them (joint
    names, or x, y, z), because that is what Isaac ROS Deploy's converters look for.

    Args:
        contract: The robot task.
        candidates: Rows of noise, >= 1.

    Returns:
        Inputs: each term (1, width) in the contract's unit, `relative_to` already subtracted, then noise
        (1, candidates, act_dim). Outputs: action (1, act_dim) in robot units.
    """
    names = contract.action.names
    terms = tuple(
        _port(leapp_name(term), (1, term.width), _term_kind(term), _short_names(term)) for term in contract.observation
    )
    noise = _port("noise", (1, candidates, len(names)), NOISE_KIND)
    return (*terms, noise), (_port("action", (1, len(names)), ACTION_KINDS[contract.action.kind], names),)


def leapp_name(term: ObservationTerm) -> str:
    """Return the name of a term's input; `_in` tells it from the tensors `noise` and `action`, as LEAPP does."""
    return f"{term.name}_in" if term.name in ("noise", "action") else term.name


def leapp_feeds(contract: Contract, observation: FloatArray, noise: FloatArray) -> dict[str, FloatArray]:
    """Cut an observation into the inputs of `leapp_ports`.

    Args:
        contract: The robot task.
        observation: (obs_dim,) float32 in the contract's order and units.
        noise: (candidates, act_dim) float32, standard normal.
    """
    feeds, at = {}, 0
    for term in contract.observation:
        feeds[leapp_name(term)] = observation[np.newaxis, at : at + term.width]
        at += term.width
    return {**feeds, "noise": noise[np.newaxis]}


def _term_kind(term: ObservationTerm) -> str:
    """LEAPP's word, or ours where it has none: for parts of a vector, differences, and arrays."""
    if term.relative_to and len(term.components or "xyz") == 3:
        return "state/vector3d"
    if term.components or (term.type, term.field) not in TERM_KINDS:
        return f"state/{term.name}"
    return TERM_KINDS[term.type, term.field]


def _short_names(term: ObservationTerm) -> tuple[str, ...]:
    return tuple(name.removeprefix(f"{term.name}.") for name in term.element_names)


def _port(name: str, shape: tuple[int, ...], kind: str | None = None, elements: tuple[str, ...] = ()) -> Port:
    element_names = (*((),) * (len(shape) - 1), elements) if elements else None
    return Port(name=name, dtype="float32", shape=shape, type="tensor", kind=kind, element_names=element_names)
