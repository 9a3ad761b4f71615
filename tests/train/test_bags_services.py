"""Episode marks by service calls, with events laid out by hand as ROS 2 has them on the wire."""

from __future__ import annotations

import struct

import pytest
from rosbags.rosbag2 import StoragePlugin

import bag_maker as make
from bag_maker import MS, Raw, imported, tape_of
from divo_runtime.errors import ContractError, DatasetError
from divo_train.data.bags.marks import Mark, mark_reader
from divo_train.data.bags.service_calls import EMPTY, SET_BOOL, TRIGGER, ServiceCall, decode_call
from divo_train.data.bags.tally import KEPT

CLIENT = bytes(range(16))
SENT, RECEIVED, ANSWERED = 0, 1, 2


def event(kind, number, what=RECEIVED, value=None, contents=True):
    """One event: head, event type, stamp (7 s 5 ns), client, number, then at most one request and no response."""
    info = struct.pack("<B3xiI", what, 7, 5) + CLIENT + bytes(4) + struct.pack("<q", number)
    asked = contents and what in (SENT, RECEIVED)
    request = struct.pack("<IB", 1, bool(value)) if asked else struct.pack("<I", 0)
    return Raw(kind, b"\x00\x01\x00\x00" + info + request + bytes(-len(request) % 4) + struct.pack("<I", 0))


def with_service(tree):
    tree["episodes"] = {"service": "mark"}


def calls(tape, kind, *rows):
    for at_ms, raw in rows:
        tape.add(at_ms * MS, "/mark/_service_event", raw)
    return tape


def test_an_event_is_read_as_it_lies_on_the_wire():
    call = decode_call(event(SET_BOOL, 3, SENT, True).data, SET_BOOL)
    assert call == ServiceCall(event=0, client=CLIENT, number=3, value=True)
    assert decode_call(event(SET_BOOL, 3, ANSWERED).data, SET_BOOL).value is None
    assert decode_call(event(TRIGGER, 4).data, TRIGGER) == ServiceCall(1, CLIENT, 4, None)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (event(SET_BOOL, 1, value=True).data[:20], "ends after"),
        (event(SET_BOOL, 1, value=True, contents=False).data, "without its contents"),
    ],
)
def test_an_event_that_lacks_something_is_refused(data, message):
    with pytest.raises(ValueError, match=message):
        decode_call(data, SET_BOOL)


def test_a_call_counts_once_whoever_tells_of_it():
    read = mark_reader(SET_BOOL, ())
    told = [ServiceCall(SENT, CLIENT, 1, True), ServiceCall(RECEIVED, CLIENT, 1, True)]
    told += [ServiceCall(ANSWERED, CLIENT, 1, None), ServiceCall(RECEIVED, CLIENT, 2, True)]
    told += [ServiceCall(RECEIVED, b"another client..", 2, False)]
    assert [read(call) for call in told] == [Mark.BEGIN, Mark.NOTHING, Mark.NOTHING, Mark.BEGIN, Mark.END]


def test_calls_of_set_bool_begin_and_end_episodes(tmp_path):
    rows = [(89, event(SET_BOOL, 1, SENT, True)), (90, event(SET_BOOL, 1, RECEIVED, True))]
    rows += [(91, event(SET_BOOL, 1, ANSWERED)), (260, event(SET_BOOL, 2, RECEIVED, False))]
    bag = calls(tape_of(), SET_BOOL, *rows).write_mcap(tmp_path / "bag.mcap")
    result, dataset = imported(tmp_path, bag, change=with_service)
    # Commands at 98, 148, 198, 248 ms are inside, as with a flag on a topic.
    assert len(dataset) == 4
    assert result.bags[0].tally.counts == {KEPT: 4, "outside of the marked episodes": 4}


@pytest.mark.parametrize("kind", [TRIGGER, EMPTY])
def test_calls_without_a_value_end_one_episode_and_begin_the_next(tmp_path, kind):
    bag = calls(tape_of(), kind, (160, event(kind, 1))).write_mcap(tmp_path / "bag.mcap")
    _, dataset = imported(tmp_path, bag, change=with_service)
    assert dataset.episodes.tolist() == [0] * 3 + [1] * 5


@pytest.mark.parametrize("storage", [StoragePlugin.MCAP, StoragePlugin.SQLITE3])
def test_calls_are_found_in_bags_of_both_storages(tmp_path, storage):
    bag = calls(tape_of(), TRIGGER, (160, event(TRIGGER, 1))).write(tmp_path / "bag", storage)
    _, dataset = imported(tmp_path, bag, change=with_service)
    assert dataset.episodes.tolist() == [0] * 3 + [1] * 5


def test_calls_without_their_contents_are_noted(tmp_path):
    bag = calls(tape_of(), SET_BOOL, (90, event(SET_BOOL, 1, value=True, contents=False)))
    bag.add(95 * MS, "/mark/_service_event", event(SET_BOOL, 2, value=True))
    result, _ = imported(tmp_path, bag.write_mcap(tmp_path / "bag.mcap"), change=with_service)
    assert result.bags[0].notes == ("1 messages of /mark/_service_event that were needed cannot be decoded.",)


def test_a_bag_without_the_service_says_what_is_missing(tmp_path):
    with pytest.raises(DatasetError, match=r"topic of the episode marks[\s\S]*/mark/_service_event"):
        imported(tmp_path, tape_of().write(tmp_path / "bag"), change=with_service)


def test_a_topic_and_a_service_cannot_both_mark(tmp_path):
    def both(tree):
        tree["episodes"] = {"topic": "marks", "service": "mark"}

    with pytest.raises(ContractError, match="either topic or service in episodes"):
        make.contract(both)
