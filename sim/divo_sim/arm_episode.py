"""What happens in an episode of the arm task: success, contact, route, reward. Pure functions, no physics.

Contact with the post does not end an episode and must never pay: beginning a contact costs more than half of what
arriving brings, so that no way through the post, however fast, beats the slowest clean way round it, discounted or not
(`tests/sim/test_arm_episode.py` has the sums).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from divo_runtime.fields import JointArray

GOAL_RADIUS_M = 0.04
STEP_LIMIT = 120
STEP_REWARD = -0.05
SUCCESS_REWARD = 10.0
CONTACT_BEGINS_REWARD = -6.0
CONTACT_LASTS_REWARD = -0.25

INNER, UNDECIDED, OUTER = -1, 0, 1


@dataclass(frozen=True, slots=True)
class Episode:
    """Where an episode stands after a number of control steps."""

    steps: int
    tool: JointArray
    """(3,) tool position in the base frame [m]."""
    route: int = UNDECIDED
    """-1: passed between post and base, +1: passed beyond the post, 0: not passed."""
    contact: bool = False
    """Whether the robot touched the post during the last step."""
    contacts: int = 0
    """Number of steps with contact so far."""
    success: bool = False
    """Whether the tool has arrived at the goal."""

    @property
    def collision_free(self) -> bool:
        """Whether the tool has arrived without any contact."""
        return self.success and self.contacts == 0

    @property
    def terminated(self) -> bool:
        """Whether the task is over: only arriving ends it."""
        return self.success

    @property
    def truncated(self) -> bool:
        """Whether the time is up without arriving."""
        return not self.success and self.steps >= STEP_LIMIT


def begin_episode(tool: JointArray) -> Episode:
    """Return the episode at its start, with the tool at `tool` (3,) [m]."""
    return Episode(steps=0, tool=tool)


def advance_episode(episode: Episode, tool: JointArray, goal: JointArray, post: JointArray, contact: bool) -> Episode:
    """Account for one control step.

    Args:
        episode: The episode before the step.
        tool: (3,) tool position after the step [m].
        goal: (3,) goal [m].
        post: (3,) centre of the post's foot [m].
        contact: Whether the robot touched the post at any instant of the step.
    """
    return Episode(
        steps=episode.steps + 1,
        tool=tool,
        route=_route(episode, tool, post),
        contact=contact,
        contacts=episode.contacts + int(contact),
        success=bool(np.linalg.norm(goal - tool) < GOAL_RADIUS_M),
    )


def step_reward(before: Episode, after: Episode) -> float:
    """Return the reward of the step between two states of an episode."""
    reward = STEP_REWARD
    if after.contact:
        reward += CONTACT_LASTS_REWARD if before.contact else CONTACT_BEGINS_REWARD
    if after.success:
        reward += SUCCESS_REWARD
    return reward


def _route(episode: Episode, tool: JointArray, post: JointArray) -> int:
    """Follow the tool across the line through the post along x; coming back over it undoes the route."""
    was_past, is_past = episode.tool[1] > post[1], tool[1] > post[1]
    if was_past == is_past:
        return episode.route
    if not is_past:
        return UNDECIDED
    return OUTER if tool[0] > post[0] else INNER
