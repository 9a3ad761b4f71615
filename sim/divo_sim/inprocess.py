"""Play a bundle's policy on the simulated robot without ROS.

What the path over ROS is measured against: the same physics, controller, safety gate, seeds and noise, but no messages,
no second process, and no time that passes between measuring and commanding.
"""

from __future__ import annotations

import importlib
import os
import signal
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from divo_runtime.bundle.loading import load_bundle
from divo_runtime.bundle.ports import PolicyRole
from divo_runtime.contract import Contract
from divo_runtime.controller import Controller
from divo_runtime.errors import DivoError
from divo_runtime.interfaces import Policy
from divo_runtime.observation import Measurement
from divo_runtime.safety.guards import Guard, open_guard
from divo_sim.arm_body import simulated_arm
from divo_sim.arm_scene import PHYSICS_HZ
from divo_sim.outcomes import Outcome
from divo_sim.simulated_robot import SimulatedRobot

BEGIN_NS = 1_000_000_000
"""Time at the begin of an episode [ns]; any will do."""

CHUNK = 5
"""Episodes per task of a worker: few enough for a lively progress bar, enough to pay for loading the bundle."""


def play_in_process(
    bundle: Path, role: PolicyRole, seeds: Sequence[int], workers: int, report: Callable[[Sequence[Outcome]], None]
) -> list[Outcome]:
    """Play one episode per seed, in parallel processes; the result does not depend on their number.

    Args:
        bundle: Bundle folder.
        role: Which of its policies.
        seeds: Seeds of the episodes; the policy's noise is a function of them too.
        workers: Processes, >= 1.
        report: Told after each chunk all episodes so far.
    """
    chunks = [seeds[first : first + CHUNK] for first in range(0, len(seeds), CHUNK)]
    outcomes: list[Outcome] = []
    pool = ProcessPoolExecutor(min(workers, max(len(chunks), 1)), get_context("spawn"), initializer=_prepare_worker)
    try:
        for played in pool.map(partial(_play_chunk, bundle, role), chunks):
            outcomes += played
            report(outcomes)
    finally:
        pool.shutdown(cancel_futures=True)
    return outcomes


def play_episode(
    robot: SimulatedRobot, contract: Contract, policy: Policy, seed: int, guard: Guard | None = None
) -> Outcome:
    """Play one episode; scene and noise are functions of `seed`.

    Args:
        robot: Where to play it; its state before does not matter.
        contract: The robot task.
        policy: What chooses actions.
        seed: Of the episode.
        guard: The guard of the policy's bundle; None for none.

    Raises:
        DivoError: If the controller refuses the simulated robot.
    """
    robot.reset(seed)
    controller = Controller(contract, policy, seed, time.perf_counter_ns, guard)
    now_ns = BEGIN_NS
    if reasons := controller.activate(now_ns, _measure(robot, now_ns)):
        raise DivoError("The controller refuses the simulated robot.", where=f"seed {seed}", got="; ".join(reasons))
    while (record := robot.record) is None:
        output = controller.step(now_ns, _measure(robot, now_ns))
        assert output.command is not None, "an active controller commands"
        robot.command(output.command.tolist())
        for _ in range(round(PHYSICS_HZ / contract.rate_hz)):
            robot.advance()
        now_ns += contract.period_ns
    return record.outcome


def _measure(robot: SimulatedRobot, now_ns: int) -> dict[str, Measurement]:
    return {topic: Measurement(message, now_ns, now_ns) for topic, message in robot.messages(now_ns).items()}


def _prepare_worker() -> None:
    """Leave Ctrl-C to the parent, and keep what PyBullet says at its import out of the parent's progress bar."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    terminal, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        importlib.import_module("pybullet")
    finally:
        os.dup2(terminal, 2)
        os.close(terminal)
        os.close(nowhere)


def _play_chunk(folder: Path, role: PolicyRole, seeds: Sequence[int]) -> list[Outcome]:
    with load_bundle(folder) as bundle:
        policy = bundle.open_policy(role)
        guard = open_guard(bundle)
        robot = simulated_arm(bundle.contract)
        try:
            return [play_episode(robot, bundle.contract, policy, seed, guard) for seed in seeds]
        finally:
            robot.close()
