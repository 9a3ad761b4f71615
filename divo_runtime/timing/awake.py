"""Ask the kernel that the processor's cores do not fall asleep between two cycles.

A core that has slept for four milliseconds wakes late, slow and with cold caches, and a virtual one may have been given
away meanwhile; the same cycle then takes longer. Source: the kernel's PM quality of service interface
(Documentation/power/pm_qos_interface.rst); cyclictest asks for the same.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

LATENCY_FILE = Path("/dev/cpu_dma_latency")
"""Whoever writes a number of microseconds and keeps the file open is woken within that time."""


class AwakeCores:
    """The request, which holds for the whole machine until it is closed.

    Args:
        wake_us: Longest time that a core may need to wake [us]; 0: it does not sleep at all, which costs power.
        path: The kernel's file.

    Attributes:
        warnings: What was refused, with what to do about it; empty if it was granted.
    """

    def __init__(self, wake_us: int = 0, path: Path = LATENCY_FILE) -> None:
        self._file: BinaryIO | None = None
        self.warnings: tuple[str, ...] = ()
        try:
            self._file = path.open("r+b", buffering=0)
            self._file.write(struct.pack("=i", wake_us))
        except OSError as error:
            self.close()
            reason = f"{path}: {error.strerror or error}"
            self.warnings = (f"the cores may sleep between two cycles ({reason}): let the user write that file",)

    def close(self) -> None:
        """Take the request back; may be called twice."""
        if self._file:
            self._file.close()
        self._file = None
