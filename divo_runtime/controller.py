"""The controller: measurements in, one safe command out, every period. No clock, no I/O, no thread in here.

Time is an argument of everything, so each behaviour can be tested without waiting. What goes wrong is answered in
steps: an unusable cycle holds (brakes to rest) at once, unusable input for longer than the contract allows latches a
fault, and what follows a hold or a fault starts again from zero authority. A hold or a fault never goes silent and
never jumps: it keeps sending the braking, then resting, command.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum

import numpy as np

from divo_runtime.contract import Contract
from divo_runtime.fields import JointArray
from divo_runtime.gate import MeasuredPosition, SafetyGate
from divo_runtime.interfaces import Policy, PolicyAction
from divo_runtime.observation import FloatArray, Measurement, Observation, ObservationBuilder

Measurements = Mapping[str, Measurement]


class Mode(str, Enum):
    """What the controller is doing."""

    INACTIVE = "inactive"
    """Sends nothing."""
    BLENDING = "blending"
    """Follows the policy with an authority that grows from 0 to 1."""
    RUNNING = "running"
    """Follows the policy."""
    HOLDING = "holding"
    """Input or policy unusable: brakes to rest and waits for it to recover."""
    FAULT = "fault"
    """Latched: brakes to rest and stays there until `reset_fault`."""


@dataclass(frozen=True, slots=True)
class Timings:
    """How long the parts of one step took [ns]."""

    observation_ns: int = 0
    policy_ns: int = 0
    gate_ns: int = 0


@dataclass(frozen=True, slots=True)
class ControllerOutput:
    """What one step gives."""

    command: JointArray | None
    """(act_dim,) float64 to send, read-only; None only when INACTIVE."""
    mode: Mode
    reasons: tuple[str, ...] = ()
    """Why it holds or is in fault, one line each."""
    clips: tuple[str, ...] = ()
    """Limits that changed the command, such as `panda_joint2: velocity`."""
    timings: Timings = Timings()
    observation: Observation | None = None
    """What the policy saw, or would have seen."""
    action: FloatArray | None = None
    """(act_dim,) what the policy answered, before blending and limits; None if it was not asked or failed."""
    value: float = float("nan")
    """The critic's value of that action; NaN if the policy was not asked, failed, or has no critic."""
    noise: FloatArray | None = None
    """What the policy was given as noise, so that a recording can repeat its answer; None if it was not asked."""


@dataclass(frozen=True, slots=True)
class _Answer:
    """What came of asking the policy."""

    action: FloatArray | None = None
    value: float = float("nan")
    noise: FloatArray | None = None
    reasons: tuple[str, ...] = ()
    """Why it cannot be used; empty if it can."""


class Controller:
    """Runs one policy on one contract. Use it from one thread at a time; only `emergency_stop` may come from any.

    Args:
        contract: The robot task.
        policy: What chooses actions.
        seed: Seed of the policy's noise, >= 0. Each activation draws the same sequence from its beginning.
        timer: Returns monotonic nanoseconds; used for the timings in the output and nothing else.
    """

    def __init__(self, contract: Contract, policy: Policy, seed: int, timer: Callable[[], int]) -> None:
        self._policy, self._seed, self._timer = policy, seed, timer
        self._rng = np.random.default_rng(seed)
        self._builder = ObservationBuilder(contract)
        self._gate = SafetyGate(contract)
        self._action_size = contract.action_size
        self._blend_ns = contract.safety.blend_s * 1e9
        self._fault_after_ns = contract.safety.fault_after_ms * 1e6
        self._measured = MeasuredPosition(contract, self._builder) if self._gate.needs_position else None
        self._mode = Mode.INACTIVE
        self._fault = ""
        self._sent = self._gate.start(np.zeros(self._action_size))
        self._anchor = self._sent.command
        self._blend_start_ns = 0
        self._unusable_since_ns: int | None = None
        self._counters: Counter[str] = Counter(steps=0, clips=0, holds=0, trips=0, nonfinite=0, policy_errors=0)

    @property
    def mode(self) -> Mode:
        """What the controller is doing."""
        return self._mode

    @property
    def fault(self) -> str:
        """The latched fault's reason; empty if there is none. Deactivating does not clear it."""
        return self._fault

    @property
    def counters(self) -> Mapping[str, int]:
        """A snapshot of the counts: `steps`, `holds`, `trips` (faults), `nonfinite`, `policy_errors`, `clips`.

        They count since construction. Every kind of clip has its own count too, such as `panda_joint2: velocity`.
        """
        return dict(self._counters)

    def activate(self, now_ns: int, measurements: Measurements, seed: int | None = None) -> tuple[str, ...]:
        """Start from the measured pose with zero authority.

        Args:
            now_ns: Time, of the same clock as the measurements [ns].
            measurements: Topic -> newest measurement.
            seed: Seed of the policy's noise from now on; None keeps the last one.

        Returns:
            Reasons for refusal; empty if the controller is active now.
        """
        if self._fault:
            return (f"a fault is latched ({self._fault}); reset it first",)
        if self._mode is not Mode.INACTIVE:
            return ("it is active already",)
        observation = self._builder.build(measurements, now_ns)
        if observation.problems:
            return tuple(map(str, observation.problems))
        measured = self._measured.read(observation) if self._measured else None
        if outside := self._gate.outside(measured):
            return tuple(f"{joint} stands outside its position limits; move it back first" for joint in outside)
        self._seed = self._seed if seed is None else seed
        self._rng = np.random.default_rng(self._seed)
        self._sent = self._gate.start(measured)
        self._blend_from_zero(now_ns, observation)
        return ()

    def step(self, now_ns: int, measurements: Measurements) -> ControllerOutput:
        """Compute the command of this period. Bad input or a bad policy never raises: it holds.

        Call it once per period: the acceleration limits assume one period between two commands.

        Args:
            now_ns: Time, of the same clock as the measurements [ns].
            measurements: Topic -> newest measurement.
        """
        if self._mode is Mode.INACTIVE:
            return ControllerOutput(None, Mode.INACTIVE, (self._fault,) if self._fault else ())
        if self._fault:  # an emergency stop may have come from another thread in the middle of the last step
            self._mode = Mode.FAULT
        self._counters["steps"] += 1
        begun = self._timer()
        observation = self._builder.build(measurements, now_ns)
        observed = self._timer()
        answer = _Answer(reasons=(self._fault,) if self._fault else tuple(map(str, observation.problems)))
        if not answer.reasons:
            answer = self._ask(observation)
        decided = self._timer()
        clips: tuple[str, ...] = ()
        reasons = answer.reasons
        if answer.action is None or reasons:
            reasons = self._hold(now_ns, reasons)
        else:
            clips = self._follow(now_ns, observation, answer.action)
        self._sent.command.setflags(write=False)
        timings = Timings(observed - begun, decided - observed, self._timer() - decided)
        sent, told = self._sent.command, (answer.action, answer.value, answer.noise)
        return ControllerOutput(sent, self._mode, reasons, clips, timings, observation, *told)

    def stop_commands(self) -> list[JointArray]:
        """Return the commands, one per period, that bring the robot from the last command sent to rest.

        At least one, but none when INACTIVE. Nothing changes here: the caller sends them, then calls `deactivate`.
        """
        if self._mode is Mode.INACTIVE:
            return []
        motions = [self._gate.rest(self._sent)]
        while motions[-1].velocity.any():
            motions.append(self._gate.rest(motions[-1]))
        return [motion.command for motion in motions]

    def deactivate(self) -> None:
        """Send nothing from now on. A latched fault stays latched."""
        self._mode = Mode.INACTIVE
        self._unusable_since_ns = None

    def emergency_stop(self) -> None:
        """Latch a fault: brake to rest and stay there."""
        self._latch("emergency stop")

    def reset_fault(self, now_ns: int, measurements: Measurements) -> tuple[str, ...]:
        """Clear the latched fault if its cause is gone; then blend in from zero authority, or stay INACTIVE if it was.

        Args:
            now_ns: Time, of the same clock as the measurements [ns].
            measurements: Topic -> newest measurement.

        Returns:
            Reasons for refusal; empty if the fault is cleared.
        """
        if not self._fault:
            return ("no fault is latched",)
        observation = self._builder.build(measurements, now_ns)
        reasons = tuple(map(str, observation.problems))
        if not reasons:
            reasons = self._ask(observation).reasons
        if reasons:
            return reasons
        self._fault = ""
        if self._mode is Mode.FAULT:
            self._blend_from_zero(now_ns, observation)
        return ()

    def _ask(self, observation: Observation) -> _Answer:
        """Ask the policy; an answer that cannot be used comes with the reason."""
        noise = self._rng.standard_normal(self._policy.noise_shape, dtype=np.float32)
        try:
            chosen: PolicyAction = self._policy.act(observation.vector, noise)
            action = np.asarray(chosen.action, dtype=np.float32)
            fits = action.shape == (self._action_size,)
            finite = bool(np.isfinite(action).all())
        except Exception as error:  # whatever a policy raises must not stop the commands; it is counted and reported
            self._counters["policy_errors"] += 1
            reason = f"policy failed: {type(error).__name__}: {str(error).partition(chr(10))[0]}"
            return _Answer(noise=noise, reasons=(reason,))
        if not fits:
            self._counters["policy_errors"] += 1
            reason = f"policy failed: action of shape {action.shape}, expected ({self._action_size},)"
            return _Answer(noise=noise, reasons=(reason,))
        if not finite:
            self._counters["nonfinite"] += 1
            reason = f"policy's action is not finite: {action.tolist()}"
            return _Answer(action, chosen.value, noise, (reason,))
        return _Answer(action, chosen.value, noise)

    def _follow(self, now_ns: int, observation: Observation, action: FloatArray) -> tuple[str, ...]:
        if self._mode is Mode.HOLDING:
            self._blend_from_zero(now_ns, observation)
        self._unusable_since_ns = None
        wanted, clips = self._gate.clamp_action(action.astype(np.float64))
        if self._mode is Mode.BLENDING:
            authority = self._authority(now_ns)
            wanted = self._anchor + authority * (wanted - self._anchor)
            if authority == 1.0:
                self._mode = Mode.RUNNING
        measured, age_s = (None, 0.0)
        if self._measured:
            measured, age_s = self._measured.read(observation), self._measured.age_s(observation)
        self._sent, more = self._gate.apply(wanted, self._sent, measured, age_s)
        if clips := clips + more:
            self._counters.update(clips)
            self._counters["clips"] += len(clips)
        return clips

    def _hold(self, now_ns: int, reasons: tuple[str, ...]) -> tuple[str, ...]:
        """Brake; latch a fault when that has gone on for too long."""
        self._sent = self._gate.rest(self._sent)
        if self._mode is Mode.FAULT:
            return reasons
        if self._mode is not Mode.HOLDING:
            self._mode = Mode.HOLDING
            self._counters["holds"] += 1
        since_ns = now_ns if self._unusable_since_ns is None else self._unusable_since_ns
        self._unusable_since_ns = since_ns = min(since_ns, now_ns)  # a clock set back must not postpone the fault
        if now_ns - since_ns >= self._fault_after_ns:
            self._latch(f"unusable for {(now_ns - since_ns) / 1e6:.0f} ms: {'; '.join(reasons)}")
            return (self._fault,)
        return reasons

    def _latch(self, reason: str) -> None:
        if not self._fault:
            self._counters["trips"] += 1
        self._fault = self._fault or reason
        if self._mode is not Mode.INACTIVE:
            self._mode = Mode.FAULT

    def _blend_from_zero(self, now_ns: int, observation: Observation) -> None:
        """Take the measured pose (position kind) or zero velocity as what zero authority means."""
        measured = self._measured.read(observation) if self._measured else None
        self._anchor = self._gate.start(measured).command
        self._blend_start_ns = now_ns
        self._unusable_since_ns = None
        self._mode = Mode.BLENDING

    def _authority(self, now_ns: int) -> float:
        if self._blend_ns <= 0:
            return 1.0
        return min(max((now_ns - self._blend_start_ns) / self._blend_ns, 0.0), 1.0)
