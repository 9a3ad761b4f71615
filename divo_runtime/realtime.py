"""Asks the operating system for punctuality. Everything here may be refused; then it says so and goes on.

Call it from the control thread, after the middleware has started its own threads: on Linux, scheduling belongs to the
calling thread, and threads started later inherit it.
"""

from __future__ import annotations

import ctypes
import gc
import os
from collections.abc import Iterable

MCL_CURRENT, MCL_FUTURE = 1, 2  # Linux, sys/mman.h
PR_SET_TIMERSLACK = 29  # Linux, sys/prctl.h


def request_realtime(
    priority: int = 0, cores: Iterable[int] = (), lock_memory: bool = False, freeze_garbage: bool = False
) -> tuple[str, ...]:
    """Make the calling thread as punctual as the system allows.

    Args:
        priority: SCHED_FIFO priority, 1 to 99; stay below the controller manager's 50. 0 leaves the scheduler alone.
        cores: Processor cores the thread may use; none leaves the choice to the system.
        lock_memory: Keep the process's memory out of swap.
        freeze_garbage: Stop the cyclic garbage collector, whose pauses grow with the number of objects. Objects in
            reference cycles then stay until the process ends.

    Returns:
        One warning per request that was refused, with what to do about it; empty if all were granted.
    """
    warnings: list[str] = []
    if priority:
        warnings += _set_priority(priority)
    if chosen := set(cores):
        warnings += _pin(chosen)
    if lock_memory:
        warnings += _call_libc(
            "mlockall", MCL_CURRENT | MCL_FUTURE, "the memory is not locked: allow memlock unlimited"
        )
    warnings += _call_libc("prctl", PR_SET_TIMERSLACK, "sleeps end up to 50 us late", 1)
    if freeze_garbage:
        gc.collect()
        gc.freeze()
        gc.disable()
    return tuple(warnings)


def _set_priority(priority: int) -> list[str]:
    if not hasattr(os, "sched_setscheduler"):
        return ["no real-time priority: this system has no SCHED_FIFO"]
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))
    except (OSError, ValueError) as error:
        return [f"no real-time priority {priority} ({error}): allow rtprio in /etc/security/limits.conf"]
    return []


def _pin(cores: set[int]) -> list[str]:
    if not hasattr(os, "sched_setaffinity"):
        return ["not bound to cores: this system cannot"]
    try:
        os.sched_setaffinity(0, cores)
    except (OSError, ValueError) as error:
        return [f"not bound to cores {sorted(cores)} ({error}): this machine has {os.cpu_count()}"]
    return []


def _call_libc(function: str, first: int, refused: str, second: int = 0) -> list[str]:
    try:
        call = getattr(ctypes.CDLL(None, use_errno=True), function)
    except (OSError, AttributeError, TypeError):
        return [f"{refused} (no {function} here)"]
    if call(ctypes.c_int(first), ctypes.c_ulong(second)) != 0:
        return [f"{refused} ({os.strerror(ctypes.get_errno())})"]
    return []
