"""The lifecycle node: states and services around the control loop. No maths and no safety decision is made here.

The executor moves messages and runs transitions; commands are computed and sent by the control loop's own thread.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from functools import wraps
from typing import Any

from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType, JumpThreshold
from rclpy.duration import Duration
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from std_srvs.srv import Trigger

from divo_controller.control_loop import ControlLoop
from divo_controller.diagnostics import Report
from divo_controller.metadata import describe_session
from divo_controller.monitor import Monitor
from divo_controller.own_topics import OwnTopics
from divo_controller.parameters import check_parameter, declare_parameters, read_parameters
from divo_controller.realtime import freeze_garbage, lock_memory, prepare_thread
from divo_controller.robot_topics import RobotTopics
from divo_controller.session import Session, open_session
from divo_controller.sim_clock import SimClock
from divo_runtime.errors import DivoError
from divo_runtime.loop import MonotonicClock

AUTOSTART_PERIOD_S = 0.2
WATCHDOG_PERIOD_S = 0.1
STOP_TIMEOUT_S = 5.0
"""Far longer than any robot needs to decelerate; only a hung policy takes this long."""

SUCCESS, FAILURE, ERROR = (
    TransitionCallbackReturn.SUCCESS,
    TransitionCallbackReturn.FAILURE,
    TransitionCallbackReturn.ERROR,
)
Transition = Callable[["ControllerNode", LifecycleState], TransitionCallbackReturn]


def _explained(transition: Transition) -> Transition:
    """Log what a transition raises: rclpy swallows it. Errors raised on purpose are failures, others are faults."""

    @wraps(transition)
    def run(node: ControllerNode, state: LifecycleState) -> TransitionCallbackReturn:
        try:
            return transition(node, state)
        except DivoError as error:
            node.get_logger().error(str(error))
            return FAILURE
        except Exception:
            node.get_logger().fatal(traceback.format_exc())
            raise

    return run


class ControllerNode(LifecycleNode):
    """Runs one bundle on one robot.

    Args:
        options: Passed to rclpy's node, such as `parameter_overrides`.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__("divo_controller", **options)
        self.add_on_set_parameters_callback(self._check_parameters)
        declare_parameters(self)
        self._settings = read_parameters(self)
        self._session: Session | None = None
        self._robot: RobotTopics | None = None
        self._loop: ControlLoop | None = None
        self._hangs = False
        self._fault = ""
        self._monitor = Monitor(self.get_fully_qualified_name())
        self._topics = OwnTopics(self)
        self._topics.publish_active(False)
        self.create_service(Trigger, "~/reset_fault", self._on_reset_fault)
        self.create_service(Trigger, "~/emergency_stop", self._on_emergency_stop)
        self.create_service(Trigger, "~/reload", self._on_reload)
        backwards = JumpThreshold(min_forward=None, min_backward=Duration(nanoseconds=-1), on_clock_change=True)
        self._jump = self.get_clock().create_jump_callback(backwards, post_callback=self._on_time_jump)
        steady = Clock(clock_type=ClockType.STEADY_TIME)  # so that a paused simulation does not silence the node
        self.create_timer(1.0 / self._settings.status_rate_hz, self._on_status_timer, clock=steady)
        self.create_timer(1.0, self._on_diagnostics_timer, clock=steady)
        self.create_timer(WATCHDOG_PERIOD_S, self._on_watchdog_timer, clock=steady)
        self._autostart = self.create_timer(AUTOSTART_PERIOD_S, self._on_autostart_timer, clock=steady)
        if not self._settings.autostart:
            self._autostart.cancel()

    @_explained
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load, verify and warm up the bundle; subscribe to the robot."""
        self._open()
        return super().on_configure(state)

    @_explained
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start the control loop, if every input is there, fresh and complete."""
        assert self._session, "activate follows configure"
        assert self._robot, "activate follows configure"
        controller = self._session.controller
        seed = self.get_parameter("seed").value
        reasons = controller.activate(self._robot.now_ns(), self._robot.measurements(), seed)
        if reasons:
            self._monitor.refused(reasons)
            pause_s = 0.0 if self._autostart.is_canceled() else 2.0
            self.get_logger().warning(f"Activation refused: {'; '.join(reasons)}", throttle_duration_sec=pause_s)
            return FAILURE
        super().on_activate(state)
        simulated = self.get_parameter("use_sim_time").value
        loop = ControlLoop(
            controller,
            self._robot,
            self._session.contract.period_ns,
            SimClock(self._robot.now_ns, lambda: loop.stopping) if simulated else MonotonicClock(),
            self._on_cycle,
            self._prepare_thread,
        )
        self._monitor.begin()
        self._loop = loop
        loop.start()
        self._topics.publish_active(True)
        self.get_logger().info(f"Active at {self._session.contract.rate_hz:g} Hz.")
        return SUCCESS

    @_explained
    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Decelerate to rest, then fall silent."""
        stopped = self._stop_loop()
        super().on_deactivate(state)
        return SUCCESS if stopped else ERROR

    @_explained
    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free what configure made."""
        self._close()
        return super().on_cleanup(state)

    @_explained
    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Decelerate if active, then free everything."""
        self._autostart.cancel()
        if not self._stop_loop():
            return ERROR
        self._close()
        return SUCCESS

    @_explained
    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop and free everything, back to unconfigured; if that cannot be done, the node is finalized."""
        if not self._stop_loop() or self._hangs:
            return FAILURE  # the hanging thread still uses what `_close` would free
        self._close()
        return SUCCESS

    def stop(self) -> None:
        """Bring the robot to rest and finalize the node, whatever its state; the executor must not run any more."""
        if self._state_machine.current_state[1] in ("unconfigured", "inactive", "active"):
            self.trigger_shutdown()

    def _open(self) -> None:
        """Replace session and topics by those of the parameters' bundle; on an error the old ones stay."""
        self._settings = read_parameters(self)
        session = open_session(self._settings)
        try:
            robot = RobotTopics(self, session.contract, self._settings.frame_id)
        except DivoError:
            session.close()
            raise
        self._close()
        self._session, self._robot = session, robot
        if self._fault:
            session.controller.emergency_stop()
            self.get_logger().warning(f"The fault from before ({self._fault}) stays latched until it is reset.")
        self._topics.publish_metadata(describe_session(session, self._settings))
        freeze_garbage()
        if self._settings.realtime_priority > 0:
            self._warn(lock_memory())
        self.get_logger().info(
            f"Configured '{session.contract.name}' ({self._settings.policy}, {session.policy_ms:.2f} ms per call "
            f"of {session.contract.period_s * 1e3:g} ms) from {session.bundle.folder}."
        )

    def _close(self) -> None:
        if self._robot:
            self._robot.destroy()
        if self._session:
            self._fault = self._session.controller.fault
            self._session.close()
        self._session = self._robot = None

    def _stop_loop(self) -> bool:
        loop, self._loop = self._loop, None
        self._topics.publish_active(False)
        if loop is None:
            return True
        stopped = loop.stop(STOP_TIMEOUT_S)
        if loop.failure:
            self._monitor.failed(str(loop.failure))
        self._monitor.end()
        if stopped:
            self.get_logger().info("Inactive: the robot was brought to rest.")
        else:
            self._hangs = True
            self.get_logger().fatal("The control thread does not end. Restart the node.")
        return stopped

    def _prepare_thread(self) -> None:
        self._warn(prepare_thread(self._settings.realtime_priority, self._settings.cpu))

    def _warn(self, warnings: list[str]) -> None:
        for warning in warnings:
            self.get_logger().warning(warning)

    def _on_cycle(self, cycle: Any) -> None:
        self._monitor.add(cycle)
        self._topics.publish_timing(cycle)

    def _on_watchdog_timer(self) -> None:
        """Stop the robot if the control thread hangs, and leave the state active if it has ended."""
        if self._loop is None or self._session is None:
            return
        simulated = self.get_parameter("use_sim_time").value  # a paused simulation is silent, and no danger
        silence_ns = self._session.contract.period_ns + round(self._session.contract.safety.fault_after_ms * 1e6)
        hangs = not simulated and self._loop.rescue(silence_ns)
        if hangs or self._loop.failure is not None:
            trace = "".join(traceback.format_exception(self._loop.failure))
            self.get_logger().fatal(f"The control loop failed; the robot was brought to rest.\n{trace}")
            self.trigger_deactivate()

    def _on_status_timer(self) -> None:
        self._topics.publish_status(self._report())

    def _report(self) -> Report:
        return self._monitor.report(self._session, self._settings.policy)

    def _on_diagnostics_timer(self) -> None:
        self._topics.publish_diagnostics(self._report(), self.get_clock().now().nanoseconds)

    def _on_autostart_timer(self) -> None:
        if self._session is None and self.trigger_configure() != SUCCESS:
            self.get_logger().error("Autostart gave up: the node is not configured. Mend the cause and configure it.")
            self._autostart.cancel()
        elif self._loop is not None or self.trigger_activate() == SUCCESS:
            self._autostart.cancel()

    def _on_reset_fault(self, request: Any, response: Any) -> Any:
        session, robot = self._session, self._robot
        if session is None or robot is None:
            return _answer(response, "The node is not configured.")
        try:
            reasons = self._between_cycles(lambda: session.controller.reset_fault(robot.now_ns(), robot.measurements()))
        except TimeoutError as error:
            return _answer(response, str(error))
        return _answer(response, "; ".join(reasons), "The fault is reset.")

    def _on_emergency_stop(self, request: Any, response: Any) -> Any:
        session = self._session
        if session is None:
            return _answer(response, "The node is not configured; it sends no commands.")
        self.get_logger().warning("Emergency stop was asked for.")
        try:
            self._between_cycles(session.controller.emergency_stop)
        except TimeoutError as error:
            return _answer(response, f"{error} Use the robot's own emergency stop.")
        return _answer(response, "", "The fault 'emergency stop' is latched; the robot brakes.")

    def _on_reload(self, request: Any, response: Any) -> Any:
        if self._session is None or self._loop is not None:
            return _answer(response, "Reload needs the state inactive: configure or deactivate first.")
        try:
            self._open()
        except DivoError as error:
            self.get_logger().error(str(error))
            return _answer(response, f"The old bundle stays. {error}")
        return _answer(response, "", f"Loaded {self._session.bundle.folder}.")

    def _between_cycles(self, action: Callable[[], Any]) -> Any:
        """Run an action on the controller in the thread that owns it now."""
        return self._loop.ask(action) if self._loop else action()

    def _on_time_jump(self, jump: Any) -> None:
        self.get_logger().warning("The clock jumped back or changed; inputs from before are dropped.")
        if self._robot:
            self._robot.forget()

    def _check_parameters(self, parameters: list[Any]) -> SetParametersResult:
        problems = [check_parameter(parameter.name, parameter.value) for parameter in parameters]
        reason = "; ".join(problem for problem in problems if problem)
        return SetParametersResult(successful=not reason, reason=reason)


def _answer(response: Any, problem: str, success: str = "") -> Any:
    response.success, response.message = not problem, problem or success
    return response
