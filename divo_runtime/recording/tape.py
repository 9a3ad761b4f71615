"""Between threads that must not wait and a disk that may: bounded queues, and one thread that empties them.

A producer only appends a reference. When the writer cannot keep up, the oldest items are dropped and counted. When it
fails, recording is over, with the reason, and everything else goes on.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from threading import Event, Lock, Thread
from typing import Any

POLL_S = 0.01
"""How often the thread looks for work when there is none."""
FLUSH_S = 0.5
"""How often the file is flushed: what a killed process loses at most."""
PAUSE_S = 20e-6
"""Rest after each item, in which a control thread that wants the interpreter gets it."""
HURRY = 64
"""Items waiting beyond which the thread rests only once per this many."""


class Lane:
    """A bounded queue whose items are numbered from 1, so that those dropped leave a gap.

    Args:
        capacity: Items that may wait, >= 1.
    """

    def __init__(self, capacity: int) -> None:
        self._items: deque[tuple[int, Any]] = deque(maxlen=capacity)
        self._lock = Lock()
        self._put = 0
        self._taken = 0
        self.dropped = 0

    def put(self, item: Any) -> None:
        """Append an item; the oldest one goes when the lane is full. Any thread may call it."""
        with self._lock:  # number and place must agree; nobody holds it for longer than an append
            self._put += 1
            self._items.append((self._put, item))

    def take(self) -> tuple[int, Any] | None:
        """Return the oldest item and its number, or None. One thread only."""
        try:
            number, item = self._items.popleft()
        except IndexError:
            return None
        self.dropped += number - self._taken - 1
        self._taken = number
        return number, item

    def __len__(self) -> int:
        return len(self._items)


class Tape:
    """A thread that hands what waits in the lanes to functions, one item of each lane in turn.

    Args:
        lanes: Lane -> function that writes one of its items, given its number and the item.
        flush: Called regularly and at the end.
        close: Called once, last.
        abandon: Called instead of `close` after an error.
    """

    def __init__(
        self,
        lanes: dict[Lane, Callable[[int, Any], None]],
        flush: Callable[[], None],
        close: Callable[[], None],
        abandon: Callable[[], None],
    ) -> None:
        self._lanes = lanes
        self._flush, self._close, self._abandon = flush, close, abandon
        self._stop = Event()
        self.problem = ""
        """Why nothing is recorded any more; empty while all is well."""
        self._thread = Thread(target=self._run, name="divo_recording", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Write what waits, close the file and end the thread, if that is done in time."""
        self._stop.set()
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            self.problem = self.problem or f"the recording was not finished within {timeout_s:g} s"

    def _run(self) -> None:
        try:
            due = time.monotonic() + FLUSH_S
            while not self._stop.wait(POLL_S):
                self._drain(PAUSE_S)
                if time.monotonic() >= due:
                    self._flush()
                    due = time.monotonic() + FLUSH_S
            self._drain(0.0)
            self._flush()
            self._close()
        except Exception as error:  # the disk, or a message that cannot be encoded: told as `problem`, control goes on
            self.problem = f"{type(error).__name__}: {error}"
            self._abandon()

    def _drain(self, pause_s: float) -> None:
        count = 0
        while True:
            wrote = [self._write_one(lane, write) for lane, write in self._lanes.items()]  # one of each, in turn
            if not any(wrote):
                return
            count += 1
            if pause_s and (sum(map(len, self._lanes)) < HURRY or count % HURRY == 0):
                time.sleep(pause_s)

    def _write_one(self, lane: Lane, write: Callable[[int, Any], None]) -> bool:
        if (taken := lane.take()) is None:
            return False
        write(*taken)
        return True
