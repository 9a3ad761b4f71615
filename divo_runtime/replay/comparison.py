"""Computes a recording again: the same controller, given the same calls, must decide the same to the last bit.

The controller's decisions follow from what it is told and from what it decided before. So it is run through from each
activation, and whatever differs first is reported; what comes after follows from it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from divo_runtime.contract import Contract
from divo_runtime.controller import Controller, ControllerOutput, Mode
from divo_runtime.interfaces import Policy, PolicyAction
from divo_runtime.observation import FloatArray
from divo_runtime.recording.messages import ACTIVATE, ACTIVATE_MOVING, EMPTY, CycleRecord, EventRecord
from divo_runtime.recording.reader import RecordingReader
from divo_runtime.safety.guards import Guard

Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Difference:
    """The first thing that came out otherwise."""

    order: int
    """Place of the call in the recording."""
    what: str
    """Such as `cycle 12 (17:03:21.123456789)` or `activation`."""
    field: str
    element: str
    """Name of the element; empty for fields that are one value."""
    recorded: str
    computed: str


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """What came of a replay."""

    cycles: int
    """Cycles compared."""
    activations: int
    events: int
    """Other calls computed again."""
    unsure: int
    """Cycles that could not be compared, because calls before them were lost."""
    lost: int
    """Calls missing from the recording."""
    difference: Difference | None


class NamedPolicies:
    """A policy that acts by the one whose name the recording gives, and can be interrupted as a real one can.

    Args:
        open_policy: Name -> policy; called once per name.
        rows: Rows of noise that the controller draws per call.
        size: Values of an action.

    Attributes:
        rows: As the argument.
        name: Name of the policy to act by.
        interrupt: Called in the middle of the next action, once.
    """

    def __init__(self, open_policy: Callable[[str], Policy], rows: int, size: int) -> None:
        self._size = size
        self.name = ""
        self.use(open_policy, rows)
        self.interrupt: Callable[[], None] | None = None

    def use(self, open_policy: Callable[[str], Policy], rows: int) -> None:
        """Take policies from somewhere else from now on; the arguments are those of the constructor."""
        self._open, self.rows = open_policy, rows
        self._opened: dict[str, Policy] = {}

    @property
    def noise_shape(self) -> tuple[int, int]:
        """(rows, act_dim) of the noise that is drawn; a policy that wants fewer rows takes the first ones."""
        return self.rows, self._size

    def act(self, observation: FloatArray, noise: FloatArray) -> PolicyAction:
        """Choose an action by the policy of the given name."""
        interrupt, self.interrupt = self.interrupt, None
        if interrupt:
            interrupt()
        if self.name not in self._opened:
            self._opened[self.name] = self._open(self.name)
        policy = self._opened[self.name]
        return policy.act(observation, noise[: policy.noise_shape[0]])


class Replay:
    """One controller being led through a recording.

    Args:
        reader: The recording, from its beginning.
        contract: The robot task.
        policies: Act as the recorded ones did.
        make_controller: Returns a new controller of the contract with these policies.
        find_bundle: Called with what the recording says about the bundle that takes over; gives its policies to
            `policies`, and returns its guard.
    """

    def __init__(
        self,
        reader: RecordingReader,
        contract: Contract,
        policies: NamedPolicies,
        make_controller: Callable[[], Controller],
        find_bundle: Callable[[Mapping[str, str]], Guard],
    ) -> None:
        self._find_bundle = find_bundle
        self._reader, self._contract, self._policies = reader, contract, policies
        self._make_controller = make_controller
        self._controller = make_controller()
        self._sure = True
        self._last_order = self._lost = self._cycles = self._unsure = self._activations = self._events = 0
        self._pending: list[EventRecord] = []
        self._taking_over: Guard | None = None

    def run(self, progress: Progress = lambda cycles: None) -> ReplayResult:
        """Go through the recording until something differs.

        Args:
            progress: Called with the number of cycles compared so far.

        Raises:
            RecordingError: If the recording lacks a message that was used.
        """
        difference = None
        for record in self._reader.timeline():
            self._check_order(record)
            difference = self._compare(record) if isinstance(record, CycleRecord) else self._tell(record)
            progress(self._cycles)
            if difference:
                break
        return ReplayResult(self._cycles, self._activations, self._events, self._unsure, self._lost, difference)

    def _check_order(self, record: CycleRecord | EventRecord) -> None:
        """Where calls are missing, the controller's state is not known until its next activation."""
        marker = isinstance(record, EventRecord) and record.kind == "lost"  # stands where the last missing call stood
        missing = record.order - self._last_order - (not marker)
        if missing:
            self._lost += missing
            self._sure = False
            self._pending.clear()
        self._last_order = record.order

    def _tell(self, event: EventRecord) -> Difference | None:
        if event.kind == "lost":
            return None
        if event.kind in (ACTIVATE, ACTIVATE_MOVING) and not event.result and not self._sure:
            self._controller, self._sure = self._make_controller(), True
        if event.kind == "adopt":
            about = json.loads(event.text)
            guard = self._find_bundle(about)
            self._taking_over = guard if about["guard"] == "new" else None
        if not self._sure:
            return None
        if event.during:
            self._pending.append(event)
            return None
        return self._apply(event)

    def _apply(self, event: EventRecord) -> Difference | None:
        """Repeat a call and compare what the controller said."""
        controller, said = self._controller, event.result
        self._events += 1
        if event.kind in (ACTIVATE, ACTIVATE_MOVING):
            seed, moving = None if event.seed < 0 else event.seed, event.kind == ACTIVATE_MOVING
            said = controller.activate(event.now_ns, self._reader.measurements(event.inputs), seed, moving)
            self._activations += not said
        elif event.kind == "reset_fault":
            self._policies.name = event.text
            said = controller.reset_fault(event.now_ns, self._reader.measurements(event.inputs))
        elif event.kind == "deactivate":
            controller.deactivate()
        elif event.kind == "emergency_stop":
            controller.emergency_stop()
        elif event.kind == "latch":
            controller.latch(event.text)
        elif event.kind == "hold":
            controller.hold(event.text)
        elif event.kind == "adopt":
            controller.adopt(self._policies, self._taking_over)
        else:
            return Difference(event.order, event.kind, "kind", "", event.kind, "unknown to this version")
        if said == event.result:
            return None
        recorded, computed = ("; ".join(reasons) or "accepted" for reasons in (event.result, said))
        return Difference(event.order, event.kind, "answer", "", recorded, computed)

    def _compare(self, cycle: CycleRecord) -> Difference | None:
        if not self._sure:
            self._unsure += 1
            return None
        after = self._place_pending(cycle)
        self._policies.name = cycle.policy
        if cycle.noise.size:
            self._policies.rows = cycle.noise.size // self._contract.action_size
        output = self._controller.step(cycle.now_ns, self._reader.measurements(cycle.inputs))
        self._cycles += 1
        self._apply_all(after)
        return self._first_difference(cycle, output)

    def _place_pending(self, cycle: CycleRecord) -> list[EventRecord]:
        """Let what came from another thread during the step come where its effect shows; return what comes after it.

        A stop that the step still saw made it brake without asking the policy; one that came while the policy was
        being asked changed the mode only; one that came later shows in the next step.
        """
        pending, self._pending = self._pending, []
        if cycle.mode != Mode.FAULT.value:
            return pending
        if not cycle.action.size:
            self._apply_all(pending)
        elif pending:
            self._policies.interrupt = lambda: self._apply_all(pending)
        return []

    def _apply_all(self, events: Sequence[EventRecord]) -> None:
        for event in events:
            self._apply(event)

    def _first_difference(self, cycle: CycleRecord, output: ControllerOutput) -> Difference | None:
        seen, names = output.observation, self._contract.action.names
        rows = self._policies.rows
        columns = [f"{name}[{row}]" for row in range(rows) for name in names]
        arrays: list[tuple[str, Any, Any, Sequence[str]]] = [
            ("observation", cycle.observation, seen.vector if seen else EMPTY, self._contract.element_names),
            ("noise", cycle.noise, EMPTY if output.noise is None else output.noise.ravel(), columns),
            ("action", cycle.action, EMPTY if output.action is None else output.action, names),
            ("command", cycle.command, np.empty(0) if output.command is None else output.command, names),
        ]
        what = f"cycle {cycle.number}"
        for field, recorded, computed, elements in arrays:
            if recorded.tobytes() != computed.tobytes():
                return _array_difference(cycle.order, what, field, recorded, computed, elements)
        if cycle.mode != output.mode.value:
            return Difference(cycle.order, what, "mode", "", cycle.mode, output.mode.value)
        return None


def _array_difference(
    order: int, what: str, field: str, recorded: Any, computed: Any, elements: Sequence[str]
) -> Difference:
    if recorded.shape != computed.shape:
        sizes = (f"{array.size} values" if array.size else "nothing" for array in (recorded, computed))
        return Difference(order, what, field, "", *sizes)
    same = [a.tobytes() == b.tobytes() for a, b in zip(recorded, computed, strict=True)]
    index = same.index(False)
    return Difference(order, what, field, elements[index], repr(float(recorded[index])), repr(float(computed[index])))
