"""A process that opens a bundle as the controller does, and says how long that took and how much memory it holds.

`python -m benchmarks.inference_process BUNDLE [BACKEND]` prints one JSON object. Run by `benchmarks.inference` in a
fresh interpreter, because only there imports cost what they cost on a robot and nothing else is in memory.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np

from divo_runtime.bundle.loading import load_bundle
from divo_runtime.policy import warm_up

KIB_PER_MB = 1e6 / 1024


def main(bundle_folder: Path, backend: str = "onnxruntime") -> None:
    """Open, verify, warm up; print what that took."""
    rng = np.random.default_rng(0)
    begun = time.perf_counter()
    with load_bundle(bundle_folder) as bundle:
        for name in ("actor", "sampler"):
            warm_up(bundle.open_policy(name, backend), bundle.typical_observation, rng)
        open_ms = 1e3 * (time.perf_counter() - begun)
        resident_kib = next(
            int(line.split()[1]) for line in Path("/proc/self/status").read_text().splitlines() if "VmRSS" in line
        )
    sys.stdout.write(json.dumps({"open_ms": open_ms, "rss_mb": resident_kib / KIB_PER_MB}) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
