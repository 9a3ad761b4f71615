"""Asking the operating system for punctuality; each request that is refused becomes a warning, never an error."""

from __future__ import annotations

import ctypes
import gc
import os

_PR_SET_TIMERSLACK = 29
_MCL_CURRENT, _MCL_FUTURE = 1, 2


def prepare_thread(priority: int, cpu: int) -> list[str]:
    """Make the calling thread punctual.

    Args:
        priority: SCHED_FIFO priority 1..98; 0 leaves normal scheduling.
        cpu: Core to pin the thread to; -1 leaves the choice to the kernel.

    Returns:
        Warnings about what was not granted.
    """
    warnings: list[str] = []
    # The kernel lets normal threads oversleep by 50 us to save power; measured, this is half of a cycle's lateness.
    ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, 1)
    if cpu >= 0:
        try:
            os.sched_setaffinity(0, {cpu})
        except OSError as error:
            warnings.append(f"cannot pin the control thread to core {cpu}: {error.strerror}")
    if priority > 0:
        try:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))
        except PermissionError:
            warnings.append(
                f"no right to SCHED_FIFO priority {priority}; the control thread runs with normal scheduling. "
                "Allow it with `ulimit -r 99` (limits.conf: rtprio 99), or in docker with --cap-add=sys_nice"
            )
    return warnings


def lock_memory() -> list[str]:
    """Keep every page of the process in memory; return warnings about what was not granted."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mlockall(_MCL_CURRENT | _MCL_FUTURE) == 0:
        return []
    reason = os.strerror(ctypes.get_errno())
    return [f"memory is not locked ({reason}); allow it with `ulimit -l unlimited` (limits.conf: memlock unlimited)"]


def freeze_garbage() -> None:
    """Collect once and exempt what is left from collection, so that later collections are short."""
    gc.collect()
    gc.freeze()
