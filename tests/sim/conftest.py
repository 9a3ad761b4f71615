from __future__ import annotations

from collections.abc import Iterator

import pytest

from divo_sim.arm_reach import ArmReach


@pytest.fixture(scope="session")
def environment() -> Iterator[ArmReach]:
    """One environment for all tests: what a test left behind must not matter after a reset."""
    environment = ArmReach()
    yield environment
    environment.close()
