"""Bad input: each kind is named in one error or note, and what is good comes in when it is asked for."""

from __future__ import annotations

import pytest
from mcap.writer import IndexType

import bag_maker as make
from bag_maker import MS, S, Tape, imported
from divo_runtime.errors import DatasetError
from divo_train.data.bags.bag import open_bag
from divo_train.data.bags.parts import BagError

UNINDEXED = {"index_types": IndexType.NONE, "use_statistics": False, "use_summary_offsets": False, "chunk_size": 4096}


@pytest.fixture(scope="module")
def tape():
    return make.robot_tape(seconds=4)


def test_a_truncated_file_is_an_error_and_its_front_comes_in_when_asked(tmp_path, tape):
    whole = tape.write_mcap(tmp_path / "whole.mcap", chunk_size=4096)
    cut = tmp_path / "cut.mcap"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises(BagError, match=r"damaged[\s\S]*cut\.mcap[\s\S]*--keep-going"):
        imported(tmp_path / "1", cut)
    result, dataset = imported(tmp_path / "2", cut, keep_going=True)
    (note,) = result.bags[0].notes
    assert "cut off" in note
    assert 30 <= len(dataset) <= 45  # of 79, and the file's second half is index besides data
    _, complete = imported(tmp_path / "3", whole)
    assert dataset.observations[:30].tobytes() == complete.observations[:30].tobytes()


def test_a_file_may_be_cut_off_anywhere(tmp_path):
    data = make.robot_tape(seconds=0.4).write_mcap(tmp_path / "whole.mcap", chunk_size=1024).read_bytes()
    cut = tmp_path / "cut.mcap"
    for length in range(len(data) // 2, len(data), 7):
        cut.write_bytes(data[:length])
        open_bag(cut, keep_going=True).close()


def test_a_file_without_index_comes_in_whole_with_a_note(tmp_path, tape):
    bag = tape.write_mcap(tmp_path / "live.mcap", **UNINDEXED)
    result, dataset = imported(tmp_path, bag)
    assert len(dataset) == 79
    assert result.bags[0].notes == ("live.mcap has no index and is read from front to back.",)


def test_chunks_that_overlap_are_put_in_order(tmp_path, tape):
    live = Tape([(at + 15 * MS * (topic == "/commands"), topic, message) for at, topic, message in tape.entries])
    with (tmp_path / "live.mcap").open("wb") as stream:  # commands are written 15 ms later than their log time
        writer = make.McapWriter(stream, **UNINDEXED)
        writer.start(profile="ros2", library="test")
        plain = writer.add_message
        late = {"/commands": 15 * MS}
        topics = {}
        register = writer.register_channel

        def register_channel(topic, *rest):
            number = register(topic, *rest)
            topics[number] = topic
            return number

        def add_message(channel, log_ns, data, publish_ns):
            plain(channel, log_ns - late.get(topics[channel], 0), data, publish_ns)

        writer.register_channel, writer.add_message = register_channel, add_message
        live.write_to(writer)
        writer.finish()
    _, dataset = imported(tmp_path / "1", tmp_path / "live.mcap")
    _, expected = imported(tmp_path / "2", tape.write_mcap(tmp_path / "whole.mcap"))
    assert dataset.observations.tobytes() == expected.observations.tobytes()


def test_a_damaged_chunk_is_left_out_and_its_bytes_are_counted(tmp_path, tape):
    bag = tape.write_mcap(tmp_path / "live.mcap", **UNINDEXED)
    data = bytearray(bag.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 50] = bytes(50)
    bag.write_bytes(data)
    result, dataset = imported(tmp_path, bag)
    assert "bytes of it damaged" in result.bags[0].notes[0]
    assert 0 < len(dataset) < 79


def test_a_truncated_database_comes_in_as_far_as_it_can_be_read(tmp_path, tape):
    bag = tape.write(tmp_path / "bag", make.StoragePlugin.SQLITE3)
    data = (bag / "bag.db3").read_bytes()
    (bag / "bag.db3").write_bytes(data[: len(data) // 3])
    with pytest.raises(BagError, match="damaged"):
        imported(tmp_path / "1", bag)
    good = tape.write(tmp_path / "good")
    result, dataset = imported(tmp_path / "2", bag, good, keep_going=True)
    assert len(dataset) >= 79
    told = [*result.left_out, *(note for report in result.bags for note in report.notes)]
    assert len(told) >= 1


def test_a_folder_without_metadata_is_read_file_by_file(tmp_path, tape):
    bag = tape.write(tmp_path / "bag")
    (bag / "metadata.yaml").unlink()
    result, dataset = imported(tmp_path, bag)
    assert len(dataset) == 79
    assert "no metadata.yaml" in result.bags[0].notes[0]


def test_a_missing_split_is_an_error_and_the_rest_comes_in_when_asked(tmp_path, tape):
    bag = tape.write(tmp_path / "bag")
    text = (bag / "metadata.yaml").read_text()
    (bag / "metadata.yaml").write_text(text.replace("  - bag.mcap", "  - bag.mcap\n  - bag_1.mcap", 1))
    with pytest.raises(BagError, match=r"bag_1\.mcap"):
        imported(tmp_path / "1", bag)
    _, dataset = imported(tmp_path / "2", bag, keep_going=True)
    assert len(dataset) == 79


def test_a_type_that_nobody_defines_is_named_with_its_topic(tmp_path):
    tape = make.robot_tape(seconds=1)
    tape.add(5 * MS, "/divo/cycles", make.Raw("divo_controller/msg/Cycle", bytes(32)))
    bag = tape.write_mcap(tmp_path / "bag.mcap", definitions=False)
    with pytest.raises(BagError, match=r"does not define[\s\S]*divo_controller/msg/Cycle[\s\S]*/divo/cycles"):
        imported(tmp_path / "1", bag)
    result, dataset = imported(tmp_path / "2", bag, keep_going=True)
    assert len(dataset) == 19
    assert result.bags[0].grid == "commands"
    assert "does not define" in result.bags[0].notes[0]


def test_a_type_that_is_not_needed_may_stay_unknown(tmp_path):
    tape = make.robot_tape(seconds=1).add(5 * MS, "/camera/secret", make.Raw("my_msgs/msg/Secret", bytes(32)))
    result, dataset = imported(tmp_path, tape.write_mcap(tmp_path / "bag.mcap"))
    assert len(dataset) == 19
    assert result.bags[0].unused_topics == ("/camera/secret (my_msgs/msg/Secret)",)


def test_two_types_on_one_topic_are_noted_and_the_contract_s_is_used(tmp_path):
    tape = make.robot_tape(seconds=1).add(5 * MS, "/goal", make.text("not a point"))
    result, dataset = imported(tmp_path, tape.write(tmp_path / "bag"))
    assert len(dataset) == 19
    (note,) = result.bags[0].notes
    assert "/goal stands in the bag with different types" in note
    assert "geometry_msgs/msg/PointStamped is used" in note


def test_another_type_than_the_contract_s_is_an_error(tmp_path):
    tape = make.robot_tape(seconds=1)
    tape.entries = [(at, topic, make.text("x") if topic == "/goal" else m) for at, topic, m in tape.entries]
    with pytest.raises(BagError, match=r"another type[\s\S]*/goal[\s\S]*String[\s\S]*PointStamped"):
        imported(tmp_path, tape.write(tmp_path / "bag"))


def test_a_bag_without_commands_is_left_out_by_name(tmp_path, tape):
    silent = Tape([entry for entry in tape.entries if entry[1] != "/commands"]).write(tmp_path / "silent")
    with pytest.raises(BagError, match=r"topic of the command[\s\S]*/commands"):
        imported(tmp_path / "1", silent)
    good = tape.write(tmp_path / "good")
    result, dataset = imported(tmp_path / "2", silent, good, keep_going=True)
    assert len(dataset) == 79
    ((path, why),) = result.left_out
    assert path == silent
    assert "/commands" in why
    assert result.metadata["left_out"][0]["name"] == "silent"


def test_an_error_in_another_process_reaches_the_person_whole(tmp_path, tape):
    silent = Tape([entry for entry in tape.entries if entry[1] != "/commands"]).write(tmp_path / "silent")
    good = tape.write(tmp_path / "good")
    with pytest.raises(BagError, match=r"topic of the command[\s\S]*where: /commands[\s\S]*fix: "):
        imported(tmp_path / "1", good, silent, workers=2)


def test_a_bag_without_messages_is_an_error(tmp_path):
    with pytest.raises(BagError, match=r"does not hold|no messages|damaged"):
        imported(tmp_path, Tape().write(tmp_path / "bag"))


def test_what_is_no_bag_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    for path in (tmp_path / "notes.txt", tmp_path / "nowhere", tmp_path):
        with pytest.raises(BagError, match="no bag"):
            imported(tmp_path / "out", path)


def test_a_failed_import_leaves_nothing_behind(tmp_path, tape):
    silent = Tape([entry for entry in tape.entries if entry[1] != "/commands"]).write(tmp_path / "silent")
    with pytest.raises(DatasetError):
        imported(tmp_path, silent)
    assert not list((tmp_path / "root").glob("robot-v0*"))


def test_a_recorder_whose_clock_was_set_back_is_noted_and_splits_the_episode(tmp_path):
    bag = tmp_path / "bag"
    bag.mkdir()
    make.robot_tape(seconds=2).write_mcap(bag / "bag_0.mcap")
    later = make.robot_tape(seconds=2)
    later.entries = [(at - 3 * S, topic, message) for at, topic, message in later.entries]
    for _, topic, message in later.entries:
        if topic != "/commands":
            message.header.stamp.sec -= 3
    later.write_mcap(bag / "bag_1.mcap")
    result, dataset = imported(tmp_path, bag)
    assert "the recorder's clock was set" in " ".join(result.bags[0].notes)
    assert sorted(set(dataset.episodes.tolist())) == [0, 1]
    assert len(dataset) >= 76


def test_messages_that_cannot_be_decoded_are_counted(tmp_path, tape):
    broken = Tape(list(tape.entries))
    at_ns, topic, message = next(e for e in broken.entries if e[1] == "/joint_states" and e[0] > make.BEGIN_NS + 2 * S)
    kind, data = make.serialised(message)
    later = [each for each in broken.entries if each[0] > at_ns and each[1] == "/joint_states"][0:8]
    for entry in later:  # so that one command finds only broken states
        stamp = make.serialised(entry[2])[1][:20]
        broken.entries[broken.entries.index(entry)] = (entry[0], topic, make.Raw(kind, stamp))
    broken.add(2 * S, "/goal", make.Raw("geometry_msgs/msg/PointStamped", data[:6]))
    result, dataset = imported(tmp_path, broken.write_mcap(tmp_path / "bag.mcap"))
    assert result.bags[0].tally.counts["position: unreadable"] >= 1
    assert any("messages of /joint_states that were needed cannot be decoded" in note for note in result.bags[0].notes)
    assert len(dataset) >= 60


def test_a_clock_that_was_set_back_within_an_indexed_file_is_noted(tmp_path):
    early, late = make.robot_tape(seconds=2), make.robot_tape(seconds=2)
    for number, (at_ns, topic, message) in enumerate(late.entries):
        late.entries[number] = (at_ns - 5 * S, topic, message)
    with (tmp_path / "bag.mcap").open("wb") as stream:
        writer = make.McapWriter(stream, chunk_size=4096)
        writer.start(profile="ros2", library="test")
        for tape in (early, late):
            tape.write_to(writer)
        writer.finish()
    bag = open_bag(tmp_path / "bag.mcap")
    bag.close()
    (note,) = bag.notes  # from 1.9 to -5 s
    assert "the recorder's clock was set back by 6.9 s" in note or "set back by 7.0 s" in note
