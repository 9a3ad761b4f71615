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

Count = Annotated[int, msgspec.Meta(ge=1)]
D = TypeVar("D")


class Trial(Record, frozen=True, kw_only=True):
    """One dataset, and the environment in which what was learned on it is played."""

    name: str
    """Dotted name in tables and figures, such as `arm_reach.mixed-25`."""
    dataset: str
    """Dataset folder."""
    environments: dict[str, str] = msgspec.field(default_factory=dict)
    """Name -> gymnasium id of each evaluation; empty for the contract's environment alone."""
    random_return: float
    """Mean return of random actions, which scores 0."""
    expert_return: float
    """Mean return of the clean scripted expert, which scores 100."""
    settings: dict[str, Any] = msgspec.field(default_factory=dict)
    """Settings of this task's family, such as `value: {backup_s: 2.0}`; the same for every method."""


class Plan(Record, frozen=True, kw_only=True):
    """A benchmark."""

    name: str
    policies: tuple[str, ...]
    """Rows of the tables, such as `sampler`, `actor`, `td3bc`."""
    seeds: Count = 5
    """Training seeds 0, 1, ..."""
    episodes: Count = 100
    """Evaluation episodes per seed and environment."""
    first_seed: int = 20_000
    """Seed of the first evaluation episode; far from the seeds of data and of tuning."""
    tuning: str = ""
    """How the settings were chosen, in words: on which seeds, with which budget."""
    settings: dict[str, Any] = msgspec.field(default_factory=dict)
    """Settings that differ from `divo-train fit`'s defaults, for all trials."""
    trials: tuple[Trial, ...]


def read_plan(path: Path) -> Plan:
    """Read a plan and check its settings.

    Raises:
        ContractError: With file, line, key, got, expected and fix.
        DivoError: If a setting does not exist.
    """
    plan = read_yaml(path, Plan)
    for trial in plan.trials:
        fit_config(plan, trial, Path("unused"))
    return plan


def fit_config(plan: Plan, trial: Trial, out: Path) -> FitConfig:
    """Return the training settings of one trial, all seeds side by side.

    Raises:
        DivoError: Naming the setting that does not exist or does not fit.
    """
    config = changed(changed(FitConfig(), plan.settings, plan.name), trial.settings, trial.name)
    return dataclasses.replace(config, dataset=trial.dataset, out=str(out), seed=0, replicas=plan.seeds)


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
