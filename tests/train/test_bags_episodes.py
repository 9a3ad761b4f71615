"""Marks, rewards, terminations and a controller's own cycles, with numbers worked out by hand."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest

import bag_maker as make
from bag_maker import BEGIN_NS, MS, Raw, imported, tape_of
from divo_runtime.errors import DatasetError
from divo_runtime.recording.messages import CYCLE_TYPE, EMPTY, CycleRecord, CycleTimes, Inputs, encode_cycle
from divo_train.data.bags.tally import KEPT


def positions(dataset):
    return np.round(dataset.observations[:, 0] * 100).astype(int).tolist()


def with_marks(tree):
    tree["episodes"] = {"topic": "marks"}


def test_a_flag_marks_episodes_and_what_is_outside_is_counted(tmp_path):
    tape = tape_of().add(90 * MS, "/marks", make.flag(True)).add(260 * MS, "/marks", make.flag(False))
    result, dataset = imported(tmp_path, tape.write(tmp_path / "bag"), change=with_marks)
    # Commands at 98, 148, 198, 248 ms are inside; the episode ends with its mark at 260 ms.
    np.testing.assert_allclose(dataset.actions[:, 0], [0.1, 0.2, 0.3, 0.4])
    assert positions(dataset) == [9, 14, 19, 24, 26]
    assert result.bags[0].tally.counts == {KEPT: 4, "outside of the marked episodes": 4}


def test_texts_mark_episodes_until_a_stop_word(tmp_path):
    tape = tape_of()
    for at_ms, word in ((10, "first"), (60, "first"), (160, "second"), (260, "stop")):
        tape.add(at_ms * MS, "/marks", make.text(word))
    _, dataset = imported(tmp_path, tape.write(tmp_path / "bag"), change=with_marks)
    assert dataset.episodes.tolist() == [0, 0, 0, 1, 1]  # 48, 98, 148 ms; 198, 248 ms
    assert dataset.truncated.tolist() == [False, False, True, False, True]
    assert not dataset.terminated.any()


def test_empty_messages_end_one_episode_and_begin_the_next(tmp_path):
    tape = tape_of().add(160 * MS, "/marks", make.T["std_msgs/msg/Empty"](0))
    _, dataset = imported(tmp_path, tape.write(tmp_path / "bag"), change=with_marks)
    assert dataset.episodes.tolist() == [0] * 3 + [1] * 5


def test_an_empty_marked_episode_is_noted(tmp_path):
    tape = tape_of()
    for at_ms, value in ((100, True), (120, False), (190, True), (310, False)):
        tape.add(at_ms * MS, "/marks", make.flag(value))
    result, dataset = imported(tmp_path, tape.write(tmp_path / "bag"), change=with_marks)
    assert len(dataset) == 3
    assert result.bags[0].notes == ("1 marked episodes are empty: not one transition lies between their marks.",)


def test_rewards_of_a_topic_are_summed_over_each_period_and_a_flag_terminates(tmp_path):
    def change(tree):
        tree["reward"] = {"topic": "reward", "terminated_topic": "done"}

    tape = tape_of(4)
    for at_ms, value in ((20, 9.0), (60, 1.0), (90, 2.0), (120, 4.0), (180, 10.0)):
        tape.add(at_ms * MS, "/reward", make.number(value))
    tape.add(100 * MS, "/done", make.flag(False)).add(185 * MS, "/done", make.flag(True))
    result, dataset = imported(tmp_path, tape.write(tmp_path / "bag"), change=change)
    # Periods (48, 98], (98, 148], (148, 185]; the reward at 20 ms belongs to none.
    np.testing.assert_allclose(dataset.rewards, [3, 4, 10])
    assert dataset.terminated.tolist() == [False, False, True]
    assert not dataset.truncated.any()
    assert positions(dataset) == [4, 9, 14, 18]
    assert result.bags[0].tally.counts == {KEPT: 3, "after the end of the task": 1}
    assert result.bags[0].notes == ("1 reward messages belong to no transition that was kept.",)


def test_the_end_of_a_task_that_cannot_be_observed_is_not_given_to_the_transition_before(tmp_path):
    def change(tree):
        tree["reward"] = {"topic": "reward", "terminated_topic": "done"}

    tape = tape_of(4).add(120 * MS, "/reward", make.number(4.0))
    tape.add(190 * MS, "/reward", make.number(10.0)).add(195 * MS, "/done", make.flag(True))
    silent = BEGIN_NS + 95 * MS  # 100 ms later the states are stale
    tape.entries = [entry for entry in tape.entries if entry[1] != "/joint_states" or entry[0] < silent]
    result, dataset = imported(tmp_path, tape.write(tmp_path / "bag"), change=change)
    np.testing.assert_allclose(dataset.rewards, [0, 4])
    assert dataset.truncated.tolist() == [False, True]
    assert not dataset.terminated.any()
    assert result.bags[0].notes == (
        "1 reward messages belong to no transition that was kept.",
        "1 terminations came when nothing could be observed: those episodes are truncated.",
    )


def test_a_reward_after_the_last_whole_period_is_counted(tmp_path):
    def change(tree):
        tree["reward"] = {"topic": "reward"}

    tape = tape_of(4)
    end = BEGIN_NS + 210 * MS  # less than half of the period that began at 198 ms
    tape.entries = [entry for entry in tape.entries if entry[0] <= end]
    tape.add(205 * MS, "/reward", make.number(1.0))
    result, dataset = imported(tmp_path, tape.write(tmp_path / "bag"), change=change)
    assert dataset.rewards.tolist() == [0, 0, 0]
    assert result.bags[0].notes == ("1 reward messages belong to no transition that was kept.",)


def test_a_task_that_has_ended_begins_anew_after_a_gap(tmp_path):
    def change(tree):
        tree["reward"] = {"terminated_topic": "done"}

    tape = tape_of(8).add(160 * MS, "/done", make.flag(True))
    paused = [(198 + 50 * number) * MS + BEGIN_NS for number in range(3)]  # 198, 248, 298 ms are silent
    tape.entries = [entry for entry in tape.entries if entry[1] != "/commands" or entry[0] not in paused]
    result, dataset = imported(tmp_path, tape.write(tmp_path / "bag"), change=change)
    assert dataset.terminated.tolist() == [False, False, True, False, False]
    np.testing.assert_allclose(dataset.actions[:, 0], [0, 0.1, 0.2, 0.6, 0.7])
    assert result.bags[0].tally.counts == {KEPT: 5}


REWARDS = """
import numpy as np

def reach(terms, actions):
    place = terms["position"][1:, 0]
    return -np.abs(place - 0.2) - 0 * actions[:, 0], place > 0.185

def short(terms, actions):
    return np.zeros(1), np.zeros(1)

def broken(terms, actions):
    return terms["nothing"]
"""


@pytest.fixture
def rewards(tmp_path, monkeypatch):
    (tmp_path / "my_rewards.py").write_text(REWARDS)
    monkeypatch.chdir(tmp_path)
    yield
    sys.modules.pop("my_rewards", None)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_function_labels_the_same_bag_for_another_goal(tmp_path, rewards, workers):
    def change(tree):
        tree["reward"] = {"function": "my_rewards:reach"}

    bags = [tape_of(4).write(tmp_path / f"bag{number}") for number in range(workers)]
    result, dataset = imported(tmp_path, *bags, change=change, workers=workers)
    # Positions 4, 9, 14, 19, 24: the third action ends the task at 19; the fourth is after it.
    first = dataset.episodes == 0
    np.testing.assert_allclose(dataset.rewards[first], [-0.11, -0.06, -0.01], atol=1e-6)
    assert dataset.terminated[first].tolist() == [False, False, True]
    assert result.bags[0].tally.counts == {KEPT: 3, "after the end of the task": 1}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("my_rewards:short", r"answer cannot be used[\s\S]*\(1,\)[\s\S]*\(4,\)"),
        ("my_rewards:broken", r"function failed[\s\S]*KeyError"),
        ("my_rewards:absent", r"cannot be imported[\s\S]*absent"),
        ("no_such_module:reach", r"cannot be imported[\s\S]*no_such_module"),
    ],
)
def test_a_reward_function_that_does_not_work_is_named(tmp_path, rewards, name, message):
    def change(tree):
        tree["reward"] = {"function": name}

    with pytest.raises(DatasetError, match=message):
        imported(tmp_path, tape_of(4).write(tmp_path / "bag"), change=change)


def cycle(number, now_ns, state_ns, command, mode="running"):
    inputs = Inputs(("joint_states", "goal"), (1, 1), (state_ns, BEGIN_NS), (state_ns, BEGIN_NS))
    empty = EMPTY
    return CycleRecord(
        number, number, 0, 0, now_ns, 0.0, (0, 0, 0), CycleTimes(), inputs, "actor", mode, (0,) * 3,
        empty, empty, empty, np.array(command),
    )  # fmt: skip


def test_a_controller_s_recording_gives_its_own_times_measurements_and_commands(tmp_path):
    tape = tape_of(0)
    tape.entries = [entry for entry in tape.entries if entry[1] != "/commands"]
    for number in range(25):  # as tape_of(0) ends at 50 ms
        at_ns = (number + 6) * 10 * MS
        tape.add(at_ns, "/joint_states", make.joint_state(BEGIN_NS + at_ns, [number / 100 + 0.06, 0], [0, 0]))
    # Cycle 2 was computed for 97 ms with the state of 80 ms, although that of 90 ms had arrived, and is written late.
    for number, (at_ms, state_ms, late_ms) in enumerate([(47, 40, 0), (97, 80, 20), (147, 140, 0), (197, 190, 0)], 1):
        record = cycle(number, BEGIN_NS + at_ms * MS, BEGIN_NS + state_ms * MS, [number / 10, 0])
        tape.add((at_ms + late_ms) * MS + 1, "/divo_controller/cycles", Raw(CYCLE_TYPE, encode_cycle(record)))
    bag = tape.write_mcap(tmp_path / "run.mcap")
    result, dataset = imported(tmp_path, bag)
    assert result.bags[0].grid == "cycles"
    assert positions(dataset) == [4, 8, 14, 19, 24]  # and the last one as of 247 ms
    np.testing.assert_allclose(dataset.actions[:, 0], [0.1, 0.2, 0.3, 0.4])


@pytest.mark.parametrize("clock", ["header", "receive"])
def test_a_controller_s_recording_can_be_read_by_the_other_clock(tmp_path, clock):
    tape = make.Tape().add(0, "/goal", make.point(BEGIN_NS, 0.25, -0.5))
    for number in range(30):  # stamped 3 ms before they arrive
        stamp_ns = BEGIN_NS + number * 10 * MS
        tape.add(number * 10 * MS + 3 * MS, "/joint_states", make.joint_state(stamp_ns, [number / 100, 0], [0, 0]))
    for number in range(1, 5):
        record = cycle(number, BEGIN_NS + (number * 50 - 3) * MS, 0, [number / 10, 0])
        state_ns = BEGIN_NS + (number * 50 - 10) * MS
        inputs = Inputs(("joint_states", "goal"), (1, 1), (state_ns, BEGIN_NS), (state_ns + 3 * MS, BEGIN_NS))
        raw = Raw(CYCLE_TYPE, encode_cycle(replace(record, inputs=inputs)))
        tape.add((number * 50 - 3) * MS + 1, "/divo_controller/cycles", raw)
    _, dataset = imported(
        tmp_path, tape.write_mcap(tmp_path / "run.mcap"), change=lambda tree: tree.update(clock=clock)
    )
    assert positions(dataset)[:4] == [4, 9, 14, 19]


def test_another_activation_begins_another_episode(tmp_path):
    tape = tape_of(4)
    for order, number in enumerate([1, 2, 1, 2]):
        at_ns = (47 + 50 * order) * MS
        record = cycle(number, BEGIN_NS + at_ns, BEGIN_NS + (40 + 50 * order) * MS, [0, 0])
        tape.add(at_ns + 1, "/divo_controller/cycles", Raw(CYCLE_TYPE, encode_cycle(record)))
    _, dataset = imported(tmp_path, tape.write_mcap(tmp_path / "run.mcap"))
    assert dataset.episodes.tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize(
    ("mode", "counts"),
    [
        ("fault", {KEPT: 3, "the controller was in fault": 1}),
        ("inactive", {KEPT: 3, "the controller was inactive": 1}),
        ("holding", {KEPT: 4}),
        ("blending", {KEPT: 4}),
    ],
)
def test_cycles_in_fault_are_no_behaviour(tmp_path, mode, counts):
    tape = tape_of(4)
    for order in range(4):
        at_ns = (47 + 50 * order) * MS
        state_ns = BEGIN_NS + (40 + 50 * order) * MS
        record = cycle(order + 1, BEGIN_NS + at_ns, state_ns, [order / 10, 0], mode if order == 2 else "running")
        tape.add(at_ns + 1, "/divo_controller/cycles", Raw(CYCLE_TYPE, encode_cycle(record)))
    result, dataset = imported(tmp_path, tape.write_mcap(tmp_path / "run.mcap"))
    assert result.bags[0].tally.counts == counts
    assert len(dataset) == counts[KEPT]
    assert len(set(dataset.episodes.tolist())) == (1 if counts[KEPT] == 4 else 2)
