"""`divo-runtime`: look at, check and time a bundle, replay a recording. The runtime's only file that imports tyro."""

from __future__ import annotations

import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro

from divo_runtime.bench import latency_table, measure_policy
from divo_runtime.bundle.loading import load_bundle
from divo_runtime.bundle.overview import describe_bundle, parity_table
from divo_runtime.doctor.examination import examine
from divo_runtime.doctor.report import render_page, render_text
from divo_runtime.errors import DivoError, ReplayDifferenceError
from divo_runtime.parity.check import check_bundle
from divo_runtime.parity.judgement import ParityError
from divo_runtime.replay.report import replay_file
from divo_runtime.topic_names import parse_topic_names

USAGE_ERROR = 2
DIFFERS = 1


@dataclass(frozen=True, slots=True)
class Inspect:
    """Verify a bundle and show what it is: task, limits, networks, statistics, parity, provenance."""

    bundle: tyro.conf.Positional[Path]
    """Folder that the export wrote."""

    def run(self) -> str:
        """Return the text to show."""
        return describe_bundle(load_bundle(self.bundle))


@dataclass(frozen=True, slots=True)
class Check:
    """Compare a bundle on this machine with what was trained; needs no torch, the bundle carries the answers."""

    bundle: tyro.conf.Positional[Path]
    """Folder that the export wrote."""
    backend: str = "onnxruntime"
    """Engine that runs the networks."""
    threads: int = 1
    """Threads for one run."""

    def run(self) -> str:
        """Return the text to show."""
        with load_bundle(self.bundle) as bundle:
            return "\n".join(parity_table(check_bundle(bundle, self.backend, self.threads)))


@dataclass(frozen=True, slots=True)
class Bench:
    """Time every policy of a bundle: inference only, call after call."""

    bundle: tyro.conf.Positional[Path]
    """Folder that the export wrote."""
    calls: int = 10_000
    """Timed calls per policy; p99.9 rests on a thousandth of them."""
    warmup: int = 1_000
    """Calls before that, not timed."""
    backend: str = "onnxruntime"
    """Engine that runs the networks."""
    threads: int = 1
    """Threads for one run."""
    seed: int = 0
    """Seed of the noise."""

    def run(self) -> str:
        """Return the text to show."""
        if self.calls < 1 or self.warmup < 0:
            got = f"--calls {self.calls} --warmup {self.warmup}"
            raise DivoError("There is nothing to time.", got=got, expected="--calls >= 1 and --warmup >= 0")
        rng = np.random.default_rng(self.seed)
        with load_bundle(self.bundle) as bundle:
            rows = []
            for kind in bundle.manifest.x_divo.policies:
                policy = bundle.open_policy(kind, self.backend, self.threads)
                observation = bundle.typical_observation
                timed = measure_policy(policy, observation, rng, time.perf_counter_ns, self.calls, self.warmup)
                rows.append((f"{kind} (best of {policy.noise_shape[0]})", timed))
        return latency_table(rows)


@dataclass(frozen=True, slots=True)
class Replay:
    """Compute every cycle of a recording again; exit code 1 with the first that differs in a bit."""

    recording: tyro.conf.Positional[Path]
    """MCAP file that the controller wrote, finished or not."""
    bundle: Path | None = None
    """Bundle folder; by default the one that the recording names."""
    force: bool = False
    """Go on with another bundle than the recorded one, to see where it decides otherwise."""

    def run(self) -> str:
        """Return the text to show."""
        return replay_file(
            self.recording, self.bundle, self.force, _count if sys.stderr.isatty() else lambda cycles: None
        )


@dataclass(frozen=True, slots=True)
class Doctor:
    """Compare a recording with what a bundle was trained on and would do, and say what looks wrong.

    Exit code 0: nothing; 1: findings; 2: it cannot be examined. docs/doctor.md explains the report.
    """

    bundle: tyro.conf.Positional[Path]
    """Folder that the export wrote."""
    bag: tyro.conf.Positional[Path]
    """rosbag2 folder, or .mcap or .db3 file: of the controller, of `ros2 bag record`, of the simulator."""
    policy: str = ""
    """Policy to compare with the commands; by default the one that the bag's controller ran, else `actor`."""
    namespace: str = ""
    """Namespace of the contract's topics in the bag, such as left_arm."""
    remap: tuple[str, ...] = ()
    """Other topic names in the bag, as name:=name_there."""
    periods: int = 20_000
    """Control periods to look at, from the begin of the bag."""
    seed: int = 0
    """Seed of the policy's noise, where the bag does not hold it."""
    html: Path | None = None
    """Write the report to this file too, as a page."""

    def run(self) -> str:
        """Return the text to show; with findings, show it and end with exit code 1."""
        if self.periods < 1:
            raise DivoError("There is nothing to look at.", got=f"--periods {self.periods}", expected="at least 1")
        with load_bundle(self.bundle) as bundle:
            names = parse_topic_names(self.namespace, self.remap, bundle.contract)
            found = examine(bundle, self.bag, names, self.policy, self.periods, self.seed)
        if self.html:
            _write(self.html, render_page(found))
        if found.findings:
            sys.stdout.write(render_text(found) + "\n")
            raise SystemExit(DIFFERS)
        return render_text(found)


def _write(path: Path, text: str) -> None:
    """Write a file, and the folder that it is to stand in."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise DivoError("The report cannot be written.", where=f"--html {path}", got=str(error)) from error


def _count(cycles: int) -> None:
    """Show a person how far a replay is."""
    if cycles % 200 == 0:
        sys.stderr.write(f"\r{cycles:,} cycles ")


Command = (
    Annotated[Inspect, tyro.conf.subcommand(name="inspect")]
    | Annotated[Check, tyro.conf.subcommand(name="check")]
    | Annotated[Bench, tyro.conf.subcommand(name="bench")]
    | Annotated[Replay, tyro.conf.subcommand(name="replay")]
    | Annotated[Doctor, tyro.conf.subcommand(name="doctor")]
)


def main() -> None:
    """Run the command line; a mistake of the user ends with its explanation and exit code 2.

    So does an error that nobody foresaw, with its traceback, for exit code 1 says what a recording or a bundle is like.
    """
    command: Inspect | Check | Bench | Replay | Doctor = tyro.cli(
        Command, prog="divo-runtime", description="Look at bundles, check and time them, compute recordings again."
    )
    try:
        text = command.run()
    except DivoError as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        raise SystemExit(DIFFERS if isinstance(error, ReplayDifferenceError | ParityError) else USAGE_ERROR) from None
    except Exception:
        traceback.print_exc()
        raise SystemExit(USAGE_ERROR) from None
    sys.stdout.write(text + "\n")
