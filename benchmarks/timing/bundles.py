"""The same networks under contracts of other rates.

The rate is the contract's, and the networks do not know it: only the manifest changes, every file and hash stays. What
such a policy commands makes no sense at another rate, but how long everything takes does not depend on that.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from msgspec.structs import replace

from divo_runtime.bundle.loading import load_bundle
from divo_runtime.bundle.manifest_writing import write_manifest


def write_bundle_at(source: Path, rate_hz: float, folder: Path) -> Path:
    """Copy a bundle with another control rate and return the copy; an older copy is replaced.

    Args:
        source: A verified bundle's folder.
        rate_hz: Control rate [Hz], > 0.
        folder: Where to write; it may only hold such a copy.

    Raises:
        BundleError: If the source, or the copy, is not a valid bundle.
    """
    with load_bundle(source) as bundle:
        manifest = bundle.manifest
    if folder.exists():
        shutil.rmtree(folder)
    shutil.copytree(source, folder)
    extras = replace(manifest.x_divo, contract=replace(manifest.contract, rate_hz=float(rate_hz)))
    pipeline = replace(manifest.pipeline, configs=replace(manifest.pipeline.configs, frequency=float(rate_hz)))
    write_manifest(folder / f"{manifest.contract.name}.yaml", replace(manifest, x_divo=extras, pipeline=pipeline))
    load_bundle(folder).close()
    return folder
