"""Play a bundle's policy in the gymnasium environment of its contract, without ROS.

What the path over ROS is measured against: the same physics, seeds and networks, and no time that passes while the
policy thinks.
"""

from __future__ import annotations

import importlib
import os
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from divo_runtime.bundle import load_bundle
from divo_runtime.interfaces import Policy
from divo_runtime.ports import PolicyRole
from divo_sim.outcomes import Outcome

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


def play_episode(environment: gymnasium.Env[Any, Any], policy: Policy, seed: int) -> Outcome:
    """Play one episode; environment and noise are functions of `seed`."""
    observation, info = environment.reset(seed=seed)
    rng = np.random.default_rng([seed, 1])
    total, over = 0.0, False
    path: list[tuple[float, ...]] = []
    while not over:
        action = policy.act(observation, rng.standard_normal(policy.noise_shape, dtype=np.float32)).action
        observation, reward, terminated, truncated, info = environment.step(action)
        total, over = total + float(reward), terminated or truncated
        path.append(tuple(float(x) for x in info["tool_position"]))
    success, clean, route = bool(info["success"]), bool(info["collision_free"]), int(info["route"])
    return Outcome(seed, success, clean, route, total, len(path), tuple(path))


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
        environment = gymnasium.make(bundle.contract.environment)
        try:
            return [play_episode(environment, policy, seed) for seed in seeds]
        finally:
            environment.close()
