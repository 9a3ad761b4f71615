"""Another policy in place of the running one: what is refused, what is swapped, what is taken back."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest

pytest.importorskip("rclpy")

from divo_controller.cycle import Cycle
from divo_controller.hot_reload import Trial, find_blame, require_same_contract
from divo_controller.parameters import Parameters
from divo_controller.session import open_session
from divo_runtime.controller import ControllerOutput, Mode, Timings
from divo_runtime.errors import BundleError

PERIOD_NS = 20_000_000
NOISE = np.zeros((1, 2), np.float32)


def cycle(mode: Mode, noise=NOISE, policy_ns: int = 1_000, reasons: tuple[str, ...] = ()) -> Cycle:
    output = ControllerOutput(np.zeros(2), mode, reasons, timings=Timings(0, policy_ns, 0), noise=noise)
    return Cycle(1, output, 0, 0, 0, 0, 0, 0)


def test_the_same_contract_may_say_something_else_about_itself(contract):
    require_same_contract(contract, msgspec.structs.replace(contract, description="the same, in other words"))


def test_another_contract_is_refused_and_each_difference_named(contract):
    action = msgspec.structs.replace(contract.action, upper=(0.8, 0.9))
    other = msgspec.structs.replace(contract, rate_hz=100.0, action=action)

    with pytest.raises(BundleError) as caught:
        require_same_contract(contract, other)

    assert "rate_hz: 50.0, now 100.0; action.upper[1]: 0.8, now 0.9" in str(caught.value)


@pytest.mark.parametrize(
    ("seen", "blame"),
    [
        (cycle(Mode.RUNNING), ""),
        (cycle(Mode.BLENDING), ""),
        (cycle(Mode.HOLDING, reasons=("policy failed: ValueError: x",)), "policy failed: ValueError: x"),
        (cycle(Mode.FAULT, reasons=("novelty",)), "novelty"),
        (cycle(Mode.HOLDING, noise=None, reasons=("position: stale",)), ""),
        (cycle(Mode.FAULT, noise=None, reasons=("emergency stop",)), ""),
        (cycle(Mode.RUNNING, policy_ns=PERIOD_NS + 1), "a call took 20.0 ms of a period of 20 ms"),
        (cycle(Mode.RUNNING, policy_ns=PERIOD_NS), ""),
    ],
)
def test_only_what_the_policy_did_itself_is_held_against_it(seen, blame):
    assert find_blame(seen, PERIOD_NS) == blame


@pytest.fixture
def make_trial(write_tiny_bundle, contract, tmp_path):
    old = open_session(Parameters(bundle=str(write_tiny_bundle(tmp_path / "old", contract, 0.1))))
    new = open_session(Parameters(bundle=str(write_tiny_bundle(tmp_path / "new", contract, 0.2)), policy="sampler"))
    installed, verdicts = [], []
    yield lambda cycles: (Trial(old, new, cycles, installed.append, verdicts.append), installed, verdicts)
    old.close()
    new.close()


def test_a_trial_without_a_trip_keeps_the_new_policy_and_the_old_controller(make_trial):
    trial, installed, verdicts = make_trial(2)
    trial.swap()
    trial.judge(cycle(Mode.RUNNING))
    trial.judge(cycle(Mode.HOLDING, noise=None))  # stale input: does not count
    assert verdicts == []
    trial.judge(cycle(Mode.RUNNING))
    trial.judge(cycle(Mode.FAULT))  # after the trial

    assert verdicts == [""]
    assert installed == [trial.new]
    assert trial.new.controller is trial.old.controller
    assert trial.new.policy is not trial.old.policy


def test_a_trip_in_the_trial_brings_the_old_policy_back_once(make_trial):
    trial, installed, verdicts = make_trial(5)
    trial.swap()
    trial.judge(cycle(Mode.RUNNING))
    trial.judge(cycle(Mode.HOLDING, reasons=("policy's action is not finite",)))
    trial.judge(cycle(Mode.HOLDING, reasons=("policy's action is not finite",)))

    assert verdicts == ["policy's action is not finite"]
    assert [replace(session) for session in installed] == [trial.new, trial.old]


def test_a_trial_that_ended_before_the_swap_swaps_nothing(make_trial):
    trial, installed, verdicts = make_trial(5)
    trial.take_back("the control thread hangs")
    trial.swap()

    assert verdicts == ["the control thread hangs"]
    assert installed == [trial.old]


@pytest.mark.ros
def test_swaps_the_policy_while_it_runs_without_a_jump_or_a_gap(
    start, bundle, robot, write_tiny_bundle, contract, tmp_path
):
    other = write_tiny_bundle(tmp_path / "other", contract, -0.4)
    start("divo_controller.main", "--bundle", str(bundle))
    robot.start_policy()
    robot.wait_for(lambda: robot.commands and robot.commands[-1] == pytest.approx([0.3, -0.2]), "full speed")

    assert robot.set_parameter("bundle", str(other)).successful
    answer = robot.trigger("reload")

    assert answer.success, answer.message
    robot.wait_for(lambda: robot.commands[-1] == pytest.approx([-0.4, -0.4]), "the new policy")
    assert robot.state() == "active"
    assert int(robot.values["count.holds"]) == 0
    cycles = [timing[robot.timing_fields.index("cycle")] for timing in robot.timings]
    assert cycles == [float(number) for number in range(1, len(cycles) + 1)]


@pytest.mark.ros
def test_a_damaged_or_foreign_bundle_leaves_the_old_policy_running(
    start, bundle, robot, write_tiny_bundle, contract, with_rate, tmp_path
):
    foreign = write_tiny_bundle(tmp_path / "foreign", with_rate(25.0), 0.1)
    damaged = write_tiny_bundle(tmp_path / "damaged", contract, 0.1)
    (damaged / "actor.onnx").write_bytes(b"")
    start("divo_controller.main", "--bundle", str(bundle))
    robot.start_policy()

    for folder, why in [(foreign, "rate_hz: 50.0, now 25.0"), (damaged, "actor.onnx")]:
        assert robot.set_parameter("bundle", str(folder)).successful
        answer = robot.trigger("reload")
        assert not answer.success
        assert "The old policy stays" in answer.message
        assert why in answer.message
    robot.wait_for_commands(5)
    assert robot.commands[-1] == pytest.approx([0.3, -0.2])
    robot.wait_for_mode("running")


@pytest.mark.ros
def test_a_policy_that_trips_in_its_first_cycles_is_taken_back(
    start, bundle, robot, write_tiny_bundle, contract, tmp_path
):
    bad = write_tiny_bundle(tmp_path / "bad", contract, 0.1, not_a_number_above=("position.left", 0.25))
    start("divo_controller.main", "--bundle", str(bundle))
    robot.start_policy()
    robot.wait_for(lambda: robot.commands and robot.commands[-1] == pytest.approx([0.3, -0.2]), "full speed")

    assert robot.set_parameter("bundle", str(bad)).successful  # finite at the typical observation, NaN at 0.3
    answer = robot.trigger("reload")

    assert not answer.success
    assert "taken back" in answer.message
    assert "not finite" in answer.message
    robot.wait_for_mode("running")
    robot.wait_for(lambda: robot.commands[-1] == pytest.approx([0.3, -0.2]), "the old policy")
