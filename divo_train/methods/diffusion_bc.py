"""Diffusion-BC: the few-step sampler of all logged actions alike, one sample, no critic."""

from __future__ import annotations

from divo_train.methods.divo import DIVO_W1, sampler_policy
from divo_train.methods.method import Method

BEHAVIOUR = next(stage for stage in DIVO_W1.stages if stage.name == "diffusion_w1")
"""The denoiser of the whole behaviour, which other methods stand on too."""

DIFFUSION_BC = Method(
    "Diffusion-BC",
    (BEHAVIOUR,),
    {"diffusion_bc": lambda networks: sampler_policy(networks, BEHAVIOUR.name, 1, scored=False)},
)
