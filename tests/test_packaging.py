from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pytest brings it there

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
SCRIPTS = PROJECT["project"]["scripts"]
ENVIRONMENTS = PROJECT["project"]["entry-points"]["gymnasium.envs"]


def resolve(reference):
    module, _, name = reference.partition(":")
    return getattr(importlib.import_module(module), name)


@pytest.mark.parametrize("command", sorted(SCRIPTS))
def test_every_command_starts_a_function(command):
    if command == "divo-controller":
        pytest.importorskip("rclpy")
    assert callable(resolve(SCRIPTS[command]))


@pytest.mark.parametrize("group", sorted(ENVIRONMENTS))
def test_gymnasium_finds_the_environments(group):
    assert callable(resolve(ENVIRONMENTS[group]))


def test_every_package_of_the_wheel_is_there_and_imports_under_its_name():
    for package in PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]:
        assert (ROOT / package / "__init__.py").exists(), package
        module = importlib.import_module(Path(package).name)
        assert Path(module.__file__).parent == ROOT / package


def test_the_version_is_one():
    import divo_runtime

    assert PROJECT["tool"]["hatch"]["version"]["path"] == "divo_runtime/__init__.py"
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", divo_runtime.__version__)
