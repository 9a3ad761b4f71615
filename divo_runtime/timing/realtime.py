"""Asks the operating system and the interpreter for punctuality. What is refused becomes a warning, never an error.

Scheduling on Linux belongs to a thread, so `prepare_thread` is called by the control thread itself. In Python that
alone would not do: a thread that holds the interpreter's lock (GIL) while it waits for a processor makes the control
thread wait too, whatever that one's priority. So `raise_other_threads` lifts the rest of the process above ordinary
programs as well, just below the control thread.
"""

from __future__ import annotations

import ctypes
import gc
import os
import platform
import resource
import struct
import sys
import threading
from collections.abc import Iterable
from pathlib import Path

MCL_CURRENT, MCL_FUTURE = 1, 2  # Linux, sys/mman.h
PR_SET_TIMERSLACK = 29  # Linux, sys/prctl.h
SYS_SCHED_SETATTR = {"x86_64": 314, "aarch64": 274}
"""Number of the system call, which the C library does not wrap, by machine."""

SHORT_SLICE_NS = 100_000
"""The shortest time slice that the kernel grants."""

STACK_BYTES = 1 << 20
"""Stack of a thread. Where memory is locked all of it is occupied at once, and the usual 8 MB are never needed here."""

SWITCH_INTERVAL_S = 0.0001
"""How long a thread of the process may keep the GIL while another waits; Python's own value is 5 ms, a whole period."""


def prepare_thread(priority: int = 0, cores: Iterable[int] = ()) -> tuple[str, ...]:
    """Make the calling thread as punctual as the system allows.

    Args:
        priority: SCHED_FIFO priority, 1 to 99; stay below the controller manager's 50. With 0 the thread stays an
            ordinary one with a short time slice, which lets it run sooner after it wakes (Linux 6.12 or newer).
        cores: Processor cores the thread may use; none leaves the choice to the system.

    Returns:
        One warning per request that was refused, with what to do about it; empty if all were granted.
    """
    warnings: list[str] = []
    if priority:
        warnings += _set_priority(0, priority)
    else:
        _shorten_slice()
    if chosen := set(cores):
        warnings += _pin(chosen)
    return (*warnings, *_call_libc("prctl", PR_SET_TIMERSLACK, "sleeps end up to 50 us late", 1))


def keep_core() -> tuple[str, ...]:
    """Keep the calling thread on the core that it is on, whose caches know it, if it has real-time priority.

    The scheduler else moves it whenever a thread of higher priority wakes there. An ordinary thread is left free: it
    must be able to leave a core that others use.

    Returns:
        A warning if it was refused, with what to do about it.
    """
    if not hasattr(os, "sched_getscheduler") or os.sched_getscheduler(0) != os.SCHED_FIFO:
        return ()
    try:
        core = int(ctypes.CDLL(None).sched_getcpu())
    except AttributeError:
        core = -1
    if core < 0:
        return ("not kept on its core: this system does not say which it is; give the parameter 'cpu'",)
    return tuple(_pin({core}))


def raise_other_threads(priority: int) -> tuple[str, ...]:
    """Give every thread of the process, so far, a SCHED_FIFO priority; the control thread then raises its own higher.

    Threads that start later inherit the priority of the thread that starts them.

    Args:
        priority: SCHED_FIFO priority, 1 to 99.

    Returns:
        A warning if it was refused, with what to do about it.
    """
    try:
        threads = [int(entry.name) for entry in Path("/proc/self/task").iterdir()]
    except OSError as error:
        return (f"the other threads keep their priority ({error}): this system has no /proc",)
    return tuple(dict.fromkeys(warning for thread in threads for warning in _set_priority(thread, priority)))


def lock_memory() -> tuple[str, ...]:
    """Keep the process's memory out of swap; return a warning if that was refused. Threads begun later get less stack.

    It is not asked for under a limit: the limit would hold for memory that is needed later too, which then is refused.
    """
    refused = "the memory is not locked: allow memlock unlimited in /etc/security/limits.conf"
    if os.geteuid() != 0 and resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] != resource.RLIM_INFINITY:
        return (refused,)
    threading.stack_size(STACK_BYTES)
    return tuple(_call_libc("mlockall", MCL_CURRENT | MCL_FUTURE, refused))


def take_turns(interval_s: float = SWITCH_INTERVAL_S) -> None:
    """Let threads of this process take turns at the interpreter more often than every 5 ms.

    Args:
        interval_s: Longest wait for a thread that runs Python code [s], > 0.
    """
    sys.setswitchinterval(interval_s)


def freeze_garbage() -> None:
    """Collect once, exempt what is left from collection until the next call, and stop collecting by itself.

    What was exempt before is looked at once more: it may have become garbage since. Whoever calls this also calls
    `gc.collect()` from time to time when a pause does no harm, or garbage in reference cycles stays.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    gc.disable()


def _set_priority(thread: int, priority: int) -> list[str]:
    if not hasattr(os, "sched_setscheduler"):
        return ["no real-time priority: this system has no SCHED_FIFO"]
    try:
        os.sched_setscheduler(thread, os.SCHED_FIFO, os.sched_param(priority))
    except ProcessLookupError:
        return []  # the thread has ended meanwhile
    except (OSError, ValueError) as error:
        return [
            f"no real-time priority {priority} ({error}): allow rtprio in /etc/security/limits.conf, or in docker "
            "--cap-add=sys_nice --ulimit rtprio=99"
        ]
    return []


def _shorten_slice() -> None:
    """Ask the fair scheduler for a short slice; older kernels ignore it, and there is nothing a user could do."""
    number = SYS_SCHED_SETATTR.get(platform.machine())
    if number is None:
        return
    # struct sched_attr: size, policy, flags, nice, priority, runtime, deadline, period (Linux, sched/types.h)
    nice = os.getpriority(os.PRIO_PROCESS, 0)
    attributes = struct.pack("=IIQiIQQQ", 48, os.SCHED_OTHER, 0, nice, 0, SHORT_SLICE_NS, 0, 0)
    ctypes.CDLL(None).syscall(number, 0, attributes, 0)


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
