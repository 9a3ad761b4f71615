"""The fault bench's own arithmetic, with numbers worked out by hand: whoever judges must be judged."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import replace

import pytest

from benchmarks.faults import page
from benchmarks.faults.contract import plain_contract
from benchmarks.faults.domains import domains_in
from benchmarks.faults.fault import Fault, Reaction
from benchmarks.faults.judge import Evidence, Seen, find_faults
from benchmarks.faults.limits import CommandCheck, JointLimits, look_ahead, read_limits
from benchmarks.faults.page import PageError, fill_page, read_results, table_text
from benchmarks.faults.plant import Plant
from benchmarks.faults.series import outcome_of, read_repetition, summarize, write_repetition
from benchmarks.soak import memory_growth

# 0.1 s, 2 rad/s^2: 0.2 rad/s per period; 10 rad/s^3: the change of that by at most 0.1 rad/s
JOINT = JointLimits("a", -0.8, 0.8, 1.0, 2.0, 10.0, (-1.0, 1.0))


@pytest.fixture
def check():
    return CommandCheck([JOINT], 0.1)


def test_a_command_that_keeps_every_limit_is_not_objected_to(check):
    for value in (0.1, 0.3, 0.5, 0.6):
        assert check.check([value], 0, [0.0]) == []


@pytest.mark.parametrize(
    ("commands", "complaint"),
    [
        ([math.nan], "not finite"),
        ([math.inf], "not finite"),
        ([0.1, 0.3, 0.5, 0.7, 0.85], "a: velocity 0.85, allowed -0.8 to 0.8"),
        ([0.1, 0.31], "a: acceleration 2.1, allowed 2"),
        ([0.15], "a: jerk 15, allowed 10"),
        ([0.1, 0.2, 0.05], "a: jerk -25, allowed 10"),
    ],
)
def test_the_last_of_these_commands_breaks_a_limit(check, commands, complaint):
    for value in commands[:-1]:
        assert check.check([value], 0, [0.0]) == []

    wrong = check.check([commands[-1]], 0, [0.0])

    assert any(line.startswith(complaint) for line in wrong), wrong


def test_a_command_of_another_size_is_objected_to(check):
    assert check.check([0.0, 0.0], 0, None) == ["2 values for 1 joints"]


def test_looks_ahead_a_period_and_the_way_to_a_standstill():
    # 0.4 * 0.1 + 0.16 / 4 = 0.08
    assert look_ahead(0.9, 0.4, JOINT, 0.1) == pytest.approx(-0.02)
    assert look_ahead(0.95, 0.4, JOINT, 0.1) == pytest.approx(0.03)
    assert look_ahead(-0.95, -0.4, JOINT, 0.1) == pytest.approx(0.03)
    assert look_ahead(0.95, -0.4, JOINT, 0.1) < 0
    assert look_ahead(2.0, 0.0, JOINT, 0.1) == -math.inf


def test_a_joint_outside_of_its_limits_may_only_move_back(check):
    assert check.check([-0.1], 0, [1.1]) == []
    check.restart()
    assert "outside" in check.check([0.05], 0, [1.1])[0]


def test_after_a_silence_it_may_end_outside_only_if_it_brakes_as_hard_as_it_may():
    plain = JointLimits("a", -0.8, 0.8, 1.0, 2.0, math.inf, (-1.0, 1.0))
    gentle, hard = CommandCheck([plain], 0.1), CommandCheck([plain], 0.1)
    for check in (gentle, hard):
        for value in (0.2, 0.4, 0.6):
            assert check.check([value], 0, [0.0]) == []

    assert hard.check([0.4], 0, [1.2], silence_s=0.3) == []
    assert hard.check([0.2], 0, [1.25]) == []
    assert "outside" in gentle.check([0.5], 0, [1.2], silence_s=0.3)[0]


def test_commands_that_were_not_seen_widen_the_limit_for_the_next_one(check):
    assert check.check([0.1], 0, None) == []
    assert check.check([0.5], 1, None) == []  # 0.4 in two periods
    assert check.check([0.8], 0, None)[0].startswith("a: acceleration 3")


def test_limits_come_from_the_contract_by_name():
    contract = {
        "rate_hz": 50,
        "action": {"names": ["b", "a"], "lower": [-1, -2], "upper": [1, 2]},
        "safety": {
            "limits": [
                {"name": "a", "velocity": 2, "acceleration": 3},
                {"name": "b", "velocity": 1, "acceleration": 5, "jerk": 7, "position": [-1, 1]},
            ]
        },
    }
    (b, a), period_s = read_limits(contract)
    assert period_s == 0.02
    assert b == JointLimits("b", -1, 1, 1, 5, 7, (-1, 1))
    assert a == JointLimits("a", -2, 2, 2, 3)
    assert len(read_limits(plain_contract())[0]) == 3


def test_the_observer_knows_nothing_of_the_gate():
    code = "import sys, benchmarks.faults.observer; print([m for m in sys.modules if m.startswith('divo_runtime')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for module in ("safety.gate", "safety.clamping", "safety.scurve", "controller"):
        assert f"divo_runtime.{module}'" not in done.stdout


def test_the_robot_follows_commands_and_brakes_by_itself_when_they_stay_away():
    plant = Plant(["a", "b"], 0.0)
    plant.command([0.5, -0.5], 0.0)
    plant.advance(0.1)
    assert plant.positions == pytest.approx([0.05, -0.05])
    plant.advance(0.15)  # 0.15 s without a command: 4 rad/s^2 for 0.05 s
    assert plant.velocities == pytest.approx([0.3, -0.3])
    plant.advance(0.25)
    assert plant.velocities == [0.0, 0.0]
    plant.command([math.nan, 0.0], 0.25)
    plant.advance(0.26)
    assert plant.velocities == [0.0, 0.0]


ROW = Fault("x", "by hand", Reaction.LATCH, reason="stale", counter="count.x")
SEEN = (Seen(0.0, "running", ""), Seen(20.0, "holding", "stale"), Seen(430.0, "fault", "stale"))
HANDLED = Evidence(SEEN, 200.0, 6.0, (), 1.0, "", True, True, back_ms=110.0)


def test_what_goes_as_the_table_says_is_handled():
    assert find_faults(ROW, HANDLED) == []


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"seen": SEEN[:1]}, "the first reaction did not come"),
        ({"seen": (Seen(61.0, "holding", "stale"), SEEN[2])}, "the first reaction took 61 ms, allowed 60 ms"),
        ({"seen": SEEN[:2]}, "the latch did not come"),
        ({"seen": (SEEN[1], Seen(461.0, "fault", "stale"))}, "the latch took 461 ms, allowed 460 ms"),
        ({"rest_ms": None}, "rest did not come"),
        ({"rest_ms": 301.0}, "rest took 301 ms, allowed 300 ms"),
        ({"longest_gap_ms": 101.0}, "silent for 101 ms, allowed 100 ms"),
        ({"unsafe": ("command 7",)}, "unsafe command: command 7"),
        ({"grown": 0.0}, "'count.x' did not grow"),
        ({"refused": False}, "a reset was not refused while the cause stood"),
        ({"latched_after": False}, "the fault did not stay latched when the cause was gone"),
        ({"back_ms": None}, "the policy's return did not come"),
        ({"back_ms": 501.0}, "the policy's return took 501 ms, allowed 500 ms"),
    ],
)
def test_each_thing_that_goes_otherwise_is_found(change, complaint):
    assert complaint in find_faults(ROW, replace(HANDLED, **change))


def test_a_hold_is_no_going_on_and_a_fault_no_recovery():
    going_on = Fault("x", "by hand", Reaction.GO_ON)
    recovering = Fault("x", "by hand", Reaction.RECOVER)
    held = Evidence(SEEN[:2], back_ms=10.0)
    assert find_faults(going_on, held)[0].startswith("was in holding")
    assert find_faults(recovering, held) == []
    assert find_faults(recovering, Evidence(SEEN, back_ms=10.0))[0].startswith("was in fault")


def test_a_repetition_is_taken_up_again_only_for_the_same_code_and_table(tmp_path):
    path = tmp_path / "a" / "0.json"
    outcomes = {"joint missing": outcome_of(ROW, HANDLED)}
    write_repetition(path, "key", outcomes)
    assert read_repetition(path, "key") == outcomes
    assert read_repetition(path, "another key") == {}
    assert read_repetition(tmp_path / "none.json", "key") == {}


def test_a_series_is_summed_up_by_its_worst_times():
    good = {"wrong": [], "reaction_ms": 10.0, "rest_ms": 200.0}
    bad = {"wrong": ["late"], "reaction_ms": 70.0}
    assert summarize([{"joint missing": good}, {"joint missing": bad}]) == {
        "joint missing": {"runs": 2, "handled": 1, "reaction_ms": 70.0, "rest_ms": 200.0, "wrong": ["late"]}
    }


def test_the_page_shows_the_table_as_it_is_and_the_last_published_times():
    text = page.PAGE.read_text(encoding="utf-8")
    assert fill_page(text, read_results()) == text, "run `python -m benchmarks.faults.page`"


def test_a_row_of_the_page_has_the_limits_and_the_worst_times():
    results = {"joint missing": {"runs": 20, "handled": 19, "reaction_ms": 12.3, "latched_ms": 411.0, "rest_ms": 189.6}}
    line = next(line for line in table_text(results).splitlines() if line.startswith("| joint missing |"))
    assert "| 60, 460, 300 | 19 of 20 | 12, 411, 190 |" in line


def test_a_page_without_markers_is_refused():
    with pytest.raises(PageError, match="lacks its markers"):
        fill_page("nothing here", {})


def test_a_domain_is_taken_by_any_open_port_of_it():
    head = "  sl  local_address rem_address   st"
    rows = ["   1: 0100007F:1CF2 00000000:0000 07", "   2: 00000000:2EE0 00000000:0000 07", "   3: 00000000:0035 x 07"]
    # 0x1CF2 = 7410: domain 0; 0x2EE0 = 12000 = 7400 + 18 * 250 + 100: domain 18; port 53: none
    assert domains_in("\n".join([head, *rows])) == {0, 18}


def test_growth_of_memory_compares_the_last_minute_with_the_first_one_after_warm_up():
    minutes = [number / 10 for number in range(101)]
    memory = [(at, 100.0 + (5.0 if at < 2.0 else 0.0) + (3.0 if at >= 9.0 else 0.0)) for at in minutes]
    assert memory_growth(memory) == 3.0
    assert memory_growth([]) == 0.0
    assert memory_growth([(0.0, 1.0), (0.1, 1.0), (0.9, 2.0), (1.0, 2.0)]) == 1.0


def test_published_results_name_only_rows_of_the_table():
    names = {line.split(" | ")[0].removeprefix("| ") for line in table_text({}).splitlines()[2:]}
    assert set(read_results()) <= names
    assert json.dumps(read_results())
