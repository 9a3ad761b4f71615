"""`divo-runtime`: look at a bundle and time it. The only file of the runtime that imports tyro."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro

from divo_runtime.bench import latency_table, measure_policy
from divo_runtime.bundle import load_bundle
from divo_runtime.errors import DivoError
from divo_runtime.overview import describe_bundle

USAGE_ERROR = 2


@dataclass(frozen=True, slots=True)
class Inspect:
    """Verify a bundle and show what it is: task, limits, networks, statistics, parity, provenance."""

    bundle: tyro.conf.Positional[Path]
    """Folder that the export wrote."""

    def run(self) -> str:
        """Return the text to show."""
        return describe_bundle(load_bundle(self.bundle))


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


Command = (
    Annotated[Inspect, tyro.conf.subcommand(name="inspect")] | Annotated[Bench, tyro.conf.subcommand(name="bench")]
)


def main() -> None:
    """Run the command line; a mistake of the user ends with its explanation and exit code 2."""
    command: Inspect | Bench = tyro.cli(Command, prog="divo-runtime", description="Look at bundles and time them.")
    try:
        text = command.run()
    except DivoError as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        raise SystemExit(USAGE_ERROR) from None
    sys.stdout.write(text + "\n")
