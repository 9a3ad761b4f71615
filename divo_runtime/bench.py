"""How long a policy takes per action. Inference only: no messages, no safety gate, no waiting between calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from divo_runtime.interfaces import Policy
from divo_runtime.observation import FloatArray
from divo_runtime.timing.latency import LatencyRing, Percentiles


def measure_policy(
    policy: Policy, observation: FloatArray, rng: np.random.Generator, timer: Callable[[], int], calls: int, warmup: int
) -> Percentiles:
    """Time `act` call by call.

    Args:
        policy: What to time.
        observation: (obs_dim,) float32, a typical one.
        rng: Source of the noise; drawing it is not timed.
        timer: Monotonic clock [ns].
        calls: Timed calls, >= 1.
        warmup: Calls before that, not timed.
    """
    ring = LatencyRing(calls)
    for call in range(-warmup, calls):
        noise = rng.standard_normal(policy.noise_shape, dtype=np.float32)
        begun = timer()
        policy.act(observation, noise)
        taken = timer() - begun
        if call >= 0:
            ring.add(taken)
    return ring.percentiles()


def measure_in_turns(
    contestants: Mapping[str, Callable[[], object]],
    timer: Callable[[], int],
    calls: int,
    block: int = 50,
    warmup: int = 5,
) -> dict[str, Percentiles]:
    """Time several things in turns, so that whatever else the machine does hits all of them alike.

    Args:
        contestants: Name -> what to time.
        timer: Monotonic clock [ns].
        calls: Timed calls of each, >= 1.
        block: Timed calls of one before it is the next one's turn, >= 1.
        warmup: Calls at the beginning of each block, not timed: another's data lie in the caches.

    Returns:
        Name -> how its calls were distributed.
    """
    rings = {name: LatencyRing(calls) for name in contestants}
    for done in range(0, calls, block):
        for name, call in contestants.items():
            ring = rings[name]
            for turn in range(-warmup, min(block, calls - done)):
                begun = timer()
                call()
                taken = timer() - begun
                if turn >= 0:
                    ring.add(taken)
    return {name: ring.percentiles() for name, ring in rings.items()}


def latency_table(rows: Sequence[tuple[str, Percentiles]]) -> str:
    """Return a table of latencies in microseconds, one row per name."""
    width = max(len("policy"), *(len(name) for name, _ in rows))
    lines = [f"{'policy':<{width}} {'p50':>10} {'p99':>10} {'p99.9':>10} {'max':>10} {'calls':>9}   [us]"]
    for name, p in rows:
        cells = " ".join(f"{ns / 1e3:>10.1f}" for ns in (p.p50, p.p99, p.p999, p.max))
        lines.append(f"{name:<{width}} {cells} {p.count:>9}")
    return "\n".join(lines)
