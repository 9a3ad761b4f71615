"""Every setting of a training run, with its default, unit and reason."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from divo_runtime.sampler import Solver
from divo_train.baseline_config import (
    ActorCriticConfig,
    CloningConfig,
    DiffusionQlConfig,
    IqlConfig,
    OneStepConfig,
    RebracConfig,
    Td3BcConfig,
)


@dataclass(frozen=True)
class NetworkConfig:
    """Shape of all networks of a run."""

    width: int = 128
    """Units per hidden layer."""
    depth: int = 3
    """Hidden layers."""
    regressor: Literal["silu", "relu"] = "silu"
    """Activation of the deterministic policies (cloning, TD3+BC, ReBRAC, IQL); others' code has relu there."""


@dataclass(frozen=True)
class OptimizerConfig:
    """Adam with a cosine decay."""

    learning_rate: float = 4e-3
    """Step size at the start; small steps do not learn the sharp choice that a robot at rest has to make."""
    final_fraction: float = 0.05
    """Fraction of the step size that is left at the end."""
    batch_size: int = 256
    """Transitions per update."""


@dataclass(frozen=True)
class ValueConfig:
    """Implicit Q-learning with n-step backups and an ensemble."""

    updates: int = 4_000
    """Gradient steps of the critic that labels. With more of them V learns from the state which behaviour it is in, and
    the labels rank worse (docs/algorithm.md)."""
    selector: Literal["continued", "apart"] = "continued"
    """Which critic selects among candidates. continued: the one that labelled, after more updates; apart: another one,
    from random numbers of its own, which costs as much again."""
    selector_updates: int = 0
    """Gradient steps of the critic that selects, with those before the labels if it is continued. Too few do harm;
    0: twice as many as `updates`."""
    learning_rate: float = 1e-3
    """Step size at the start; critics want it smaller than policies do."""
    members: int = 4
    """Q networks."""
    aggregate: Literal["mean", "min"] = "mean"
    """What of the members V learns from and labels and selection use."""
    expectile: float = 0.9
    """Expectile of V over the logged actions, in [0.5, 1); high, so that V is the value of acting well from here."""
    discount: float = 0.97
    """Per control step; with 20 Hz a horizon of 1.7 s, near which small differences between actions still show."""
    backup_s: float = 0.1
    """Length of the n-step backup [s]; long backups follow the behaviour and teach V its mistakes."""
    target_rate: float = 0.01
    """Rate of the target networks' running average, per update."""


@dataclass(frozen=True)
class LabelConfig:
    """Which logged actions count as good."""

    advantage: Literal["multi_step", "one_step", "lambda_return"] = "multi_step"
    """multi_step: return over the horizon + V - V; one_step: Q - V; lambda_return: TD(lambda) return - V."""
    horizon_s: float = 2.0
    """Length of the m-step advantage [s]; it must reach from a decision to its consequence."""
    decay: float = 0.95
    """lambda of the lambda-return."""
    positive_fraction: tuple[float, float] = (0.5, 0.6)
    """The threshold starts at 0 and moves until the positive share of the data lies in this range."""
    low_weight: float = 0.1
    """Weight of the other actions, in [0, 1]; the density ratio to the data stays below 1 / low_weight."""
    temperature: float = 3.0
    """Of the soft and the exponential weight, which `divo_soft` and `divo_exp` use: per standard deviation of A."""


@dataclass(frozen=True)
class DiffusionConfig:
    """The denoiser of the logged actions, weighted by their labels."""

    updates: int = 14_000
    """Gradient steps."""
    ema_rate: float = 0.002
    """Rate of the running average of weights that is sampled from, per update."""
    sigma_min: float = 0.04
    """Smallest noise level in training, in standard deviations of the scaled actions."""
    sigma_max: float = 20.0
    """Largest noise level in training, in the same unit."""


@dataclass(frozen=True)
class SamplerConfig:
    """The few-step sampler, in training and as deployed."""

    steps: int = 5
    """Denoiser evaluations per action."""
    candidates: int = 4
    """Actions per observation, of which the critic picks one; a trust region: large N exploits the critic's errors."""
    sigma_max: float = 10.0
    """First noise level, in standard deviations of the scaled actions."""
    sigma_min: float = 0.2
    """Last noise level before 0, in the same unit."""
    solver: Solver = "dpmpp_2m"
    """Integrator."""


@dataclass(frozen=True)
class ActorConfig:
    """The one-step actor, distilled from the filtered candidates."""

    width: int = 256
    """Units per hidden layer: one evaluation per action leaves room for a wider network than the denoiser's."""
    updates: int = 9_000
    """Gradient steps."""
    cached_candidates: int = 8
    """Candidates drawn per logged state, with their noise."""
    refresh_every: int = 0
    """Updates after which the candidates of all states are drawn anew, with other noise; 0 keeps the first. 1 is the
    exact mode: an update draws those of its own batch, and nothing is kept."""
    keep: int = 7
    """Best candidates that may become a target; the one nearest to the sampler's own answer is taken."""
    q_weight: float = 0.05
    """Weight of the -Q / mean |Q| term beside the regression; a little sharpens the aim, more leaves the data."""
    candidates: int = 1
    """Actions per observation when deployed; above 1 the critic picks. The actor was trained on its choices already,
    and picking once more among its answers loses more than it gains (docs/algorithm.md)."""


@dataclass(frozen=True)
class FitConfig:
    """Train a policy offline from a dataset and write a run folder."""

    dataset: str = "data/divo/arm_reach/mixed-25-v0"
    """Dataset folder in the Minari layout."""
    out: str = "runs/arm_reach/mixed-25"
    """Run folder; a run that was interrupted goes on from its last checkpoint."""
    methods: tuple[str, ...] = ("divo", "bc")
    """What to train: divo, bc (behaviour cloning, to see what the diffusion model is for), or another of
    `divo_train.methods`: bc10, bc_noise, td3bc, iql, iql_joint, rebrac, diffusion_bc, idql, diffusion_ql, one_step,
    divo_w1, divo_exp, divo_soft (samplers with other weights), and each of these with _actor behind it."""
    seed: int = 0
    """Seed of weights, batches and noise; the same seed on the same machine gives the same weights."""
    replicas: int = 1
    """Seeds that are trained side by side: seed, seed + 1, ... Each gets a run folder of its own inside `out`."""
    device: str = "cpu"
    """cpu or cuda."""
    workers: int = 2
    """Stages that do not need each other run in this many processes."""
    threads: int = 1
    """Torch threads per process; small networks gain from processes, not threads."""
    checkpoint_every: int = 1000
    """Updates between checkpoints: what a kill may cost."""
    log_every: int = 200
    """Updates between rows of metrics."""
    snapshots: int = 0
    """Networks of every stage that are kept while it trains, equally spaced, for learning curves; 0 keeps none."""
    network: NetworkConfig = field(default_factory=NetworkConfig)
    """Shape of the networks."""
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    """Optimiser of every stage."""
    value: ValueConfig = field(default_factory=ValueConfig)
    """Value learning."""
    labels: LabelConfig = field(default_factory=LabelConfig)
    """Advantage labels."""
    diffusion: DiffusionConfig = field(default_factory=DiffusionConfig)
    """Positive-advantage diffusion."""
    sampler: SamplerConfig = field(default_factory=SamplerConfig)
    """Few-step sampler."""
    actor: ActorConfig = field(default_factory=ActorConfig)
    """One-step actor."""
    cloning: CloningConfig = field(default_factory=CloningConfig)
    """Behaviour cloning."""
    actor_critic: ActorCriticConfig = field(default_factory=ActorCriticConfig)
    """What TD3+BC, ReBRAC, Diffusion-QL and the one-step distillation share."""
    td3bc: Td3BcConfig = field(default_factory=Td3BcConfig)
    """TD3+BC."""
    rebrac: RebracConfig = field(default_factory=RebracConfig)
    """ReBRAC."""
    iql: IqlConfig = field(default_factory=IqlConfig)
    """IQL's policy."""
    diffusion_ql: DiffusionQlConfig = field(default_factory=DiffusionQlConfig)
    """Diffusion-QL."""
    one_step: OneStepConfig = field(default_factory=OneStepConfig)
    """One-step distillation."""
