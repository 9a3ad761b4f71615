"""Fixtures that more than one package's tests use."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def write_tiny_bundle() -> Callable[..., Path]:
    """Return `tests/support/tiny_bundle.py`'s `write_tiny_bundle(folder, contract, action, ...)`."""
    from tiny_bundle import write_tiny_bundle

    return write_tiny_bundle


@pytest.fixture(scope="session")
def arm_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a small real dataset: about 1500 transitions of `mixed-25`."""
    from divo_sim.collect import Recipe, collect

    return collect(Recipe("mixed-25", 1500, seed=5), tmp_path_factory.mktemp("data"), workers=1, report=lambda _: None)
