"""A Python module as a process that takes orders and answers, one JSON object per line each, or is just left to run."""

from __future__ import annotations

import json
import queue
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from threading import Thread
from typing import Any

from divo_runtime.errors import DivoError
from divo_sim.leash import leashed

ANSWER_S = 10.0
"""An answer takes milliseconds; a process that just starts may need seconds on a busy machine."""

STOP_S = 10.0
LAST_LINES = 12


class ChildError(DivoError):
    """A process ended or hangs."""


class Child:
    """One process.

    Args:
        name: For errors.
        arguments: What follows `python -m`.
        environment: The whole environment of the process.
        log: File that takes what it says on stderr, and on stdout if it takes no orders; appended to.
        orders: Whether it takes orders.
    """

    def __init__(
        self, name: str, arguments: Sequence[str], environment: Mapping[str, str], log: Path, orders: bool = True
    ) -> None:
        self.name, self._log = name, log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                leashed(arguments),
                stdin=subprocess.PIPE if orders else subprocess.DEVNULL,
                stdout=subprocess.PIPE if orders else output,
                stderr=output,
                env=dict(environment),
                text=True,
                start_new_session=True,  # Ctrl-C must reach the parent alone, which stops its processes in order
            )
        self._answers: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._listener = Thread(target=self._listen, name=f"{name} answers", daemon=True) if orders else None
        if self._listener:
            self._listener.start()

    @property
    def pid(self) -> int:
        """Number of the process."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    def ask(self, **order: object) -> dict[str, Any]:
        """Send an order and return the answer.

        Raises:
            ChildError: If the process has ended or does not answer.
        """
        try:
            assert self._process.stdin, "it takes orders"
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
            return self._answers.get(timeout=ANSWER_S)
        except (OSError, queue.Empty) as error:
            raise self.failure(f"'{order.get('do')}' was not answered") from error

    def stop(self) -> None:
        """End its orders, or interrupt it, and wait for its end; kill it if that takes too long."""
        if self._process.stdin:
            self._hang_up()
        elif self.alive:
            self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()
        self._close()

    def kill(self) -> None:
        """End it with SIGKILL; nothing happens if it has ended."""
        self._process.kill()
        self._process.wait()
        self._close()

    def failure(self, got: str) -> ChildError:
        """Return an error that shows the end of the log."""
        lines = self._log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-LAST_LINES:]
        code = self._process.poll()
        state = "runs" if code is None else f"ended with exit code {code}"
        end = "\n    ".join([f"it {state}, and says at the end:", *(lines or ["(nothing)"])])
        return ChildError(f"The {self.name} does not do as it is told.", where=str(self._log), got=f"{got}; {end}")

    def _listen(self) -> None:
        assert self._process.stdout, "it takes orders"
        for line in self._process.stdout:
            self._answers.put(json.loads(line))

    def _close(self) -> None:
        if self._listener:
            self._listener.join(STOP_S)
        if self._process.stdout:
            self._process.stdout.close()
        if self._process.stdin:
            self._hang_up()

    def _hang_up(self) -> None:
        assert self._process.stdin, "it takes orders"
        try:
            self._process.stdin.close()
        except BrokenPipeError:  # it has ended already, and what was left to say does not matter
            return


class Orders:
    """The child's side: orders from stdin, taken by a thread so that nobody waits for them."""

    def __init__(self) -> None:
        self._waiting: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self.over = False
        Thread(target=self._read, name="orders", daemon=True).start()

    def take(self) -> Iterator[dict[str, Any]]:
        """Yield the orders that have come."""
        while not self._waiting.empty():
            yield self._waiting.get()

    def answer(self, **answer: object) -> None:
        """Answer an order."""
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()

    def _read(self) -> None:
        for line in sys.stdin:
            self._waiting.put(json.loads(line))
        self.over = True  # whoever gave orders is gone
