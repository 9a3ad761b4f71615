"""Control periods to episodes: what follows on another at the control rate belongs together, a gap is a truncation.

A stretch of T actions keeps T + 1 observations. Every period is counted once: kept, or dropped with its cause.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from divo_runtime.contract import Contract
from divo_runtime.fields import JointArray
from divo_runtime.observation import FloatArray, Observation
from divo_train.data.bags.labels import RewardFunction, label
from divo_train.data.bags.motion import measured_actions
from divo_train.data.bags.tally import KEPT, Tally

NEVER = 2**63 - 1

OUTSIDE = "outside of the marked episodes"
AFTER = "after the end of the task"
LAST = "no observation after the last action"


@dataclass(frozen=True, slots=True)
class Episode:
    """A stretch of T transitions without a gap."""

    observations: FloatArray
    """(T + 1, obs_dim)"""
    actions: FloatArray
    """(T, act_dim) in robot units."""
    rewards: FloatArray
    """(T,)"""
    terminated: NDArray[np.bool_]
    """(T,) true at most at the end."""
    times_ns: NDArray[np.int64]
    """(T + 1,)"""

    def __len__(self) -> int:
        """Return the number of transitions."""
        return len(self.actions)


@dataclass(frozen=True, slots=True)
class EpisodeRules:
    """How periods become episodes."""

    gap_ns: int | None
    """Two periods further apart than this do not belong together [ns]; None where every period is told of."""
    marked: bool
    """Whether episodes are begun by a mark, so that everything before the first one is outside."""
    measured: bool
    """Whether the action is the measured motion."""
    function: RewardFunction | None
    """Reward and termination; None if they come from topics, or not at all."""
    function_name: str = ""


class EpisodeBuilder:
    """Collects the periods of one bag.

    Args:
        contract: The robot task.
        rules: How periods become episodes.
        tally: Where every period is counted.
        observe: Returns the observation at a time in the last few periods.
        emit: Called with every finished episode.
    """

    def __init__(
        self,
        contract: Contract,
        rules: EpisodeRules,
        tally: Tally,
        observe: Callable[[int], Observation],
        emit: Callable[[Episode], None],
    ) -> None:
        self._contract, self._rules, self._tally = contract, rules, tally
        self._observe, self._emit = observe, emit
        self._inside = not rules.marked
        self._over = False
        self._last_ns = 0
        self._clear()
        self._pending: list[tuple[int, float]] = []
        self.stray_rewards = 0
        """Reward messages that no transition claims."""
        self._kept_since_begin: int | None = None
        self.empty = 0
        """Marked episodes without a single transition."""
        self.stray_terminations = 0
        """Terminations while nothing was recorded that could end."""
        self.lost_terminations = 0
        """Terminations whose own transition has no last observation; the one before it did not end the task."""

    @property
    def due_ns(self) -> int:
        """When `close_gap` is to be called if no period comes before."""
        return self._times[-1] + self._rules.gap_ns if self._times and self._rules.gap_ns else NEVER

    def step(self, now_ns: int, observation: Observation, action: JointArray | str) -> None:
        """Take in one period.

        Args:
            now_ns: Its time [ns].
            observation: What was known then.
            action: (act_dim,) what was commanded, or why nothing was.
        """
        if now_ns > self.due_ns:
            self.close_gap()
        apart = self._rules.gap_ns is not None and now_ns - self._last_ns > self._rules.gap_ns
        self._last_ns = now_ns
        if apart or observation.problems or isinstance(action, str):
            self._over = False  # what ended the task was before this interruption
        if not self._inside or self._over:
            self._tally.add(AFTER if self._inside else OUTSIDE, now_ns)
        elif observation.problems:
            self._close(None)
            problem = observation.problems[0]
            self._tally.add(f"{problem.term}: {problem.fault.value}", now_ns, problem.detail)
        else:
            self._append(now_ns, observation.vector)
            if isinstance(action, str):
                self._tally.add(action, now_ns)
                self._close(None)
            else:
                self._actions.extend(action.tolist())
                self._waiting = True

    def replace(self, now_ns: int, action: JointArray | str, cause: str) -> bool:
        """Replace the action of the newest period, if it runs still; one that is none is counted and changes nothing.

        Args:
            now_ns: Time of the new action [ns].
            action: (act_dim,) it, or why it is none.
            cause: What the old action is counted under.

        Returns:
            Whether there was a period whose action it is.
        """
        if not self._waiting:
            return False
        if isinstance(action, str):
            self._tally.add(action, now_ns)
        else:
            self._actions[-len(action) :] = array("d", action.tolist())
            self._tally.add(cause, now_ns)
        return True

    def rest(self, now_ns: int, observation: Observation) -> None:
        """Take in a period that is cut short by a mark or by the end: its observation completes what went before."""
        if self._times and now_ns <= self.due_ns and not observation.problems:
            self._append(now_ns, observation.vector)

    def close_gap(self) -> None:
        """End the stretch because nothing followed in time."""
        self._over = False
        self._close(NEVER)

    def begin(self, now_ns: int) -> None:
        """A mark says that an episode begins; one that runs ends."""
        self.end(now_ns)
        self._inside, self._kept_since_begin = True, 0

    def end(self, now_ns: int) -> None:
        """A mark says that the episode ends."""
        self._close(now_ns)
        self.empty += self._kept_since_begin == 0
        self._inside = self._over = False
        self._kept_since_begin = None

    def add_reward(self, now_ns: int, value: float) -> None:
        """Take in a message of the reward topic."""
        self._pending.append((now_ns, value))
        if not self._times:
            self._claim(now_ns)  # nothing runs that it could belong to

    def set_terminated(self, now_ns: int, flag: bool) -> None:
        """Take in a message of the termination topic."""
        if flag and not self._over:
            self.stray_terminations += not self._times
            self._close(now_ns, terminated=True)
        self._over = flag

    def finish(self, now_ns: int) -> None:
        """The recording ends; a period of which less than half was recorded is no period."""
        seen = self._times and now_ns >= self._times[-1] + self._contract.period_ns // 2
        self._close(now_ns if seen else None)
        self._claim(NEVER)

    def _clear(self) -> None:
        self._times = array("q")
        self._vectors = bytearray()
        self._actions = array("d")
        self._rewards = array("d")
        self._waiting = False

    def _append(self, now_ns: int, vector: FloatArray) -> None:
        """Add an observation; it completes the transition that waits for it."""
        reward = self._claim(now_ns, counted=bool(self._times))
        if self._times:
            self._rewards.append(reward)
        self._times.append(now_ns)
        self._vectors += vector.tobytes()
        self._waiting = False

    def _claim(self, now_ns: int, counted: bool = False) -> float:
        """Return the sum of the rewards up to a time and forget them."""
        due = [value for time_ns, value in self._pending if time_ns <= now_ns]
        self._pending = self._pending[len(due) :]
        self.stray_rewards += 0 if counted else len(due)
        return sum(due)

    def _close(self, latest_ns: int | None, terminated: bool = False) -> None:
        """End the stretch, with an observation one period after its last action if there is one.

        Args:
            latest_ns: Latest time that observation may have [ns]; None if there can be none.
            terminated: Whether the task ended here.
        """
        if not self._times:
            return
        last_ns = self._times[-1]
        if self._waiting:
            closing_ns = min(last_ns + self._contract.period_ns, latest_ns or 0)
            final = self._observe(closing_ns) if closing_ns > last_ns else None
            if final is not None and not final.problems:
                self._append(closing_ns, final.vector)
                if latest_ns not in (None, NEVER):  # a reward may come with the mark, after a full period
                    self._rewards[-1] += self._claim(latest_ns or 0, counted=True)
            else:
                del self._actions[-self._contract.action_size :]
                self._tally.add(LAST, last_ns)
                if terminated and closing_ns > last_ns:
                    self.lost_terminations += 1
                    terminated = False
        count = len(self._times) - 1
        if self._rewards or count > 0:
            self._finish_stretch(count, terminated)
        self._clear()

    def _finish_stretch(self, count: int, terminated: bool) -> None:
        observations = np.frombuffer(bytes(self._vectors), np.float32).reshape(count + 1, -1)
        actions = np.frombuffer(self._actions, np.float64).reshape(count, -1)
        times = np.frombuffer(self._times, np.int64).copy()
        if self._rules.measured:
            actions = measured_actions(self._contract, observations, times)
        rewards = np.frombuffer(self._rewards, np.float64).astype(np.float32)
        ended = np.zeros(count, bool)
        ended[-1] = terminated
        whole = Episode(observations, actions.astype(np.float32), rewards, ended, times)
        for episode in self._relabelled(whole) if self._rules.function else [whole]:
            self._tally.add_all(KEPT, episode.times_ns[:-1].tolist())
            if self._kept_since_begin is not None:
                self._kept_since_begin += len(episode)
            self._emit(episode)

    def _relabelled(self, whole: Episode) -> list[Episode]:
        """Label a stretch, and cut it where the task ended; periods in which it stays ended are dropped."""
        function, rules = self._rules.function, self._rules
        assert function is not None
        rewards, ended = label(function, rules.function_name, self._contract, whole.observations, whole.actions)
        pieces, begin, count = [], 0, len(whole)
        while begin < count:
            if begin and ended[begin]:
                self._tally.add(AFTER, int(whole.times_ns[begin]))
                begin += 1
                continue
            stops = np.flatnonzero(ended[begin:])
            stop = begin + int(stops[0]) + 1 if len(stops) else count
            steps, rows = slice(begin, stop), slice(begin, stop + 1)
            pieces.append(
                Episode(
                    whole.observations[rows], whole.actions[steps], rewards[steps], ended[steps], whole.times_ns[rows]
                )
            )
            begin = stop
        return pieces
