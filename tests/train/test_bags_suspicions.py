"""A bag made to show each usual mistake raises its warning, and a clean one raises none."""

from __future__ import annotations

import numpy as np
import pytest

import bag_maker as make
from bag_maker import BEGIN_NS, MS, S, imported
from divo_train.data import training_set
from divo_train.data.bags.report import drop_rows, render_report
from divo_train.data.bags.settings import ImportSettings
from divo_train.data.bags.suspicions import STD_FLOOR, find_suspicions
from divo_train.data.bags.timing import Sample, TimingMeter


def suspicions(tmp_path, tape, change=None, **settings):
    result, _ = imported(tmp_path, tape.write(tmp_path / "bag"), change=change, **settings)
    return find_suspicions(make.contract(change)[0], result.bags, result.sample)


def only(found, subject):
    assert {each.subject for each in found} == {subject}, [str(each) for each in found]
    return " ".join(map(str, found))


@pytest.mark.parametrize("grid", ["commands", "regular"])
def test_a_clean_bag_raises_no_warning(tmp_path, grid):
    assert suspicions(tmp_path, make.robot_tape(), grid=grid) == []


def test_swapped_joints_are_named(tmp_path):
    text = only(suspicions(tmp_path, make.robot_tape(order=(1, 0))), "joint order")
    assert "The command of a moves b" in text
    assert "The command of b moves a" in text


def test_a_joint_that_moves_against_its_command_is_named(tmp_path):
    def turned(tape):
        for _, topic, message in tape.entries:
            if topic == "/commands":
                message.data[1] *= -1
        return tape

    assert "b moves against its command" in only(suspicions(tmp_path, turned(make.robot_tape())), "joint order")


def test_a_joint_that_never_moves_is_named(tmp_path):
    tape = make.robot_tape(names=("a", "b"))
    for _, topic, message in tape.entries:
        if topic == "/joint_states":
            message.position[0] = message.velocity[0] = 0.1
    still, constant = suspicions(tmp_path, tape)
    assert (still.subject, constant.subject) == ("no motion", "constant")
    assert "a is commanded but never moves" in str(still)


def test_an_input_that_never_changes_is_told(tmp_path):
    tape = make.robot_tape()
    for _, topic, message in tape.entries:
        if topic == "/goal":
            message.point.x, message.point.y = 0.25, -0.5
    text = only(suspicions(tmp_path, tape), "constant")
    assert "goal.x (0.25), goal.y (-0.5) never changed in 400 observations" in text
    assert STD_FLOOR == training_set.STD_FLOOR


@pytest.mark.parametrize(
    ("scale", "told"),
    [
        ((57.3, 57.3, 1.0), ["position of a", "in radians and the motion in degrees"]),
        ((1.0, 57.3, 1.0), ["velocities in degrees", "in radians and the motion in degrees"]),
        ((57.3, 1.0, 1.0), ["position of", "positions in degrees"]),
        ((1.0, 1.0, 57.3), ["in degrees and the motion in radians"]),
    ],
)
def test_degrees_are_told_from_radians(tmp_path, scale, told):
    def widen(tree):  # so that what is in degrees is not cut off by the other checks
        tree["action"].update(lower=[-200.0, -200.0], upper=[200.0, 200.0])
        for limit in tree["safety"]["limits"]:
            limit["velocity"] = 200.0

    found = suspicions(tmp_path, make.robot_tape(scale=scale, gain=3.0), change=widen)
    text = only(found, "unit")
    for words in told:
        assert words in text


def test_a_topic_that_is_too_slow_for_its_age_is_named(tmp_path):
    found = suspicions(tmp_path, make.robot_tape(state_hz=5))
    assert "position (joint_states) was too old in" in str(
        next(each for each in found if each.subject == "stale topic")
    )


def test_a_topic_that_stops_is_named(tmp_path):
    tape = make.robot_tape()
    tape.entries = [entry for entry in tape.entries if entry[1] != "/goal" or entry[0] < BEGIN_NS + 12 * S]
    found = suspicions(tmp_path, tape)
    assert "/goal falls silent" in only(found, "stale topic")


def test_motion_that_comes_late_is_told_with_its_delay(tmp_path):
    text = only(suspicions(tmp_path, make.robot_tape(command_lag_s=-0.25)), "lag")
    assert "only after 6 periods (300 ms" in text


def test_motion_that_comes_before_its_command_is_told(tmp_path):
    text = only(suspicions(tmp_path, make.robot_tape(command_lag_s=0.2)), "lag")
    assert "3 periods (150 ms) before the commands" in text


def test_a_saturated_command_is_told(tmp_path):
    tape = make.robot_tape()
    for _, topic, message in tape.entries:
        if topic == "/commands":
            message.data[:] = np.clip(3 * message.data, -1, 1)
    text = only(suspicions(tmp_path, tape), "saturation")
    assert "a is commanded at its limit" in text


def test_a_command_outside_of_the_contract_s_range_is_told(tmp_path):
    text = only(suspicions(tmp_path, make.robot_tape(gain=1.6)), "saturation")
    assert "lie outside of the contract's range" in text


@pytest.mark.parametrize("jump_s", [0.5, -0.5])
def test_a_clock_that_jumps_is_told(tmp_path, jump_s):
    def change(tree):
        tree["clock"] = "receive"  # so that the jump drops nothing and is the only thing to see

    tape = make.robot_tape()
    for arrival_ns, topic, message in tape.entries:
        if topic == "/joint_states" and arrival_ns > BEGIN_NS + 10 * S:
            stamp_ns = message.header.stamp.sec * S + message.header.stamp.nanosec + round(jump_s * S)
            message.header = make.header(stamp_ns)
    text = only(suspicions(tmp_path, tape, change=change), "clock")
    assert f"the stamps of /joint_states jump (1 times against the arrivals, {int(jump_s < 0)} times backwards)" in text


def test_stamps_from_the_future_are_told(tmp_path):
    tape = make.robot_tape()
    for _, topic, message in tape.entries:
        if topic == "/goal":
            message.header = make.header(message.header.stamp.sec * S + message.header.stamp.nanosec + 12 * MS)
    assert "/goal lie 12 ms in the future" in only(suspicions(tmp_path, tape), "clock")


def test_a_topic_that_changes_its_frame_is_told(tmp_path):
    tape = make.robot_tape()
    for arrival_ns, topic, message in tape.entries:
        if topic == "/goal" and arrival_ns > BEGIN_NS + 15 * S:
            message.header.frame_id = "map"
        elif topic == "/joint_states" and arrival_ns > BEGIN_NS + 5 * S:
            message.header.frame_id = "joints have none"
    text = only(suspicions(tmp_path, tape), "frame")
    assert "goal comes in 2 frames: 'base' (30 messages) and 'map' (10 messages), in bag." in text


@pytest.mark.parametrize(("frame", "told"), [("map", True), ("base", False), ("", False)])
def test_a_difference_across_two_frames_is_told(tmp_path, frame, told):
    def change(tree):
        goal = tree["observation"][2]
        tree["observation"][2:] = [{**goal, "name": "tool", "topic": "tool"}, {**goal, "relative_to": "tool"}]

    tape = make.robot_tape(seconds=5)
    for arrival_ns, topic, _ in list(tape.entries):
        if topic == "/goal":
            place = make.point(arrival_ns, (arrival_ns - BEGIN_NS) / S, 0.1 - (arrival_ns - BEGIN_NS) / S)
            place.header.frame_id = frame
            tape.add(arrival_ns - BEGIN_NS, "/tool", place)
    found = suspicions(tmp_path, tape, change=change)
    if told:
        text = only(found, "frame")
        assert "goal is relative to tool, but they come in different frames: base (goal) and map (tool)" in text
    else:
        assert found == []


def test_lost_messages_are_counted(tmp_path):
    tape = make.robot_tape()
    rng = np.random.default_rng(0)
    tape.entries = [entry for entry in tape.entries if entry[1] != "/joint_states" or rng.random() > 0.1]
    text = only(suspicions(tmp_path, tape), "loss")
    lost = 2000 - sum(entry[1] == "/joint_states" for entry in tape.entries)
    assert f"about {lost:,} messages of /joint_states" in text


def test_the_report_holds_everything_and_needs_no_network(tmp_path):
    tape = make.robot_tape(order=(1, 0))
    tape.entries = [each for each in tape.entries if not 5 * S < each[0] - BEGIN_NS < 6 * S or each[1] == "/commands"]
    bag = tape.write(tmp_path / "bag")
    result, _ = imported(tmp_path, bag)
    html = render_report(result, ImportSettings(make.contract()[0]), "divo-train import bag")
    assert "http" not in html.replace('lang="en"', "")
    assert "The command of a moves b" in html
    assert "position: stale" in html
    assert html.count("data:image/png;base64,") == 4
    ((cause, count, share),) = [row for row in drop_rows(result.bags) if "stale" in row[0]]
    assert (cause, count) == (
        "position: stale",
        19,
    )  # the last state is of 4.99 s: commands at 5.098 to 5.998 s find none
    assert share.endswith("%")


def test_a_report_of_nothing_can_be_written(tmp_path):
    tape = make.robot_tape(seconds=2)
    for _, topic, message in tape.entries:
        if topic == "/goal":
            message.header.stamp.sec -= 5
    result, nothing = imported(tmp_path, tape.write(tmp_path / "bag"))
    assert nothing is None
    assert "goal: stale" in render_report(result, ImportSettings(make.contract()[0]), "")


def test_a_sample_stays_bounded_and_even():
    sample = Sample()
    for first in range(0, 300_000, 1000):
        sample.add(np.arange(first, first + 1000))
    assert sample.count == 300_000
    assert sample.largest == 299_999
    assert len(sample.values) <= 65_536
    assert set(np.diff(sample.values)) == {8}
    assert sample.percentile(50) == pytest.approx(150_000, rel=1e-3)


def test_rate_jitter_and_losses_are_measured_across_blocks():
    meter = TimingMeter("/t", "type", stamped=True)
    for number in range(10_000):
        if number != 5000:
            meter.add(number * 10 * MS + (number % 2) * MS, number * 10 * MS)
    timing = meter.result()
    assert timing.messages == 9999
    assert timing.lost == 1
    assert timing.longest_gap_ms == 20
    assert timing.jitter_ms == 1  # intervals of 9 and 11 ms
    assert timing.latency_ms == (0, 1, 1)  # the lost one was a prompt one
    assert (timing.jumps, timing.backward) == (0, 0)
