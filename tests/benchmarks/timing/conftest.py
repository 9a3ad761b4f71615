"""Four cycles of a node at 200 Hz, and summaries of such blocks, with numbers that can be worked out by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.timing.samples import Recording, join
from benchmarks.timing.summary import Summary, summarize

NOW_S = 1_800_000_000.0
MS = 1_000_000
NOW_NS = 1_800_000_000 * 1000 * MS


@pytest.fixture
def now_ns() -> int:
    """When the first cycle of `recording` began, in system time."""
    return NOW_NS


@pytest.fixture
def recording() -> Callable[..., Recording]:
    """Four cycles of 5 ms, perhaps with changes; the command of the second did not arrive."""
    return _recording


@pytest.fixture
def summaries() -> dict[str, Summary]:
    """A cell of each kind that the headline is made of."""
    block = join(_recording(), 1, 4, 5000.0)
    slow = replace(block, end_to_end=block.end_to_end * 1.25, reaction=block.reaction * 2, missed=3, stolen=1)
    cold = [replace(block, compute=np.array([900.0, 100.0]))]
    return {
        "200hz-actor-idle": summarize([slow, slow], cold, 8),
        "200hz-noop-idle": summarize([block], cold, 4),
        "200hz-actor-loaded": summarize([replace(slow, missed=2)], cold, 4),
        "1000hz-actor-idle": summarize([replace(block, period_error=np.array([400.0]))], cold, 4),
    }


def _recording(**changes: object) -> Recording:
    begun_s = NOW_S + 0.005 * np.arange(4)
    fields = {
        "cycle": np.array([1.0, 2.0, 3.0, 4.0]),
        "time_s": begun_s,
        "newest_age_ms": np.array([1.0, 2.0, 3.0, 4.0]),
        "lateness_us": np.array([10.0, 20.0, 30.0, 40.0]),
        "policy_us": np.array([50.0, 60.0, 70.0, 80.0]),
        "total_us": np.array([300.0, 300.0, 300.0, 300.0]),
        "missed": np.array([0.0, 0.0, 1.0, 1.0]),
    }
    sent_ns = NOW_NS + np.array([0, 10, 15]) * MS + MS // 4  # a quarter of a millisecond after the cycle began
    given = {
        "timing": fields,
        "sequence": np.array([1, 3, 4]),
        "sent_ns": sent_ns,
        "received_ns": sent_ns + np.array([100_000, 200_000, 300_000]),
        "status": {"count.holds": "2", "count.trips": "1"},
    }
    return Recording(**{**given, **changes})
