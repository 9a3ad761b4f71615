"""A thread that watches the control thread and brakes the robot when that one sends nothing any more.

It needs neither the executor nor the control thread, only the interpreter: code that hangs while it holds the GIL stops
this thread too, and then the robot's own timeout must do.
"""

from __future__ import annotations

from threading import Event, Thread

from divo_controller.control_loop import ControlLoop

LOOKS_PER_LIMIT = 10
MAX_LOOK_PERIOD_S = 0.02


class Watchdog:
    """Rescues the robot from one control loop.

    Args:
        loop: What to watch, started already.
        silence_ns: How long it may send nothing. Braking begins at most a tenth of this, or 20 ms, later.
    """

    def __init__(self, loop: ControlLoop, silence_ns: int) -> None:
        self._loop, self._silence_ns = loop, silence_ns
        self._period_s = min(silence_ns / 1e9 / LOOKS_PER_LIMIT, MAX_LOOK_PERIOD_S)
        self._stop = Event()
        self._thread = Thread(target=self._run, name="divo_watchdog", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """Watch no more; waits for a rescue that is going on."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._loop.over and not self._stop.wait(self._period_s):
            self._loop.rescue(self._silence_ns)
