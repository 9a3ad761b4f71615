"""The contracts of the simulated tasks, as packaged data."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import yaml

from divo_runtime.contract import Contract
from divo_runtime.schema import parse_yaml


def arm_reach_text() -> str:
    """Return the YAML text of the arm task's contract."""
    return _read("arm_reach.yaml")


@cache
def arm_reach_contract() -> Contract:
    """Return the contract of `divo/ArmReach-v0`."""
    return parse_yaml(arm_reach_text(), Contract, "arm_reach.yaml")


def base_maze_text() -> str:
    """Return the YAML text of the maze task's contract, which names the medium map."""
    return _read("base_maze.yaml")


@cache
def base_maze_contract() -> Contract:
    """Return the contract of the maze task."""
    return parse_yaml(base_maze_text(), Contract, "base_maze.yaml")


def name_environment(text: str, environment: str) -> str:
    """Return a contract's text with another environment in it, and everything else as it is, comments too."""
    return text.replace(str(yaml.safe_load(text)["environment"]), environment, 1)


def _read(name: str) -> str:
    return (files(__name__) / name).read_text(encoding="utf-8")
