"""A program that is started, watched through its log, stopped by its own pid, and ended with the process it is of."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from divo_runtime.errors import DivoError
from divo_sim.leash import leashed

STOP_TIMEOUT_S = 10.0
"""Both nodes end within a second; the controller waits up to 5 s for a policy that hangs."""
LAST_LINES = 12


class ProgramError(DivoError):
    """A program ended, hung, or did not do what it was asked."""


class Program:
    """A Python module running as a process.

    Args:
        name: What people call it, for errors.
        arguments: What follows `python -m`.
        environment: The whole environment of the process.
        log: File that takes its output.
    """

    def __init__(self, name: str, arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self.name = name
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("w", encoding="utf-8") as output:
            # A session of its own: Ctrl-C must reach the parent alone, which then stops its programs in order.
            self._process = subprocess.Popen(
                leashed(arguments),
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env=dict(environment),
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Number of the process."""
        return self._process.pid

    def check_alive(self) -> None:
        """Do nothing while it runs.

        Raises:
            ProgramError: If it has ended.
        """
        if (code := self._process.poll()) is not None:
            raise self.failure(f"The {self.name} ended by itself.", f"exit code {code}")

    def stop(self) -> None:
        """Interrupt it and wait for its end; one that has ended already is only judged by its exit code.

        Raises:
            ProgramError: If it had to be killed, or ended with another exit code than 0.
        """
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
        try:
            code = self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise self.failure(
                f"The {self.name} did not stop and was killed.", f"running {STOP_TIMEOUT_S:g} s after SIGINT"
            ) from None
        if code != 0:
            raise self.failure(f"The {self.name} did not end cleanly.", f"exit code {code}")

    def kill(self) -> None:
        """End it at once; nothing happens if it has ended."""
        self._process.kill()
        self._process.wait()

    def failure(self, what: str, got: str, fix: str = "") -> ProgramError:
        """Return an error that shows the end of the log."""
        text = self.log.read_text(encoding="utf-8", errors="replace").strip()
        lines = text.splitlines()[-LAST_LINES:] or ["(nothing)"]
        end = "\n    ".join(["it says at the end:", *lines])
        return ProgramError(what, where=str(self.log), got=f"{got}; {end}", fix=fix)
