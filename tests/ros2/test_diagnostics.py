"""Status messages from plain data."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("rclpy")

from diagnostic_msgs.msg import DiagnosticStatus

from divo_controller.control_loop import Cycle
from divo_controller.diagnostics import (
    TIMING_FIELDS,
    Report,
    diagnostic_array,
    status_level,
    status_message,
    timing_message,
    timing_values,
)
from divo_runtime.controller import ControllerOutput, Mode, Timings
from divo_runtime.latency import Percentiles

OK, WARN, ERROR, STALE = (
    DiagnosticStatus.OK,
    DiagnosticStatus.WARN,
    DiagnosticStatus.ERROR,
    DiagnosticStatus.STALE,
)


@pytest.mark.parametrize(
    ("changes", "level"),
    [
        ({"mode": Mode.INACTIVE}, OK),
        ({"mode": Mode.BLENDING}, OK),
        ({"mode": Mode.RUNNING}, OK),
        ({"mode": Mode.RUNNING, "missed": 1}, WARN),
        ({"mode": Mode.HOLDING}, WARN),
        ({"mode": Mode.FAULT}, ERROR),
        ({"mode": Mode.FAULT, "missed": 1}, ERROR),
        ({"mode": Mode.RUNNING, "silent_s": 0.6, "rate_hz": 50.0}, STALE),
        ({"mode": Mode.RUNNING, "silent_s": 0.6, "rate_hz": 5.0}, OK),  # ten periods are 2 s
        ({"mode": Mode.INACTIVE, "failure": "no memory"}, ERROR),
    ],
)
def test_the_level_says_how_bad_it_is(changes, level):
    assert status_level(Report("/divo_controller", **changes)) == level


def test_deadlines_missed_before_the_last_look_are_not_news():
    report = Report("/divo_controller", mode=Mode.RUNNING, missed=3)

    assert status_level(report, missed_before=3) == OK
    assert status_message(report, missed_before=1).message == "running, 2 deadlines missed"


def test_a_status_carries_mode_reasons_counts_and_percentiles():
    report = Report(
        "/arm/divo_controller",
        mode=Mode.HOLDING,
        reasons=("position: stale (300 ms old, allowed 200 ms)",),
        clips=("left: velocity",),
        counters={"holds": 2},
        contract="two_joints",
        policy="actor",
        rate_hz=50.0,
        cycles=7,
        total=Percentiles(p50=400_000, p99=900_000, p999=950_000, max=1_000_000, count=7),
    )
    status = status_message(report)
    values = {pair.key: pair.value for pair in status.values}

    assert status.name == "/arm/divo_controller: policy"
    assert status.hardware_id == "two_joints"
    assert status.message == "position: stale (300 ms old, allowed 200 ms)"
    assert values["mode"] == "holding"
    assert values["clips"] == "left: velocity"
    assert values["count.holds"] == "2"
    assert (values["compute_p50_us"], values["compute_p99_us"], values["compute_max_us"]) == ("400", "900", "1000")


def test_an_array_of_diagnostics_is_stamped():
    message = diagnostic_array([status_message(Report("/divo_controller"))], 4_000_000_002)

    assert (message.header.stamp.sec, message.header.stamp.nanosec) == (4, 2)
    assert len(message.status) == 1


def test_timing_values_stand_in_the_order_of_their_label():
    output = ControllerOutput(np.zeros(2), Mode.RUNNING, timings=Timings(1_000, 2_000, 3_000))
    cycle = Cycle(9, output, 5_000_000, 4_000, 11_000, 6_000, 7_000, 1)

    named = dict(zip(timing_message().layout.dim[0].label.split(","), timing_values(cycle), strict=True))

    assert tuple(named) == TIMING_FIELDS
    assert named == {
        "input_age_ms": 5.0,
        "observation_us": 1.0,
        "policy_us": 2.0,
        "gate_us": 3.0,
        "publish_us": 4.0,
        "total_us": 11.0,
        "lateness_us": 6.0,
        "slack_us": 7.0,
        "cycle": 9.0,
        "missed": 1.0,
    }


def test_a_missing_input_has_no_age():
    cycle = Cycle(1, ControllerOutput(np.zeros(2), Mode.HOLDING), -1, 0, 0, 0, 0, 0)

    assert timing_values(cycle)[0] == -1.0
