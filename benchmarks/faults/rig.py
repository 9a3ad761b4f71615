"""Node, robot and observer as processes on a ROS domain of their own, and what is asked of the node."""

from __future__ import annotations

import importlib
import os
import shutil
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

from benchmarks.faults.child import Child
from benchmarks.faults.contract import fault_contract
from benchmarks.faults.networks import write_fault_bundle
from divo_sim.ros_client import RosClient

ROOT = Path(__file__).resolve().parents[2]
NODE = "divo_controller"
READY_S = 30.0
"""Until a node that was just started commands; seconds on a busy machine."""

START_S = 10.0
"""As long as a node may take to start by itself, no one helps."""

ANSWER_S = 10.0
POLL_S = 0.01
STATUS_HZ = 100


class Rig:
    """Everything that one series of faults needs. Use it as a context manager.

    Args:
        work: Folder for bundle, logs and recordings; it may hold the leavings of another rig.
        domain: ROS domain.
        kind: `plain`, `recording` or `simulated time`.
    """

    def __init__(self, work: Path, domain: int, kind: str = "plain") -> None:
        self.work, self.kind, self._domain = work, kind, domain
        for leaving in ("bundles", "pristine", "spare", "recording"):
            shutil.rmtree(work / leaving, ignore_errors=True)
        self.bundle = write_fault_bundle(work / "bundles", fault_contract())
        self.pristine = work / "pristine"
        shutil.copytree(self.bundle, self.pristine)
        self.spare = write_fault_bundle(work / "spare", fault_contract(), gain=1.0)
        """Another bundle of the same name and contract."""
        self.recording = work / "recording" / "faults.mcap"
        self._environment = _environment(domain)
        self.crashes = 0
        self.observer = Child("observer", ["benchmarks.faults.observer"], self._environment, work / "observer.log")
        self.robot = self._start_robot()
        self.node = self._start_node()
        self._met = False
        self._client = self._open_client()

    def __enter__(self) -> Rig:
        self.settle()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End all processes."""
        self._client.close()
        self.node.stop()
        self.robot.stop()
        self.observer.stop()

    def restart_robot(self) -> None:
        """Start another robot in the place of one that was killed."""
        self.robot = self._start_robot()

    def restart_node(self) -> None:
        """Start another node in the place of one that has ended."""
        self.node = self._start_node()
        self._client.close()
        self._client = self._open_client()  # the old one still takes the dead node's services for alive

    def look(self) -> dict[str, Any]:
        """Return what the observer has seen."""
        return self.observer.ask(do="look")

    def wait_for(
        self, condition: Callable[[dict[str, Any]], object], timeout_s: float, poll_s: float = POLL_S
    ) -> tuple[dict[str, Any], bool]:
        """Look until a condition on what the observer has seen holds; return the last look and whether it did."""
        deadline_s = time.monotonic() + timeout_s
        while True:
            look = self.look()
            if condition(look):
                return look, True
            if time.monotonic() > deadline_s:
                return look, False
            time.sleep(poll_s)

    def settle(self) -> None:
        """Bring the node to where the policy commands, whatever state it is in.

        Raises:
            ChildError: If that cannot be done.
        """
        deadline_s = time.monotonic() + READY_S
        while time.monotonic() < deadline_s:
            if not self.robot.alive:
                self.restart_robot()
            if not self.node.alive:
                self.crashes += 1
                self.restart_node()
            begun_ns = time.time_ns()
            look, well = self.wait_for(partial(_runs, begun_ns), 1.0)
            if well:
                if not self._met:  # finding a service takes a second sometimes, which is nobody's fault
                    self.reset()
                    self._met = True
                return
            if time.monotonic() < self._node_started_s + START_S:
                continue  # it starts by itself, as `autostart` says
            if look["mode"] in ("fault", "inactive"):
                self.reset()
            if look["mode"] == "inactive":
                self.activate()
        raise self.node.failure(f"the policy does not command; {self.look()}")

    def reset(self) -> tuple[bool, str]:
        """Ask for a reset; return whether it was granted, and what was said."""
        return self._trigger("reset_fault")

    def reload(self) -> tuple[bool, str]:
        """Ask for a reload of the bundle."""
        return self._trigger("reload")

    def activate(self) -> bool:
        """Ask for the state active."""
        kind = _service("lifecycle_msgs", "ChangeState")
        request = kind.Request()
        request.transition.id = 3
        return bool(self._client.call(kind, f"{NODE}/change_state", request, ANSWER_S).success)

    def resident_bytes(self) -> int:
        """Return how much memory the node's process has."""
        try:
            pages = int(Path(f"/proc/{self.node.pid}/statm").read_text(encoding="ascii").split()[1])
        except (OSError, IndexError) as error:
            raise self.node.failure("its memory cannot be read") from error
        return pages * os.sysconf("SC_PAGE_SIZE")

    def _trigger(self, name: str) -> tuple[bool, str]:
        kind = _service("std_srvs", "Trigger")
        answer = self._client.call(kind, f"{NODE}/{name}", kind.Request(), ANSWER_S)
        return bool(answer.success), str(answer.message)

    def _open_client(self) -> RosClient:
        self._met = False
        return RosClient("fault_bench", self._domain, lambda: None)

    def _start_robot(self) -> Child:
        arguments = ["benchmarks.faults.robot", *(["--simulated"] if self.kind == "simulated time" else [])]
        return Child("robot", arguments, self._environment, self.work / "robot.log")

    def _start_node(self) -> Child:
        arguments = ["divo_controller.main", "--bundle", str(self.bundle), "--autostart", "true"]
        arguments += ["--status-rate-hz", str(STATUS_HZ)]
        self._node_started_s = time.monotonic()
        if self.kind == "recording":
            self.recording.unlink(missing_ok=True)
            arguments += ["--record", str(self.recording)]
        if self.kind == "simulated time":
            arguments += ["--ros-args", "-p", "use_sim_time:=true"]
        return Child("node", arguments, self._environment, self.work / "node.log", orders=False)


def _runs(since_ns: int, look: dict[str, Any]) -> bool:
    """Return whether the policy has full authority, as of a status after `since_ns`, and commands."""
    return look["mode"] == "running" and look["status_ns"] > since_ns and look["sent_ns"] > since_ns


def _service(package: str, name: str) -> Any:
    return getattr(importlib.import_module(f"{package}.srv"), name)


def _environment(domain: int) -> dict[str, str]:
    environment = {name: value for name, value in os.environ.items() if name != "ROS_LOCALHOST_ONLY"}
    path = os.pathsep.join(part for part in (str(ROOT), environment.get("PYTHONPATH", "")) if part)
    return environment | {
        "PYTHONPATH": path,
        "ROS_DOMAIN_ID": str(domain),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
    }
