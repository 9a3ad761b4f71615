"""The methods, one short file each, on shared networks, critics, samplers and loops."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from divo_runtime.errors import DivoError
from divo_train.methods.diffusion_bc import DIFFUSION_BC
from divo_train.methods.diffusion_ql import DIFFUSION_QL
from divo_train.methods.divo import (
    DIVO,
    DIVO_EXP,
    DIVO_EXP_ACTOR,
    DIVO_SOFT,
    DIVO_SOFT_ACTOR,
    DIVO_W1,
    DIVO_W1_ACTOR,
)
from divo_train.methods.idql import IDQL
from divo_train.methods.iql import IQL
from divo_train.methods.iql_joint import IQL_JOINT
from divo_train.methods.method import Method, Proposer
from divo_train.methods.one_step import ONE_STEP
from divo_train.methods.rebrac import REBRAC
from divo_train.methods.squared_error import BC, BC10, BC_NOISE
from divo_train.methods.td3bc import TD3BC
from divo_train.stage import Stage, in_order
from divo_train.trained import TrainedNetworks

METHODS: Mapping[str, Method] = {
    "divo": DIVO,
    "divo_w1": DIVO_W1,
    "divo_w1_actor": DIVO_W1_ACTOR,
    "divo_exp": DIVO_EXP,
    "divo_exp_actor": DIVO_EXP_ACTOR,
    "divo_soft": DIVO_SOFT,
    "divo_soft_actor": DIVO_SOFT_ACTOR,
    "bc": BC,
    "bc10": BC10,
    "bc_noise": BC_NOISE,
    "td3bc": TD3BC,
    "iql": IQL,
    "iql_joint": IQL_JOINT,
    "rebrac": REBRAC,
    "diffusion_bc": DIFFUSION_BC,
    "idql": IDQL,
    "diffusion_ql": DIFFUSION_QL,
    "one_step": ONE_STEP,
}
"""Name on the command line -> method."""


def stages_of(methods: Sequence[str]) -> tuple[Stage, ...]:
    """Return every stage that the methods need, each once, needed ones first.

    Raises:
        DivoError: If there is no such method.
    """
    if unknown := [name for name in methods if name not in METHODS]:
        raise DivoError("There is no such method.", got=", ".join(unknown), expected=f"one of {', '.join(METHODS)}")
    return in_order(tuple(stage for name in methods for stage in METHODS[name].stages))


def find_policy(name: str) -> Callable[[TrainedNetworks], Proposer]:
    """Return what makes the policy called `name`, such as `sampler` or `td3bc`.

    Raises:
        DivoError: If no method has it.
    """
    policies = {key: build for method in METHODS.values() for key, build in method.policies.items()}
    if name not in policies:
        raise DivoError("There is no such policy.", got=name, expected=f"one of {', '.join(policies)}")
    return policies[name]
