"""What a benchmark compares: one YAML file, frozen before the final runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec

from divo_runtime.errors import DivoError
from divo_runtime.schema import Record, read_yaml
from divo_train.config import FitConfig
from divo_train.methods import METHODS

Count = Annotated[int, msgspec.Meta(ge=1)]
Settings = dict[str, Any]
D = TypeVar("D")


class Trial(Record, frozen=True, kw_only=True):
    """One dataset, and the environment in which what was learned on it is played."""

    name: str
    """Dotted name in tables and figures, such as `arm_reach.mixed-25`."""
    dataset: str
    """Dataset folder."""
    environments: dict[str, str] = msgspec.field(default_factory=dict)
    """Name -> gymnasium id of each evaluation; empty for the contract's environment alone. Their mean is the score."""
    probes: dict[str, str] = msgspec.field(default_factory=dict)
    """Name -> gymnasium id of further environments, which are played and shown but are no part of the score."""
    random_return: float | dict[str, float]
    """Mean return of random actions, which scores 0; or environment -> that."""
    expert_return: float | dict[str, float]
    """Mean return of the clean scripted expert, which scores 100; or environment -> that."""
    policies: tuple[str, ...] = ()
    """Which of the plan's policies; empty for all."""
    counted: bool = True
    """Whether it is part of the score over all trials."""
    settings: Settings = msgspec.field(default_factory=dict)
    """Settings of this task's family, such as `value: {backup_s: 2.0}`; the same for every method."""
    method_settings: dict[str, Settings] = msgspec.field(default_factory=dict)
    """Method -> settings of it alone, in this trial."""


class Curves(Record, frozen=True, kw_only=True):
    """Learning curves: snapshots of every stage are kept while it trains, and played."""

    snapshots: Count
    """Of every stage, equally spaced, the last one included."""
    every: Count = 1
    """Which of them are played: one in so many, and the last."""
    episodes: Count
    """Episodes per snapshot, training seed and environment."""
    policies: tuple[str, ...]
    """Whose."""

    @property
    def points(self) -> tuple[int, ...]:
        """Numbers of the snapshots that are played, from 1; not the last one, which is the last checkpoint."""
        return tuple(range(self.every, self.snapshots, self.every))


class Plan(Record, frozen=True, kw_only=True):
    """A benchmark."""

    name: str
    policies: tuple[str, ...]
    """Rows of the tables, such as `sampler`, `actor`, `td3bc`; `idql@16` is `idql` with the best of 16 answers."""
    networks: str = ""
    """Name of the plan whose networks are played, which has the same trials; empty for networks of its own."""
    seeds: Count = 5
    """Training seeds 0, 1, ..."""
    episodes: Count = 100
    """Evaluation episodes per seed and environment."""
    probe_episodes: Count = 50
    """The same, in the probes."""
    first_seed: int = 30_000
    """Seed of the first evaluation episode; far from the seeds of data, of tuning and of the normalisation."""
    tuning: str = ""
    """How the settings were chosen, in words: on which seeds, with which budget."""
    settings: Settings = msgspec.field(default_factory=dict)
    """Settings that differ from `divo-train fit`'s defaults, for all trials."""
    method_settings: dict[str, Settings] = msgspec.field(default_factory=dict)
    """Method -> settings of it alone, where it wants others than the methods with which it shares a key or a critic.
    Such a method is trained apart, with a critic and a behaviour model of its own. Who needs no other value for a
    shared key (TD3+BC's `td3bc: {alpha: 1}`, say) belongs into `settings`, and shares what it can."""
    curves: Curves | None = None
    trials: tuple[Trial, ...]


def read_plan(path: Path) -> Plan:
    """Read a plan and check its settings and names.

    Raises:
        ContractError: With file, line, key, got, expected and fix.
        DivoError: If a setting, a method or a policy does not exist.
    """
    plan = read_yaml(path, Plan)
    known = {policy for method in METHODS.values() for policy in method.policies}
    for trial in plan.trials:
        asked = (*plan.policies, *(plan.curves.policies if plan.curves else ()))
        _require_known("policy", tuple(split_policy(policy)[0] for policy in asked), known, plan.name)
        _require_known("policy of the plan", trial.policies, plan.policies, trial.name)
        for constants in (trial.random_return, trial.expert_return):
            if isinstance(constants, dict) and set(constants) != set(trial.environments):
                raise DivoError(
                    "A score needs two constants for each environment.", where=trial.name,
                    got=", ".join(constants), expected=", ".join(trial.environments),
                )  # fmt: skip
        _require_known("method", (*plan.method_settings, *trial.method_settings), METHODS, trial.name)
        fit_configs(plan, trial, Path("unused"))
    return plan


def policies_of(plan: Plan, trial: Trial) -> tuple[str, ...]:
    """Return a trial's policies, in the plan's order."""
    return tuple(name for name in plan.policies if not trial.policies or name in trial.policies)


def methods_of(policies: tuple[str, ...]) -> tuple[str, ...]:
    """Return the methods that train some policies."""
    names = {split_policy(policy)[0] for policy in policies}
    return tuple(name for name, method in METHODS.items() if set(method.policies) & names)


def split_policy(policy: str) -> tuple[str, int | None]:
    """Return a policy's name and among how many answers it chooses: `idql@16` is ("idql", 16); None if it is not said.

    Raises:
        DivoError: If the number is none.
    """
    name, at, count = policy.partition("@")
    if at and not (count.isdecimal() and int(count)):
        raise DivoError("This is no number of candidates.", got=policy, expected="a name, such as idql or idql@16")
    return name, int(count) if at else None


def run_folder(plan: Plan, trial: Trial, runs: Path) -> Path:
    """Return where a trial's networks are, and its episodes as they are played."""
    return runs / (plan.networks or plan.name) / trial.name


def fit_configs(plan: Plan, trial: Trial, out: Path) -> dict[str, FitConfig]:
    """Return method -> the training run that it belongs to, all seeds side by side.

    Methods with the same settings share a run, and in it every critic and behaviour model that is equal; the others
    get run folders of their own inside `out`.

    Raises:
        DivoError: Naming the setting that does not exist or does not fit.
    """
    common = changed(changed(FitConfig(), plan.settings, plan.name), trial.settings, trial.name)
    common = dataclasses.replace(common, dataset=trial.dataset, seed=0, replicas=plan.seeds)
    if plan.curves:
        common = dataclasses.replace(common, snapshots=plan.curves.snapshots)
    runs: dict[FitConfig, list[str]] = {common: []}
    for method in methods_of(policies_of(plan, trial)):
        own = changed(common, plan.method_settings.get(method, {}), f"{plan.name}, {method}")
        own = changed(own, trial.method_settings.get(method, {}), f"{trial.name}, {method}")
        runs.setdefault(own, []).append(method)
    found: dict[str, FitConfig] = {}
    for config, methods in runs.items():
        folder = out if config == common else out / methods[0]
        run = dataclasses.replace(config, out=str(folder), methods=tuple(methods))
        found |= dict.fromkeys(methods, run)
    return found


def changed(config: D, settings: Mapping[str, Any], where: str) -> D:
    """Return nested frozen dataclasses with some fields replaced.

    Raises:
        DivoError: If there is no such field, or its type is another.
    """
    values: dict[str, Any] = {}
    for key, value in settings.items():
        if key not in {field.name for field in dataclasses.fields(config)}:  # type: ignore[arg-type]
            known = ", ".join(field.name for field in dataclasses.fields(config))  # type: ignore[arg-type]
            raise DivoError("There is no such setting.", where=where, got=key, expected=f"one of {known}")
        before = getattr(config, key)
        if dataclasses.is_dataclass(before) and isinstance(value, Mapping):
            values[key] = changed(before, value, f"{where}, {key}")
            continue
        after: Any = tuple(value) if isinstance(before, tuple) else value
        fits = isinstance(after, type(before)) or (isinstance(before, float) and isinstance(after, int))
        if not fits or isinstance(after, bool) != isinstance(before, bool):
            kind = type(before).__name__
            raise DivoError("A setting is of another type.", where=f"{where}, {key}", got=repr(value), expected=kind)
        values[key] = float(after) if isinstance(before, float) else after
    return dataclasses.replace(config, **values)  # type: ignore[type-var]


def _require_known(kind: str, names: tuple[str, ...], known: Any, where: str) -> None:
    if unknown := [name for name in names if name not in known]:
        raise DivoError(f"There is no such {kind}.", where=where, got=", ".join(unknown), expected=", ".join(known))
