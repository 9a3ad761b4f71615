"""docs/your-robot.md does what it says: its commands run, on bags that are made here."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from divo_runtime.contract import load_contract
from divo_train.data.minari import load_minari

ROOT = Path(__file__).resolve().parents[1]
GUIDE = ROOT / "docs" / "your-robot.md"
CONTRACTS = ("franka", "ur", "turtlebot")
BLOCK = re.compile(r"^```(?P<kind>\w+)(?P<marks>[^\n]*)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)
TINY = {  # what a command gets in addition, so that the page is run in seconds
    "divo-train import": "--workers 1",
    "divo-train fit": "--value.updates 12 --diffusion.updates 12 --actor.updates 12 --cloning.updates 12 --workers 1 "
    "--network.width 16 --actor.width 16 --optimizer.batch-size 32",
    "divo-export bundle": "--parity-observations 60 --more-steps 2",
}
STORE = get_typestore(Stores.ROS2_JAZZY)
T = STORE.types
S = 1_000_000_000


def blocks():
    """Return (kind, marks, text) of every fenced block."""
    found = []
    for match in BLOCK.finditer(GUIDE.read_text()):
        marks = dict(mark.split("=") for mark in match["marks"].split())
        found.append((match["kind"], marks, match["text"]))
    return found


def shell_lines():
    """Return (command, accepted exit codes) of every line that runs without network, robot and ROS distribution."""
    lines = []
    for kind, marks, text in blocks():
        if kind == "sh" and "needs" not in marks:
            codes = tuple(map(int, marks.get("exit", "0").split(",")))
            lines += [(line, codes) for line in text.splitlines() if line.strip()]
    return lines


def test_what_is_left_out_needs_what_is_not_here():
    needs = {marks["needs"] for kind, marks, _ in blocks() if "needs" in marks}
    assert needs == {"network", "robot", "ros"}
    skipped = [line for _, marks, text in blocks() if "needs" in marks for line in text.splitlines()]
    assert len(shell_lines()) == 7
    assert all(line.split()[0] in ("pip", "ros2", "cd", "divo-controller", "divo-runtime") for line in skipped)


def test_every_document_that_the_guide_links_to_exists():
    for name in re.findall(r"\]\(([\w.-]+)\)", GUIDE.read_text()):
        assert (GUIDE.parent / name).exists(), name


@pytest.mark.parametrize("name", CONTRACTS)
def test_the_examples_are_contracts(name):
    contract = load_contract(ROOT / "docs" / "contracts" / f"{name}.yaml")
    assert contract.reward.function == "my_task:reach"
    assert "goal_offset" in [term.name for term in contract.observation]
    sizes = {"franka": (20, 7), "ur": (18, 6), "turtlebot": (8, 2)}
    assert (contract.observation_size, contract.action_size) == sizes[name]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", CONTRACTS)
def test_the_guide_s_commands_run(name, tmp_path):
    (tmp_path / "docs").mkdir()
    shutil.copytree(ROOT / "docs" / "contracts", tmp_path / "docs" / "contracts")
    for kind, marks, text in blocks():
        if kind == "python":
            (tmp_path / marks["file"]).write_text(text)
    contract = load_contract(ROOT / "docs" / "contracts" / f"{name}.yaml")
    for number in (1, 2):
        make_bag(tmp_path / "bags" / f"run_{number:02d}", contract, seed=number)
    for line, codes in shell_lines():
        if name != "ur" and line.startswith(("divo-export", "divo-runtime")):
            continue  # once is enough
        run(line.replace("ur.yaml", f"{name}.yaml"), codes, tmp_path)
    dataset = load_minari(tmp_path / "data" / "my_robot" / "bags-v0")
    assert dataset.terminated.any()
    assert len(dataset) > 500
    assert (tmp_path / "runs" / "my_robot" / "policy.safetensors").exists()
    if name == "ur":
        assert "ur_reach" in (tmp_path / "doctor.html").read_text()


def run(line, codes, folder):
    """Run one line of the guide as a person would, by the programs of this environment."""
    words = line.split()
    more = next((extra for begin, extra in TINY.items() if line.startswith(begin)), "")
    if words[0].startswith("divo-"):
        words[0] = str(Path(sys.executable).with_name(words[0]))
    result = subprocess.run([*words, *more.split()], cwd=folder, capture_output=True, text=True, check=False)
    assert result.returncode in codes, f"{line}\n{result.stdout[-2000:]}\n{result.stderr[-4000:]}"


def make_bag(folder, contract, seed, seconds=40):
    """Write what a robot of a contract would publish while it goes from goal to goal, with commands at its rate."""
    rng = np.random.default_rng(seed)
    twist = contract.action.kind == "twist"
    size = 2 if twist else 3
    joints = contract.observation[0].joints
    middle = np.array([np.mean(limit.position) if limit.position else 0.0 for limit in contract.limits()])
    jacobian = 0.3 * np.random.default_rng(0).standard_normal((size, contract.action_size))
    position, place, goal = middle.copy(), np.zeros(size), np.zeros(size)
    folder.parent.mkdir(exist_ok=True)
    with Writer(folder, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connections = {}

        def put(topic, kind, at_ns, *fields):
            if topic not in connections:
                connections[topic] = writer.add_connection(f"/{topic}", kind, typestore=STORE)
            writer.write(connections[topic], at_ns, STORE.serialize_cdr(T[kind](*fields), kind))

        for period in range(round(seconds * contract.rate_hz)):
            at_ns = 1_700_000_000 * S + period * contract.period_ns
            if period % 40 == 0:
                goal = place + 0.2 * rng.standard_normal(size)
            wish = np.linalg.pinv(jacobian) @ (goal - place) * 2 + 0.05 * rng.standard_normal(contract.action_size)
            command = np.clip(wish, contract.action.lower, contract.action.upper)
            header = T["std_msgs/msg/Header"](T["builtin_interfaces/msg/Time"](at_ns // S, at_ns % S), "base")
            point = T["geometry_msgs/msg/Point"](*place, *np.zeros(3 - size))
            target = T["geometry_msgs/msg/Point"](*goal, *np.zeros(3 - size))
            pose = T["geometry_msgs/msg/Pose"](point, T["geometry_msgs/msg/Quaternion"](0, 0, 0, 1))
            speed = T["geometry_msgs/msg/Twist"](vector(command[0]), vector(0, 0, command[1]))
            for topic, kind in contract.topics.items():
                fields = {
                    "sensor_msgs/msg/JointState": (
                        list(joints)[::-1],
                        position[::-1].copy(),
                        command[::-1].copy(),
                        np.zeros(0),
                    ),
                    "geometry_msgs/msg/PointStamped": (target,),
                    "geometry_msgs/msg/PoseStamped": (pose,),
                    "nav_msgs/msg/Odometry": odometry(pose, speed),
                }[kind]
                if topic == "goal_pose":
                    fields = (T["geometry_msgs/msg/Pose"](target, pose.orientation),)
                put(topic, kind, at_ns + 1_000_000, header, *fields)
            if twist:
                put(contract.action.topic, contract.action.type, at_ns + 5_000_000, header, speed)
            else:
                layout = T["std_msgs/msg/MultiArrayLayout"]([], 0)
                put(contract.action.topic, contract.action.type, at_ns + 5_000_000, layout, command)
            position = position + command * contract.period_s
            place = place + jacobian @ command * contract.period_s


def vector(x=0.0, y=0.0, z=0.0):
    return T["geometry_msgs/msg/Vector3"](x, y, z)


def odometry(pose, twist):
    none = np.zeros(36)
    return (
        "base",
        T["geometry_msgs/msg/PoseWithCovariance"](pose, none),
        T["geometry_msgs/msg/TwistWithCovariance"](twist, none),
    )
