"""Flat data: one row per step, episodes one after another, as D4RL and most npz files keep it.

The hard part is the end of an episode. A row holds the observation *before* its action, so what followed the last
action stands in no row; and a file may end an episode because the task ended or because the time was up.
`split_episodes` keeps exactly the transitions that D4RL's `qlearning_dataset` keeps, or where asked to, the last too.

Source: https://github.com/Farama-Foundation/D4RL, `d4rl/__init__.py`, read on 2026-11-22.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from divo_runtime.errors import DatasetError
from divo_train.data.dataset import BoolArray, FloatArray

TIME_LIMIT = "last step of an episode that ran out of time: what followed is not in the file"
LAST_ROW = "last row of the file: what followed is not in the file"
POSITION_TOLERANCE = 1e-6
"""Rows written with float32 repeat exactly what they repeat."""

Arrays = dict[str, NDArray[Any]]
"""One episode as `MinariWriter.add` takes it."""


@dataclass(frozen=True)
class FlatRows:
    """N steps of many episodes."""

    observations: FloatArray
    """(N, obs_dim) before the action."""
    actions: FloatArray
    """(N, act_dim)"""
    rewards: FloatArray
    """(N,) for this row's action."""
    terminals: BoolArray
    """(N,) The task ended with this row's action."""
    timeouts: BoolArray | None = None
    """(N,) The episode was cut after this row's action; None in files that do not say."""
    next_observations: FloatArray | None = None
    """(N, obs_dim) after the action, in files that have it."""

    def __post_init__(self) -> None:
        """Check shapes and numbers; NaN would silently ruin every weight."""
        count = len(self.observations)
        shapes = {
            "observations": (count, *self.observations.shape[1:2]),
            "actions": (count, *self.actions.shape[1:2]),
            "rewards": (count,),
            "terminals": (count,),
            "timeouts": (count,),
            "next_observations": self.observations.shape,
        }
        for name, shape in shapes.items():
            array = getattr(self, name)
            if array is None:
                continue
            if array.shape != shape or count == 0:
                got, expected = f"shape {array.shape}", f"shape {shape or '(N, width)'}, one row per step"
                raise DatasetError("The rows do not belong together.", where=name, got=got, expected=expected)
            if not np.isfinite(array).all():
                row = int(np.argwhere(~np.isfinite(array))[0][0])
                raise DatasetError(
                    "The file holds values that are not finite.", where=f"{name}, row {row}", got=str(array[row]),
                    expected="finite numbers", fix="Drop the episode that holds them.",
                )  # fmt: skip

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.observations)


@dataclass
class Tally:
    """What became of the rows."""

    kept: int = 0
    """Transitions."""
    episodes: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    """Reason -> rows."""
    notes: list[str] = field(default_factory=list)
    """What a person should know about the file."""


def final_steps(rows: FlatRows, max_episode_steps: int) -> BoolArray:
    """Return (N,) where `qlearning_dataset` takes the time to be up.

    Without `timeouts` it counts steps, and after a termination it begins to count at 1, not 0: that too is done here as
    there, so that the same transitions are kept.
    """
    if rows.timeouts is not None:
        return rows.timeouts
    final = np.zeros(len(rows), bool)
    step = 0
    for i, terminal in enumerate(rows.terminals.tolist()):
        if step == max_episode_steps - 1:
            final[i] = True
            step = 0
            continue
        step = 1 if terminal else step + 1
    return final


def split_episodes(rows: FlatRows, max_episode_steps: int, keep_last: bool, tally: Tally) -> Iterator[Arrays]:
    """Yield the episodes of T actions and T + 1 observations, and count in `tally` what is not in them.

    Where the task ended, nobody needs the observation after the last action: it is `next_observations`, or the last
    observation once more. (`qlearning_dataset` puts the next episode's first there, masked by `terminals`.)

    Args:
        rows: The file.
        max_episode_steps: Time limit of the environment [steps], for files without `timeouts`.
        keep_last: Keep what `qlearning_dataset` drops, as far as it can be used: last steps whose next observation the
            file has, and terminations at a time limit or in the last row.
        tally: Counts.
    """
    final = final_steps(rows, max_episode_steps)
    ends = final | rows.terminals
    ends[-1] = True
    first = 0
    for last in np.flatnonzero(ends).tolist():
        terminal = bool(rows.terminals[last])
        droppable = bool(final[last]) or last == len(rows) - 1
        drop = droppable and not (keep_last and (terminal or rows.next_observations is not None))
        if drop:
            tally.dropped[TIME_LIMIT if final[last] else LAST_ROW] += 1
        count = last - first + (not drop)
        if count:
            yield _episode(rows, first, count, dropped=drop)
            tally.kept += count
            tally.episodes += 1
        first = last + 1


def _episode(rows: FlatRows, first: int, count: int, dropped: bool) -> Arrays:
    """Return rows first, ..., first + count - 1 and the observation after them: the dropped row's, if there is one."""
    end = first + count
    if dropped:
        after = rows.observations[end]
    else:
        after = (rows.observations if rows.next_observations is None else rows.next_observations)[end - 1]
    terminated = np.zeros(count, bool)
    terminated[-1] = rows.terminals[end - 1]
    truncated = np.zeros(count, bool)
    truncated[-1] = not terminated[-1]
    return {
        "observations": np.concatenate([rows.observations[first:end], after[None]]),
        "actions": rows.actions[first:end],
        "rewards": rows.rewards[first:end],
        "terminations": terminated,
        "truncations": truncated,
    }


def unmarked_boundaries(rows: FlatRows, max_episode_steps: int) -> int:
    """Return how often the next row does not begin where a row ended, though neither terminals nor timeouts say so."""
    if rows.next_observations is None:
        return 0
    jumps = np.abs(rows.observations[1:] - rows.next_observations[:-1]).max(axis=1) > POSITION_TOLERANCE
    return int((jumps & ~(final_steps(rows, max_episode_steps) | rows.terminals)[:-1]).sum())


def qlearning_dataset(rows: FlatRows, max_episode_steps: int) -> Arrays:
    """Return the arrays of D4RL's function of that name, for checks and for other libraries.

    Returns:
        `observations`, `actions`, `next_observations`, `rewards`, `terminals`; after a termination the next observation
        is the first of the next episode, as in D4RL.
    """
    kept = np.flatnonzero(~final_steps(rows, max_episode_steps)[:-1])
    return {
        "observations": rows.observations[kept],
        "actions": rows.actions[kept],
        "next_observations": rows.observations[kept + 1],
        "rewards": rows.rewards[kept],
        "terminals": rows.terminals[kept],
    }
