"""The contracts of the simulated tasks, as packaged data."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from divo_runtime.contract import Contract
from divo_runtime.schema import parse_yaml


def arm_reach_text() -> str:
    """Return the YAML text of the arm task's contract."""
    return (files(__name__) / "arm_reach.yaml").read_text(encoding="utf-8")


@cache
def arm_reach_contract() -> Contract:
    """Return the contract of `divo/ArmReach-v0`."""
    return parse_yaml(arm_reach_text(), Contract, "arm_reach.yaml")
