"""Whatever comes in, what goes out is finite, within the limits, and free of jumps."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from divo_runtime.controller import Controller, Mode
from divo_runtime.interfaces import PolicyAction
from divo_runtime.observation import Measurement

MS = 1_000_000
PERIOD_S, VELOCITY, ACCELERATION, POSITION = 0.1, 1.0, 2.0, 1.0

any_number = st.floats() | st.sampled_from([0.0, 0.95, -0.95, 5.0])
any_action = st.one_of(
    st.tuples(*[st.floats(width=32)] * 2),
    st.tuples(*[st.floats(-0.8, 0.8)] * 2),
    st.sampled_from([(), (0.1,), (0.1, 0.2, 0.3), None, RuntimeError("policy"), ("up", "down")]),
)
any_age_ms = st.integers(-100, 400) | st.integers(-(10**12), 10**12) | st.just(0)
any_joints = st.one_of(
    st.just(SimpleNamespace(name=["b", "a"], position=[0.5, -0.5])),
    st.builds(lambda p, q: SimpleNamespace(name=["a", "b"], position=[p, q]), any_number, any_number),
    st.sampled_from([None, SimpleNamespace(), SimpleNamespace(name=["a", "b"], position=[0.1]), "joint_states"]),
)
orders = st.sampled_from(["step"] * 8 + ["stop", "reset", "deactivate", "activate"])
cycle = st.tuples(orders, any_joints, any_age_ms, any_action)


class Whim:
    """A policy that answers whatever it is told to."""

    noise_shape = (1, 2)

    def __init__(self):
        self.answer = (0.0, 0.0)

    def act(self, observation, noise):
        if isinstance(self.answer, Exception):
            raise self.answer
        if self.answer is None:
            return None
        return PolicyAction(np.array(self.answer), 0.0)


def drive(contract, cycles):
    """Yield (previous command, output) of every step that follows a step."""
    policy, controller, previous = Whim(), None, None
    controller = Controller(contract, policy, 0, lambda: 0)
    goal = SimpleNamespace(point=SimpleNamespace(x=0.1, y=0.2, z=0.3))
    for number, (order, joints, age_ms, policy.answer) in enumerate([("activate", *cycles[0][1:]), *cycles]):
        now_ns = number * 100 * MS
        measurements = {"joint_states": Measurement(joints, now_ns - age_ms * MS), "goal": Measurement(goal, now_ns)}
        if order == "activate":
            if controller.activate(now_ns, measurements) == ():
                previous = None
        elif order == "stop":
            controller.emergency_stop()
        elif order == "reset":
            controller.reset_fault(now_ns, measurements)
        elif order == "deactivate":
            stops = controller.stop_commands()
            assert not stops or np.isfinite(stops).all()
            controller.deactivate()
            previous = None
        output = controller.step(now_ns, measurements)
        assert (output.command is None) == (output.mode is Mode.INACTIVE)
        if output.command is not None:
            assert np.isfinite(output.command).all()
            if output.mode in (Mode.HOLDING, Mode.FAULT):
                assert output.reasons
            yield previous, output
            previous = output.command


either_limits = pytest.mark.parametrize(("more_limits", "jerk"), [("", np.inf), (", jerk: 8.0", 8.0)])


@either_limits
@settings(derandomize=True, deadline=None, max_examples=100)
@given(cycles=st.lists(cycle, min_size=1, max_size=40))
def test_velocity_commands_are_always_within_their_limits(make_arm, more_limits, jerk, cycles):
    change = np.zeros(2)
    for previous, output in drive(make_arm("joint_velocity", more_limits), cycles):
        if previous is None:
            previous, change = np.zeros(2), np.zeros(2)
        before, change = change, (output.command - previous) / PERIOD_S
        assert (np.abs(output.command) <= VELOCITY).all()
        assert (np.abs(change) <= ACCELERATION + 1e-9).all()
        assert (np.abs(change - before) / PERIOD_S <= jerk + 1e-6).all()


@either_limits
@settings(derandomize=True, deadline=None, max_examples=100)
@given(cycles=st.lists(cycle, min_size=1, max_size=40))
def test_position_commands_are_always_within_their_limits(make_arm, more_limits, jerk, cycles):
    velocity, change = np.zeros(2), np.zeros(2)
    for previous, output in drive(make_arm("joint_position", more_limits), cycles):
        assert (np.abs(output.command) <= POSITION).all()
        if previous is None:
            velocity, change = np.zeros(2), np.zeros(2)
            continue
        moved = (output.command - previous) / PERIOD_S
        before, change = change, (moved - velocity) / PERIOD_S
        assert (np.abs(moved) <= VELOCITY + 1e-9).all()
        assert (np.abs(change) <= ACCELERATION + 1e-8).all()
        assert (np.abs(change - before) / PERIOD_S <= jerk + 1e-5).all()
        velocity = moved
