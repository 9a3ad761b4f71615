"""The fault table through real DDS: the real node, a robot that misbehaves, an observer that checks every command."""

from __future__ import annotations

import itertools
import os

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("onnx")

from benchmarks.faults.domains import free_domain
from benchmarks.faults.judge import find_faults
from benchmarks.faults.series import open_rig
from benchmarks.faults.table import faults_of
from benchmarks.faults.trial import run_fault

pytestmark = pytest.mark.ros
SEED = 7
_domains = itertools.count(os.getpid() * 3)


@pytest.fixture(scope="module")
def open_once(tmp_path_factory):
    """Return a function that gives the rig of a kind; the one before is ended, for each costs a core."""
    opened = {}

    def open_kind(kind: str):
        if kind not in opened:
            for context, _ in opened.values():
                context.__exit__(None, None, None)
            opened.clear()
            context = open_rig(tmp_path_factory.mktemp("faults"), free_domain(next(_domains)), kind)
            opened[kind] = (context, context.__enter__())
        return opened[kind][1]

    yield open_kind
    for context, _ in opened.values():
        context.__exit__(None, None, None)


@pytest.mark.parametrize("fault", sorted(faults_of("node"), key=lambda fault: fault.rig), ids=lambda fault: fault.name)
def test_the_node_handles_every_fault_as_the_table_says(open_once, fault):
    rig = open_once(fault.rig)

    assert find_faults(fault, run_fault(rig, fault, SEED)) == []

    assert rig.look()["unseen"] == 0  # every command was judged
