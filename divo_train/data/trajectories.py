"""Flat data whose episodes end with a row that holds only the last observation: OGBench and d4rl-pybullet.

Both mark that row with `terminals`, and both mean something else by it than D4RL. OGBench's says that the recording
ended, and its rewards are not in the file. d4rl-pybullet's also counts a time limit as a termination, and the reward in
a row is the one that *led to* it, one row later than D4RL's.

Sources: https://github.com/seohongpark/ogbench, `ogbench/utils.py`; https://github.com/takuseno/d4rl-pybullet,
`collect.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np

from divo_train.data.flat import Arrays, FlatRows, Tally

CLOSING_ROW = "row that only holds an episode's last observation: kept as that, it has no action of its own"
SINGLE_ROW = "episode of a single row: no action leads anywhere"

Trajectory = Literal["ogbench", "d4rl_pybullet"]


def split_trajectories(rows: FlatRows, layout: Trajectory, max_episode_steps: int, tally: Tally) -> Iterator[Arrays]:
    """Yield the episodes of T actions and T + 1 observations, and count in `tally` what is not in them.

    Args:
        rows: The file; `terminals` marks the closing rows, `timeouts` is not read.
        layout: Whose file it is. OGBench's rewards are left as they are (zeros) for somebody else to fill in.
        max_episode_steps: An episode of d4rl-pybullet that is so long ended by its time limit [steps].
        tally: Counts.
    """
    ends = rows.terminals.copy()
    ends[-1] = True
    first = 0
    for last in np.flatnonzero(ends).tolist():
        count = last - first
        tally.dropped[CLOSING_ROW if count else SINGLE_ROW] += 1
        if count:
            pybullet = layout == "d4rl_pybullet"
            terminated, truncated = np.zeros(count, bool), np.zeros(count, bool)
            terminated[-1] = pybullet and bool(rows.terminals[last]) and count < max_episode_steps
            truncated[-1] = not terminated[-1]
            yield {
                "observations": rows.observations[first : last + 1],
                "actions": rows.actions[first:last],
                "rewards": rows.rewards[first + 1 : last + 1] if pybullet else rows.rewards[first:last],
                "terminations": terminated,
                "truncations": truncated,
            }
            tally.kept += count
            tally.episodes += 1
        first = last + 1
