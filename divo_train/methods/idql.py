"""IDQL (Hansen-Estruch et al. 2023, arXiv:2304.10573): Diffusion-BC's samples, of which the critic picks the best.

On the very critic that DIVO selects with, so that the difference to DIVO is the weight in the diffusion model alone.
Its sampler is that of `divo_w1`; both names exist because both names are asked for.
"""

from __future__ import annotations

from divo_train.methods.diffusion_bc import BEHAVIOUR
from divo_train.methods.divo import SELECTOR, sampler_policy
from divo_train.methods.method import Method

IDQL = Method(
    "IDQL",
    (BEHAVIOUR, SELECTOR),
    {"idql": lambda networks: sampler_policy(networks, BEHAVIOUR.name, networks.config.sampler.candidates)},
)
