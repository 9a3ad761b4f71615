"""Behaviour cloning with squared error: of everything, of the best tenth, and with noise added when it acts.

The noise is a control: part of what stochastic policies gain on a maze is that they do not get stuck.
"""

from __future__ import annotations

from torch import Tensor

from divo_train.cloning import CloningLearner, best_transitions
from divo_train.methods.method import Method, Proposer
from divo_train.stage import Stage
from divo_train.trained import TrainedNetworks

CLONING = Stage(
    "cloning",
    "cloning_loss",
    lambda config: config.cloning.updates,
    lambda data, config, _: CloningLearner(data, config, "cloning"),
)
CLONING10 = Stage(
    "cloning10",
    "cloning_loss",
    lambda config: config.cloning.updates,
    lambda data, config, _: CloningLearner(
        data, config, "cloning10", best_transitions(data.dataset, config.cloning.best_share)
    ),
)


def regressor_policy(networks: TrainedNetworks, stage: str, spread: float = 0.0) -> Proposer:
    """Return a deterministic policy, with noise of standard deviation `spread` if there shall be some."""
    policy = networks.load_regressor(stage)

    def propose(observation: Tensor, noise: Tensor) -> Tensor:
        return (policy(observation) + spread * noise).clamp(-1, 1)

    return Proposer(propose)


BC = Method("BC", (CLONING,), {"bc": lambda networks: regressor_policy(networks, "cloning")})
BC10 = Method("10%BC", (CLONING10,), {"bc10": lambda networks: regressor_policy(networks, "cloning10")})
BC_NOISE = Method(
    "BC + noise",
    (CLONING,),
    {"bc_noise": lambda networks: regressor_policy(networks, "cloning", networks.config.cloning.noise)},
)
