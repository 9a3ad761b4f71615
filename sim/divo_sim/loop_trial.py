"""A controller and a simulated robot as two processes on a private ROS domain, playing episodes one after the other.

The controller is configured once and activated for each episode, as on a robot. Nothing of the policy runs here: this
process sets up the scene, waits for the robot's record of the episode, and takes down what the controller says about
its cycles.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

from divo_runtime.bundle.ports import PolicyRole
from divo_sim.loop_episode import LoopEpisode, Timing, read_episode
from divo_sim.program import Program, ProgramError
from divo_sim.ros_client import NoAnswerError, RosClient

START_TIMEOUT_S = 30.0
"""Until a process has imported everything and answers, and until a bundle is verified, loaded and warm [s]."""
ANSWER_TIMEOUT_S = 5.0
EPISODE_TIMEOUT_S = 20.0
"""The longest episode has 120 periods of 50 ms."""
LATE_TIMINGS_S = 0.01
"""The last cycle's times can arrive after the answer that the controller is inactive [s]."""
ACTIVATIONS, ACTIVATION_PAUSE_S = 50, 0.2
"""Discovery between two processes can take seconds on a busy machine."""
ROBOT, CONTROLLER = "simulated robot", "controller"
NODES = {ROBOT: "divo_robot", CONTROLLER: "divo_controller"}


class LoopTrial:
    """Robot and controller, running. Use it in a `with` statement, which stops both.

    Args:
        bundle: Bundle folder.
        policy: Which of its policies.
        domain: ROS domain of the two processes and this one.
        logs: Folder for the processes' output.
    """

    def __init__(self, bundle: Path, policy: PolicyRole, domain: int, logs: Path) -> None:
        self._arguments = {
            ROBOT: ["divo_sim.robot_node"],
            CONTROLLER: ["divo_controller.main", "--bundle", str(bundle.resolve()), "--policy", policy],
        }
        self._domain = domain
        self._logs = {ROBOT: logs / f"robot-{policy}.log", CONTROLLER: logs / f"controller-{policy}.log"}
        self._programs: dict[str, Program] = {}
        self._cleanup = ExitStack()
        self._records: list[dict[str, Any]] = []
        self._timings: list[Timing] = []
        self._goal_ns = 0

    def __enter__(self) -> LoopTrial:
        """Start both processes and configure the controller.

        Raises:
            RosError: If rclpy cannot be imported.
            ProgramError: If a process ends, does not answer in time, or refuses the bundle; it shows the log.
        """
        try:
            self._start()
        except BaseException:
            self._kill()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Stop both processes, the controller first, so that it brings the arm to rest.

        Raises:
            ProgramError: If one does not end cleanly, unless another error is already on its way.
        """
        try:
            for name in (CONTROLLER, ROBOT):
                self._programs[name].stop()
        except ProgramError:
            if error is None:
                raise
        finally:
            self._kill()

    def play(self, seed: int) -> LoopEpisode:
        """Play one episode.

        Raises:
            ProgramError: If a process ended, or the episode did not begin or end in time; it shows the log.
        """
        from std_srvs.srv import Trigger

        first = len(self._timings)
        for name in (ROBOT, CONTROLLER):
            self._set_seed(name, seed)
        self._ask(ROBOT, Trigger, "divo_robot/reset", Trigger.Request())
        placed_ns = self._client.now_ns()
        self._wait(ROBOT, lambda: self._goal_ns > placed_ns, "the new scene", ANSWER_TIMEOUT_S)
        faults = self._activate()
        self._wait(ROBOT, lambda: self._recorded(seed), f"the end of episode {seed}", EPISODE_TIMEOUT_S)
        self._demand("deactivate")
        self._client.take_in(LATE_TIMINGS_S)
        return read_episode(self._records[-1], faults, self._timings[first:])

    def _start(self) -> None:
        environment = {name: value for name, value in os.environ.items() if name != "ROS_LOCALHOST_ONLY"}
        environment["ROS_DOMAIN_ID"] = str(self._domain)
        environment["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
        self._set_environment(environment)
        self._client = RosClient("divo_validation", self._domain, self._check_alive)
        self._cleanup.callback(self._client.close)
        self._subscribe()
        for name, arguments in self._arguments.items():
            self._programs[name] = Program(name, arguments, environment, self._logs[name])
            self._cleanup.callback(self._programs[name].kill)
        self._wait(ROBOT, lambda: self._goal_ns, "the first goal message", START_TIMEOUT_S)
        self._demand("configure", START_TIMEOUT_S)

    def _set_environment(self, wanted: dict[str, str]) -> None:
        """Give this process the range of discovery too, which ROS reads from the environment alone, until the end."""
        before = {name: os.environ.get(name) for name in ("ROS_AUTOMATIC_DISCOVERY_RANGE", "ROS_LOCALHOST_ONLY")}

        def put_back() -> None:
            for name, value in before.items():
                os.environ.pop(name, None)
                if value is not None:
                    os.environ[name] = value

        self._cleanup.callback(put_back)
        os.environ.pop("ROS_LOCALHOST_ONLY", None)
        os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = wanted["ROS_AUTOMATIC_DISCOVERY_RANGE"]

    def _subscribe(self) -> None:
        from geometry_msgs.msg import PointStamped
        from rclpy.qos import DurabilityPolicy, QoSProfile
        from std_msgs.msg import Float64MultiArray, String

        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._client.subscribe(
            String, "divo_robot/episode", lambda m: self._records.append(json.loads(m.data)), latched
        )
        deep = QoSProfile(depth=1000)
        self._client.subscribe(Float64MultiArray, "divo_controller/timing", self._on_timing, deep)
        self._client.subscribe(PointStamped, "goal", self._on_goal, QoSProfile(depth=1))

    def _on_timing(self, message: Any) -> None:
        names = message.layout.dim[0].label.split(",")
        self._timings.append(dict(zip(names, message.data, strict=True)))

    def _on_goal(self, message: Any) -> None:
        self._goal_ns = message.header.stamp.sec * 1_000_000_000 + message.header.stamp.nanosec

    def _recorded(self, seed: int) -> bool:
        return bool(self._records) and self._records[-1]["seed"] == seed

    def _set_seed(self, name: str, seed: int) -> None:
        """Give a node the seed of the next episode: the robot's scene, the controller's noise."""
        from rcl_interfaces.srv import SetParameters
        from rclpy.parameter import Parameter

        request = SetParameters.Request(parameters=[Parameter("seed", value=seed).to_parameter_msg()])
        (result,) = self._ask(name, SetParameters, f"{NODES[name]}/set_parameters", request).results
        if not result.successful:
            raise self._programs[name].failure(f"The {name} refuses the seed {seed}.", result.reason)

    def _activate(self) -> int:
        """Activate the controller, resetting a fault that the last episode left; return how many there were."""
        from std_srvs.srv import Trigger

        faults = 0
        for _ in range(ACTIVATIONS):
            if self._change_state("activate"):
                return faults
            # Refused for input that is missing or stale, or for a latched fault: an operator would look and reset it.
            faults += self._ask(CONTROLLER, Trigger, "divo_controller/reset_fault", Trigger.Request()).success
            self._client.take_in(ACTIVATION_PAUSE_S)
        raise self._programs[CONTROLLER].failure(
            "The controller refuses to become active.", f"{ACTIVATIONS} refusals in a row"
        )

    def _demand(self, transition: str, timeout_s: float = ANSWER_TIMEOUT_S) -> None:
        if not self._change_state(transition, timeout_s):
            raise self._programs[CONTROLLER].failure(
                f"The controller failed to {transition}.", "a refused transition", "Read its log for the reason."
            )

    def _change_state(self, transition: str, timeout_s: float = ANSWER_TIMEOUT_S) -> bool:
        from lifecycle_msgs.msg import Transition
        from lifecycle_msgs.srv import ChangeState

        number = getattr(Transition, f"TRANSITION_{transition.upper()}")
        request = ChangeState.Request(transition=Transition(id=number))
        return bool(self._ask(CONTROLLER, ChangeState, "divo_controller/change_state", request, timeout_s).success)

    def _ask(self, name: str, kind: Any, service: str, request: Any, timeout_s: float = ANSWER_TIMEOUT_S) -> Any:
        try:
            return self._client.call(kind, service, request, timeout_s)
        except NoAnswerError as error:
            raise self._programs[name].failure(str(error), "no answer") from error

    def _wait(self, name: str, condition: Callable[[], object], what: str, timeout_s: float) -> None:
        try:
            self._client.wait_for(condition, what, timeout_s)
        except NoAnswerError as error:
            raise self._programs[name].failure(str(error), "nothing of it") from error

    def _check_alive(self) -> None:
        for program in self._programs.values():
            program.check_alive()

    def _kill(self) -> None:
        """Free everything; processes that have ended are left alone."""
        self._cleanup.close()
