"""What a tuning study asks, and how one variant of it is trained.

A variant shares with an earlier one the stages that its settings do not touch, so that a study of the actor, say,
trains the critics once.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from divo_runtime.errors import DivoError
from divo_runtime.schema import Record, read_yaml
from divo_train.benchmark.plan import changed
from divo_train.checkpoint import save_tensors
from divo_train.config import FitConfig
from divo_train.data.minari import load_minari
from divo_train.fit import WEIGHTS, gather_weights
from divo_train.methods import METHODS, stages_of
from divo_train.run_folder import begin_run, run_metadata
from divo_train.stage_run import run_stage
from divo_train.training import checkpoint_path

Say = Callable[[str], None]


class Variant(Record, frozen=True, kw_only=True):
    """One setting of the study."""

    name: str
    policies: tuple[str, ...] = ()
    """Who plays; `sampler@8` is best of 8. Empty where only the labels are looked at."""
    settings: dict[str, Any] = msgspec.field(default_factory=dict)
    """What differs from the study's settings."""
    stages: tuple[str, ...] = ()
    """What is trained; empty for all that the policies' methods have."""
    like: str = ""
    """An earlier variant, some of whose stages are taken as they are."""
    takes: tuple[str, ...] = ()
    """Which."""


class Study(Record, frozen=True, kw_only=True):
    """One question to the tuning seeds."""

    name: str
    question: str
    dataset: str
    environments: dict[str, str]
    """Name -> gymnasium id."""
    seeds: tuple[int, ...] = (100, 101)
    """Training seeds; the final runs have others."""
    episodes: int = 50
    """Per seed and environment."""
    first_seed: int = 50_000
    """Of the evaluation episodes; the final runs have others."""
    settings: dict[str, Any] = msgspec.field(default_factory=dict)
    """What differs from `divo-train fit`'s defaults."""
    variants: tuple[Variant, ...]


@dataclass(frozen=True)
class Trial:
    """One variant with one training seed, in a run folder of its own."""

    study: Study
    variant: Variant
    seed: int
    runs: Path

    @property
    def folder(self) -> Path:
        """Run folder."""
        return self.runs / self.study.name / f"{self.variant.name}-seed{self.seed}"

    @property
    def source(self) -> Path:
        """Run folder of the variant that it takes stages from."""
        return self.runs / self.study.name / f"{self.variant.like}-seed{self.seed}"

    def config(self) -> FitConfig:
        """Return the training settings.

        Raises:
            DivoError: If a setting does not exist.
        """
        base = changed(FitConfig(), self.study.settings, self.study.name)
        config = changed(base, self.variant.settings, self.variant.name)
        methods = tuple(key for key, method in METHODS.items() if self.plays() & set(method.policies)) or ("divo",)
        return replace(config, dataset=self.study.dataset, out=str(self.folder), seed=self.seed, methods=methods)

    def plays(self) -> set[str]:
        """Return the names of the policies, without how many candidates they choose among."""
        return {policy.partition("@")[0] for policy in self.variant.policies}


def read_study(path: Path) -> Study:
    """Read a study and check its settings.

    Raises:
        ContractError: With file, line, key, got, expected and fix.
        DivoError: If a setting does not exist, or stages are taken from a variant that does not come before.
    """
    study = read_yaml(path, Study)
    earlier: set[str] = set()
    for variant in study.variants:
        Trial(study, variant, 0, Path("unused")).config()
        if variant.like and variant.like not in earlier:
            raise DivoError("There is no such earlier variant.", where=variant.name, got=variant.like)
        earlier.add(variant.name)
    return study


def train(trial: Trial, say: Say) -> Path:
    """Train one variant with one seed, unless that is done; return its run folder."""
    config, folder = trial.config(), trial.folder
    if (folder / WEIGHTS).exists():
        return folder
    dataset = load_minari(Path(config.dataset))
    begin_run(folder, config, dataset)
    for name in trial.variant.takes:
        source, own = checkpoint_path(trial.source, name), checkpoint_path(folder, name)
        own.parent.mkdir(exist_ok=True)
        shutil.copyfile(source, own)
    for stage in stages_of(config.methods):
        if trial.variant.stages and stage.name not in trial.variant.stages + trial.variant.takes:
            continue
        begun = time.process_time()
        run_stage(stage, config, lambda step, metrics: None)
        spent = time.process_time() - begun
        say(f"{folder.name}: {stage.name} {stage.updates(config)} updates, {spent:.0f} s of processor time")
    save_tensors(folder / WEIGHTS, gather_weights(config, 0, dataset), run_metadata(config, dataset))
    return folder
