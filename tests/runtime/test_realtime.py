import gc
import os
import subprocess
import sys

from divo_runtime.realtime import request_realtime


def test_asking_for_nothing_changes_neither_scheduler_nor_collector():
    assert request_realtime() == ()
    assert gc.isenabled()


def test_a_core_that_is_not_there_is_a_warning_and_not_an_error():
    before = os.sched_getaffinity(0)
    (warning,) = request_realtime(cores=[100_000])
    assert "not bound to cores [100000]" in warning
    assert os.sched_getaffinity(0) == before


def test_a_priority_that_does_not_exist_is_a_warning_and_not_an_error():
    (warning,) = request_realtime(priority=1_000)
    assert "no real-time priority 1000" in warning
    assert os.sched_getscheduler(0) == os.SCHED_OTHER


def test_a_frozen_collector_leaves_the_existing_objects_alone():
    code = (
        "import gc, sys; from divo_runtime.realtime import request_realtime; request_realtime(freeze_garbage=True);"
        "sys.stdout.write(f'{gc.isenabled()} {gc.get_freeze_count() > 0}')"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "False True"
