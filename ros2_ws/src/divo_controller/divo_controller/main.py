"""The command `divo-controller`: starts the node, keeps it running, and stops the robot before the process ends."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import fields
from threading import Event, Thread
from typing import Any

from divo_controller.parameters import Parameters, parse_arguments
from divo_controller.ros_packages import RosPackageError, require_modules

STOP_SIGNALS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
"""The last one comes when a terminal is closed or a connection breaks."""
WATCH_PERIOD_S = 0.5
"""How often the main thread looks whether the executor is still alive."""
STUCK_S, LOST_S = 2.0, 10.0
"""After so long an executor that should end is taken for stuck, and the robot stopped without it; then it is left."""

EPILOG = """
Every option is a ROS parameter of the node too, and ROS's own arguments follow after --ros-args:

  divo-controller --bundle bundles/arm_reach --autostart true
  divo-controller --ros-args -p bundle:=bundles/arm_reach -p autostart:=true -r __ns:=/left_arm
  divo-controller --ros-args --params-file config/arm_reach.yaml -r joint_states:=/franka/joint_states

Without autostart the node waits to be configured and activated, by a lifecycle manager or by hand:

  ros2 lifecycle set /divo_controller configure
  ros2 lifecycle set /divo_controller activate

Topics and services: ~/status ~/timing ~/policy_metadata ~/is_active, with --shadow true ~/shadow_command
~/divergence; ~/reset_fault ~/emergency_stop ~/reload; it listens to emergency_stop (std_msgs/Empty). The topics of the
robot are named by the bundle's contract. SIGINT, SIGTERM and SIGHUP bring the robot to rest first.
docs/controller.md explains all of them. This is not functional safety: the hardware emergency stop has the last word.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the node until SIGINT, SIGTERM or SIGHUP.

    Args:
        arguments: Command line without the program's name; that of the process by default.

    Returns:
        0 after a clean stop, 1 if the executor failed, 2 if the node cannot be started as asked.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    split = arguments.index("--ros-args") if "--ros-args" in arguments else len(arguments)
    parser = _make_parser()
    given = {name: text for name, text in vars(parser.parse_args(arguments[:split])).items() if text is not None}
    try:
        overrides = parse_arguments(given)
        require_modules()
    except (ValueError, RosPackageError) as error:
        sys.stderr.write(f"divo-controller: {error}\n")
        return 2
    return _run(overrides, arguments[split:])


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="divo-controller",
        description="Runs an exported DIVO policy on a robot as a ROS 2 lifecycle node, behind a safety gate.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    for item in fields(Parameters):
        about = item.metadata
        choices = f" One of {', '.join(about['choices'])}." if about["choices"] else ""
        limits = f" {about['low']} to {about['high']}." if about["low"] is not None else ""
        default = str(item.default).lower() if isinstance(item.default, bool) else repr(item.default)
        text = f"{about['description']}{choices}{limits} Default: {default}."
        kind = type(item.default).__name__
        parser.add_argument(f"--{item.name.replace('_', '-')}", dest=item.name, metavar=kind, help=text)
    return parser


def _run(overrides: dict[str, Any], ros_arguments: list[str]) -> int:
    # Imported late, so that --help and the error about missing packages need no ROS.
    import rclpy
    from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.parameter import Parameter
    from rclpy.signals import SignalHandlerOptions

    from divo_controller.node import ControllerNode

    # Blocked before any thread exists, the signals are blocked in all of them and wait for `sigtimedwait` below: the
    # robot is stopped by ordinary code, not inside a signal handler, and ROS stays up until that is done.
    ends = {number for number in STOP_SIGNALS if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN}
    for number in ends:  # with nohup, a terminal that closes is to change nothing
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    rclpy.init(args=ros_arguments, signal_handler_options=SignalHandlerOptions.NO)
    parameters = [Parameter(name, value=value) for name, value in overrides.items()]
    try:
        node = ControllerNode(parameter_overrides=parameters)
    except (InvalidParameterTypeException, InvalidParameterValueException) as error:
        sys.stderr.write(f"divo-controller: {error}\n")
        rclpy.shutdown()
        return 2

    # Not rclpy's EventsExecutor: that of the pip wheels of 9.1.2 keeps a core busy and calls no timer.
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    stopping = Event()

    def move_messages() -> None:
        while not stopping.is_set():
            executor.spin_once()

    messages = Thread(target=move_messages, name="executor", daemon=True)
    messages.start()
    while messages.is_alive() and signal.sigtimedwait(ends, WATCH_PERIOD_S) is None:
        pass
    failed = not messages.is_alive()
    executor.create_task(stopping.set)  # a callback, since waking alone does not end `spin_once`
    messages.join(STUCK_S)
    if messages.is_alive():
        node.stop_robot()
        messages.join(LOST_S)
    if messages.is_alive():
        sys.stderr.write("divo-controller: The executor does not end; the robot was stopped without it.\n")
        os._exit(1)  # what frees the node would wait for the executor
    node.stop()
    executor.shutdown()
    node.destroy_node()
    rclpy.shutdown()
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
