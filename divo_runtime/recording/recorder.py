"""Records a running controller: what it is given, what it decides, what is sent; never in the way of control.

Recorded are every cycle, every other call of the controller (activation, reset, emergency stop), every message that
one of them was given, and every command that was sent.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from divo_runtime.bundle.loading import Bundle
from divo_runtime.bundle.verification import find_manifest
from divo_runtime.controller import Controller
from divo_runtime.errors import DivoError
from divo_runtime.fields import JointArray
from divo_runtime.interfaces import Policy
from divo_runtime.recording.identity import (
    BUNDLE,
    MACHINE,
    SUMMARY,
    VERSIONS,
    contract_text,
    describe_bundle,
    describe_machine,
    describe_versions,
)
from divo_runtime.recording.journal import Call, RecordedController, Step, record_calls
from divo_runtime.recording.mcap_file import McapFile
from divo_runtime.recording.messages import CycleTimes
from divo_runtime.recording.scribe import Scribe
from divo_runtime.recording.tape import Lane, Tape

CALLS, COMMANDS = 8192, 8192
"""What may wait in the two lanes: 8 s of a controller at 1000 Hz."""
STOP_TIMEOUT_S = 5.0


class Recorder:
    """One recording, from the moment it is made until `close`. Failing is told by `problem`, never raised.

    Args:
        path: The file; it must not exist.
        max_bytes: Recording ends when the file has reached this size; 0 for no limit.
        bundle: What the controller runs.
        settings: How it runs: policy, backend, threads, seed.
        node: ROS name of the node.
        resolve: Topic of the contract -> ROS name.
        message_class: Message type -> class.
        convert: (command (act_dim,), time [ns]) -> command message; used by the recording's thread alone.
    """

    def __init__(
        self,
        path: Path,
        max_bytes: int,
        bundle: Bundle,
        settings: Mapping[str, object],
        node: str,
        resolve: Callable[[str], str],
        message_class: Callable[[str], type[Any]],
        convert: Callable[[JointArray, int], Any],
    ) -> None:
        self.path = path
        self._settings = settings
        self._calls, self._sent = Lane(CALLS), Lane(COMMANDS)
        self._recorded: RecordedController | None = None
        self._refused = ""
        self._tape: Tape | None = None
        try:
            self._file = file = McapFile(path, max_bytes)
            manifest = find_manifest(bundle.folder)
            now_ns = time.time_ns()
            file.attach("contract.yaml", "application/yaml", contract_text(bundle.contract).encode(), now_ns)
            file.attach("manifest.yaml", "application/yaml", manifest.read_bytes(), now_ns)
            file.describe(BUNDLE, describe_bundle(bundle, settings))
            file.describe(VERSIONS, describe_versions())
            file.describe(MACHINE, describe_machine())
            scribe = Scribe(file, bundle.contract, node, resolve, message_class, convert)
            file.flush()
        except (OSError, DivoError) as error:
            self._refused = str(error)
            return
        self._scribe = scribe
        lanes: dict[Lane, Callable[[int, Any], None]] = {
            self._calls: scribe.write_note,
            self._sent: scribe.write_command,
        }
        self._tape = Tape(lanes, scribe.flush, self._finish, file.abandon)
        self._tape.start()

    @property
    def problem(self) -> str:
        """Why nothing is recorded any more; empty while all is well."""
        return self._tape.problem if self._tape else self._refused

    @property
    def dropped(self) -> Mapping[str, int]:
        """Calls and commands that were dropped because the disk or the processor was too slow."""
        return {"calls": self._calls.dropped, "commands": self._sent.dropped}

    def watch(
        self,
        controller: Controller,
        policy: Callable[[], str],
        seed: int,
        describe: Callable[[Policy], Mapping[str, str]] = lambda policy: {},
    ) -> Controller:
        """Return what to use in the place of a controller from now on; it notes every call.

        Args:
            controller: As it was made, not activated yet.
            policy: Returns the name of the policy that acted last.
            seed: Seed it was made with.
            describe: Policy that takes over -> `describe_bundle` with `noise_rows`.
        """
        instead, self._recorded = record_calls(controller, self._note, policy, seed, describe)
        return instead

    def send(self, command: JointArray, now_ns: int, sent_ns: int) -> None:
        """Take in a command that was published.

        Args:
            command: (act_dim,), not changed afterwards.
            now_ns: Time it was computed for [ns].
            sent_ns: When it was published, by the clock of the messages [ns].
        """
        if not self.problem:
            self._sent.put((command, now_ns, sent_ns))

    def time(self, times: CycleTimes) -> None:
        """Take in the times of the newest cycle; called by the control thread."""
        if self._recorded is not None and self._recorded.last is not None:
            self._recorded.last.times = times

    def close(self) -> None:
        """Finish the file."""
        if self._tape:
            self._tape.stop(STOP_TIMEOUT_S)

    def _note(self, note: Step | Call) -> None:
        if not self.problem:
            self._calls.put(note)

    def _finish(self) -> None:
        self._scribe.finish()
        self._file.describe(SUMMARY, {f"dropped_{what}": str(count) for what, count in self.dropped.items()})
        self._file.close()
