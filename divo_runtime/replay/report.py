"""From a recording and a bundle to a verdict in words: everything the same to the bit, or what differed first."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

from divo_runtime.bundle.loading import Bundle, load_bundle
from divo_runtime.controller import Controller
from divo_runtime.errors import RecordingError, ReplayDifferenceError
from divo_runtime.interfaces import Policy
from divo_runtime.recording.identity import (
    BUNDLE,
    MACHINE,
    SUMMARY,
    VERSIONS,
    bundle_hash,
    describe_machine,
    describe_versions,
)
from divo_runtime.recording.reader import RecordingReader
from divo_runtime.replay.comparison import Difference, NamedPolicies, Progress, Replay, ReplayResult
from divo_runtime.safety.guards import Guard, open_guard


def replay_file(path: Path, folder: Path | None, force: bool, progress: Progress = lambda cycles: None) -> str:
    """Compute a recording again and say what came of it.

    Args:
        path: The recording.
        folder: The bundle; None for the one that the recording names.
        force: Go on with another bundle than the recorded one.
        progress: Called with the number of cycles compared so far.

    Returns:
        The verdict, if everything was the same.

    Raises:
        ReplayDifferenceError: Naming the first difference.
        RecordingError: If the recording cannot be read, is of another bundle, or holds no cycle that can be compared.
        DivoError: If the bundle cannot be used.
    """
    reader = RecordingReader(path)
    about = reader.metadata.get(BUNDLE, {})
    with ExitStack() as opened:
        shelf = _Shelf(reader, force, opened)
        bundle = shelf.find(about, folder)
        policies = NamedPolicies(shelf.opener(bundle, about), int(about["noise_rows"]), bundle.contract.action_size)

        def make_controller() -> Controller:
            return Controller(bundle.contract, policies, int(about["seed"]), lambda: 0, open_guard(bundle))

        def find_bundle(taking_over: Mapping[str, str]) -> Guard:
            found = shelf.find(taking_over, None)
            policies.use(shelf.opener(found, about), int(taking_over["noise_rows"]))
            return open_guard(found)

        result = Replay(reader, bundle.contract, policies, make_controller, find_bundle).run(progress)
    if result.difference:
        raise _differs(result.difference, result, reader, shelf.foreign)
    if not result.cycles:
        raise RecordingError(
            "No cycle of the recording can be computed again.",
            where=str(path),
            got=f"{result.unsure} cycles after lost calls" if result.unsure else "no cycle",
            expected="an activation and the cycles after it",
        )
    return _verdict(result, reader)


class _Shelf:
    """The bundles that a recording needs, each opened once.

    Args:
        reader: The recording.
        force: Take a bundle even if it is not the recorded one.
        opened: Closes them in the end.
    """

    def __init__(self, reader: RecordingReader, force: bool, opened: ExitStack) -> None:
        self._reader, self._force, self._opened = reader, force, opened
        self._known: dict[str, Bundle] = {}
        self.foreign = False
        """Whether one of them is not the recorded one."""

    def find(self, about: Mapping[str, str], folder: Path | None) -> Bundle:
        """Return the bundle that the recording describes; by default it is looked for where it was then.

        Raises:
            RecordingError: If the recording does not describe a bundle, or it is another one.
            DivoError: If it cannot be used.
        """
        if "manifest_sha256" not in about:
            raise RecordingError(
                "The recording does not say which bundle was used.",
                where=str(self._reader.path),
                expected="a file that our controller recorded",
                fix="Of other bags, only the import can make something: divo-train import.",
            )
        recorded = about["manifest_sha256"]
        if recorded in self._known:
            return self._known[recorded]
        bundle = self._opened.enter_context(load_bundle(folder or Path(about["folder"])))
        self._known[recorded] = bundle
        self._check(bundle, about, bundle_hash(bundle.folder))
        return bundle

    def opener(self, bundle: Bundle, about: Mapping[str, str]) -> Callable[[str], Policy]:
        """Return what opens a policy of a bundle by name, on the recorded engine."""
        return lambda name: bundle.open_policy(name, about["backend"], int(about["threads"]))

    def _check(self, bundle: Bundle, about: Mapping[str, str], found: str) -> None:
        where, contract = str(self._reader.path), self._reader.contract
        self.foreign |= found != about["manifest_sha256"]
        if self.foreign and not self._force:
            raise RecordingError(
                "The recording is of another bundle.",
                where=where,
                got=f"{bundle.folder}, manifest {found[:16]}",
                expected=f"{about['folder']}, manifest {about['manifest_sha256'][:16]}",
                fix="Give the right one with --bundle, or --force to see where this one decides otherwise.",
            )
        if bundle.contract.topics != contract.topics or bundle.contract.action != contract.action:
            raise RecordingError(
                "The bundle's contract has other topics or another action than the recording's.",
                where=where,
                got=f"{bundle.folder}: {bundle.contract.name}",
                expected=contract.name,
                fix="Give a bundle for the same robot task.",
            )


def _verdict(result: ReplayResult, reader: RecordingReader) -> str:
    lines = [
        f"{result.cycles} cycles and {result.events} other calls computed again:"
        " every observation, action, command and mode is the same to the bit."
    ]
    dropped = reader.metadata.get(SUMMARY, {})
    if result.lost:
        lines.append(f"{result.lost} calls were lost while recording; {result.unsure} cycles after that not compared.")
    if dropped.get("dropped_commands", "0") != "0":
        lines.append(f"{dropped['dropped_commands']} messages of the command topic were lost while recording.")
    if reader.damage:
        lines.append(f"The recording was not finished: it could be read up to {reader.damage.removeprefix('after ')}")
    return "\n".join(lines)


def _differs(
    difference: Difference, result: ReplayResult, reader: RecordingReader, foreign: bool
) -> ReplayDifferenceError:
    element = f", {difference.element}" if difference.element else ""
    then = {**reader.metadata.get(VERSIONS, {}), **reader.metadata.get(MACHINE, {})}
    now = {**describe_versions(), **describe_machine()}
    others = [f"{key} {value}, here {now.get(key, 'none')}" for key, value in then.items() if now.get(key) != value]
    fix = "The code decides otherwise than the one that was recorded."
    if others:
        fix = f"Recorded with {'; '.join(others)}: the last bits may depend on that."
    if foreign:
        fix = "Another bundle than the recorded one was used."
    return ReplayDifferenceError(
        f"The replay differs after {max(result.cycles - 1, 0)} equal cycles.",
        where=f"{reader.path}, {difference.what} (call {difference.order}), {difference.field}{element}",
        got=difference.computed,
        expected=f"{difference.recorded}, as recorded",
        fix=fix,
    )
