import gc
import os
import subprocess
import sys
import threading

import pytest

from divo_runtime.timing.realtime import keep_core, prepare_thread, raise_other_threads, take_turns


def test_asking_for_nothing_leaves_an_ordinary_thread():
    before = os.sched_getscheduler(0), os.getpriority(os.PRIO_PROCESS, 0)
    assert prepare_thread() == ()
    assert (os.sched_getscheduler(0), os.getpriority(os.PRIO_PROCESS, 0)) == before == (os.SCHED_OTHER, before[1])
    assert gc.isenabled()


def test_a_core_that_is_not_there_is_a_warning_and_not_an_error():
    before = os.sched_getaffinity(0)
    (warning,) = prepare_thread(cores=[100_000])
    assert "not bound to cores [100000]" in warning
    assert os.sched_getaffinity(0) == before


def test_a_priority_that_does_not_exist_is_a_warning_and_not_an_error():
    (warning,) = prepare_thread(priority=1_000)
    assert "no real-time priority 1000" in warning
    assert os.sched_getscheduler(0) == os.SCHED_OTHER


def test_a_refusal_for_many_threads_is_one_warning():
    release = threading.Event()
    threads = [threading.Thread(target=release.wait) for _ in range(3)]
    for thread in threads:
        thread.start()

    warnings = raise_other_threads(1_000)
    release.set()
    for thread in threads:
        thread.join()

    assert len(warnings) == 1
    assert "rtprio" in warnings[0]


def test_threads_take_turns_as_often_as_asked():
    before = sys.getswitchinterval()
    try:
        take_turns(0.001)
        assert sys.getswitchinterval() == pytest.approx(0.001)
    finally:
        take_turns(before)


def test_a_frozen_collector_leaves_the_existing_objects_alone():
    code = (
        "import gc, sys; from divo_runtime.timing.realtime import freeze_garbage; freeze_garbage();"
        "sys.stdout.write(f'{gc.isenabled()} {gc.get_freeze_count() > 0}')"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "False True"


def test_what_has_become_garbage_since_it_was_frozen_goes_at_the_next_freeze():
    code = """
import sys, weakref
from divo_runtime.timing.realtime import freeze_garbage
class Loop: pass
loop = Loop(); loop.clock = loop  # a cycle, as a control loop and its thread are
seen = weakref.ref(loop)
freeze_garbage(); del loop; first = seen() is None
freeze_garbage(); second = seen() is None
sys.stdout.write(f"{first} {second}")
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "False True"


def test_an_ordinary_thread_is_left_free_to_leave_its_core():
    before = os.sched_getaffinity(0)
    assert keep_core() == ()
    assert os.sched_getaffinity(0) == before


def test_a_thread_with_real_time_priority_stays_on_its_core():
    seen: dict[str, object] = {}

    def stay() -> None:
        seen["refused"] = prepare_thread(priority=1)
        seen["warnings"] = keep_core()
        seen["cores"] = os.sched_getaffinity(0)

    thread = threading.Thread(target=stay)
    thread.start()
    thread.join()
    if seen["refused"]:
        pytest.skip("this user may not ask for real-time priority")
    assert seen["warnings"] == ()
    assert len(seen["cores"]) == 1
