"""A controller process, and a robot in the test's own process, joined by real DDS in a domain of their own."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from divo_runtime.contract import Contract
from divo_runtime.schema import parse_yaml
from two_joint_robot import CONTRACT, PATIENCE_S, robots_on

FOLLOW_POSITION = np.array([[1.0, 0, 0, 0, 0], [0, 1.0, 0, 0, 0]])
"""A linear policy: each joint's velocity is its own position."""

_domains = itertools.count(os.getpid() * 7)


@pytest.fixture(scope="session")
def contract() -> Contract:
    return parse_yaml(CONTRACT, Contract, "two_joints.yaml")


@pytest.fixture
def domain(monkeypatch):
    number = 1 + next(_domains) % 100
    monkeypatch.setenv("ROS_DOMAIN_ID", str(number))
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    return number


class Process:
    """A program that is stopped by its own pid, gently first."""

    def __init__(self, command: list[str], log: Path) -> None:
        self.log = log
        with log.open("w") as output:
            self._popen = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)

    @property
    def text(self) -> str:
        return self.log.read_text()

    @property
    def exit_code(self) -> int | None:
        return self._popen.poll()

    def interrupt(self, number: signal.Signals = signal.SIGINT) -> None:
        self._popen.send_signal(number)

    def end(self) -> int:
        if self.exit_code is None:
            self.interrupt()
        try:
            return self._popen.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            return self._popen.wait()


@pytest.fixture
def start(domain, tmp_path):
    """Return a function that starts `python -m <arguments>`; what it started is stopped after the test."""
    running: list[Process] = []

    def start_process(*arguments: str) -> Process:
        process = Process([sys.executable, "-m", *arguments], tmp_path / f"process{len(running)}.log")
        running.append(process)
        return process

    yield start_process
    for process in running:
        process.end()
        sys.stdout.write(f"--- {process.log.name}\n{process.text[-4000:]}\n")  # pytest shows it beside a failed test


@pytest.fixture
def robot(domain, contract):
    """Return the robot."""
    with robots_on(domain, contract, ("",)) as (robot,):
        yield robot


@pytest.fixture
def robots(domain, contract):
    """Return two robots, in the namespaces `left_arm` and `right_arm` of one domain."""
    with robots_on(domain, contract, ("left_arm", "right_arm")) as robots:
        yield robots


@pytest.fixture
def bundle(write_tiny_bundle, contract, tmp_path) -> Path:
    return write_tiny_bundle(tmp_path, contract, FOLLOW_POSITION)


@pytest.fixture
def controller(start, bundle) -> Process:
    """Return a controller process with the bundle of the test, not configured yet."""
    return start("divo_controller.main", "--ros-args", "-p", f"bundle:={bundle}")


@pytest.fixture
def with_rate(contract) -> Callable[[float], Contract]:
    return lambda rate_hz: msgspec.structs.replace(contract, rate_hz=rate_hz)
