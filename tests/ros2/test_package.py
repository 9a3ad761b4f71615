"""The ROS package as files: manifest, launch file, parameter file, and a real colcon build."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from divo_controller.parameters import Parameters, check_parameter
from divo_controller.ros_packages import NODE_MODULES
from divo_runtime import __version__

PACKAGE = Path(__file__).parents[2] / "ros2_ws" / "src" / "divo_controller"
LAUNCH = PACKAGE / "launch" / "controller.launch.py"


def test_the_manifest_depends_on_every_ros_package_that_the_node_imports():
    root = ElementTree.parse(PACKAGE / "package.xml").getroot()
    depends = {element.text for element in root.findall("exec_depend")}
    imported = {module.partition(".")[0] for module in NODE_MODULES}

    assert root.get("format") == "3"
    assert root.findtext("name") == "divo_controller"
    assert root.findtext("license") == "Apache-2.0"
    assert root.findtext("export/build_type") == "ament_python"
    assert imported <= depends
    assert {"launch", "launch_ros"} <= depends


def test_one_version_everywhere():
    root = ElementTree.parse(PACKAGE / "package.xml").getroot()

    assert root.findtext("version") == __version__
    assert f'version="{__version__}"' in (PACKAGE / "setup.py").read_text()


def test_the_launch_file_compiles_and_passes_on_only_parameters_that_exist():
    tree = ast.parse(LAUNCH.read_text())
    compile(tree, str(LAUNCH), "exec")
    declared = {
        node.args[0].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "DeclareLaunchArgument"
    }
    overrides = next(
        {key.value for key in node.value.keys}
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and node.targets[0].id == "OVERRIDES"
    )

    own = {"namespace", "params_file", "log_level"}
    assert declared == own | {"bundle", "policy", "autostart", "shadow", "use_sim_time"}
    assert overrides <= declared
    assert overrides - {"use_sim_time"} <= {item.name for item in fields(Parameters)}


def test_the_parameter_file_names_every_parameter_with_a_value_it_accepts():
    given = yaml.safe_load((PACKAGE / "config" / "arm_reach.yaml").read_text())["/**"]["ros__parameters"]

    assert set(given) == {item.name for item in fields(Parameters)}
    assert [check_parameter(name, value) for name, value in given.items()] == [""] * len(given)
    assert given == {item.name: item.default for item in fields(Parameters)}  # none moves a robot by itself


def test_colcon_builds_and_installs_the_package(tmp_path):
    if not shutil.which("colcon", path=str(Path(sys.executable).parent)):
        pytest.skip("colcon is not installed")
    leftovers = shutil.ignore_patterns("__pycache__", "build", "*.egg-info")
    shutil.copytree(PACKAGE, tmp_path / "src" / "divo_controller", ignore=leftovers)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    built = subprocess.run(
        ["colcon", "build", "--packages-select", "divo_controller"],
        cwd=tmp_path,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert built.returncode == 0, built.stderr
    installed = tmp_path / "install" / "divo_controller"
    share = installed / "share" / "divo_controller"
    assert (installed / "lib" / "divo_controller" / "divo_controller").is_file()
    assert (share / "package.xml").is_file()
    assert (share / "launch" / "controller.launch.py").is_file()
    assert (share / "config" / "arm_reach.yaml").is_file()
    assert (installed / "share" / "ament_index" / "resource_index" / "packages" / "divo_controller").is_file()
