"""Registration of the simulated tasks with gymnasium.

Gymnasium has loaded no plugins by entry point since 1.0; it does import a module that is named before a colon. So
whoever must not import this package makes a task as `gymnasium.make("divo_sim.environments:divo/ArmReach-v0")`, which
is what a contract's `environment` says.
"""

from __future__ import annotations

import gymnasium

ARM_REACH_ID = "divo/ArmReach-v0"


def register() -> None:
    """Register every task of this package; a second call does nothing."""
    if ARM_REACH_ID not in gymnasium.registry:
        # No max_episode_steps: gymnasium's own time limit would also call an arrival in the last step truncated.
        gymnasium.register(ARM_REACH_ID, entry_point="divo_sim.arm_reach:ArmReach")


register()
