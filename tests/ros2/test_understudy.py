"""The understudy plays what the controller will play, and nothing that it does reaches the stage."""

from __future__ import annotations

import time
from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy")

from divo_controller.parameters import Parameters
from divo_controller.session import Session, open_session
from divo_runtime.observation import Measurement
from divo_runtime.output import Mode

MS = 1_000_000
PERIOD_NS = 10 * MS


@pytest.fixture(params=["actor", "auto"])
def session(request, bundle) -> Iterator[Session]:
    opened = open_session(Parameters(bundle=str(bundle), policy=request.param))
    yield opened
    opened.close()


def measured(now_ns: int, position: float = 0.1) -> dict[str, Measurement]:
    message = SimpleNamespace(name=["left", "right"], position=[position, -position], velocity=[0.0, 0.0])
    return {"joint_states": Measurement(message, now_ns, now_ns)}


def asked(session: Session) -> list[np.ndarray]:
    """Let the policy that acts note what it is asked."""
    policy = getattr(session.policy, "current", session.policy)
    questions, act = [], policy.act

    def noting(observation, noise):
        questions.append((observation.copy(), noise.copy()))
        return act(observation, noise)

    policy.act = noting
    return questions


def test_it_begins_in_the_middle_of_a_motion_and_after_a_fault(session):
    session.policy.deadline_ns = time.monotonic_ns() + 10**12
    message = SimpleNamespace(name=["left", "right"], position=[0.1, -0.1], velocity=[0.9, 0.9])
    moving = {"joint_states": Measurement(message, PERIOD_NS, PERIOD_NS)}
    questions = asked(session)
    assert session.understudy.play(PERIOD_NS, moving) is not None
    for cycle in range(2, 100):  # stale for a second: a fault
        session.understudy.play(cycle * PERIOD_NS, moving)
    seen = len(questions)
    assert session.understudy.play(100 * PERIOD_NS, measured(100 * PERIOD_NS, 2.0)) is not None
    assert len(questions) > seen


def test_it_plays_the_whole_cycle_up_to_the_command(session):
    session.policy.deadline_ns = time.monotonic_ns() + 10**12  # `auto` never has to switch
    questions = asked(session)
    assert session.controller.activate(PERIOD_NS, measured(PERIOD_NS)) == ()
    for cycle in range(2, 30):
        now_ns = cycle * PERIOD_NS
        played = session.understudy.play(now_ns - MS, measured(now_ns - MS))
        sent = session.controller.step(now_ns, measured(now_ns)).command
        assert played.shape == sent.shape
        (rehearsed, drawn), (real, noise) = questions[-2:]
        np.testing.assert_array_equal(rehearsed, real)
        assert drawn.shape == noise.shape
    np.testing.assert_allclose(played, sent, atol=1e-6)  # the fake policy knows no noise: the same way was gone


def test_what_the_controller_does_is_the_same_without_it(session):
    session.policy.deadline_ns = time.monotonic_ns() + 10**12  # `auto` never has to switch
    outputs = []
    for understudied in (False, True):
        controller = session.controller
        controller.deactivate()
        assert controller.activate(PERIOD_NS, measured(PERIOD_NS), seed=3) == ()
        before = (session.policy_name, session.switches)
        for cycle in range(2, 30):
            now_ns = cycle * PERIOD_NS
            if understudied:
                session.understudy.play(now_ns - MS, measured(now_ns - MS, position=0.3))
            outputs.append(controller.step(now_ns, measured(now_ns)))
        assert (session.policy_name, session.switches) == before
    first, second = outputs[: len(outputs) // 2], outputs[len(outputs) // 2 :]
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.command, other.command)
        np.testing.assert_array_equal(one.noise, other.noise)
        assert (one.mode, one.reasons, one.clips) == (other.mode, other.reasons, other.clips)
    assert session.controller.counters["steps"] == len(outputs)


def test_its_failures_stay_its_own_and_it_plays_again_when_the_cause_is_gone(session):
    policy = getattr(session.policy, "current", session.policy)
    act, policy.act = policy.act, lambda observation, noise: 1 / 0
    controller, counters = session.controller, dict(session.controller.counters)
    for cycle in range(1, 200):  # long enough for a fault of its own
        session.understudy.play(cycle * PERIOD_NS, measured(cycle * PERIOD_NS))
    assert (controller.mode, controller.fault, dict(controller.counters)) == (Mode.INACTIVE, "", counters)
    policy.act = act
    for cycle in range(200, 300):
        moved = session.understudy.play(cycle * PERIOD_NS, measured(cycle * PERIOD_NS))
    assert np.abs(moved).max() > 0.0


def test_without_measurements_there_is_nothing_to_play(session):
    assert session.understudy.play(PERIOD_NS, {}) is None
