"""`divo-controller` without a robot: help, mistakes, and a Python without ROS."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields

import pytest

from divo_controller.main import main
from divo_controller.parameters import Parameters, check_parameter, parse_arguments

WITHOUT_PACKAGE = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Blocker())
from divo_controller.main import main
raise SystemExit(main([]))
"""


@pytest.mark.parametrize(
    ("blocked", "hints"),
    [
        (("sensor_msgs",), ['pip install "ros-sensor-msgs"', "source /opt/ros/"]),
        (("rclpy", "std_srvs"), ['"ros-kilted-rclpy[fastrtps]" "ros-std-srvs"']),
    ],
)
def test_says_what_to_install_where_ros_is_not_complete(blocked, hints):
    program = WITHOUT_PACKAGE.format(blocked=blocked)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    for hint in hints:
        assert hint in done.stderr


def test_help_needs_no_ros_and_explains_every_parameter():
    program = WITHOUT_PACKAGE.format(blocked=("rclpy",)).replace("main([])", "main(['--help'])")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 0
    for item in fields(Parameters):
        assert f"--{item.name.replace('_', '-')}" in done.stdout
    assert "--ros-args -p bundle:=" in done.stdout


def test_a_wrong_option_ends_with_exit_code_2_and_what_is_expected(capsys):
    assert main(["--threads", "0"]) == 2
    assert "'threads' expects 1 to 64, got 0" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("threads", 0, "'threads' expects 1 to 64, got 0"),
        ("threads", "many", "'threads' expects int, got 'many'"),
        ("status_rate_hz", 1000.0, "'status_rate_hz' expects 1.0 to 100.0, got 1000.0"),
        ("autostart", 1, "'autostart' expects bool, got 1"),
        ("bundle", "/no/such/folder", "'bundle' expects an existing folder, got '/no/such/folder'"),
        ("policy", "sampler_k2", ""),
        ("policy", "auto", ""),
        ("policy", "two words", "'policy' expects auto or the name of a policy, got 'two words'"),
        ("stall_timeout_ms", 5.0, "'stall_timeout_ms' expects 10.0 to 10000.0, got 5.0"),
        ("use_sim_time", True, ""),
    ],
)
def test_parameters_are_refused_with_a_reason(name, value, reason):
    assert check_parameter(name, value) == reason


def test_command_line_texts_become_typed_values():
    given = {"policy": "sampler", "autostart": "True", "threads": "2", "status_rate_hz": "5"}

    assert parse_arguments(given) == {"policy": "sampler", "autostart": True, "threads": 2, "status_rate_hz": 5.0}
    with pytest.raises(ValueError, match="'autostart' expects true or false, got 'maybe'"):
        parse_arguments({"autostart": "maybe"})
    with pytest.raises(ValueError, match="'seed' expects int, got 'x'"):
        parse_arguments({"seed": "x"})
