"""Settings of the methods that DIVO is compared with; what they share with DIVO stands in `config`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CloningConfig:
    """Behaviour cloning, of everything and of the best episodes."""

    updates: int = 10_000
    """Gradient steps."""
    best_share: float = 0.1
    """Share of the transitions that 10%BC imitates: those of the episodes with the highest return."""
    noise: float = 0.2
    """Standard deviation of the noise that BC-plus-noise adds to its action, of the scaled action's range [-1, 1]."""


@dataclass(frozen=True)
class ActorCriticConfig:
    """TD3's machinery, for every method whose critic evaluates the policy's own actions."""

    updates: int = 20_000
    """Gradient steps."""
    learning_rate: float = 1e-3
    """Step size at the start, of policy and critic."""
    members: int = 2
    """Q networks; the target takes the lowest."""
    layer_norm: bool = True
    """LayerNorm in the critic; the original TD3+BC has none, and is weaker for it."""
    target_rate: float = 0.01
    """Rate of the target networks' running average, per update; TD3 moves them with the policy only."""
    policy_every: int = 2
    """The policy is updated once per so many updates of the critic."""
    smoothing: float = 0.2
    """Standard deviation of the noise on the target policy's action."""
    smoothing_limit: float = 0.5
    """Largest size of that noise."""


@dataclass(frozen=True)
class Td3BcConfig:
    """TD3+BC."""

    alpha: float = 2.5
    """Weight of the normalised Q against the squared error to the logged action."""


@dataclass(frozen=True)
class RebracConfig:
    """ReBRAC."""

    actor_penalty: float = 0.1
    """Weight of the squared error to the logged action, in the policy's loss."""
    critic_penalty: float = 0.01
    """Weight of the squared error to the next logged action, in the critic's target."""
    lowest: bool = True
    """Whether the policy climbs the lowest Q, as in the authors' code; if not, the first, which is cheaper."""


@dataclass(frozen=True)
class IqlConfig:
    """IQL's policy: weighted regression on the shared critic (iql), or together with its own critic (iql_joint)."""

    updates: int = 14_000
    """Gradient steps of the policy."""
    temperature: float = 3.0
    """Inverse temperature of exp(temperature * A); iql counts A in its standard deviations, iql_joint as it is."""
    largest_weight: float = 100.0
    """Weights are cut here."""
    layer_norm: bool = True
    """LayerNorm in the critic of iql_joint; the original has none."""


@dataclass(frozen=True)
class DiffusionQlConfig:
    """Diffusion-QL."""

    updates: int = 14_000
    """Gradient steps."""
    q_weight: float = 1.0
    """Weight of the normalised Q of a sampled action, whose gradient goes back through every step of the sampler."""


@dataclass(frozen=True)
class OneStepConfig:
    """One-step distillation in the manner of FQL: a student of a plain behaviour model that also climbs Q."""

    updates: int = 20_000
    """Gradient steps."""
    distillation: float = 3.0
    """Weight of the squared error to the teacher's action for the same noise, against the normalised Q."""
