"""What a timing was measured on, as far as it bears on punctuality."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from divo_sim.machine import describe_machine

PACKAGES = ("divo", "numpy", "onnxruntime", "ros-rclpy", "ros-rmw-fastrtps-cpp")
POLICIES = {os.SCHED_OTHER: "normal", os.SCHED_FIFO: "SCHED_FIFO", os.SCHED_RR: "SCHED_RR"}


def describe_timing_machine() -> dict[str, str]:
    """Return processor, kernel, scheduling and versions; what the machine does not tell is `unknown`."""
    flags = _read("/proc/cpuinfo")
    quota = _read("/sys/fs/cgroup/cpu.max") or "unknown"
    return describe_machine(PACKAGES) | {
        "kernel": platform.version(),
        "real-time kernel": "yes" if _read("/sys/kernel/realtime") == "1" else "no",
        "virtual machine": "yes" if " hypervisor" in flags else "no",
        "governor": _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor") or "unknown",
        "processor quota": quota,
        "scheduling": f"{POLICIES.get(os.sched_getscheduler(0), 'other')}, nice {os.getpriority(os.PRIO_PROCESS, 0)}",
        "real-time priority permitted": "yes" if realtime_permitted() else "no",
        "load before": " ".join(f"{load:.2f}" for load in os.getloadavg()),
        "middleware": os.environ.get("RMW_IMPLEMENTATION", "rmw_fastrtps_cpp (default)"),
    }


def realtime_permitted() -> bool:
    """Return whether a process of this user may ask for SCHED_FIFO; it is asked for and given back."""
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except OSError:
        return False
    os.sched_setscheduler(0, *before)
    return True


def _read(path: str) -> str:
    file = Path(path)
    return file.read_text(encoding="utf-8").strip() if file.exists() else ""
