"""A controller that is recorded while it is led through a script, with real ROS messages and a tiny bundle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from geometry_msgs.msg import PointStamped
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray

from divo_runtime.bundle.loading import Bundle, load_bundle
from divo_runtime.controller import Controller
from divo_runtime.observation import Measurement
from divo_runtime.recording.messages import CycleTimes
from divo_runtime.recording.recorder import Recorder

MS = 1_000_000
BEGIN_NS = 1_700_000_000_000 * MS
PERIOD_NS = 100 * MS
CLASSES = {kind.__module__.split(".")[0] + "/msg/" + kind.__name__: kind for kind in (JointState, PointStamped)}
CLASSES["std_msgs/msg/Float64MultiArray"] = Float64MultiArray
SETTINGS = {"policy": "sampler", "backend": "onnxruntime", "threads": 1, "seed": 3, "noise_rows": 4}


def command_message(command: np.ndarray, now_ns: int) -> Float64MultiArray:
    return Float64MultiArray(data=command.tolist())


def state(position, stamp_ns: int, names=("a", "b")) -> Measurement:
    message = JointState(name=list(names), position=[float(p) for p in position])
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, 1000 * MS)
    return Measurement(message, stamp_ns, stamp_ns + 1 * MS)


def goal(x: float, y: float, stamp_ns: int) -> Measurement:
    message = PointStamped()
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, 1000 * MS)
    message.point.x, message.point.y = x, y
    return Measurement(message, stamp_ns, stamp_ns + 1 * MS)


def make_recorder(
    path: Path, bundle: Bundle, *, max_bytes: int = 0, convert: Callable[..., Any] = command_message
) -> Recorder:
    return Recorder(
        path,
        max_bytes,
        bundle,
        SETTINGS,
        "/divo_controller",
        lambda topic: f"/{topic}",
        CLASSES.__getitem__,
        convert,
    )


@dataclass
class Run:
    """Ten cycles per second of a recorded controller; `now_ns` moves on by itself."""

    folder: Path
    path: Path
    bundle: Bundle
    recorder: Recorder
    controller: Controller
    now_ns: int = BEGIN_NS

    def __post_init__(self) -> None:
        self.measurements = {"goal": goal(0.5, -0.25, BEGIN_NS), **self.state((0.1, 0.2))}
        self.outputs: list[Any] = []

    def state(self, position, names=("a", "b")) -> dict[str, Measurement]:
        return {"joint_states": state(position, self.now_ns - 20 * MS, names)}

    def activate(self) -> tuple[str, ...]:
        return self.controller.activate(self.now_ns, self.measurements, 3)

    def cycle(self, position=(0.1, 0.2), names=("a", "b")) -> Any:
        self.now_ns += PERIOD_NS
        self.measurements = {**self.measurements, **self.state(position, names)}
        if (self.now_ns - BEGIN_NS) % (500 * MS) == 0:
            self.measurements["goal"] = goal(0.5, -0.25, self.now_ns)
        output = self.controller.step(self.now_ns, self.measurements)
        if output.command is not None:
            self.recorder.send(output.command, self.now_ns, self.now_ns + 2 * MS)
        self.recorder.time(CycleTimes(10, 20, 30, 40, 0))
        self.outputs.append(output)
        return output


def start_run(folder: Path, bundle_folder: Path, **options: Any) -> Run:
    bundle = load_bundle(bundle_folder)
    path = folder / "run.mcap"
    recorder = make_recorder(path, bundle, **options)
    policy = bundle.open_policy("sampler")
    controller = recorder.watch(Controller(bundle.contract, policy, 3, lambda: 0), lambda: "sampler", 3)
    return Run(bundle_folder, path, bundle, recorder, controller)
