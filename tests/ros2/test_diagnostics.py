"""Status messages from plain data."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("rclpy")

from diagnostic_msgs.msg import DiagnosticStatus

from divo_controller.cycle import Cycle
from divo_controller.diagnostics import (
    TIMING_FIELDS,
    Report,
    diagnostic_array,
    divergence_message,
    divergence_values,
    status_level,
    status_message,
    timing_message,
    timing_values,
)
from divo_controller.shadow import Divergence, DivergenceLog
from divo_runtime.controller import ControllerOutput, Mode, Timings
from divo_runtime.observation import Measurement, Observation
from divo_runtime.timing.latency import Percentiles

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
    seen = Observation(np.zeros(2, np.float32), (5_000_000, 2_000_000))
    output = ControllerOutput(np.zeros(2), Mode.RUNNING, timings=Timings(1_000, 2_000, 3_000), observation=seen)
    cycle = Cycle(
        9,
        output,
        input_age_ns=5_000_000,
        publish_ns=4_000,
        total_ns=11_000,
        lateness_ns=6_000,
        slack_ns=7_000,
        missed=1,
        now_ns=8_500_000_000,
        take_ns=8_000,
        transport_ns=9_000,
        queue_ns=10_000,
        measurements={"joint_states": Measurement("a message", 0)},
        policy="sampler",
    )

    label = timing_message().layout.dim[0].label
    named = dict(zip(label.split(","), timing_values(cycle, ("actor", "sampler")), strict=True))

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
        "time_s": 8.5,
        "newest_age_ms": 2.0,
        "take_us": 8.0,
        "transport_us": 9.0,
        "queue_us": 10.0,
        "policy": 1.0,
    }


def test_a_missing_input_has_no_age():
    cycle = Cycle(1, ControllerOutput(np.zeros(2), Mode.HOLDING), -1, 0, 0, 0, 0, 0)

    named = dict(zip(TIMING_FIELDS, timing_values(cycle), strict=True))
    assert named["input_age_ms"] == named["newest_age_ms"] == -1.0
    assert named["transport_us"] == named["queue_us"] == named["policy"] == -1.0


def test_a_warning_deserves_a_look_but_is_no_error():
    report = Report("/divo_controller", mode=Mode.RUNNING, warnings=("novelty: 9 above 7",))

    assert status_level(report) == WARN
    assert status_message(report).message == "running; novelty: 9 above 7"


def test_a_status_tells_which_policy_acts_and_how_far_a_shadow_is_from_the_active_controller():
    log = DivergenceLog(("left", "right"))
    log.add(Divergence(np.array([0.3, 0.0])))
    log.add(Divergence(np.array([-0.3, 0.4])))
    report = Report(
        "/divo_controller",
        mode=Mode.RUNNING,
        notes={"scheduling": "SCHED_FIFO 40"},
        policy="auto",
        policy_in_use="sampler",
        policy_switches=3,
        p99_ms={"actor": 0.0512, "sampler": 0.25},
        divergence=log.summary(),
    )
    values = {pair.key: pair.value for pair in status_message(report).values}

    assert (values["policy"], values["policy_in_use"], values["policy_switches"]) == ("auto", "sampler", "3")
    assert (values["policy_p99_ms.actor"], values["policy_p99_ms.sampler"]) == ("0.051", "0.250")
    assert values["scheduling"] == "SCHED_FIFO 40"
    # squares: left 0.09 + 0.09, right 0 + 0.16, over 2 cycles: 0.09 and 0.08; over both joints 0.085
    assert values["divergence_cycles"] == "2"
    assert (values["divergence_rms.left"], values["divergence_rms.right"]) == ("0.3", "0.282843")
    assert (values["divergence_rms"], values["divergence_largest"]) == ("0.291548", "0.4")


def test_a_divergence_names_its_joints_and_ends_with_rms_and_largest():
    label = divergence_message(("left", "right")).layout.dim[0].label
    values = divergence_values(Divergence(np.array([0.3, -0.4])))

    assert label == "left,right,rms,largest"
    assert values == pytest.approx([0.3, -0.4, 0.125**0.5, 0.4])
