"""The doctor looks at a bag as the importer does: the same periods, observations and commands."""

from __future__ import annotations

import numpy as np
import pytest

import bag_maker as make
from bag_maker import BEGIN_NS, MS, S, Tape, imported
from divo_runtime.doctor.bag import ContractBag
from divo_runtime.doctor.periods import sample_periods
from divo_runtime.observation import ObservationBuilder


def both(tmp_path, tape, change=None, **settings):
    """Return the dataset, and the doctor's periods."""
    folder = tape.write(tmp_path / "bag")
    _, dataset = imported(tmp_path, folder, change=change, **settings)
    contract, _ = make.contract(change)
    with ContractBag(folder, contract, make.TopicNames()) as bag:
        return dataset, sample_periods(bag, contract, 10_000)


def with_last_command(tree):
    tree["observation"].append(
        {"name": "last", "topic": "commands", "type": "std_msgs/msg/Float64MultiArray", "field": "data", "size": 2,
         "unit": "1", "max_age_ms": 200}
    )  # fmt: skip


@pytest.mark.parametrize("grid", ["commands", "regular"])
def test_the_last_command_as_an_input_is_the_one_before_the_action(tmp_path, grid):
    tape = make.tape_of(8) if grid == "commands" else make.tape_of(0)
    for number in range(40 if grid == "regular" else 0):  # so fast that the contract's rate is not theirs
        at_ns = (number * 10 + 8) * MS
        tape.add(at_ns, "/joint_states", make.joint_state(BEGIN_NS + at_ns, [number / 100, 0], [0, 0]))
        tape.add(at_ns, "/goal", make.point(BEGIN_NS + at_ns, 0, 0)).add(
            at_ns, "/commands", make.array([number / 50, 0])
        )
    dataset, periods = both(tmp_path, tape, with_last_command)
    assert periods.grid == grid
    actions, observations = dataset.actions[:7], dataset.observations[:8]
    np.testing.assert_array_equal(observations[1:, 6:], actions)
    np.testing.assert_allclose(observations[:-1, 6], actions[:, 0] - 0.1, atol=1e-6)
    seen = np.isfinite(periods.observations).all(axis=1) & np.isfinite(periods.commands).all(axis=1)
    np.testing.assert_array_equal(periods.observations[seen][:7], observations[:-1])
    np.testing.assert_allclose(periods.commands[seen][:7], actions)


def test_of_two_commands_within_half_a_period_the_newest_counts(tmp_path):
    tape = make.tape_of(8).add(99 * MS, "/commands", make.array([-0.7, 0]))
    dataset, periods = both(tmp_path, tape)
    np.testing.assert_allclose(dataset.actions[:3, 0], [0, -0.7, 0.2])
    np.testing.assert_array_equal(periods.commands[:, 0].astype(np.float32), dataset.actions[:, 0])
    np.testing.assert_array_equal(periods.observations, dataset.observations[:-1])


def test_a_jump_of_the_clock_is_passed_over(tmp_path):
    tape = Tape()
    for number in range(200):
        at_ns = number * 10 * MS + (3600 * S if number >= 100 else 0)
        tape.add(at_ns, "/joint_states", make.joint_state(BEGIN_NS + at_ns, [number / 100, 0], [0, 0]))
        tape.add(at_ns, "/goal", make.point(BEGIN_NS + at_ns, 0, 0)).add(at_ns + MS, "/commands", make.array([0, 0]))
    dataset, periods = both(tmp_path, tape)
    assert periods.grid == "regular"
    assert 38 <= len(periods) <= 42
    assert np.isfinite(periods.observations).all(axis=1).sum() >= len(dataset)


def untidy_tape(rng):
    """States that overtake each other, bear stamps a little ahead, or come late; commands with jitter, and marks."""
    tape = Tape().add(0, "/goal", make.point(BEGIN_NS, 0.25, -0.5))
    for number in range(300):
        at_ns = number * 10 * MS
        stamp_ns = BEGIN_NS + at_ns + int(rng.integers(-60, 60)) * MS
        message = make.joint_state(stamp_ns, [number / 100, 0], [0, 0])
        tape.add(at_ns, "/joint_states", message, late_ns=int(rng.integers(0, 30 * MS)))
        tape.add(at_ns, "/goal", make.point(BEGIN_NS + at_ns, 0.25, -0.5))
    for number in range(50):
        tape.add((48 + 50 * number) * MS + int(rng.integers(-8, 8) * MS), "/commands", make.array([number / 50, 0]))
    for number in range(6):
        tape.add((111 + 333 * number) * MS, "/marks", make.flag(number % 2 == 0))
    return tape


@pytest.mark.parametrize("clock", ["header", "receive"])
@pytest.mark.parametrize("grid", ["commands", "regular"])
def test_no_message_is_used_before_it_has_arrived(tmp_path, monkeypatch, clock, grid):
    plain, looks = ObservationBuilder.build, []

    def build(self, measurements, now_ns, doubted=frozenset()):
        looks.append(now_ns)
        assert all(each.received_ns <= now_ns for each in measurements.values())
        return plain(self, measurements, now_ns, doubted)

    monkeypatch.setattr(ObservationBuilder, "build", build)

    def change(tree):
        tree.update(clock=clock, episodes={"topic": "marks"})

    folder = untidy_tape(np.random.default_rng(3)).write(tmp_path / "bag")
    _, dataset = imported(tmp_path, folder, change=change, grid=grid)
    assert len(dataset) >= 10
    assert len(looks) > 40
    assert looks == sorted(looks)  # for what is the newest is judged once per period, in order


def test_on_an_untidy_bag_both_judge_the_stamps_as_the_robot_does(tmp_path):
    dataset, periods = both(tmp_path, untidy_tape(np.random.default_rng(3)))
    seen = np.isfinite(periods.observations).all(axis=1)
    assert 10 < seen.sum() < len(periods)
    assert {fault.value for _, fault in periods.problems} == {"from the future"}
    kept = {observation.tobytes() for observation in dataset.observations[:-1]}
    assert kept <= {row.tobytes() for row in periods.observations[seen]} | {dataset.observations[-1].tobytes()}
