"""The layouts for Foxglove and PlotJuggler name only topics and fields that exist, and label them rightly."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

pytest.importorskip("rclpy")

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus

from divo_controller.diagnostics import TIMING_FIELDS
from divo_runtime.recording.messages import CYCLE_DEFINITION, EVENT_DEFINITION
from divo_runtime.recording.ros_types import message_definition
from divo_sim.contracts import arm_reach_contract
from divo_sim.ros_messages import ros_class

CONFIG = Path(__file__).resolve().parents[2] / "ros2_ws" / "src" / "divo_controller" / "config"
NODE = "/divo_controller"
CONTRACT = arm_reach_contract()


def definitions() -> dict[str, str]:
    """Return topic -> definition of its message."""
    kinds = {**CONTRACT.topics, CONTRACT.action.topic: CONTRACT.action.type}
    own = {"timing": "std_msgs/msg/Float64MultiArray"}
    return {
        **{f"/{topic}": message_definition(ros_class(kind)) for topic, kind in kinds.items()},
        **{f"{NODE}/{topic}": message_definition(ros_class(kind)) for topic, kind in own.items()},
        f"{NODE}/status": message_definition(DiagnosticStatus),
        "/diagnostics": message_definition(DiagnosticArray),
        f"{NODE}/cycle": CYCLE_DEFINITION,
        f"{NODE}/event": EVENT_DEFINITION,
    }


def sizes() -> dict[tuple[str, str], int]:
    """Return (topic, field) -> number of elements, of arrays."""
    joints = len(CONTRACT.action.names)
    return {
        ("/joint_states", "position"): joints,
        ("/joint_states", "velocity"): joints,
        (f"/{CONTRACT.action.topic}", "data"): joints,
        (f"{NODE}/timing", "data"): len(TIMING_FIELDS),
        (f"{NODE}/cycle", "action"): joints,
        (f"{NODE}/cycle", "command"): joints,
    }


def check_field(topic: str, field: str, index: str | None) -> None:
    text = definitions()[topic]
    (line,) = [line for line in text.splitlines() if re.match(rf"\S+ {field}\b", line)]
    assert ("[" in line.split()[0]) == (index is not None), line
    if index is not None:
        assert int(index) < sizes()[topic, field]


@pytest.fixture(scope="module")
def foxglove() -> dict:
    return json.loads((CONFIG / "arm_reach.foxglove.json").read_text())


def leaves(layout) -> list[str]:
    return [layout] if isinstance(layout, str) else leaves(layout["first"]) + leaves(layout["second"])


def test_every_panel_of_the_foxglove_layout_is_placed_once(foxglove):
    panels = foxglove["configById"]
    placed = [panel for tab in panels["Tab!main"]["tabs"] for panel in leaves(tab["layout"])]

    assert foxglove["layout"] == "Tab!main"
    assert sorted(placed) == sorted(set(panels) - {"Tab!main"})


def test_every_path_of_the_foxglove_layout_exists(foxglove):
    panels = foxglove["configById"].values()
    paths = [path["value"] for panel in panels for path in panel.get("paths", ())]
    assert len(paths) > 40
    for path in paths:
        topic, field, index = re.fullmatch(r"(/[\w/]+)\.(\w+)(?:\[(\d+)\])?", path).groups()
        check_field(topic, field, index)
    for panel in panels:
        for key in ("topicPath", "topicToRender"):
            assert panel.get(key, "/diagnostics") in definitions()


def test_every_label_of_the_foxglove_layout_is_the_name_of_its_element(foxglove):
    for panel in foxglove["configById"].values():
        for path in panel.get("paths", ()):
            topic, _, index = re.fullmatch(r"(/[\w/]+)\.(\w+)(?:\[(\d+)\])?", path["value"]).groups()
            if topic == f"{NODE}/timing":
                assert path["label"] == TIMING_FIELDS[int(index)]
            elif index is not None:
                assert path["label"] == CONTRACT.action.names[int(index)]


def test_every_curve_of_the_plotjuggler_layout_exists():
    root = ElementTree.parse(CONFIG / "arm_reach.plotjuggler.xml").getroot()
    curves = [curve.get("name") for curve in root.iter("curve")]
    assert len(curves) > 40
    for curve in curves:
        if match := re.fullmatch(r"/joint_states/(\w+)/(position|velocity)", curve):  # it names joint states by joint
            assert match[1] in CONTRACT.action.names
        else:
            topic, field, index = re.fullmatch(r"(/[\w/]+)/(\w+)(?:\[(\d+)\])?", curve).groups()
            check_field(topic, field, index)


def test_the_splitters_of_the_plotjuggler_layout_have_as_many_parts_as_they_say():
    root = ElementTree.parse(CONFIG / "arm_reach.plotjuggler.xml").getroot()
    splitters = list(root.iter("DockSplitter"))
    assert [tab.get("tab_name") for tab in root.iter("Tab")] == ["Robot", "Timing, live", "Recording"]
    for splitter in splitters:
        assert len(splitter) == int(splitter.get("count")) == len(splitter.get("sizes").split(";"))
