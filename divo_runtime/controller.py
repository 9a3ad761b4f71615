"""The controller: measurements in, one safe command out, every period. No clock, no I/O, no thread in here.

Time is an argument of everything, so each behaviour can be tested without waiting. What goes wrong is answered in
steps: an unusable cycle holds (brakes to rest) at once, unusable input for longer than the contract allows latches a
fault; what follows starts again from zero authority. Neither goes silent or jumps: both send braking, then resting, on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from divo_runtime.answer import Answer, ask
from divo_runtime.contract import Contract
from divo_runtime.fields import JointArray
from divo_runtime.interfaces import Policy
from divo_runtime.measured import HardLimits, MeasuredJoints, Standstill, Travel
from divo_runtime.observation import FloatArray, Observation, ObservationBuilder
from divo_runtime.output import EMERGENCY_STOP, ControllerOutput, Measurements, Mode, Timings
from divo_runtime.safety.gate import SafetyGate
from divo_runtime.safety.guards import Guard, Trip
from divo_runtime.safety.ramp import Ramp
from divo_runtime.stamps import StampOrder

__all__ = ["Controller", "ControllerOutput", "Measurements", "Mode", "Timings"]


class Controller:
    """Runs one policy on one contract. Use it from one thread; only `latch` and `emergency_stop` may come from any.

    Args:
        contract: The robot task.
        policy: What chooses actions.
        seed: Seed of the policy's noise, >= 0. Each activation draws the same sequence from its beginning.
        timer: Returns monotonic nanoseconds; used for the timings in the output and nothing else.
        guard: Judges observations and actions by what training has shown; None never objects.
    """

    def __init__(
        self, contract: Contract, policy: Policy, seed: int, timer: Callable[[], int], guard: Guard | None = None
    ) -> None:
        self._policy, self._seed, self._timer = policy, seed, timer
        self._guard = guard or Guard(contract.safety)
        self._rng = np.random.default_rng(seed)
        self._stamps = StampOrder(contract)
        self._builder, self._gate = ObservationBuilder(contract), SafetyGate(contract)
        self._travel = Travel(contract)
        self._hard_limits, self._standstill = HardLimits(contract, self._builder), Standstill(contract, self._builder)
        position = contract.safety.measured_position
        self._measured = MeasuredJoints(contract, self._builder, position) if self._gate.needs_position else None
        self._action_size = contract.action_size
        self._ramp = Ramp(contract.safety.blend_s, contract.period_s)
        self._fault_after_ns = contract.safety.fault_after_ms * 1e6
        self._mode, self._fault, self._doubt = Mode.INACTIVE, "", ""
        self._sent = self._gate.start(np.zeros(self._action_size))
        self._anchor = self._sent.command
        self._unusable_since_ns: float = np.inf
        self._counters: Counter[str] = Counter(steps=0, clips=0, holds=0, trips=0, nonfinite=0, policy_errors=0)
        self._counters.update(warnings=0, novelty=0, value=0)

    @property
    def mode(self) -> Mode:
        """What the controller is doing."""
        return self._mode

    @property
    def fault(self) -> str:
        """The latched fault's reason; empty if there is none. Deactivating does not clear it."""
        return self._fault

    @property
    def policy(self) -> Policy:
        """What chooses actions."""
        return self._policy

    @property
    def guard(self) -> Guard:
        """What judges observations and actions."""
        return self._guard

    @property
    def counters(self) -> Mapping[str, int]:
        """A snapshot of the counts since construction.

        `steps`; `holds` begun; `trips` (faults latched); `policy_errors` and `nonfinite` answers; `clips`, and every
        kind of clip on its own, such as `panda_joint2: velocity`; `warnings`, and cycles in which the guard `novelty`
        or `value` objected, with whatever reaction; `out_of_order`, `repeated_stamps`, `clock_set_back` of the input.
        """
        return {**self._counters, **self._stamps.counts}

    def activate(
        self, now_ns: int, measurements: Measurements, seed: int | None = None, moving: bool = False
    ) -> tuple[str, ...]:
        """Start from the measured pose with zero authority.

        Args:
            now_ns: Time, of the same clock as the measurements [ns].
            measurements: Topic -> newest measurement.
            seed: Seed of the policy's noise from now on; None keeps the last one.
            moving: Whether the robot may move already: only for a controller whose commands are not sent.

        Returns:
            Reasons for refusal; empty if the controller is active now.
        """
        if self._fault:
            return (f"a fault is latched ({self._fault}); reset it first",)
        if self._mode is not Mode.INACTIVE:
            return ("it is active already",)
        self._stamps.forget()
        observation = self._observe(now_ns, measurements)
        measured = self._read_measured(observation)
        unsteady = () if moving else self._standstill.missing(observation)
        if refusal := self._unfit(observation) or unsteady or self._gate.outside(measured):
            return refusal
        self._seed = self._seed if seed is None else seed
        self._rng = np.random.default_rng(self._seed)
        self._guard.forget()
        self._sent = self._gate.start(measured)
        self._travel.forget()
        self._blend_from_zero(now_ns, observation)
        return ()

    def step(self, now_ns: int, measurements: Measurements) -> ControllerOutput:
        """Compute the command of this period. Bad input or a bad policy never raises: it holds.

        Call it once per period: the limits assume one period between two commands.

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
        observation = self._observe(now_ns, measurements)
        observed = self._timer()
        answer, trips = self._decide(observation)
        self._doubt = ""
        decided = self._timer()
        clips: tuple[str, ...] = ()
        if answer.action is None or answer.reasons:
            reasons = self._hold(now_ns, answer.reasons)
        else:
            clips, reasons = self._follow(now_ns, observation, answer.action), ()
        self._sent.command.setflags(write=False)
        self._travel.add(self._sent.velocity)
        warnings = tuple(str(trip) for trip in trips if trip.reaction == "warn")
        self._counters["warnings"] += len(warnings)
        timings = Timings(observed - begun, decided - observed, self._timer() - decided)
        sent, told = self._sent.command, (answer.action, answer.value, answer.noise, warnings)
        return ControllerOutput(sent, self._mode, reasons, clips, timings, observation, *told)

    def stop_commands(self) -> list[JointArray]:
        """Return the commands, one per period, that bring the robot from the last command sent to rest.

        At least one, but none when INACTIVE. Nothing changes here: the caller sends them, then calls `deactivate`.
        """
        if self._mode is Mode.INACTIVE:
            return []
        return [motion.command for motion in self._gate.stop(self._sent)]

    def deactivate(self) -> None:
        """Send nothing from now on. A latched fault stays latched."""
        self._mode = Mode.INACTIVE
        self._unusable_since_ns = np.inf

    def hold(self, reason: str) -> None:
        """Brake in the next step, whatever the policy would choose."""
        self._doubt = reason

    def latch(self, reason: str) -> None:
        """Latch a fault: brake to rest and stay there. May come from any thread; the first reason is kept."""
        if not self._fault:
            self._counters["trips"] += 1
        self._fault = self._fault or reason
        if self._mode is not Mode.INACTIVE:
            self._mode = Mode.FAULT

    def emergency_stop(self) -> None:
        """Latch a fault; it is named even if another one is latched, so that who resets that one sees both."""
        if self._fault and EMERGENCY_STOP not in self._fault:
            self._fault = f"{EMERGENCY_STOP}; {self._fault}"
        self.latch(EMERGENCY_STOP)

    def adopt(self, policy: Policy, guard: Guard | None = None) -> None:
        """Ask another policy of the same contract from the next step on; all else stays, the guard too if None."""
        self._policy = policy
        if guard is not None:
            self._guard = guard
            guard.forget()

    def reset_fault(self, now_ns: int, measurements: Measurements) -> tuple[str, ...]:
        """Clear the latched fault if its cause is gone; then blend in from zero authority, or stay INACTIVE if it was.

        Takes what `activate` takes, and returns reasons for refusal; none if the fault is cleared.
        """
        if not self._fault:
            return ("no fault is latched",)
        if self._mode is Mode.INACTIVE:
            self._stamps.forget()  # nobody has looked at the stamps in the meantime
        observation = self._observe(now_ns, measurements)
        if refusal := self._unfit(observation):
            return refusal
        if self._mode is Mode.FAULT and (strayed := self._gate.strayed(self._read_measured(observation), self._sent)):
            return strayed
        answer = self._ask(observation.vector)
        if answer.reasons:
            return answer.reasons
        trips = self._guard.judge(observation.vector, answer.value)
        if standing := tuple(str(trip) for trip in trips if trip.reaction != "warn"):
            return standing
        self._fault = ""
        self._guard.forget()
        if self._mode is Mode.FAULT:
            self._blend_from_zero(now_ns, observation)
        return ()

    def _observe(self, now_ns: int, measurements: Measurements) -> Observation:
        newest, doubted = self._stamps.admit(measurements, now_ns)
        return self._builder.build(newest, now_ns, doubted)

    def _read_measured(self, observation: Observation) -> JointArray | None:
        return self._measured.read(observation) if self._measured else None

    def _unfit(self, observation: Observation) -> tuple[str, ...]:
        """Say why the robot cannot be controlled from here, whatever the policy would do."""
        return (*map(str, observation.problems), *self._hard_limits.beyond(observation.vector))

    def _ask(self, vector: FloatArray) -> Answer:
        noise = self._rng.standard_normal(self._policy.noise_shape, dtype=np.float32)
        answer = ask(self._policy, vector, noise, self._action_size)
        if answer.failure:
            self._counters[answer.failure] += 1
        return answer

    def _decide(self, observation: Observation) -> tuple[Answer, tuple[Trip, ...]]:
        """Find an action, or the reasons to hold; what must not wait is latched here."""
        if not self._fault and (beyond := self._hard_limits.beyond(observation.vector)):
            self.latch("; ".join(beyond))
        if not self._fault and observation.problems:
            return Answer(reasons=tuple(map(str, observation.problems))), ()
        if reason := self._fault or self._doubt:
            return Answer(reasons=(reason,)), ()
        answer = self._ask(observation.vector)
        if answer.reasons:
            return answer, ()
        trips = self._guard.check(observation.vector, answer.value)
        if not trips:
            return answer, trips
        self._counters.update(trip.guard for trip in trips)
        if fatal := [str(trip) for trip in trips if trip.reaction == "fault"]:
            self.latch("; ".join(fatal))
        reasons = tuple(str(trip) for trip in trips if trip.reaction != "warn")
        return replace(answer, reasons=(self._fault,) if fatal else reasons), trips

    def _follow(self, now_ns: int, observation: Observation, action: FloatArray) -> tuple[str, ...]:
        if self._mode is Mode.HOLDING:
            self._blend_from_zero(now_ns, observation)
        self._unusable_since_ns = np.inf
        wanted, clips = self._gate.clamp_action(action.astype(np.float64))
        if self._mode is Mode.BLENDING:
            authority = self._ramp.advance(now_ns)
            wanted = self._anchor + authority * (wanted - self._anchor)
            if authority == 1.0:
                self._mode = Mode.RUNNING
        measured = self._read_measured(observation)
        travel = self._travel.since(self._measured.age_s(observation)) if self._measured else 0.0
        self._sent, more = self._gate.apply(wanted, self._sent, measured, travel)
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
        self._unusable_since_ns = since_ns = min(self._unusable_since_ns, now_ns)  # also if the clock is set back
        if now_ns - since_ns >= self._fault_after_ns:
            self.latch(f"unusable for {(now_ns - since_ns) / 1e6:.0f} ms: {'; '.join(reasons)}")
            return (self._fault,)
        return reasons

    def _blend_from_zero(self, now_ns: int, observation: Observation) -> None:
        """Take the measured pose (position kind) or zero velocity as what zero authority means."""
        self._anchor = self._gate.start(self._read_measured(observation)).command
        self._ramp.start(now_ns)
        self._unusable_since_ns = np.inf
        self._mode = Mode.BLENDING
