"""A bundle on disk: everything a robot needs to run a policy, refused unless every hash, name and shape fits.

Swapping one file of a deployed policy and forgetting the other is a classic way to make a robot squirm; a bundle
binds its files together by hash, its networks to the contract by name and shape.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

import numpy as np

from divo_runtime.backends import open_backend
from divo_runtime.contract import Contract
from divo_runtime.errors import BundleError
from divo_runtime.graph import read_graph
from divo_runtime.interfaces import Backend
from divo_runtime.manifest import Manifest, file_hash, read_manifest
from divo_runtime.observation import FloatArray
from divo_runtime.policy import NetworkPolicy
from divo_runtime.ports import PolicyRole, Role, network_ports

EXPORT_AGAIN = "Export the bundle again, or copy the whole folder again."


class Bundle:
    """A verified bundle. Close it, or use it in a `with` statement, to close the networks opened from it.

    Attributes:
        folder: Where it is.
        manifest: What it says about itself.
    """

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder = folder
        self.manifest = manifest
        self._opened: list[Backend] = []

    @property
    def contract(self) -> Contract:
        """The robot task it is for."""
        return self.manifest.x_divo.contract

    @property
    def typical_observation(self) -> FloatArray:
        """(obs_dim,) float32 mean of the training data, for warm-up and benchmarks."""
        return np.array(self.manifest.x_divo.statistics.observation.mean, dtype=np.float32)

    def open_policy(self, kind: PolicyRole, backend: str = "onnxruntime", threads: int = 1) -> NetworkPolicy:
        """Open the actor or the sampler.

        Args:
            kind: `actor` (one step) or `sampler` (few steps).
            backend: Engine, one of `divo_runtime.backends.OPENERS`.
            threads: Threads for one run, >= 1.

        Raises:
            BundleError: If the bundle has no such policy.
            BackendError: If the engine is missing or cannot open the network.
        """
        choices = self.manifest.x_divo.policies
        if kind not in choices:
            raise BundleError(
                "The bundle has no such policy.",
                where=str(self.folder),
                got=kind,
                expected=f"one of {', '.join(choices)}",
                fix="Choose one of them.",
            )
        return NetworkPolicy(self.open_network(kind, backend, threads), self.contract)

    def open_network(self, role: Role, backend: str = "onnxruntime", threads: int = 1) -> Backend:
        """Open a network as it is, for example the critic.

        Raises:
            BundleError: If the bundle has no such network.
            BackendError: If the engine is missing or cannot open it.
        """
        if role not in self.manifest.models:
            raise BundleError(
                "The bundle has no such network.",
                where=str(self.folder),
                got=role,
                expected=f"one of {', '.join(self.manifest.models)}",
                fix="Export it too.",
            )
        network = open_backend(self.folder / self.manifest.models[role].parameters.model_path, backend, threads)
        self._opened.append(network)
        return network

    def close(self) -> None:
        """Close every network opened from this bundle."""
        while self._opened:
            self._opened.pop().close()

    def __enter__(self) -> Bundle:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def load_bundle(folder: Path) -> Bundle:
    """Read and verify a bundle; no network is opened and no engine is needed.

    Raises:
        BundleError: If anything is missing, changed, undeclared, or does not fit the contract.
    """
    path = _find_manifest(folder)
    manifest = read_manifest(path)
    if path.stem != manifest.contract.name:
        raise BundleError(
            "The manifest does not bear its contract's name.",
            where=str(path),
            got=path.name,
            expected=f"{manifest.contract.name}.yaml",
            fix=EXPORT_AGAIN,
        )
    _check_files(folder, manifest, path)
    _check_networks(folder, manifest, path)
    _check_statistics(manifest, path)
    return Bundle(folder, manifest)


def _find_manifest(folder: Path) -> Path:
    if not folder.is_dir():
        raise BundleError(
            "There is no bundle folder.",
            where=str(folder),
            got="a file" if folder.exists() else "nothing",
            expected="the folder that the export wrote",
            fix="Check the path.",
        )
    manifests = sorted(folder.glob("*.yaml"))
    if len(manifests) != 1:
        raise BundleError(
            "A bundle has exactly one manifest.",
            where=str(folder),
            got=", ".join(path.name for path in manifests) or "no *.yaml",
            expected="one *.yaml",
            fix="Give the folder of one bundle."
            if not manifests
            else "Remove the manifests that are not of this bundle.",
        )
    return manifests[0]


def _check_files(folder: Path, manifest: Manifest, path: Path) -> None:
    declared = manifest.x_divo.files
    for name, expected in declared.items():
        file = folder / name
        if folder.resolve() not in file.resolve().parents:
            raise BundleError(
                "The manifest names a file outside of the bundle.",
                where=f"{path}, key 'x-divo.files'",
                got=name,
                expected="names inside the folder",
                fix=EXPORT_AGAIN,
            )
        if not file.is_file():
            raise BundleError(
                "A file of the bundle is missing.",
                where=str(file),
                got="nothing",
                expected=f"a file with sha256 {expected}",
                fix=EXPORT_AGAIN,
            )
        if (got := file_hash(file, "sha256")) != expected:
            raise BundleError(
                "A file of the bundle has changed since its export.",
                where=str(file),
                got=f"sha256 {got}",
                expected=f"sha256 {expected}",
                fix=EXPORT_AGAIN,
            )
    networks = {file.relative_to(folder).as_posix() for file in folder.rglob("*.onnx")}
    if foreign := sorted(networks - set(declared)):
        raise BundleError(
            "The bundle holds networks that its manifest does not know.",
            where=str(folder),
            got=", ".join(foreign),
            expected=", ".join(name for name in declared if name.endswith(".onnx")),
            fix="Remove them, or export the bundle again.",
        )


def _check_networks(folder: Path, manifest: Manifest, path: Path) -> None:
    policies, models = set(manifest.x_divo.policies), set(manifest.models)
    if not policies or models - {"critic"} != policies:
        raise BundleError(
            "Models and policies do not belong together.",
            where=f"{path}, keys 'models' and 'x-divo.policies'",
            got=f"models {', '.join(sorted(models)) or 'none'}; policies {', '.join(sorted(policies)) or 'none'}",
            expected="a model for every policy, and at most a critic beside them",
            fix=EXPORT_AGAIN,
        )
    for role, model in manifest.models.items():
        where = f"{path}, key 'models.{role}'"
        name = model.parameters.model_path
        hashes = (model.parameters.sha256sum, model.parameters.md5sum)
        if name not in manifest.x_divo.files:
            got, expected = f"model_path {name}", f"one of {', '.join(manifest.x_divo.files)}"
            raise BundleError(
                "A model's file is not declared.", where=where, got=got, expected=expected, fix=EXPORT_AGAIN
            )
        file = folder / name
        found = (manifest.x_divo.files[name], file_hash(file, "md5"))
        if hashes != found:
            got, expected = f"sha256sum, md5sum {hashes}", f"{found}"
            raise BundleError(
                "A model's hashes are not its file's.", where=where, got=got, expected=expected, fix=EXPORT_AGAIN
            )
        if role == "critic":
            rows = next((port.shape[0] for port in model.outputs if port.name == "q" and port.shape), 1)
        else:
            rows = manifest.x_divo.policies[role].candidates
        inputs, outputs = network_ports(manifest.contract, role, rows)
        wanted = [port.spec for port in (*inputs, *outputs)]
        said = [port.spec for port in (*model.inputs, *model.outputs)]
        graph = read_graph(file)
        for specs, whose in ((said, where), ([*graph.inputs, *graph.outputs], str(file))):
            if specs != wanted:
                raise BundleError(
                    "A network's tensors are not those of the contract.",
                    where=whose,
                    got=", ".join(map(str, specs)),
                    expected=", ".join(map(str, wanted)),
                    fix="Export the bundle again from the run that was trained with this contract.",
                )


def _check_statistics(manifest: Manifest, path: Path) -> None:
    contract, statistics = manifest.contract, manifest.x_divo.statistics
    for name, moments, size in (
        ("observation", statistics.observation, contract.observation_size),
        ("action", statistics.action, contract.action_size),
    ):
        sizes = {len(moments.mean), len(moments.std), len(moments.minimum), len(moments.maximum)}
        if sizes != {size}:
            raise BundleError(
                "The statistics are not of the contract's size.",
                where=f"{path}, key 'x-divo.statistics.{name}'",
                got=f"{', '.join(map(str, sorted(sizes)))} values",
                expected=f"{size} values",
                fix=EXPORT_AGAIN,
            )
