"""The lifecycle node: its states and what they put together. No maths and no safety decision is made here.

The executor runs transitions, services and timers; commands are computed and sent by the control loop's own thread, and
a watchdog in a third thread brakes the robot should that one hang.
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

from divo_controller.assembly import Assembly
from divo_controller.control_loop import ControlLoop
from divo_controller.crew import NodeCrew
from divo_controller.metadata import describe_session
from divo_controller.parameters import Parameters, check_parameter, declare_parameters, read_parameters
from divo_controller.recorder import NodeRecorder
from divo_controller.rehearsal import rehearsal_lead_ns
from divo_controller.reporter import Reporter
from divo_controller.robot_topics import RobotTopics
from divo_controller.services import Services
from divo_controller.session import Session, open_session
from divo_controller.sim_clock import SimClock
from divo_controller.watchdog import Watchdog
from divo_runtime.errors import DivoError
from divo_runtime.timing.awake import AwakeCores
from divo_runtime.timing.loop import MonotonicClock
from divo_runtime.timing.realtime import freeze_garbage, lock_memory, take_turns

AUTOSTART_PERIOD_S = 0.2
STOP_TIMEOUT_S = 5.0
"""How long the control thread may send nothing when it is to end; only a hung policy takes this long."""

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
        self._assembly = Assembly()
        self.add_on_set_parameters_callback(self._check_parameters)
        declare_parameters(self)
        self._settings = read_parameters(self)
        self._watchdog: Watchdog | None = None
        self._awake: AwakeCores | None = None
        self._hangs = False
        self._recorder = NodeRecorder(self, self._assembly, self._warn)
        self._reporter = Reporter(self, self._assembly, self._settings, self._recorder.look)
        self._reporter.topics.publish_active(False)
        self._requests = Services(self, self._assembly, self._open, self._announce)
        backwards = JumpThreshold(min_forward=None, min_backward=Duration(nanoseconds=-1), on_clock_change=True)
        self._jump = self.get_clock().create_jump_callback(backwards, post_callback=self._on_time_jump)
        steady = Clock(clock_type=ClockType.STEADY_TIME)  # so that a paused simulation does not stop them
        self._autostart = self.create_timer(AUTOSTART_PERIOD_S, self._on_autostart_timer, clock=steady)
        if not self._settings.autostart:
            self._autostart.cancel()
        take_turns()

    @_explained
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load, verify and warm up the bundle; subscribe to the robot."""
        self._open()
        return super().on_configure(state)

    @_explained
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start the control loop, if every input is there, fresh and complete."""
        session, robot = self._assembly.session, self._assembly.robot
        assert session, "activate follows configure"
        assert robot, "activate follows configure"
        measurements = robot.measurements()
        seed = self.get_parameter("seed").value
        reasons = session.controller.activate(robot.now_ns(), measurements, seed, moving=robot.shadow)
        if reasons:
            self._reporter.monitor.refused(reasons)
            pause_s = 0.0 if self._autostart.is_canceled() else 2.0
            self.get_logger().warning(f"Activation refused: {'; '.join(reasons)}", throttle_duration_sec=pause_s)
            return FAILURE
        super().on_activate(state)
        robot.begin()
        self._reporter.monitor.begin()
        self._start_loop(session, robot)
        self._reporter.topics.publish_active(not robot.shadow)
        doing = "Shadowing" if robot.shadow else "Active"
        self.get_logger().info(f"{doing} at {session.contract.rate_hz:g} Hz.")
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

    def stop_robot(self) -> None:
        """Bring the robot to rest and do nothing else; may be called beside the executor."""
        if loop := self._assembly.loop:
            loop.stop(STOP_TIMEOUT_S)

    def stop(self) -> None:
        """Bring the robot to rest and finalize the node, whatever its state; the executor must not run any more."""
        if self._state_machine.current_state[1] in ("unconfigured", "inactive", "active"):
            self.trigger_shutdown()
        self._reporter.close()

    def _open(self) -> None:
        """Replace session and topics by those of the parameters' bundle; on an error the old ones stay."""
        settings = read_parameters(self)
        session = open_session(settings)
        try:
            robot = RobotTopics(self, session.contract, settings.frame_id, settings.shadow)
        except DivoError:
            session.close()
            raise
        self._close()
        session = self._recorder.begin(session, settings)
        self._assembly.session, self._assembly.robot = session, robot
        if self._assembly.fault:
            session.controller.latch(self._assembly.fault)
            self.get_logger().warning(
                f"The fault from before ({self._assembly.fault}) stays latched until it is reset."
            )
        if settings.realtime_priority > 0:
            self._note("memory", "locked", lock_memory())
        self._announce(session, settings)

    def _announce(self, session: Session, settings: Parameters) -> None:
        """Tell which policy commands from now on."""
        self._settings = settings
        self._reporter.topics.publish_metadata(describe_session(session, settings))
        costs = ", ".join(f"{name} {p99_ms:.2f} ms" for name, p99_ms in session.p99_ms.items())
        self.get_logger().info(
            f"Configured '{session.contract.name}' with '{session.choice}' (p99 of a call: {costs}; period "
            f"{session.contract.period_s * 1e3:g} ms) from {session.bundle.folder}."
        )

    def _close(self) -> None:
        if self._assembly.robot:
            self._assembly.robot.destroy()
        if self._assembly.session:
            self._assembly.fault = self._assembly.session.controller.fault
            self._assembly.session.close()
        self._assembly.session = self._assembly.robot = None
        self._recorder.end()

    def _start_loop(self, session: Session, robot: RobotTopics) -> None:
        """Start the control thread and, unless time is simulated and may stand still, its watchdog."""
        simulated, period_ns = self.get_parameter("use_sim_time").value, session.contract.period_ns
        steady = MonotonicClock(self._settings.spin_us * 1000)
        clock = SimClock(robot.now_ns, lambda: loop.stopping) if simulated else steady
        crew = NodeCrew(
            self._assembly,
            self._settings,
            self._reporter,
            self._recorder,
            self._requests.poll_emergency_stop,
            lambda granted, warnings: self._note("scheduling", granted, warnings),
        )
        recorded = self._recorder.wrap(robot)
        lead_ns = rehearsal_lead_ns(self._settings.rehearse_us, period_ns, simulated)
        self._assembly.loop = loop = ControlLoop(
            session.controller, recorded, period_ns, clock, crew, self._on_ended, lead_ns
        )
        if self._settings.wake_us >= 0:
            self._awake = AwakeCores(self._settings.wake_us)
            self._note("cores", f"wake within {self._settings.wake_us} us", self._awake.warnings)
        freeze_garbage()  # the control thread collects what comes later
        loop.start()
        if not simulated:
            silence_ns = max(round(self._settings.stall_timeout_ms * 1e6), 2 * period_ns)
            self._watchdog = Watchdog(loop, silence_ns)
            self._watchdog.start()

    def _stop_loop(self) -> bool:
        loop, self._assembly.loop = self._assembly.loop, None
        self._reporter.topics.publish_active(False)
        if loop is None:
            return True
        stopped = loop.stop(STOP_TIMEOUT_S)
        if self._watchdog:
            self._watchdog.stop()
            self._watchdog = None
        if self._awake:
            self._awake.close()
            self._awake = None
        if trial := self._assembly.trial:
            trial.take_back(str(loop.failure)) if loop.failure else trial.end()
        if loop.failure:
            self._reporter.monitor.failed(str(loop.failure))
        self._reporter.monitor.end()
        if stopped and not loop.failure:
            self.get_logger().info("Inactive: the robot was brought to rest.")
        elif not stopped:
            self._hangs = True
            self.get_logger().fatal("The control thread does not end. Restart the node.")
        return stopped

    def _note(self, about: str, granted: str, warnings: tuple[str, ...]) -> None:
        """Show in the status what the system granted; what it refused is no fault of the robot, but worth a line."""
        self._reporter.monitor.note(about, "; ".join(warnings) or granted)
        for warning in warnings:
            self.get_logger().warning(warning)

    def _warn(self, about: str, warnings: tuple[str, ...]) -> None:
        self._reporter.monitor.warn(about, warnings)
        for warning in warnings:
            self.get_logger().warning(warning)

    def _on_ended(self) -> None:
        """Let the executor tidy up after a control loop; called by the thread that ended it."""
        if self.executor:
            self.executor.create_task(self._tidy_up)

    def _tidy_up(self) -> None:
        """Leave the state active if the control loop has ended by itself, and braked already."""
        loop = self._assembly.loop
        if loop is not None and loop.failure is not None:
            trace = "".join(traceback.format_exception(loop.failure))
            rest = "the robot was brought to rest" if loop.braked else "THE ROBOT COULD NOT BE BRAKED"
            self.get_logger().fatal(f"The control loop failed; {rest}.\n{trace}")
            self.trigger_deactivate()

    def _on_autostart_timer(self) -> None:
        if self._assembly.session is None and self.trigger_configure() != SUCCESS:
            self.get_logger().error("Autostart gave up: the node is not configured. Mend the cause and configure it.")
            self._autostart.cancel()
        elif self._assembly.loop is not None or self.trigger_activate() == SUCCESS:
            self._autostart.cancel()

    def _on_time_jump(self, jump: Any) -> None:
        self.get_logger().warning("The clock jumped back or changed; inputs from before are dropped.")
        if robot := self._assembly.robot:
            robot.forget()

    def _check_parameters(self, parameters: list[Any]) -> SetParametersResult:
        problems = [check_parameter(parameter.name, parameter.value) for parameter in parameters]
        if self._assembly.session and any(parameter.name == "use_sim_time" for parameter in parameters):
            problems.append("'use_sim_time' cannot change while the node is configured; clean it up first")
        reason = "; ".join(problem for problem in problems if problem)
        return SetParametersResult(successful=not reason, reason=reason)
