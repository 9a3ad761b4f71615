"""What a controller was told and what it answered, noted call by call in the order in which it happened.

Every decision of the controller follows from these calls, so a journal without gaps is enough to make it decide the
same again. The calling thread only appends references; what they refer to never changes afterwards.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from divo_runtime.controller import Controller, ControllerOutput, Measurements, Mode
from divo_runtime.fields import JointArray
from divo_runtime.interfaces import Policy
from divo_runtime.recording.messages import ACTIVATE, ACTIVATE_MOVING, CycleTimes
from divo_runtime.safety.guards import Guard

Note = Callable[["Step | Call"], None]


@dataclass(slots=True, eq=False)
class Step:
    """One step. The loop adds its times when the command has been published."""

    number: int
    draw: int
    seed: int
    policy: str
    now_ns: int
    measurements: Measurements
    output: ControllerOutput
    times: CycleTimes | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """Any other call."""

    kind: str
    now_ns: int = 0
    measurements: Measurements | None = None
    seed: int = -1
    during: bool = False
    """Whether it came in the middle of a step, from another thread."""
    text: str = ""
    result: tuple[str, ...] = ()


class RecordedController:
    """Passes every call on to a controller and notes it. Made by `record_calls`.

    Args:
        controller: Does the work.
        note: Takes in each call, in the thread that called.
        policy: Returns the name of the policy that acted last.
        seed: Seed that the controller was made with.
        describe: Policy that takes over -> where it is from, as `describe_bundle` has it.
    """

    def __init__(
        self,
        controller: Controller,
        note: Note,
        policy: Callable[[], str],
        seed: int,
        describe: Callable[[Policy], Mapping[str, str]],
    ) -> None:
        self._controller, self._note = controller, note
        self._policy, self._seed, self._describe = policy, seed, describe
        self._number = self._draw = 0
        self._stepping = False
        self.last: Step | None = None
        """The newest step, for the loop's times."""

    def __getattr__(self, name: str) -> Any:
        """Pass on what changes nothing: `mode`, `fault`, `counters` and the like."""
        return getattr(self._controller, name)

    def activate(
        self, now_ns: int, measurements: Measurements, seed: int | None = None, moving: bool = False
    ) -> tuple[str, ...]:
        """As the controller's."""
        refused = self._controller.activate(now_ns, measurements, seed, moving)
        if not refused:
            self._number = self._draw = 0
            self._seed = self._seed if seed is None else seed
        given = -1 if seed is None else seed
        kind = ACTIVATE_MOVING if moving else ACTIVATE
        self._note(Call(kind, now_ns, measurements, given, text=self._policy(), result=refused))
        return refused

    def step(self, now_ns: int, measurements: Measurements) -> ControllerOutput:
        """As the controller's."""
        self._stepping = True
        output = self._controller.step(now_ns, measurements)
        self._stepping = False
        if output.mode is not Mode.INACTIVE:
            self._number += 1
            self._draw += output.noise is not None
        draw = self._draw if output.noise is not None else 0
        step = Step(self._number, draw, self._seed, self._policy(), now_ns, measurements, output)
        self.last = step
        self._note(step)
        return output

    def stop_commands(self) -> list[JointArray]:
        """As the controller's; it changes nothing, so it is not noted."""
        return self._controller.stop_commands()

    def deactivate(self) -> None:
        """As the controller's."""
        self._controller.deactivate()
        self._note(Call("deactivate"))

    def emergency_stop(self) -> None:
        """As the controller's."""
        self._note(Call("emergency_stop", during=self._stepping))  # before the step that it may have come into
        self._controller.emergency_stop()

    def hold(self, reason: str) -> None:
        """As the controller's."""
        self._controller.hold(reason)
        self._note(Call("hold", text=reason))

    def latch(self, reason: str) -> None:
        """As the controller's."""
        self._note(Call("latch", during=self._stepping, text=reason))
        self._controller.latch(reason)

    def adopt(self, policy: Policy, guard: Guard | None = None) -> None:
        """As the controller's."""
        self._controller.adopt(policy, guard)
        about = {**self._describe(policy), "guard": "new" if guard else "kept"}
        self._note(Call("adopt", text=json.dumps(about)))

    def reset_fault(self, now_ns: int, measurements: Measurements) -> tuple[str, ...]:
        """As the controller's."""
        refused = self._controller.reset_fault(now_ns, measurements)
        self._draw += not refused  # to see whether the cause is gone, the policy was asked once
        self._note(Call("reset_fault", now_ns, measurements, text=self._policy(), result=refused))
        return refused


def record_calls(
    controller: Controller,
    note: Note,
    policy: Callable[[], str],
    seed: int,
    describe: Callable[[Policy], Mapping[str, str]],
) -> tuple[Controller, RecordedController]:
    """Return what to use in the place of a controller, once as what it stands for and once as what it is."""
    recorded = RecordedController(controller, note, policy, seed, describe)
    return cast(Controller, recorded), recorded
