"""The contract: what a policy sees, what it commands, and the limits it must keep, in one file.

The importer, the simulator, the trainer, the exporter and the controller node all read this file, so that the order,
the unit and the age of every number are written down once. Every name is a name of the robot, never an index.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal

import numpy as np

from divo_runtime.fields import JOINT_STATE, LAYOUTS, PARTS, JointArray, Layout
from divo_runtime.safety.limits import Finite, Limit, Safety
from divo_runtime.schema import Record, read_yaml

Unit = Literal["rad", "rad/s", "rad/s^2", "m", "m/s", "m/s^2", "N", "N*m", "1"]
ActionKind = Literal["joint_position", "joint_velocity", "twist", "dimensionless"]
CommandType = Literal[
    "std_msgs/msg/Float64MultiArray",
    "trajectory_msgs/msg/JointTrajectory",
    "geometry_msgs/msg/TwistStamped",
]

ACTION_UNITS: dict[ActionKind, tuple[Unit, ...]] = {
    "joint_position": ("rad", "m"),
    "joint_velocity": ("rad/s", "m/s"),
    "twist": ("m/s",),
    "dimensionless": ("1",),  # what a gymnasium environment takes, of no robot in particular
}
TWIST_NAMES = ("linear.x", "linear.y", "linear.z", "angular.x", "angular.y", "angular.z")


class ObservationTerm(Record, frozen=True, kw_only=True):
    """One named group of numbers of the observation, read from one field of one topic."""

    name: str
    topic: str
    """Topic, relative so that namespaces and remaps work."""
    type: str
    """ROS message type, such as `sensor_msgs/msg/JointState`."""
    field: str
    """Field inside the message, such as `position` or `pose.position`."""
    unit: Unit
    max_age_ms: Finite
    """Older than this, the term counts as stale and the controller holds."""
    joints: tuple[str, ...] = ()
    """Joint names in the order of the observation (JointState only)."""
    components: str = ""
    """Letters out of xyz or xyzw, when not all of them."""
    size: int = 0
    """Number of values (array fields such as a laser scan only)."""
    relative_to: str = ""
    """Name of an earlier term that is subtracted, such as the tool's position from the goal's."""

    @property
    def layout(self) -> Layout:
        """How the message lays out this field's numbers."""
        return LAYOUTS[self.type][self.field]

    @property
    def width(self) -> int:
        """Number of values this term adds to the observation."""
        if self.layout == "joints":
            return len(self.joints)
        return self.size if self.layout == "array" else len(self.components or PARTS[self.layout])

    @property
    def element_names(self) -> tuple[str, ...]:
        """One name per value: joints by their name, others as `term.component`."""
        if self.layout == "joints":
            return tuple(f"{self.name}.{joint}" for joint in self.joints)
        array = self.layout == "array"
        parts = [str(i) for i in range(self.size)] if array else self.components or PARTS[self.layout]
        return tuple(f"{self.name}.{part}" for part in parts)

    def __post_init__(self) -> None:
        """Check what the types alone cannot say."""
        if self.type not in LAYOUTS:
            raise ValueError(f"Expected type to be one of {', '.join(LAYOUTS)}, got '{self.type}'")
        if self.field not in LAYOUTS[self.type]:
            fields = ", ".join(LAYOUTS[self.type])
            raise ValueError(f"Expected field of {self.type} to be one of {fields}, got '{self.field}'")
        if self.type == JOINT_STATE and not self.joints:
            raise ValueError(f"Expected joints: [names in observation order] for term '{self.name}', got nothing")
        if self.type != JOINT_STATE and self.joints:
            raise ValueError(f"Expected no joints for {self.type} in term '{self.name}', got {list(self.joints)}")
        if len(set(self.joints)) != len(self.joints):
            raise ValueError(f"Expected each joint once in term '{self.name}', got {list(self.joints)}")
        if (self.layout == "array") != (self.size > 0):
            raise ValueError(f"Expected size > 0 for array fields and only there (term '{self.name}'), got {self.size}")
        if set(self.components) - set(PARTS.get(self.layout, ())):
            known = f"'{self.layout}' in term '{self.name}'"
            raise ValueError(f"Expected components out of {known}, got '{self.components}'")


class Action(Record, frozen=True, kw_only=True):
    """What the policy commands, in robot units."""

    kind: ActionKind
    names: tuple[str, ...]
    """Joint names, or `linear.x`, `angular.z` and so on for a twist, in the order of the action."""
    unit: Unit
    lower: tuple[float, ...]
    """Smallest action the policy may ask for, per name; maps to -1 in training."""
    upper: tuple[float, ...]
    """Largest action the policy may ask for, per name; maps to +1 in training."""
    topic: str
    """Command topic, relative."""
    type: CommandType

    def __post_init__(self) -> None:
        """Check that the limits belong to the names."""
        if not self.names or len(set(self.names)) != len(self.names):
            raise ValueError(f"Expected action names to be given, each once, got {list(self.names)}")
        for key in ("lower", "upper"):
            if len(getattr(self, key)) != len(self.names):
                raise ValueError(f"Expected {len(self.names)} values in action.{key}, got {len(getattr(self, key))}")
        if not all(-math.inf < low < high < math.inf for low, high in zip(self.lower, self.upper, strict=True)):
            raise ValueError(
                f"Expected finite lower < upper for every action, got {list(self.lower)} and {list(self.upper)}"
            )
        if self.unit not in ACTION_UNITS[self.kind]:
            units = ", ".join(ACTION_UNITS[self.kind])
            raise ValueError(f"Expected unit of {self.kind} to be one of {units}, got '{self.unit}'")
        if (self.kind == "twist") != (self.type == "geometry_msgs/msg/TwistStamped"):
            raise ValueError(f"Expected kind twist with TwistStamped and only there, got {self.kind} with {self.type}")
        if self.kind == "dimensionless" and self.type != "std_msgs/msg/Float64MultiArray":
            raise ValueError(f"Expected kind dimensionless with Float64MultiArray, got {self.type}")
        if self.kind == "twist" and set(self.names) - set(TWIST_NAMES):
            raise ValueError(f"Expected twist names out of {', '.join(TWIST_NAMES)}, got {list(self.names)}")


class Episodes(Record, frozen=True, kw_only=True):
    """Where a recording is cut into episodes, besides its gaps. Only the importer of recordings reads this."""

    topic: str = ""
    """Marks: Bool (true while an episode runs), String (begins one, unless a stop word) or Empty (ends and begins)."""
    service: str = ""
    """Service whose recorded calls are marks: SetBool (true begins, false ends), Trigger or Empty (ends and begins)."""
    stop_words: tuple[str, ...] = ("", "stop", "end")
    """Texts of a String topic that end an episode; every other text begins a new one."""

    def __post_init__(self) -> None:
        """Check that there is one source."""
        if bool(self.topic) == bool(self.service):
            raise ValueError("Expected either topic or service in episodes; got both or neither")


class Reward(Record, frozen=True, kw_only=True):
    """Where reward and termination come from in a recording. Only the importer of recordings reads this."""

    function: str = ""
    """`module:function` over the contract's terms; see docs/import.md."""
    topic: str = ""
    """std_msgs Float64 (or Float32): the sum of what is published in an interval is its reward."""
    terminated_topic: str = ""
    """std_msgs Bool: true ends the task."""

    def __post_init__(self) -> None:
        """Check that there is one source."""
        if bool(self.function) == bool(self.topic or self.terminated_topic):
            raise ValueError("Expected either function, or topic and terminated_topic, in reward; got both or neither")
        if self.function.count(":") != (1 if self.function else 0):
            raise ValueError(f"Expected reward.function as module:function, got '{self.function}'")


class Contract(Record, frozen=True, kw_only=True):
    """One robot task, from the topics it reads to the topic it commands."""

    schema: Literal[1]
    name: str
    """Short name, also the name of the bundle."""
    rate_hz: Finite
    """Control rate [Hz]."""
    observation: tuple[ObservationTerm, ...]
    action: Action
    safety: Safety
    description: str = ""
    environment: str = ""
    """Gymnasium id of the simulated task, if there is one."""
    clock: Literal["header", "receive"] = "header"
    """Which time tells the age of a message: its header stamp, or its arrival."""
    episodes: Episodes | None = None
    """Where recordings are cut into episodes."""
    reward: Reward | None = None
    """Where the reward of recordings comes from."""

    @property
    def observation_size(self) -> int:
        """Length of the observation vector."""
        return sum(term.width for term in self.observation)

    @property
    def action_size(self) -> int:
        """Length of the action vector."""
        return len(self.action.names)

    @property
    def period_s(self) -> float:
        """Control period [s]."""
        return 1.0 / self.rate_hz

    @property
    def period_ns(self) -> int:
        """Control period [ns]."""
        return round(1e9 / self.rate_hz)

    @property
    def topics(self) -> dict[str, str]:
        """Input topics and their message types."""
        return {term.topic: term.type for term in self.observation}

    @property
    def element_names(self) -> tuple[str, ...]:
        """One name per value of the observation."""
        return tuple(name for term in self.observation for name in term.element_names)

    def limits(self) -> tuple[Limit, ...]:
        """Limits in the order of the action's names."""
        by_name = {limit.name: limit for limit in self.safety.limits}
        return tuple(by_name[name] for name in self.action.names)

    def action_range(self) -> tuple[JointArray, JointArray]:
        """Lower and upper action, each (act_dim,) in robot units."""
        return np.array(self.action.lower), np.array(self.action.upper)

    def __post_init__(self) -> None:
        """Check that the parts belong together."""
        names = [term.name for term in self.observation]
        if not names or len(set(names)) != len(names):
            raise ValueError(f"Expected observation terms with different names, got {names}")
        types: dict[str, str] = {}
        for index, term in enumerate(self.observation):
            if types.setdefault(term.topic, term.type) != term.type:
                raise ValueError(f"Expected one type per topic '{term.topic}', got {types[term.topic]} and {term.type}")
            if term.relative_to and term.relative_to not in names[:index]:
                got = f"got '{term.relative_to}'"
                raise ValueError(f"Expected relative_to of '{term.name}' to name an earlier term, {got}")
            if term.relative_to and self.term(term.relative_to).width != term.width:
                raise ValueError(f"Expected '{term.name}' and '{term.relative_to}' to be of one size, got {term.width}")
        self._check_limits()

    def _check_limits(self) -> None:
        limited = [limit.name for limit in self.safety.limits]
        if sorted(limited) != sorted(self.action.names):
            raise ValueError(f"Expected one safety limit for each of {list(self.action.names)}, got {limited}")
        for low, high, limit in zip(self.action.lower, self.action.upper, self.limits(), strict=True):
            reach = limit.position if self.action.kind == "joint_position" else (-limit.velocity, limit.velocity)
            if reach is not None and (low < reach[0] or high > reach[1]):
                got = f"got [{low}, {high}]"
                raise ValueError(f"Expected the action range of '{limit.name}' inside {list(reach)}, {got}")
        limits = self.safety.limits
        if self.action.kind == "joint_position" or any(limit.position or limit.hard_position for limit in limits):
            self._check_measured("position")
        if self.safety.measured_velocity or any(limit.hard_velocity for limit in limits):
            self._check_measured("velocity")

    def _check_measured(self, field: Literal["position", "velocity"]) -> None:
        name = self.safety.measured_position if field == "position" else self.safety.measured_velocity
        term = next((term for term in self.observation if term.name == name), None)
        if term is None or not set(self.action.names) <= set(term.joints):
            raise ValueError(f"Expected safety.measured_{field} to name a term with the action's joints, got '{name}'")
        if term.field != field or term.relative_to:
            what = "positions" if field == "position" else "velocities"
            raise ValueError(f"Expected safety.measured_{field} to name measured {what}, got '{name}' ({term.field})")

    def term(self, name: str) -> ObservationTerm:
        """Return the observation term called `name`."""
        return next(term for term in self.observation if term.name == name)


def load_contract(path: Path) -> Contract:
    """Read a contract file.

    Raises:
        ContractError: With file, line, key, got, expected and fix.
    """
    return read_yaml(path, Contract)
