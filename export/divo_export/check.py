"""A bundle against the run it was made from, on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from divo_export.graphs import Announce, load_trained
from divo_export.parity import check_parity, compare_returns, export_backends
from divo_export.reference import sample_observations, torch_sample
from divo_runtime.bundle.loading import Bundle, load_bundle
from divo_runtime.parity.report import ParityReport
from divo_train.data.minari import load_minari


def check_against_run(
    folder: Path, run: Path, backends: Sequence[str], observations: int, episodes: int, announce: Announce
) -> Bundle:
    """Repeat the gate of the export.

    Args:
        folder: The bundle.
        run: The run it was exported from.
        backends: Engines; none for every one that runs here without building anything.
        observations: How many of the dataset's.
        episodes: Seeded episodes per policy and engine; 0 for none.
        announce: Told what happens, a line each.

    Raises:
        DivoError: As `divo_export.bundle.export_bundle`, or if an engine is missing.
    """
    bundle = load_bundle(folder)
    compare_with_run(bundle, run, backends, observations, episodes, announce)
    return bundle


def compare_with_run(
    bundle: Bundle, run: Path, backends: Sequence[str], observations: int, episodes: int, announce: Announce
) -> ParityReport:
    """Compare as `check_against_run` does, and return everything that was found."""
    trained = load_trained(run)
    policies = bundle.manifest.x_divo.policies
    dataset = load_minari(Path(trained.networks.config.dataset), bundle.contract)
    sample = torch_sample(trained, policies, sample_observations(dataset, observations))
    here, left_out = export_backends()
    engines = list(backends) or here
    results = check_parity(bundle.folder, trained, policies, sample, engines, announce)
    loops, reason = compare_returns(bundle.folder, trained, policies, engines, episodes, announce)
    left_out = {kind: why for kind, why in left_out.items() if kind not in engines}
    versions = {"torch": str(torch.__version__), "numpy": np.__version__}
    return ParityReport(
        seed=sample.seed,
        results=tuple(results),
        closed_loop=tuple(loops),
        left_out=left_out | reason,
        versions=versions,
    )
