"""DIVO, with its binary weight and with the three weights that isolate what the paper adds.

    value --+--> labels --+--> diffusion --+
            |             +----------------+--> actor
            +--> selector -----------------+

A critic labels best when it has been trained for a while (value), and selects best when it has gone on (selector). By
`value.selector: apart` the second is another critic, from random numbers of its own.
"""

from __future__ import annotations

from functools import partial

from torch import Tensor

from divo_train.advantage import Weighting, label_weights
from divo_train.config import FitConfig
from divo_train.data.training_set import TrainingSet
from divo_train.diffusion import DiffusionLearner, draw_actions, load_denoiser
from divo_train.improvement import ActorLearner
from divo_train.learner import Learner
from divo_train.methods.method import Method, Proposer
from divo_train.stage import Stage, Upstream
from divo_train.trained import TrainedNetworks
from divo_train.value_learning import ValueLearner, aggregate, load_critic


def _labeller(data: TrainingSet, config: FitConfig, upstream: Upstream) -> Learner:
    return ValueLearner(data, config, "value")


def _selector(data: TrainingSet, config: FitConfig, upstream: Upstream) -> Learner:
    learner = ValueLearner(data, config, "selector")
    if config.value.selector == "continued":
        learner.networks.load_state_dict(dict(upstream["value"]))
    return learner


def _selector_updates(config: FitConfig) -> int:
    """Return how many updates are left to the critic that selects, when the one that labels is finished."""
    value = config.value
    total = value.selector_updates or 2 * value.updates
    return max(0, total - value.updates) if value.selector == "continued" else total


def _rate(config: FitConfig) -> float:
    return config.value.learning_rate


VALUE = Stage("value", "value_loss", lambda config: config.value.updates, _labeller, learning_rate=_rate)
SELECTOR = Stage("selector", "value_loss", _selector_updates, _selector, (VALUE,), _rate)


def diffusion_stage(name: str, weighting: Weighting) -> Stage:
    """Return a stage that trains a denoiser of the logged actions, weighted by their advantage."""

    def build(data: TrainingSet, config: FitConfig, upstream: Upstream) -> Learner:
        return DiffusionLearner(data, config, name, label_weights(data, config, upstream, weighting))

    needs = () if weighting == "one" else (VALUE,)
    return Stage(name, "diffusion_loss", lambda config: config.diffusion.updates, build, needs)


def actor_stage(name: str, diffusion: Stage, weighting: Weighting) -> Stage:
    """Return a stage that distils a one-step actor from the denoiser's filtered candidates."""

    def build(data: TrainingSet, config: FitConfig, upstream: Upstream) -> Learner:
        weights = label_weights(data, config, upstream, weighting)
        denoiser = load_denoiser(upstream[diffusion.name], data, config)
        return ActorLearner(data, config, name, weights, denoiser, *load_critic(upstream["selector"], data, config))

    needs = (diffusion, SELECTOR, *diffusion.needs)
    return Stage(name, "actor_regression", lambda config: config.actor.updates, build, needs)


def sampler_policy(networks: TrainedNetworks, stage: str, candidates: int, scored: bool = True) -> Proposer:
    """Return the few-step sampler of a diffusion stage; the critic chooses, unless it is not to be `scored`."""
    denoiser, sampler = networks.load_denoiser(stage), networks.config.sampler

    def propose(observation: Tensor, noise: Tensor) -> Tensor:
        return draw_actions(denoiser, observation, noise, sampler)

    return Proposer(propose, candidates, selector_score(networks) if scored else None)


def actor_policy(networks: TrainedNetworks, stage: str) -> Proposer:
    """Return the one-step actor with as many answers to choose among as its settings say."""
    return Proposer(networks.load_actor(stage), networks.config.actor.candidates, selector_score(networks))


def selector_score(networks: TrainedNetworks) -> partial[Tensor]:
    """Return the selecting critic's value of candidates."""
    return partial(_score, networks)


def _score(networks: TrainedNetworks, observation: Tensor, candidates: Tensor) -> Tensor:
    q_networks = networks.q_networks or networks.load_q_networks("selector")
    q = q_networks(observation.expand(len(candidates), -1), candidates)
    return aggregate(q, networks.config.value.aggregate)


def weighted_sampler(title: str, suffix: str, weighting: Weighting) -> Method:
    """Return DIVO's sampler with one of the weights; everything else is the same."""
    diffusion = diffusion_stage(f"diffusion{suffix}", weighting)

    def policy(networks: TrainedNetworks) -> Proposer:
        return sampler_policy(networks, diffusion.name, networks.config.sampler.candidates)

    return Method(title, (diffusion, SELECTOR), {f"divo{suffix}" if suffix else "sampler": policy})


def weighted_actor(title: str, suffix: str, weighting: Weighting) -> Method:
    """Return DIVO's one-step actor with one of the weights."""
    actor = actor_stage(f"actor{suffix}", diffusion_stage(f"diffusion{suffix}", weighting), weighting)
    name = f"divo{suffix}_actor" if suffix else "actor"
    return Method(title, (actor,), {name: lambda networks: actor_policy(networks, actor.name)})


def both(title: str, sampler: Method, actor: Method) -> Method:
    """Return the method that trains sampler and actor."""
    return Method(title, sampler.stages + actor.stages, {**sampler.policies, **actor.policies})


DIVO = both("DIVO", weighted_sampler("DIVO", "", "binary"), weighted_actor("DIVO", "", "binary"))
DIVO_W1 = weighted_sampler("DIVO, weight 1", "_w1", "one")
DIVO_W1_ACTOR = weighted_actor("DIVO, weight 1", "_w1", "one")
DIVO_EXP = weighted_sampler("DIVO, exponential weight", "_exp", "exponential")
DIVO_EXP_ACTOR = weighted_actor("DIVO, exponential weight", "_exp", "exponential")
DIVO_SOFT = weighted_sampler("DIVO, soft weight", "_soft", "soft")
DIVO_SOFT_ACTOR = weighted_actor("DIVO, soft weight", "_soft", "soft")
