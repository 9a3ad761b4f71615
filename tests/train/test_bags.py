"""Bags to datasets: what is held, what is paired, what is dropped, with numbers worked out by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest
from rosbags.rosbag2 import Reader, StoragePlugin

import bag_maker as make
from bag_maker import BEGIN_NS, MS, S, Tape, imported, positions, ramp
from divo_runtime.contract import Contract
from divo_runtime.errors import DatasetError
from divo_runtime.observation import Measurement, ObservationBuilder
from divo_runtime.schema import parse_yaml
from divo_train.data.bags.tally import KEPT


def test_the_newest_state_before_each_command_is_held_and_one_more_a_period_after_the_last(tmp_path):
    result, dataset = imported(tmp_path, ramp(5).write(tmp_path / "bag"))
    assert positions(dataset) == [4, 9, 14, 19, 24, 29]  # commands at 48, 98, ... ms; the end is seen at 298 ms
    np.testing.assert_allclose(dataset.observations[0], [0.04, 1.04, 0, 0, 0.25, -0.5])  # a before b: by name
    np.testing.assert_allclose(dataset.actions[:, 0], [0, 0.1, 0.2, 0.3, 0.4])
    assert dataset.truncated.tolist() == [False] * 4 + [True]
    assert not dataset.terminated.any()
    assert result.bags[0].grid == "commands"
    assert result.bags[0].tally.counts == {KEPT: 5}


@pytest.mark.parametrize("storage", ["mcap", "sqlite3", "lone mcap", "lone db3", "split"])
def test_every_storage_gives_the_same_dataset(tmp_path, storage):
    tape = ramp(5)
    if storage == "lone mcap":
        bag = tape.write_mcap(tmp_path / "lone.mcap")
    elif storage == "split":
        bag = tmp_path / "bag"
        bag.mkdir()
        half = BEGIN_NS + 120 * MS
        for number, early in ((0, True), (1, False)):
            part = Tape([entry for entry in tape.entries if (entry[0] < half) == early])
            part.write_mcap(bag / f"bag_{number}.mcap")
    else:
        folder = tape.write(tmp_path / "bag", StoragePlugin.SQLITE3 if storage != "mcap" else StoragePlugin.MCAP)
        bag = folder / "bag.db3" if storage == "lone db3" else folder
    _, dataset = imported(tmp_path, bag)
    assert positions(dataset) == [4, 9, 14, 19, 24, 29]


def test_observations_are_bit_for_bit_what_a_node_would_have_built(tmp_path):
    bag = make.robot_tape(seconds=5).write(tmp_path / "bag")
    _, dataset = imported(tmp_path, bag)
    builder, newest, seen = ObservationBuilder(dataset.contract), {}, []
    with Reader(bag) as reader:
        for connection, arrival_ns, raw in reader.messages():
            message = make.STORE.deserialize_cdr(raw, connection.msgtype)
            if connection.topic == "/commands":
                seen.append(builder.build(newest, arrival_ns).usable())
            else:
                stamp_ns = message.header.stamp.sec * S + message.header.stamp.nanosec
                newest[connection.topic[1:]] = Measurement(message, stamp_ns, arrival_ns)
    assert len(seen) == 99
    assert np.stack(seen).tobytes() == dataset.observations[:-1].tobytes()


@pytest.mark.parametrize(("ahead_ms", "first"), [(19, 5), (21, None)])
def test_a_stamp_that_is_ahead_is_taken_as_on_the_robot(tmp_path, ahead_ms, first):
    tape = ramp(4)
    at_ns = 47 * MS  # arrives before the command at 48 ms, and says that it was measured after it
    tape.add(at_ns, "/joint_states", make.joint_state(BEGIN_NS + (48 + ahead_ms) * MS, [0.05, 0], [0, 0]))
    result, dataset = imported(tmp_path, tape.write(tmp_path / "bag"))
    if first is None:  # the period is dropped; that at 98 ms has newer messages
        assert result.bags[0].tally.counts == {KEPT: 3, "position: from the future": 1}
        assert positions(dataset)[0] == 9
    else:
        assert positions(dataset)[0] == first


def test_a_message_with_an_older_stamp_is_refused_as_on_the_robot(tmp_path):
    tape = ramp(4)  # and another publisher, whose stamps are 60 ms old
    tape.add(97 * MS, "/joint_states", make.joint_state(BEGIN_NS + 37 * MS, [9, 9], [0, 0]))
    result, dataset = imported(tmp_path, tape.write(tmp_path / "bag"))
    # Like the robot, the import looks once per period and keeps what it took then: at 98 ms the state of 40 ms.
    assert positions(dataset) == [4, 4, 14, 19, 24]
    assert result.bags[0].notes == (
        "1 messages bore an older stamp than the one before and were passed over, as on the robot.",
    )


def test_the_contract_s_clock_tells_the_age(tmp_path):
    tape = Tape()
    for number in range(12):
        at_ns = number * 10 * MS
        stamp_ns = BEGIN_NS + at_ns - 150 * MS  # the driver stamps 150 ms late; 100 ms are allowed
        tape.add(at_ns, "/joint_states", make.joint_state(stamp_ns, [0.5, 0.5], [0, 0]))
        tape.add(at_ns, "/goal", make.point(BEGIN_NS + at_ns, 0, 0))
    tape.add(48 * MS, "/commands", make.array([0, 0])).add(98 * MS, "/commands", make.array([0, 0]))
    bag = tape.write(tmp_path / "bag")
    by_header, nothing = imported(tmp_path, bag)
    assert nothing is None
    assert by_header.bags[0].tally.counts == {"position: stale": 2}
    _, dataset = imported(tmp_path / "2", bag, change=lambda tree: tree.update(clock="receive"))
    assert len(dataset) == 1


@pytest.mark.parametrize("clock", ["header", "receive"])
def test_a_gap_ends_the_episode_as_a_truncation_one_period_after_its_last_action(tmp_path, clock):
    first, second = ramp(3), ramp(2)
    for arrival_ns, topic, message in second.entries:
        if topic != "/commands":
            message.header.stamp.sec += 1
        first.entries.append((arrival_ns + S, topic, message))
    change = lambda tree: tree.update(clock=clock)  # noqa: E731
    result, dataset = imported(tmp_path, first.write(tmp_path / "bag"), change=change)
    assert dataset.episodes.tolist() == [0, 0, 0, 1, 1]
    assert dataset.truncated.tolist() == [False, False, True, False, True]
    assert positions(dataset) == [4, 9, 14, 19, 4, 9, 14]
    assert result.bags[0].tally.counts == {KEPT: 5}


def test_periods_with_stale_inputs_are_dropped_by_cause_and_split_the_episode(tmp_path):
    # States 15 to 26 (150 to 260 ms) are missing, so at 248 ms the newest is 108 ms old, and at 298 ms all is well.
    result, dataset = imported(tmp_path, ramp(7, skip_states=range(15, 27)).write(tmp_path / "bag"))
    assert result.bags[0].tally.counts == {KEPT: 5, "position: stale": 1, "no observation after the last action": 1}
    assert positions(dataset) == [4, 9, 14, 14, 29, 34, 39]
    assert dataset.episodes.tolist() == [0, 0, 0, 1, 1]
    np.testing.assert_allclose(dataset.actions[:, 0], [0, 0.1, 0.2, 0.5, 0.6])


def test_processes_do_not_change_the_dataset(tmp_path):
    bags = [ramp(count).write(tmp_path / f"bag{count}") for count in (3, 4, 5)]
    alone, _ = imported(tmp_path / "1", *bags, workers=1)
    together, dataset = imported(tmp_path / "2", *bags, workers=2)
    assert alone.metadata["content_sha256"] == together.metadata["content_sha256"]
    assert dataset.episodes.tolist() == [0] * 3 + [1] * 4 + [2] * 5


def test_minari_opens_the_dataset_and_its_card_says_where_it_is_from(tmp_path, monkeypatch):
    minari = pytest.importorskip("minari")
    result, _ = imported(tmp_path, ramp(5).write(tmp_path / "bag"))
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    opened = minari.load_dataset("root/robot-v0")
    assert opened[0].observations.shape == (6, 6)
    assert opened[0].actions.shape == (5, 2)
    card = json.loads((result.folder / "data" / "metadata.json").read_text())
    assert card["dataset_id"] == "root/robot-v0"
    assert card["bags"][0]["name"] == "bag"
    assert len(card["bags"][0]["sha256"]) == 64
    assert parse_yaml(card["contract"], Contract, "card").name == "two_joints"


def test_a_large_file_is_read_in_slices_without_losing_a_message(tmp_path, monkeypatch):
    bags = [make.robot_tape(seconds=5).write_mcap(tmp_path / "bag.mcap", chunk_size=4096)]
    bags.append(make.robot_tape(seconds=5).write(tmp_path / "db", StoragePlugin.SQLITE3))
    whole, _ = imported(tmp_path / "1", *bags)
    monkeypatch.setattr("divo_train.data.bags.bag.SLICE_BYTES", 10_000)
    sliced, _ = imported(tmp_path / "2", *bags)
    assert sliced.metadata["content_sha256"] == whole.metadata["content_sha256"]
    assert [bag.messages for bag in sliced.bags] == [bag.messages for bag in whole.bags] == [609, 609]


def test_an_existing_dataset_is_not_overwritten(tmp_path):
    bag = ramp(5).write(tmp_path / "bag")
    imported(tmp_path, bag)
    with pytest.raises(DatasetError, match="already"):
        imported(tmp_path, bag)


def test_simulated_time_runs_by_the_stamps(tmp_path):
    tape = ramp(5)
    for _, topic, message in tape.entries:
        if topic != "/commands":
            message.header.stamp.sec -= BEGIN_NS // S - 100  # simulated seconds since 100
    bag = tape.write(tmp_path / "bag")
    with pytest.raises(DatasetError, match=r"another clock[\s\S]*--simulated-time"):
        imported(tmp_path, bag)
    _, dataset = imported(tmp_path, bag, simulated_time=True)
    # The clock moves with the states: at 48 ms it stands at 40 ms. The grid begins at 0 ms, periods end at 50 ms, ...
    assert positions(dataset)[:5] == [0, 5, 10, 15, 20]
    np.testing.assert_allclose(dataset.actions[:, 0], [0, 0.1, 0.2, 0.3, 0.4])


def test_simulated_time_runs_by_the_clock_topic_where_there_is_one(tmp_path):
    tape, clock = ramp(5), make.T["rosgraph_msgs/msg/Clock"]
    for at_ns, topic, message in tape.entries:
        if topic != "/commands":
            message.header = make.header(100 * S + 2 * (at_ns - BEGIN_NS))
    for number in range(301):  # twice as fast as the arrivals' clock
        at_ns = number * MS
        tape.add(at_ns, "/clock", clock(make.T["builtin_interfaces/msg/Time"](100, 2 * at_ns)))
    bag = tape.write(tmp_path / "bag")
    for clock in ("header", "receive"):  # by the arrivals, periods would be those of the wall clock
        with pytest.raises(DatasetError, match=r"recording of a simulation[\s\S]*301 messages[\s\S]*--simulated-time"):
            imported(tmp_path, bag, change=lambda tree, clock=clock: tree.update(clock=clock))
    _, dataset = imported(tmp_path, bag, simulated_time=True)
    # A period of 50 ms is 25 ms of arrivals, so every second one has a command: (50, 100], (150, 200], ... ms. States
    # come every 20 ms of simulated time: that of 40 ms is held at 50 ms, that of 100 ms at 100 ms.
    np.testing.assert_allclose(dataset.actions[:, 0], [0, 0.1, 0.2, 0.3, 0.4])
    assert positions(dataset)[:4] == [2, 5, 7, 10]


def test_namespace_and_remaps_lead_to_the_topics(tmp_path):
    tape = ramp(5)
    tape.entries = [(at, f"/left{topic}" if topic != "/goal" else "/camera/goal", m) for at, topic, m in tape.entries]
    bag = tape.write(tmp_path / "bag")
    with pytest.raises(DatasetError, match=r"joint_states[\s\S]*--remap joint_states:=/left/joint_states[\s\S]*left"):
        imported(tmp_path, bag)
    names = make.TopicNames("left", {"goal": "/camera/goal"})
    assert len(imported(tmp_path, bag, names=names)[1]) == 5
