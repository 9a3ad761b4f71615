"""The fault table against the pure controller: every row, no clock, no waiting."""

from __future__ import annotations

from dataclasses import replace

import pytest

pytest.importorskip("onnx")

from benchmarks.faults.contract import fault_contract
from benchmarks.faults.judge import find_faults
from benchmarks.faults.networks import write_fault_bundle
from benchmarks.faults.rehearsal import Rehearsal
from benchmarks.faults.spoilers import leave_alone
from benchmarks.faults.table import TABLE, fault_named, faults_of
from divo_runtime.bundle.loading import load_bundle
from divo_runtime.safety import gate
from divo_runtime.safety.gate import SafetyGate

SEEDS = (1, 2)
"""They hit different joints and elements."""


@pytest.fixture(scope="module")
def policy(tmp_path_factory):
    with load_bundle(write_fault_bundle(tmp_path_factory.mktemp("faults"), fault_contract())) as bundle:
        yield bundle.open_policy("actor")


@pytest.mark.parametrize("fault", faults_of("controller"), ids=lambda fault: fault.name)
def test_the_controller_handles_every_fault_as_the_table_says(policy, fault):
    for seed in SEEDS:
        assert find_faults(fault, Rehearsal(policy, seed).run(fault)) == []


def test_the_table_has_no_name_twice():
    names = [fault.name for fault in TABLE]
    assert len(set(names)) == len(names)


def test_a_hold_that_jumps_to_rest_is_noticed_as_unsafe(policy, monkeypatch):
    monkeypatch.setattr(SafetyGate, "rest", lambda gate, sent: gate.start(None))
    fault = fault_named("joint missing")

    found = find_faults(fault, Rehearsal(policy, 1).run(fault))

    assert any("acceleration" in line for line in found)
    assert any("b: jerk" in line for line in found)


def test_a_gate_that_does_not_look_ahead_is_noticed_as_unsafe(policy, monkeypatch):
    monkeypatch.setattr(gate, "brake_before_limits", lambda velocity, *rest: velocity)
    fault = fault_named("joints permuted")

    found = find_faults(fault, Rehearsal(policy, 1).run(fault))

    assert any("c: from" in line and "outside" in line for line in found)


@pytest.mark.parametrize("name", ["joint missing", "NaN in goal.point", "joint_states frozen", "the backend raises"])
def test_a_fault_that_does_not_happen_is_not_taken_for_handled(policy, name):
    fault = fault_named(name)
    nothing = replace(fault, spoil=leave_alone)

    found = find_faults(nothing, Rehearsal(policy, 1).run(nothing))

    assert "the first reaction did not come" in found
