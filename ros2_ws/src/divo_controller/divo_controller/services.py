"""What others ask of the node: `~/reset_fault`, `~/emergency_stop`, `~/reload`, and the topic `emergency_stop`."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from std_msgs.msg import Empty
from std_srvs.srv import Trigger

from divo_controller.aside import Outcome, run_aside
from divo_controller.assembly import Assembly
from divo_controller.hot_reload import Trial, require_same_contract
from divo_controller.inputs import take_newest
from divo_controller.parameters import Parameters, read_parameters
from divo_controller.session import Session, open_session
from divo_runtime.errors import DivoError

EMERGENCY_STOP_TOPIC = "emergency_stop"
"""Relative, so that it stops the robot of this namespace; remap it to `/emergency_stop` to stop all."""


class Services:
    """Answers requests.

    Args:
        node: The ROS node.
        assembly: What it has put together.
        open_parts: Replaces session and topics by those of the parameters' bundle; for a reload while inactive.
        announce: Called with a session and its parameters when it commands from now on.
    """

    def __init__(
        self,
        node: Any,
        assembly: Assembly,
        open_parts: Callable[[], None],
        announce: Callable[[Session, Parameters], None],
    ) -> None:
        self._node, self._assembly = node, assembly
        self._open_parts, self._announce = open_parts, announce
        self._reloading = False
        node.create_service(Trigger, "~/reset_fault", self._on_reset_fault)
        node.create_service(Trigger, "~/emergency_stop", self._on_emergency_stop)
        apart = MutuallyExclusiveCallbackGroup()  # a reload takes its time, and nothing else may wait for it
        node.create_service(Trigger, "~/reload", self._on_reload, callback_group=apart)
        self._stop_topic = node.create_subscription(
            Empty,
            EMERGENCY_STOP_TOPIC,
            self._on_stop_message,
            QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE),
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )

    def poll_emergency_stop(self) -> None:
        """Look for a message on the topic, in the control thread, so that a busy executor delays no emergency stop."""
        if take_newest(self._stop_topic):
            self._on_stop_message(None)

    def _on_stop_message(self, message: Any) -> None:
        self._assembly.emergency_stop()
        self._node.get_logger().warning(f"Emergency stop on the topic '{EMERGENCY_STOP_TOPIC}'.")

    def _on_emergency_stop(self, request: Any, response: Any) -> Any:
        self._assembly.emergency_stop()
        self._node.get_logger().warning("Emergency stop was asked for.")
        return _answer(response, "", "The fault 'emergency stop' is latched; an active robot brakes.")

    def _on_reset_fault(self, request: Any, response: Any) -> Any:
        session, robot = self._assembly.session, self._assembly.robot
        if session is None or robot is None:
            return _answer(response, "The node is not configured.")
        asked = session.controller.fault

        def reset() -> tuple[str, ...]:
            if session.controller.fault != asked:  # nobody has seen that one yet
                return (f"another fault was latched meanwhile: {session.controller.fault}",)
            return session.controller.reset_fault(robot.now_ns(), robot.measurements())

        try:
            reasons = self._assembly.between_cycles(reset)
        except TimeoutError as error:
            return _answer(response, str(error))
        return _answer(response, "; ".join(reasons), "The fault is reset.")

    async def _on_reload(self, request: Any, response: Any) -> Any:
        if self._assembly.session is None:
            return _answer(response, "The node is not configured; configure it instead.")
        if self._reloading:
            return _answer(response, "A reload is going on already.")
        self._reloading = True
        try:
            if self._assembly.loop is None:
                self._open_parts()
            else:
                await self._reload_active()
        except DivoError as error:
            self._node.get_logger().error(f"Reload failed; the old policy stays. {error}")
            return _answer(response, f"The old policy stays. {error}")
        except Exception as error:  # whatever is wrong with a bundle, it must not end the node that commands
            self._node.get_logger().error(f"Reload failed; the old policy stays.\n{traceback.format_exc()}")
            return _answer(response, f"The old policy stays. {type(error).__name__}: {error}")
        finally:
            self._reloading = False
        loaded = self._loaded()
        return _answer(response, "" if loaded else "The node was shut down meanwhile.", loaded)

    def _loaded(self) -> str:
        session = self._assembly.session
        return f"Loaded '{session.choice}' of {session.bundle.folder}." if session else ""

    async def _reload_active(self) -> None:
        """Load beside the running policy, swap, and wait for the end of the trial.

        Raises:
            DivoError: If the new bundle cannot be loaded, is for another contract, or was taken back.
        """
        old, assembly = self._assembly.session, self._assembly
        assert old, "a reload follows configure"
        settings = read_parameters(self._node)
        new = await run_aside(self._node, lambda: open_session(settings))
        try:
            require_same_contract(old.contract, new.contract)
            if assembly.session is not old or assembly.loop is None:
                raise DivoError(
                    "The node left the state active while the bundle was loaded.", fix="Ask for the reload again."
                )
        except DivoError:
            new.close()
            raise
        verdict = Outcome(self._node)
        trial = Trial(old, new, settings.trial_cycles, self._install, verdict.give)
        assembly.trial = trial
        try:
            assembly.between_cycles(trial.swap, late=True)
        except TimeoutError as error:  # the end of the loop, by the watchdog or by hand, ends the trial too
            self._node.get_logger().error(f"The swap waits. {error}")
        problem = await verdict.future
        assembly.trial = None
        (new if problem else old).close()
        if problem:
            raise DivoError(
                f"The policy '{new.choice}' of {new.bundle.folder} was taken back in its first cycles.", got=problem
            )
        if assembly.session is not None:
            self._announce(trial.new, settings)

    def _install(self, session: Session) -> None:
        self._assembly.session = session


def _answer(response: Any, problem: str, success: str = "") -> Any:
    response.success, response.message = not problem, problem or success
    return response
