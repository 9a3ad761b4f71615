"""The node's parameters: one frozen dataclass from which declaration, checking and `--help` are derived."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any


def _parameter(
    default: Any,
    description: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
    fixed: bool = True,
) -> Any:
    """Describe one parameter; `fixed` ones can only be given at the start of the node."""
    about = {"description": description, "low": low, "high": high, "choices": choices, "fixed": fixed}
    return field(default=default, metadata=about)


@dataclass(frozen=True, slots=True)
class Parameters:
    """Everything the node can be told. What the robot needs stands in the bundle's contract instead."""

    bundle: str = _parameter(
        "",
        "Bundle folder to run, as written by `make export`. A new one is used from the next ~/reload on.",
        fixed=False,
    )
    policy: str = _parameter(
        "actor",
        "Name of a policy in the bundle: actor (distilled, one network call), sampler (few-step diffusion with "
        "best-of-N choice), a sampler of fewer steps such as sampler_k2; or auto: the sampler with the most steps that "
        "the time left in each cycle allows, else the actor. A new value is used from the next ~/reload on.",
        fixed=False,
    )
    autostart: bool = _parameter(False, "Configure at once, and activate as soon as every input is fresh.")
    shadow: bool = _parameter(
        False, "Publish on ~/shadow_command what it would do, and ~/divergence from the active controller; no command."
    )
    backend: str = _parameter("onnxruntime", "What runs the networks: a backend that the bundle supports.")
    threads: int = _parameter(
        1, "Threads of the backend; more than one steals time from the control loop.", low=1, high=64
    )
    seed: int = _parameter(
        0,
        "Seed of the policy's noise; a new one is used from the next activation on.",
        low=0,
        high=2**31 - 1,
        fixed=False,
    )
    warmup_calls: int = _parameter(50, "Policy calls before the node counts as configured.", low=20, high=10_000)
    trial_cycles: int = _parameter(
        20,
        "After a ~/reload while active, a hold or fault by the new policy in so many cycles brings the old one back.",
        low=1,
        high=100_000,
        fixed=False,
    )
    stall_timeout_ms: float = _parameter(
        200.0,
        "The watchdog brakes the robot when no command was sent for so long, or for two periods [ms].",
        low=10.0,
        high=10_000.0,
    )
    realtime_priority: int = _parameter(
        40,
        "SCHED_FIFO priority of the control thread, with locked memory and the other threads just below, if the system "
        "permits; keep it below the controller manager's (50). 0: normal scheduling.",
        low=0,
        high=98,
    )
    wake_us: int = _parameter(
        -1,
        "While the node is active no core of the machine sleeps deeper than it wakes from in so long, if the system "
        "permits [us]. 0: cores do not sleep, which costs power, and on a virtual machine the host's favour; "
        "-1: not asked for.",
        low=-1,
        high=10_000,
    )
    spin_us: int = _parameter(
        0, "The control thread waits awake for so long before each deadline [us].", low=0, high=1000
    )
    cpu: int = _parameter(
        -1,
        "Core that the control thread is pinned to. -1: the one on which it begins, where it has real-time priority; "
        "-2: none, the system may move it.",
        low=-2,
        high=1023,
    )
    rehearse_us: int = _parameter(
        1500,
        "So long before each deadline the coming cycle is played once for nothing, so that what it needs is in the "
        "caches when it counts [us]; where the period is shorter than three times that, not. 0: never.",
        low=0,
        high=100_000,
    )
    record: str = _parameter(
        "",
        "Record to this .mcap file, or to a new file in this folder, from configure to cleanup; empty: no recording.",
        fixed=False,
    )
    record_max_mb: float = _parameter(
        0.0, "A recording ends at this size [MB]; 0: only when the disk is full.", low=0.0, high=1e6, fixed=False
    )
    status_rate_hz: float = _parameter(10.0, "Rate of ~/status [Hz].", low=1.0, high=100.0)
    frame_id: str = _parameter("base_link", "Frame of TwistStamped commands.")


def check_parameter(name: str, value: Any) -> str:
    """Return why `value` is refused for parameter `name`, or an empty string if it is accepted."""
    known = {item.name: item for item in fields(Parameters)}
    if name not in known:
        return ""  # of ROS itself, such as use_sim_time
    item = known[name]
    kind = type(_default(item))
    if type(value) is not kind:
        return f"'{name}' expects {kind.__name__}, got {value!r}"
    about = item.metadata
    if about["choices"] and value not in about["choices"]:
        return f"'{name}' expects one of {', '.join(about['choices'])}, got '{value}'"
    if about["low"] is not None and not about["low"] <= value <= about["high"]:
        return f"'{name}' expects {about['low']} to {about['high']}, got {value}"
    if name == "policy" and not value.isidentifier():
        return f"'policy' expects auto or the name of a policy, got '{value}'"
    if name == "bundle" and value and not Path(value).is_dir():
        return f"'{name}' expects an existing folder, got '{value}'"
    return ""


def declare_parameters(node: Any) -> None:
    """Declare every parameter on a ROS node, with description, range and mutability.

    Raises:
        rclpy.exceptions.InvalidParameterValueException: If a given value is refused.
        rclpy.exceptions.InvalidParameterTypeException: If a given value has another type.
    """
    from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor

    for item in fields(Parameters):
        about = item.metadata
        descriptor = ParameterDescriptor(
            description=about["description"],
            additional_constraints=f"one of {', '.join(about['choices'])}" if about["choices"] else "",
            read_only=about["fixed"],
        )
        if about["low"] is not None:
            if isinstance(item.default, float):
                limits = FloatingPointRange(from_value=about["low"], to_value=about["high"])
                descriptor.floating_point_range = [limits]
            else:
                descriptor.integer_range = [IntegerRange(from_value=about["low"], to_value=about["high"], step=1)]
        node.declare_parameter(item.name, item.default, descriptor)


def read_parameters(node: Any) -> Parameters:
    """Return the current values of a ROS node's parameters."""
    return Parameters(**{item.name: node.get_parameter(item.name).value for item in fields(Parameters)})


def parse_arguments(arguments: Mapping[str, str]) -> dict[str, Any]:
    """Turn command line texts into parameter values.

    Raises:
        ValueError: Naming the parameter, what was got and what is expected.
    """
    known = {item.name: item for item in fields(Parameters)}
    values: dict[str, Any] = {}
    for name, text in arguments.items():
        values[name] = _parse_value(known[name], text)
        if problem := check_parameter(name, values[name]):
            raise ValueError(problem)
    return values


def _default(item: Field[Any]) -> Any:
    return item.default


def _parse_value(item: Field[Any], text: str) -> Any:
    kind: Any = type(_default(item))
    if kind is bool:
        if text.lower() not in ("true", "false"):
            raise ValueError(f"'{item.name}' expects true or false, got '{text}'")
        return text.lower() == "true"
    try:
        return kind(text)
    except ValueError as error:
        raise ValueError(f"'{item.name}' expects {kind.__name__}, got '{text}'") from error
