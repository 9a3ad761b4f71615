"""What a recording must say about itself, so that it can be computed again elsewhere: bundle, versions, machine."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec
import yaml

from divo_runtime.bundle.loading import Bundle
from divo_runtime.bundle.manifest import file_hash
from divo_runtime.bundle.verification import find_manifest
from divo_runtime.contract import Contract

PACKAGES = ("divo", "numpy", "onnxruntime", "mcap", "rclpy", "ros-rclpy")
"""Those whose version may decide over the last bit, or over how a file is read."""

BUNDLE, VERSIONS, MACHINE, SUMMARY = "divo.bundle", "divo.versions", "divo.machine", "divo.summary"
"""Names of a recording's metadata."""


def describe_bundle(bundle: Bundle, settings: Mapping[str, object]) -> dict[str, str]:
    """Return which bundle was used and how.

    Args:
        bundle: The bundle; its manifest's hash stands for all its files, because it holds their hashes.
        settings: Policy, backend, threads, seed.
    """
    return {
        "contract": bundle.contract.name,
        "folder": str(bundle.folder.resolve()),
        "manifest_sha256": bundle_hash(bundle.folder),
        **{name: str(value) for name, value in settings.items()},
    }


def bundle_hash(folder: Path) -> str:
    """Return the sha256 of the bundle's manifest, which identifies all of the bundle."""
    return file_hash(find_manifest(folder), "sha256")


def contract_text(contract: Contract) -> str:
    """Return a contract as YAML."""
    return yaml.safe_dump(msgspec.to_builtins(contract), sort_keys=False, allow_unicode=True)


def describe_versions(packages: tuple[str, ...] = PACKAGES) -> dict[str, str]:
    """Return Python's version and those of the packages that are installed."""
    installed = {package: _version(package) for package in packages}
    return {"python": platform.python_version(), **{name: found for name, found in installed.items() if found}}


def describe_machine() -> dict[str, str]:
    """Return processor, cores and kernel; the processor decides which instructions a network runs on."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text(encoding="utf-8").splitlines() if information.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": models[0] if models else platform.processor() or "unknown",
        "cores": str(os.cpu_count()),
        "system": f"{platform.system()} {platform.release()}",
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
