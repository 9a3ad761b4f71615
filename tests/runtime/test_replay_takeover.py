"""A replay follows what happens while a cycle runs and policies that take each other's place."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("mcap")


from divo_runtime.bundle.loading import load_bundle
from divo_runtime.bundle.manifest import read_manifest
from divo_runtime.bundle.manifest_writing import write_manifest
from divo_runtime.controller import Controller, Mode
from divo_runtime.recording.identity import describe_bundle
from divo_runtime.recording.reader import RecordingReader
from divo_runtime.replay.comparison import NamedPolicies
from divo_runtime.replay.report import replay_file
from divo_runtime.safety.calibration import Calibration, Novelty, Quantiles
from divo_runtime.safety.guards import open_guard
from divo_runtime.safety.limits import Watch
from recorded_run import Run, make_recorder, start_run

FOLLOW = np.array([[1.0, 0, 0.1, 0, 0], [0, 1.0, 0, 0.1, 0]])


@pytest.fixture
def folder(write_tiny_bundle, tmp_path, arm) -> Path:
    return write_tiny_bundle(tmp_path, arm, FOLLOW, noise_gain=0.05)


@pytest.fixture
def other_folder(write_tiny_bundle, tmp_path, arm) -> Path:
    """Return a bundle whose second action is larger by 1/16."""
    weights = FOLLOW.copy()
    weights[1, 4] = 0.0625
    return write_tiny_bundle(tmp_path / "other", arm, weights, noise_gain=0.05)


@pytest.fixture
def run(folder, tmp_path):
    run = start_run(tmp_path, folder)
    yield run
    run.recorder.close()


def drive(run, cycles: int) -> None:
    for number in range(cycles):
        run.cycle((0.05 * number, 0.2 - 0.01 * number))


def test_holds_faults_stops_resets_and_a_second_activation_come_out_the_same(run):
    assert run.activate() == ()
    drive(run, 6)
    assert run.cycle(names=("a", "gone")).mode is Mode.HOLDING
    drive(run, 4)
    run.controller.emergency_stop()
    assert run.cycle().mode is Mode.FAULT
    assert run.activate() != ()
    assert run.controller.reset_fault(run.now_ns, run.measurements) == ()
    drive(run, 6)
    for _ in range(5):
        run.cycle(names=("a", "gone"))
    assert run.controller.mode is Mode.FAULT
    assert run.controller.reset_fault(run.now_ns, run.measurements) != ()
    run.cycle()
    assert run.controller.reset_fault(run.now_ns, run.measurements) == ()
    drive(run, 2)
    run.controller.hold("a doubt from outside")
    assert run.cycle().reasons == ("a doubt from outside",)
    drive(run, 2)
    run.controller.latch("a fault from outside")
    assert run.cycle().reasons == ("a fault from outside",)
    run.controller.deactivate()
    run.cycle()
    assert run.controller.reset_fault(run.now_ns, run.measurements) == ()
    assert run.controller.activate(run.now_ns, run.measurements, 11) == ()
    drive(run, 3)
    run.recorder.close()

    text = replay_file(run.path, None, False)

    # 6 + 1 + 4 + 1 + 6 + 5 + 1 + 2 + 1 + 2 + 1 + 1 + 3 cycles; two activations and a refused one, one stop, one hold,
    # one latch, one deactivation, four resets
    assert text.startswith("34 cycles and 11 other calls computed again")


class Stopper:
    """A policy in whose call an emergency stop comes, as from another thread."""

    def __init__(self, policy, call: int) -> None:
        self._policy, self._left = policy, call
        self.noise_shape = policy.noise_shape
        self.controller: Controller | None = None

    def act(self, observation, noise):
        self._left -= 1
        if self._left == 0:
            self.controller.emergency_stop()
        return self._policy.act(observation, noise)


def test_a_stop_in_the_middle_of_a_cycle_comes_out_the_same(folder, tmp_path):
    bundle = load_bundle(folder)
    policy = Stopper(bundle.open_policy("sampler"), 4)
    recorder = make_recorder(tmp_path / "run.mcap", bundle)
    controller = recorder.watch(Controller(bundle.contract, policy, 3, lambda: 0), lambda: "sampler", 3)
    run = Run(folder, tmp_path / "run.mcap", bundle, recorder, controller)
    policy.controller = controller
    run.activate()
    drive(run, 3)
    stopped = run.cycle()
    after = run.cycle()
    run.recorder.close()

    assert stopped.mode is Mode.FAULT
    assert stopped.action is not None
    assert after.reasons == ("emergency stop",)
    assert replay_file(run.path, None, False).startswith("5 cycles and 2 other calls")


@pytest.mark.parametrize(("during", "mode"), [(True, Mode.RUNNING), (True, Mode.FAULT), (False, Mode.FAULT)])
def test_a_stop_that_races_with_a_cycle_is_placed_by_what_the_cycle_shows(run, tmp_path, during, mode):
    """The note says that the stop came during the cycle; its outcome tells whether the stop was seen."""
    from divo_runtime.recording.journal import Call

    run.activate()
    drive(run, 5)
    inner = run.controller._controller
    run.controller._note(Call("emergency_stop", during=during))
    if mode is Mode.FAULT:
        inner.emergency_stop()
    assert run.cycle().mode is mode
    if mode is Mode.RUNNING:
        inner.emergency_stop()
    assert run.cycle().mode is Mode.FAULT
    run.recorder.close()

    assert replay_file(run.path, None, False).startswith("7 cycles and 2 other calls")


def adopting(run, policy, name: str, folder: Path) -> None:
    about = describe_bundle(load_bundle(folder), {"policy": name, "noise_rows": policy.noise_shape[0]})
    run.controller._describe = lambda policy: about
    run.controller.adopt(policy, open_guard(run.bundle))
    run.controller._policy = lambda: name


def test_a_policy_that_takes_over_is_followed_by_name(run, folder):
    run.activate()
    drive(run, 3)
    adopting(run, run.bundle.open_policy("actor"), "actor", folder)
    drive(run, 3)
    run.recorder.close()

    shapes = [cycle.noise.size for cycle in RecordingReader(run.path).timeline() if hasattr(cycle, "noise")]
    assert shapes == [8, 8, 8, 2, 2, 2]
    assert replay_file(run.path, None, False).startswith("6 cycles and 2 other calls")


def test_a_reloaded_bundle_is_followed_if_it_is_at_hand_and_named_if_not(run, other_folder):
    run.activate()
    drive(run, 3)
    adopting(run, load_bundle(other_folder).open_policy("actor"), "actor", other_folder)
    drive(run, 3)
    run.recorder.close()

    assert replay_file(run.path, None, False).startswith("6 cycles and 2 other calls")
    other_folder.rename(other_folder.with_name("gone"))
    with pytest.raises(Exception, match="There is no bundle folder") as caught:
        replay_file(run.path, None, False)
    assert str(other_folder) in str(caught.value)


def test_fewer_rows_of_noise_than_were_drawn_are_the_first_rows(folder):
    """`policy: auto` draws for its hungriest policy, and a smaller one takes the first rows."""
    policies = NamedPolicies(load_bundle(folder).open_policy, 4, 2)
    noise = np.arange(8, dtype=np.float32).reshape(4, 2)
    observation = np.zeros(4, np.float32)
    policies.name = "actor"

    chosen = policies.act(observation, noise)

    assert policies.noise_shape == (4, 2)
    assert chosen.action.tolist() == pytest.approx([0.0, 0.05])  # 0.05 times the first row


def test_guards_that_hold_and_let_go_come_out_the_same(write_tiny_bundle, tmp_path, arm):
    """A position beyond 0.5 is novel; the third such cycle in a row holds, so the count is part of the state."""
    watch = Watch(reaction="hold", cycles=3)
    contract = msgspec.structs.replace(arm, safety=msgspec.structs.replace(arm.safety, novelty_guard=watch))
    folder = write_tiny_bundle(tmp_path, contract, FOLLOW)
    shares = (0.0, 0.5, 1.0)
    calibration = Calibration(
        novelty=Novelty(
            mean=(0.0,) * 4,
            directions=((2.0, 0.0, 0.0, 0.0),),
            lower=(-2.0,) * 4,
            upper=(2.0,) * 4,
            scale=(1.0,) * 4,
            scores=Quantiles(shares=shares, values=(0.0, 0.5, 1.0)),
        ),
        value=Quantiles(shares=shares, values=(-99.0, 0.0, 1.0)),
        held_out=100,
    )
    path = folder / "two_joints.yaml"
    manifest = read_manifest(path)
    extras = msgspec.structs.replace(manifest.x_divo, calibration=calibration)
    write_manifest(path, msgspec.structs.replace(manifest, x_divo=extras))
    bundle = load_bundle(folder)
    recorder = make_recorder(tmp_path / "run.mcap", bundle)
    inner = Controller(contract, bundle.open_policy("sampler"), 3, lambda: 0, open_guard(bundle))
    run = Run(folder, tmp_path / "run.mcap", bundle, recorder, recorder.watch(inner, lambda: "sampler", 3))
    run.activate()
    modes = [run.cycle((position, 0.0)).mode for position in (0.1, 0.6, 0.6, 0.1, 0.6, 0.6, 0.6, 0.6, 0.1)]
    run.recorder.close()

    assert modes.index(Mode.HOLDING) == 6
    assert modes[7:] == [Mode.HOLDING, Mode.BLENDING]
    assert replay_file(run.path, None, False).startswith("9 cycles and 1 other calls")
