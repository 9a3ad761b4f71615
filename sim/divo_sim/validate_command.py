"""`divo-sim validate`: drive the simulated robot by the controller node over ROS 2 topics, and report how well."""

from __future__ import annotations

import hashlib
import os
import shlex
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

import divo_runtime
from divo_runtime.bundle.loading import load_bundle
from divo_runtime.bundle.manifest import Manifest
from divo_runtime.bundle.ports import PolicyRole
from divo_runtime.bundle.verification import find_manifest
from divo_runtime.errors import DivoError
from divo_sim.arm_scene import ArmScene
from divo_sim.contracts import arm_reach_contract
from divo_sim.episode_store import EpisodeStore
from divo_sim.evaluation import read_evaluation
from divo_sim.inprocess import play_in_process
from divo_sim.loop_episode import LoopEpisode
from divo_sim.loop_trial import LoopTrial
from divo_sim.machine import describe_machine
from divo_sim.outcomes import Outcome
from divo_sim.report_files import write_report
from divo_sim.validate_view import Lines, print_results
from divo_sim.validation import Layout, PolicyResult, Validation, write_validation

DOMAINS = 101
"""ROS domains up to this number have ports that no Linux system gives to others."""


@dataclass(frozen=True, slots=True)
class ValidateCommand:
    """Play seeded episodes through the real controller node over ROS 2, compare with the same policy in process.

    Robot and controller run as two processes on a private ROS domain of this machine, in real time. A validation that
    was interrupted goes on where it stopped.
    """

    bundle: Path = Path("bundles/arm_reach")
    """Bundle folder, as `make export` writes it."""
    policies: tuple[PolicyRole, ...] = ("actor", "sampler")
    """Policies of the bundle to validate, one after the other."""
    episodes: int = 50
    """Episodes per policy."""
    first_seed: int = 10_000
    """Seed of the first episode; each next one has the next seed."""
    evaluation: Path | None = None
    """Folder of `divo-train evaluate`; its `bc.json`, behaviour cloning, is shown beside the policies."""
    out: Path = Path("reports/arm_reach")
    """Folder of the report."""
    workers: int = 2
    """Processes that play in process, before the controller starts."""
    domain: int = 0
    """ROS domain of robot and controller, 1 to 101; 0: a private one, chosen from this process's number."""

    def run(self) -> None:
        """Validate, write the report and print the results.

        Raises:
            DivoError: If a setting is out of range, the bundle is damaged or for another robot, rclpy is missing, or a
                process fails.
        """
        self._check()
        with load_bundle(self.bundle) as bundle:
            manifest = bundle.manifest
        _check_task(self.bundle, manifest)
        cloning = self._read_cloning()
        seeds = range(self.first_seed, self.first_seed + self.episodes)
        key = {
            "manifest_sha256": hashlib.sha256(find_manifest(self.bundle).read_bytes()).hexdigest(),
            "divo_version": divo_runtime.__version__,
        }
        console = Console()
        with Lines(console, len(seeds)) as lines, _terminable():
            played = {policy: self._play_in_process(policy, seeds, lines) for policy in self.policies}
            looped = {policy: self._play_in_loop(policy, seeds, key, lines) for policy in self.policies}
            lines.note("writing the report")
            validation = Validation(
                key=key,
                bundle=str(self.bundle),
                contract=manifest.x_divo.contract.name,
                period_ms=1e3 * manifest.x_divo.contract.period_s,
                created=datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
                machine=describe_machine(),
                command=self.describe(),
                layouts=_layouts([*seeds, *(outcome.seed for outcome in cloning)]),
                results=tuple(
                    PolicyResult(policy, _settings(manifest, policy), tuple(played[policy]), tuple(looped[policy]))
                    for policy in self.policies
                ),
                cloning=tuple(cloning),
            )
            write_validation(self.out, validation)
            report = write_report(self.out, validation)
        print_results(console, validation)
        console.print(f"Report: {report}", soft_wrap=True)

    def describe(self) -> str:
        """Return the command line that does this again."""
        words = ["divo-sim", "validate", "--bundle", str(self.bundle), "--policies", *self.policies]
        words += ["--episodes", str(self.episodes), "--first-seed", str(self.first_seed)]
        words += ["--evaluation", str(self.evaluation)] if self.evaluation else []
        return shlex.join([*words, "--out", str(self.out)])

    def _check(self) -> None:
        if self.episodes < 1 or self.first_seed < 0 or self.workers < 1 or not 0 <= self.domain <= DOMAINS:
            raise DivoError(
                "A setting is out of range.",
                got=f"episodes {self.episodes}, first_seed {self.first_seed}, "
                f"workers {self.workers}, domain {self.domain}",
                expected=f"episodes >= 1, first_seed >= 0, workers >= 1, domain 0 to {DOMAINS}",
            )
        if not self.policies or len(set(self.policies)) < len(self.policies):
            raise DivoError("Name each policy once.", got=" ".join(self.policies) or "none", expected="actor sampler")

    def _read_cloning(self) -> list[Outcome]:
        """Return the episodes of behaviour cloning: those with the seeds of this validation, or else all."""
        if self.evaluation is None:
            return []
        if not self.evaluation.is_dir():
            fix = "Run `make evaluate`, or leave --evaluation out."
            raise DivoError("There is no evaluation folder.", where=str(self.evaluation), fix=fix)
        file = self.evaluation / "bc.json"
        outcomes = read_evaluation(file) if file.exists() else []
        last = self.first_seed + self.episodes
        return [one for one in outcomes if self.first_seed <= one.seed < last] or outcomes

    def _play_in_process(self, policy: PolicyRole, seeds: Sequence[int], lines: Lines) -> list[Outcome]:
        with lines.begin(f"{policy} in process") as line:
            return play_in_process(self.bundle, policy, seeds, self.workers, line.show)

    def _play_in_loop(
        self, policy: PolicyRole, seeds: Sequence[int], key: Mapping[str, str], lines: Lines
    ) -> list[LoopEpisode]:
        store = EpisodeStore(self.out, policy, key)
        found = store.begin(seeds)
        with lines.begin(f"{policy} over ROS 2") as line:
            line.show_loop(list(found.values()))
            if left := [seed for seed in seeds if seed not in found]:
                domain = self.domain or 1 + os.getpid() % DOMAINS
                with LoopTrial(self.bundle, policy, domain, self.out / "logs") as trial:
                    for seed in left:
                        found[seed] = trial.play(seed)
                        store.add(found[seed])
                        line.show_loop(list(found.values()))
        return [found[seed] for seed in seeds]


def _check_task(bundle: Path, manifest: Manifest) -> None:
    got, wanted = manifest.x_divo.contract.environment, arm_reach_contract().environment
    if got != wanted:
        raise DivoError(
            "The bundle is for a robot that this simulator does not have.",
            where=str(bundle),
            got=got or "a contract without an environment",
            expected=wanted or "",
        )


def _settings(manifest: Manifest, policy: PolicyRole) -> dict[str, Any]:
    settings = manifest.x_divo.policies[policy]
    return {"candidates": settings.candidates, "steps": settings.steps}


def _layouts(seeds: Sequence[int]) -> dict[int, Layout]:
    scene = ArmScene()
    try:
        found = {}
        for seed in seeds:
            scene.reset(np.random.default_rng(seed))
            found[seed] = Layout(tuple(scene.goal.tolist()), tuple(scene.post.tolist()))
        return found
    finally:
        scene.close()


@contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM end as Ctrl-C does, so that the processes are stopped too."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
