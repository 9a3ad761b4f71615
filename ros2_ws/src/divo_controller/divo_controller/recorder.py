"""Records what the node is given, decides and sends to an MCAP file, if the parameter `record` says where.

Between configure and cleanup there is one file. Recording never stops the node: what goes wrong with it is a warning.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from divo_controller.assembly import Assembly
from divo_controller.conversions import command_converter
from divo_controller.cycle import Cycle
from divo_controller.interfaces import Robot
from divo_controller.parameters import Parameters
from divo_controller.ros_packages import message_class
from divo_controller.session import Session
from divo_runtime.fields import JointArray
from divo_runtime.interfaces import Policy
from divo_runtime.observation import Measurement
from divo_runtime.recording.identity import describe_bundle
from divo_runtime.recording.mcap_file import free_path
from divo_runtime.recording.messages import CycleTimes
from divo_runtime.recording.recorder import Recorder


class NodeRecorder:
    """Recordings of a node, one after the other.

    Args:
        node: The ROS node.
        assembly: What it has put together.
        warn: Called with `recording` and what is wrong with it, when that changes.
    """

    def __init__(self, node: Any, assembly: Assembly, warn: Callable[[str, tuple[str, ...]], None]) -> None:
        self._node, self._assembly, self._warn = node, assembly, warn
        self._recorder: Recorder | None = None
        self._told: tuple[str, ...] = ()

    def begin(self, session: Session, settings: Parameters) -> Session:
        """Begin a recording, if one is asked for; return the session to use from now on."""
        if not settings.record:
            return session
        stamp = datetime.now(timezone.utc).strftime("%Y%m%d_%H%M%S")
        self._recorder = recorder = Recorder(
            free_path(Path(settings.record), session.contract.name, stamp),
            round(settings.record_max_mb * 1e6),
            session.bundle,
            _settings(session, settings),
            self._node.get_fully_qualified_name(),
            self._node.resolve_topic_name,
            message_class,
            command_converter(session.contract, settings.frame_id),
        )
        self.look()
        if not recorder.problem:
            self._node.get_logger().info(f"Recording to {recorder.path}.")
        watched = recorder.watch(session.controller, self._policy_name, settings.seed, self._describe_policy)
        return replace(session, controller=watched)

    def wrap(self, robot: Robot) -> Robot:
        """Return what to use in the place of a robot, so that every command is recorded as it is sent."""
        return _RecordedRobot(robot, self._recorder) if self._recorder else robot

    def add(self, cycle: Cycle) -> None:
        """Take in the times of the newest cycle; called by the control thread."""
        if self._recorder:
            self._recorder.time(
                CycleTimes(cycle.publish_ns, cycle.total_ns, cycle.lateness_ns, cycle.slack_ns, cycle.missed)
            )

    def look(self) -> None:
        """Warn when a recording breaks off or loses something; called now and then, from another thread than `end`."""
        if (recorder := self._recorder) is None:
            return
        lost = {what: count for what, count in recorder.dropped.items() if count}
        broken = f"nothing is recorded any more, control goes on: {recorder.problem}"
        warnings: tuple[str, ...] = (broken,) if recorder.problem else ()
        if lost:
            warnings += (f"the recording lost {', '.join(f'{count} {what}' for what, count in lost.items())}",)
        if warnings != self._told:
            self._told = warnings
            self._warn("recording", warnings)

    def end(self) -> None:
        """Finish the recording, if there is one."""
        if self._recorder:
            self._recorder.close()
            self.look()
        self._recorder = None

    def _policy_name(self) -> str:
        return self._assembly.session.policy_name if self._assembly.session else ""

    def _describe_policy(self, policy: Policy) -> Mapping[str, str]:
        """Return which bundle a policy that takes over is of, and how it runs."""
        trial = self._assembly.trial
        sessions = (self._assembly.session, *((trial.old, trial.new) if trial else ()))
        for session in sessions:
            if session is not None and session.policy is policy:
                rows = {"policy": session.choice, "noise_rows": policy.noise_shape[0]}
                return describe_bundle(session.bundle, rows)
        return {}


class _RecordedRobot:
    """Passes on to a robot, and notes what is sent."""

    def __init__(self, robot: Robot, recorder: Recorder) -> None:
        self._robot, self._recorder = robot, recorder

    def measurements(self) -> Mapping[str, Measurement]:
        """Return the newest measurement of each topic."""
        return self._robot.measurements()

    def now_ns(self) -> int:
        """Return the time in the clock of the measurements' stamps [ns]."""
        return self._robot.now_ns()

    def publish(self, command: JointArray, now_ns: int) -> None:
        """Send a command (act_dim,)."""
        self._robot.publish(command, now_ns)
        self._recorder.send(command, now_ns, self._robot.now_ns())


def _settings(session: Session, settings: Parameters) -> dict[str, object]:
    return {
        "policy": session.choice,
        "backend": settings.backend,
        "threads": settings.threads,
        "seed": settings.seed,
        "noise_rows": session.policy.noise_shape[0],
        "rate_hz": session.contract.rate_hz,
    }
