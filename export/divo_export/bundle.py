"""Write a bundle from a finished run: graphs, parity gate, manifest; all of it or nothing."""

from __future__ import annotations

import dataclasses
import platform
import re
import tempfile
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path

import numpy as np
import onnx
import torch

import divo_runtime
from divo_export.calibration import calibrate_folder
from divo_export.graphs import Announce, Trained, load_trained, policy_settings, write_graphs
from divo_export.options import ExportOptions, require_sensible
from divo_export.parity import check_parity, compare_returns, export_backends
from divo_export.placement import put_in_place
from divo_export.provenance import git_commit
from divo_export.reference import sample_observations, torch_sample
from divo_runtime.bundle.loading import Bundle, load_bundle
from divo_runtime.bundle.manifest import Moments, PolicySettings, Provenance, Statistics
from divo_runtime.bundle.manifest_writing import compose_manifest, write_manifest
from divo_runtime.errors import BundleError
from divo_runtime.observation import FloatArray
from divo_runtime.parity.report import REPORT_FILE, ParityReport, write_report
from divo_runtime.parity.sample import SAMPLE_FILE, write_sample
from divo_train.data.dataset import Dataset
from divo_train.data.minari import load_minari

BUNDLE_FILE = re.compile(r".+\.(onnx|yaml)|parity\.(json|npz)|engines")
"""What may be removed when a bundle is replaced."""
CALIBRATION = 300
"""Observations from which int8 takes the ranges of its tensors."""


def export_bundle(run: Path, out: Path, options: ExportOptions, created: datetime, announce: Announce) -> Bundle:
    """Export a run and verify what was written.

    Args:
        run: Run folder of `divo-train fit`.
        out: Bundle folder; replaced in one step, and only when everything has passed.
        options: What to export and how to check it.
        created: Time that the manifest states, UTC.
        announce: Told what happens, a line each.

    Raises:
        CheckpointError: If the run is missing, has no DIVO networks, or holds numbers that are not finite.
        DatasetError: If the run's dataset is missing or damaged.
        ParityError: If a network differs from the trained ones.
        BundleError: If `out` is a folder of something else or cannot be written, or what was written does not verify.
    """
    require_sensible(options)
    trained = load_trained(run)
    contract = trained.networks.contract
    policies = policy_settings(
        trained, options.candidates, options.steps, options.more_steps, tuple(dict.fromkeys(options.precisions))
    )
    dataset = load_minari(Path(trained.networks.config.dataset), contract)
    place = out.resolve()
    _require_replaceable(place)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place.parent, prefix=f".{place.name}-") as scratch:
            folder = Path(scratch) / contract.name
            folder.mkdir()
            write_graphs(folder, trained, policies, sample_observations(dataset, CALIBRATION), announce)
            _write_parity(folder, trained, policies, dataset, options, announce)
            _write_manifest(folder, trained, policies, dataset, run, created)
            load_bundle(folder).close()
            put_in_place(folder, place)
    except OSError as error:
        raise BundleError(
            "The bundle cannot be written.", where=str(error.filename or out), got=error.strerror or str(error),
            expected=f"a folder {out.parent} that can be written to, with some 20 MB of space",
            fix="Make room or choose another --out; what was there before is untouched.",
        ) from error  # fmt: skip
    return load_bundle(out)


def moments(values: FloatArray) -> Moments:
    """Return the statistics that the bundle carries, (count, n) -> n each."""

    def numbers(row: Iterable[float]) -> tuple[float, ...]:
        return tuple(float(number) for number in row)

    return Moments(
        mean=numbers(values.mean(0, dtype=np.float64)),
        std=numbers(values.std(0, dtype=np.float64)),
        minimum=numbers(values.min(0)),
        maximum=numbers(values.max(0)),
    )


def _write_parity(
    folder: Path, trained: Trained, policies: Mapping[str, PolicySettings], dataset: Dataset, options: ExportOptions,
    announce: Announce,
) -> None:  # fmt: skip
    """Pass the gate and leave its report and its sample in the folder."""
    sample = torch_sample(trained, policies, sample_observations(dataset, options.parity_observations))
    backends, left_out = export_backends()
    results = check_parity(folder, trained, policies, sample, backends, announce)
    loops, reason = compare_returns(folder, trained, policies, backends, options.episodes, announce)
    versions = {"torch": str(torch.__version__), "numpy": np.__version__, "machine": platform.machine()}
    report = ParityReport(
        seed=sample.seed,
        results=tuple(results),
        closed_loop=tuple(loops),
        left_out=left_out | reason,
        versions=versions,
    )
    write_report(folder / REPORT_FILE, report)
    write_sample(folder / SAMPLE_FILE, sample)


def _write_manifest(
    folder: Path, trained: Trained, policies: Mapping[str, PolicySettings], dataset: Dataset, run: Path,
    created: datetime,
) -> None:  # fmt: skip
    networks, config = trained.networks, trained.networks.config
    manifest = compose_manifest(
        folder,
        networks.contract,
        policies,
        Statistics(observation=moments(dataset.observations), action=moments(dataset.actions)),
        Provenance(
            dataset=dataset.name,
            dataset_sha256=dataset.digest,
            transitions=len(dataset),
            git_commit=git_commit(Path(__file__).parent),
            divo_version=divo_runtime.__version__,
            created=created.isoformat(timespec="seconds"),
            config=dataclasses.asdict(config) | {"run": str(run)},
        ),
        {
            "exporter": f"divo {divo_runtime.__version__}",
            "torch version": str(torch.__version__),
            "onnx version": onnx.__version__,
        },
        critics=config.value.members,
        calibration=calibrate_folder(folder, networks.contract, policies, dataset),
    )
    write_manifest(folder / f"{networks.contract.name}.yaml", manifest)


def _require_replaceable(out: Path) -> None:
    """Refuse a folder that holds anything that is not of a bundle, because it will be removed whole."""
    strangers = [path.name for path in out.iterdir() if not BUNDLE_FILE.fullmatch(path.name)] if out.is_dir() else []
    if strangers or (out.exists() and not out.is_dir()):
        raise BundleError(
            "The output folder holds something else.", where=str(out), got=", ".join(sorted(strangers)[:5]) or "a file",
            expected="nothing, or an older bundle", fix="Choose another --out.",
        )  # fmt: skip
