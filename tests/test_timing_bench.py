"""The timing benchmark: its arithmetic with numbers worked out by hand, and two seconds of it through real DDS."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from msgspec import structs

from benchmarks.figures import MARKER, quoted
from benchmarks.timing.bundles import write_bundle_at
from benchmarks.timing.cells import Cell, blocks, chosen, matrix, shortened
from benchmarks.timing.machine import realtime_permitted
from benchmarks.timing.page import BEGIN, END, headline_figures, results_text, table_figures, write_results
from benchmarks.timing.results import (
    block_file,
    is_measured,
    mark_measured,
    read_blocks,
    summarize_cell,
    write_samples,
    write_summaries,
)
from benchmarks.timing.samples import JoinError, Recording, count_missed, join, period_errors
from benchmarks.timing.summary import EDGES_US, percentile, ratio, spread, summarize
from benchmarks.timing.trial import Conditions, node_arguments, run_block
from benchmarks.timing.witness import read_standstills
from divo_controller.parameters import Parameters
from divo_runtime.bundle.loading import load_bundle
from divo_runtime.contract import Contract
from divo_runtime.errors import DivoError
from divo_runtime.observation import Measurement, ObservationBuilder
from divo_runtime.schema import parse_yaml
from divo_sim.contracts import arm_reach_contract

TWO_JOINTS = """
schema: 1
name: two_joints
rate_hz: 20
observation:
  - {name: position, topic: joint_states, type: sensor_msgs/msg/JointState, field: position, joints: [left, right],
     unit: rad, max_age_ms: 200}
  - {name: goal, topic: goal, type: geometry_msgs/msg/PointStamped, field: point, components: xy, unit: m,
     max_age_ms: 1000}
action:
  {kind: joint_velocity, names: [left, right], unit: rad/s, lower: [-1, -1], upper: [1, 1], topic: commands,
   type: std_msgs/msg/Float64MultiArray}
safety:
  measured_position: position
  limits:
    - {name: left, position: [-3.0, 3.0], velocity: 1.0, acceleration: 5.0}
    - {name: right, position: [-3.0, 3.0], velocity: 1.0, acceleration: 5.0}
"""
NOW_S = 1_800_000_000.0
MS = 1_000_000
NOW_NS = 1_800_000_000 * 1000 * MS


def test_the_matrix_has_every_condition_once_and_takes_at_most_three_quarters_of_an_hour():
    cells = matrix()
    names = [cell.name for cell in cells]

    assert len(set(names)) == len(names) == 48  # 5 rates x 4 nodes x 2 loads, and 2 rates x 2 loads x 2 variants
    assert {"1000hz-actor-loaded-recording", "200hz-actor-idle-ordinary"} <= set(names)
    starts = sum(cell.blocks for cell in cells)
    assert sum(cell.seconds for cell in cells) + 6 * starts < 50 * 60


def test_the_headline_is_120000_cycles_idle_and_loaded_beside_the_floor():
    headline = chosen(matrix(), (), headline=True)

    totals = {cell.name: cell.blocks * cell.cycles for cell in headline}
    assert totals == {
        "200hz-actor-idle": 120_000,
        "200hz-noop-idle": 36_000,
        "200hz-actor-loaded": 120_000,
        "200hz-noop-loaded": 36_000,
    }


def test_blocks_of_cells_that_are_compared_alternate():
    actor = Cell("actor", 200, loaded=False, cycles=10, blocks=3)
    noop, loaded = replace(actor, subject="noop", blocks=2), replace(actor, loaded=True, blocks=1)

    order = [(cell.name, block) for cell, block in blocks([actor, noop, loaded])]

    idle = ["200hz-actor-idle", "200hz-noop-idle"]
    assert order == [*zip(idle, (0, 0), strict=True), *zip(idle, (1, 1), strict=True), (idle[0], 2), (loaded.name, 0)]


def test_a_cell_is_chosen_by_a_part_of_its_name_and_shortened_to_one_block():
    (cell,) = chosen(matrix(), ("200hz-actor-idle",), headline=True)

    assert shortened(cell, 3.0) == replace(cell, cycles=600, blocks=1)
    assert shortened(cell, 600.0) == cell
    assert replace(cell, rate_hz=50, cycles=1000).warm_cycles == 250  # five seconds
    assert cell.warm_cycles == 1000


@pytest.mark.parametrize(
    ("percent", "value"), [(50.0, 500.0), (90.0, 900.0), (99.0, 990.0), (99.9, 999.0), (99.99, 1000.0), (100.0, 1000.0)]
)
def test_a_percentile_is_the_smallest_value_that_so_many_do_not_exceed(percent, value):
    assert percentile(np.arange(1000.0, 0.0, -1.0), percent) == value


def test_a_percentile_of_one_sample_is_that_sample():
    assert percentile(np.array([7.0]), 50.0) == percentile(np.array([7.0]), 99.99) == 7.0


def test_misses_are_counted_between_the_first_and_the_last_cycle_and_the_longest_row_is_kept():
    number = np.array([1, 2, 3, 4, 5, 6])
    before = np.array([0.0, 4.0, 4.0, 5.0, 8.0, 9.0])

    assert count_missed(number, before, 1, 6) == (9, 4)
    assert count_missed(number, before, 2, 5) == (4, 3)  # the four of the warm-up do not count
    assert count_missed(number, before, 2, 3) == (0, 0)
    assert count_missed(number, before, 6, 6) == (0, 0)


def test_the_period_error_leaves_out_gaps_of_unseen_cycles_but_not_late_ones():
    started_us = np.array([0.0, 5100.0, 10_000.0, 40_000.0, 50_000.0])

    errors = period_errors(np.array([1, 2, 3, 8, 9]), started_us, 5000.0)

    assert errors.tolist() == [100.0, 100.0, 5000.0]  # 8 to 9 took two periods: a deadline was missed


def recording(**changes) -> Recording:
    """Four cycles of 5 ms; the command of the second did not arrive."""
    begun_s = NOW_S + 0.005 * np.arange(4)
    fields = {
        "cycle": np.array([1.0, 2.0, 3.0, 4.0]),
        "time_s": begun_s,
        "newest_age_ms": np.array([1.0, 2.0, 3.0, 4.0]),
        "lateness_us": np.array([10.0, 20.0, 30.0, 40.0]),
        "policy_us": np.array([50.0, 60.0, 70.0, 80.0]),
        "total_us": np.array([300.0, 300.0, 300.0, 300.0]),
        "missed": np.array([0.0, 0.0, 1.0, 1.0]),
    }
    sent_ns = NOW_NS + np.array([0, 10, 15]) * MS + MS // 4  # a quarter of a millisecond after the cycle began
    given = {
        "timing": fields,
        "sequence": np.array([1, 3, 4]),
        "sent_ns": sent_ns,
        "received_ns": sent_ns + np.array([100_000, 200_000, 300_000]),
        "status": {"count.holds": "2", "count.trips": "1"},
    }
    return Recording(**{**given, **changes})


def test_a_missed_deadline_is_the_machines_if_a_bare_thread_stood_still_in_its_gap():
    """Cycle 2 was due at 4.98 ms and cycle 3, before which one deadline was missed, began at 10 ms."""

    def stolen(begin_ms: float, end_ms: float, first: int = 1) -> int:
        standstill = np.array([[NOW_NS + round(begin_ms * MS), NOW_NS + round(end_ms * MS)]])
        return join(recording(), first, 4, 5000.0, standstill).stolen

    assert join(recording(), 1, 4, 5000.0).stolen == 0
    assert stolen(6.0, 9.0) == 1
    assert stolen(3.0, 6.0) == 1
    assert stolen(9.0, 30.0) == 1
    assert stolen(2.0, 4.9) == stolen(10.1, 12.0) == 0
    assert stolen(6.0, 9.0, first=3) == 0


def test_commands_and_cycles_are_joined_by_number():
    block = join(recording(), 1, 4, 5000.0)

    assert block.age.tolist() == [1000.0, 3000.0, 4000.0]
    assert block.reaction == pytest.approx([350.0, 450.0, 550.0], abs=0.3)  # a float holds today to 0.24 us
    assert block.end_to_end == pytest.approx([1350.0, 3450.0, 4550.0], abs=0.3)
    assert block.wakeup.tolist() == [10.0, 30.0, 40.0]
    assert block.inference.tolist() == [50.0, 70.0, 80.0]
    assert block.period_error == pytest.approx([0.0], abs=0.5)  # only 3 and 4 are neighbours
    assert (block.missed, block.worst_streak, block.unseen, block.holds) == (1, 1, 1, 3)


def test_cycles_outside_the_asked_ones_are_left_out():
    block = join(recording(), 3, 4, 5000.0)

    assert block.age.tolist() == [3000.0, 4000.0]
    assert (block.missed, block.unseen) == (0, 0)


def test_commands_of_somebody_else_are_noticed():
    shifted = recording(sequence=np.array([2, 3, 4]))

    with pytest.raises(JoinError, match="do not belong together"):
        join(shifted, 1, 4, 5000.0)
    with pytest.raises(JoinError, match="No cycle"):
        join(recording(), 5, 9, 5000.0)


def test_a_spread_keeps_every_sample_in_its_histogram_and_each_block_apart():
    one, two = np.array([0.5, 1.05, 2.0, 3e6]), np.array([10.0])

    result = spread([one, two])

    assert (result.count, result.minimum, result.p50, result.maximum) == (5, 0.5, 2.0, 3e6)
    assert result.block_p99 == (3e6, 10.0)
    assert sum(result.histogram) == 5
    assert result.histogram[0] == 1  # below 1 us
    assert result.histogram[1] == 1  # 1 to 1.059 us, the first of forty bins per decade
    assert result.histogram[-1] == 1  # beyond a second
    assert len(result.histogram) == len(EDGES_US) - 1


def summaries() -> dict:
    block = join(recording(), 1, 4, 5000.0)
    slow = replace(block, end_to_end=block.end_to_end * 1.25, reaction=block.reaction * 2, missed=3, stolen=1)
    cold = [replace(block, compute=np.array([900.0, 100.0]))]
    return {
        "200hz-actor-idle": summarize([slow, slow], cold, 8),
        "200hz-noop-idle": summarize([block], cold, 4),
        "200hz-actor-loaded": summarize([replace(slow, missed=2)], cold, 4),
        "1000hz-actor-idle": summarize([replace(block, period_error=np.array([400.0]))], cold, 4),
    }


def test_headline_figures_are_counts_and_ratios_to_the_floor():
    figures = headline_figures(summaries())

    values = {name: value for name, (value, _) in figures.items()}
    assert values == {
        "timing.200hz.actor.cycles": 8,
        "timing.200hz.actor.missed": 6,
        "timing.200hz.actor.missed_stolen": 2,
        "timing.200hz.actor.missed_under_load": 2,
        "timing.200hz.actor.missed_stolen_under_load": 1,
        "timing.200hz.actor.e2e_p50_vs_noop": pytest.approx(1.25),
        "timing.200hz.actor.e2e_p99_vs_noop": pytest.approx(1.25),
        "timing.200hz.actor.reaction_p50_vs_noop": pytest.approx(2.0),
        "timing.200hz.actor.reaction_p99_vs_noop": pytest.approx(2.0),
        "timing.1000hz.actor.period_error_p99_ms": 0.4,
    }
    assert headline_figures({}) == {}


def test_the_headline_node_p99_is_a_column_of_the_table():
    figures = table_figures(summaries())

    assert figures["timing.200hz.actor.node_p99_ms"] == (0.3, "ms")
    assert figures["timing.200hz.actor.missed_share"] == (round(6 / 14, 7), "1")
    assert "timing.200hz.actor.node_p99_ms_under_load" in figures


def test_a_node_is_started_with_its_own_default_priority_unless_the_cell_is_about_priority():
    plain = Cell("actor", 200, loaded=True)

    def priority(cell, conditions):
        arguments = node_arguments(cell, Path("bundle"), conditions, Path("work"))
        return arguments[arguments.index("--realtime-priority") + 1]

    assert priority(plain, Conditions()) == str(Parameters().realtime_priority) == "40"
    assert priority(replace(plain, ordinary=True), Conditions()) == "0"
    assert priority(plain, Conditions(realtime_priority=70)) == "70"
    recorded = node_arguments(replace(plain, recording=True), Path("bundle"), Conditions(), Path("work"))
    assert recorded[-2:] == ["--record", "work/recording"]
    assert node_arguments(replace(plain, subject="naive"), Path("bundle"), Conditions(), Path("work")) == [
        "benchmarks.timing.naive_node", "--bundle", "bundle", "--policy", "actor"
    ]  # fmt: skip


def test_a_summary_tells_cold_starts_apart():
    summary = summaries()["200hz-noop-idle"]

    assert summary.cold["compute"] == (100.0, 900.0)
    assert summary.spreads["compute"].maximum == 300.0
    assert summary.missed_share == pytest.approx(1 / 5)
    assert ratio(summary, summary, "end_to_end", "p99") == 1.0


def test_the_page_quotes_only_figures_that_were_recorded(tmp_path):
    page = tmp_path / "timing.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    measured = summaries()
    recorded = {
        name: {"value": value} for name, (value, _) in (table_figures(measured) | headline_figures(measured)).items()
    }

    write_results(page, results_text(measured, {"processor": "abacus"}))
    text = quoted(page.read_text(), recorded, "timing.md")

    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "\nold\n" not in text
    assert "processor: abacus" in text
    assert "200 Hz, no-operation node" in text
    assert "200 Hz the actor missed" in text
    assert len(MARKER.findall(text)) == 2 * (9 * 4 + 10 + 1)  # nine of each of four cells, and those of the headline
    page.write_text("a page without a place for results")
    with pytest.raises(DivoError, match="no place"):
        write_results(page, "")


def test_the_published_summary_is_json_with_a_line_per_cell(tmp_path):
    write_summaries(tmp_path / "results" / "timing.json", summaries(), {"machine": {"cores": "2"}})

    text = (tmp_path / "results" / "timing.json").read_text()
    data = json.loads(text)

    assert data["machine"] == {"cores": "2"}
    assert data["cells"]["200hz-actor-idle"]["missed"] == 6
    assert sum(data["cells"]["200hz-noop-idle"]["spreads"]["age"]["histogram"]) == 3
    assert len(data["edges_us"]) == 242
    assert sum(line.startswith('"200hz-') for line in text.splitlines()) == 3


def test_only_a_block_of_the_same_length_and_code_is_not_measured_again(tmp_path):
    cell = Cell("actor", 200, loaded=False, cycles=10)
    block_file(tmp_path, cell, 0).parent.mkdir()
    assert not is_measured(tmp_path, cell, 0, "abc")

    mark_measured(tmp_path, cell, 0, "abc")

    assert is_measured(tmp_path, cell, 0, "abc")
    assert not is_measured(tmp_path, cell, 0, "another")
    assert not is_measured(tmp_path, replace(cell, cycles=11), 0, "abc")
    assert not is_measured(tmp_path, cell, 1, "abc")


def test_a_bundle_at_another_rate_differs_in_the_rate_alone(tmp_path, write_tiny_bundle):
    source = write_tiny_bundle(tmp_path, arm_reach_contract())

    copy = write_bundle_at(source, 500, write_bundle_at(source, 100, tmp_path / "copy"))

    with load_bundle(source) as old, load_bundle(copy) as new:
        assert new.contract == structs.replace(old.contract, rate_hz=500.0)
        assert new.manifest.models == old.manifest.models
        assert new.manifest.x_divo.files == old.manifest.x_divo.files


def test_the_stand_ins_messages_make_up_the_observation_that_was_asked_for():
    pytest.importorskip("rclpy")
    from benchmarks.timing.robot_messages import observation_messages, stamp, stamp_ns

    contract = arm_reach_contract()
    wanted = np.linspace(-1.0, 1.0, contract.observation_size, dtype=np.float32)

    messages = observation_messages(contract, wanted)
    for message in messages.values():
        stamp(message, NOW_NS + 7)
    measurements = {topic: Measurement(message, stamp_ns(message)) for topic, message in messages.items()}
    observation = ObservationBuilder(contract).build(measurements, NOW_NS + 1007)

    assert observation.problems == ()
    assert set(observation.ages_ns) == {1000}
    assert observation.vector == pytest.approx(wanted, abs=1e-6)


def test_the_naive_nodes_misses_are_counted_like_ours():
    pytest.importorskip("rclpy")
    from benchmarks.timing.naive_node import TimerSchedule

    schedule = TimerSchedule(period_ns=100)

    assert schedule.begin(1_010, 90) == 10  # due at 1000, the next at 1100
    schedule.end(1_050)
    assert schedule.begin(1_105, 95) == 5  # due at 1100, the next at 1200
    schedule.end(1_200)  # just in time
    assert schedule.missed == 0
    assert schedule.begin(1_430, 70) == 230  # due at 1200; the timer skipped 1300 and 1400
    schedule.end(1_440)
    assert schedule.missed == 2
    assert schedule.begin(1_500, 100) == 0


@pytest.mark.ros
@pytest.mark.slow
@pytest.mark.parametrize("subject", ["actor", "noop", "naive"])
def test_two_seconds_of_every_node_are_measured_through_real_dds(tmp_path, write_tiny_bundle, subject):
    pytest.importorskip("rclpy")
    source = write_tiny_bundle(tmp_path, parse_yaml(TWO_JOINTS, Contract, "two_joints.yaml"), 0.1)
    bundle = write_bundle_at(source, 50, tmp_path / "bundle")
    cell = Cell(subject, 50, loaded=subject == "noop", cycles=50)

    run_block(cell, bundle, block_file(tmp_path, cell, 0), Conditions(), domain=101 + os.getpid() % 100)

    seen = sorted(tmp_path.glob("*/0.witness*.npy"))
    assert len(seen) == (len(os.sched_getaffinity(0)) if realtime_permitted() else 0)
    assert read_standstills(seen).shape[1] == 2
    (warm,), (cold,) = read_blocks(tmp_path, cell)
    assert cell.warm_cycles == 50
    assert len(warm.end_to_end) + warm.unseen == 50
    assert len(warm.end_to_end) > 40
    assert len(cold.end_to_end) > 10  # the first commands can be sent before the robot has found their topic
    assert (warm.reaction > 0).all()
    assert (warm.age > 0).all()
    assert (warm.wakeup >= 0).all()
    if subject == "noop":
        assert (warm.inference == 0).all()
    else:
        assert (warm.inference > 0).all()
    assert summarize_cell(tmp_path, cell).cycles == 50
    write_samples(tmp_path / "samples.npz", tmp_path, [cell])
    with np.load(tmp_path / "samples.npz") as data:
        assert data[f"{cell.name}/end_to_end_us"].tolist() == np.round(warm.end_to_end).tolist()
