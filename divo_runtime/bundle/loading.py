"""A bundle on disk: everything a robot needs to run a policy, refused unless every hash, name and shape fits.

Swapping one file of a deployed policy and forgetting the other is a classic way to make a robot squirm; a bundle
binds its files together by hash, its networks to the contract by name and shape.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from types import TracebackType

import numpy as np

from divo_runtime.backends import open_backend
from divo_runtime.bundle.manifest import Manifest, read_manifest
from divo_runtime.bundle.ports import CRITIC
from divo_runtime.bundle.verification import find_manifest, verify_bundle
from divo_runtime.contract import Contract
from divo_runtime.errors import BundleError
from divo_runtime.interfaces import Backend
from divo_runtime.observation import FloatArray
from divo_runtime.policy import NetworkPolicy


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

    def open_policy(self, name: str, backend: str = "onnxruntime", threads: int = 1) -> NetworkPolicy:
        """Open a policy; one that does not value its action has the critic do so, if the contract guards the value.

        Args:
            name: One of `manifest.x_divo.policies`, such as `actor` or `sampler_k2`.
            backend: Engine, one of `divo_runtime.backends.OPENERS`.
            threads: Threads for one run, >= 1.

        Raises:
            BundleError: If the bundle has no such policy.
            BackendError: If the engine is missing or cannot open the network.
        """
        self._require("policy", name, self.manifest.x_divo.policies)
        network, critic = self.open_network(name, backend, threads), None
        guarded = self.contract.safety.value_guard.reaction != "ignore"
        if guarded and not self.manifest.x_divo.policies[name].valued and CRITIC in self.manifest.x_divo.networks:
            critic = self.open_network(CRITIC, backend, threads)
        return NetworkPolicy(network, self.contract, critic)

    def open_network(self, name: str, backend: str = "onnxruntime", threads: int = 1) -> Backend:
        """Open a network as it is, for example `critic`.

        Raises:
            BundleError: If the bundle has no such network.
            BackendError: If the engine is missing or cannot open it.
        """
        networks = self.manifest.x_divo.networks
        self._require("network", name, networks)
        network = open_backend(self.folder / networks[name].parameters.model_path, backend, threads)
        self._opened.append(network)
        return network

    def _require(self, what: str, name: str, choices: Collection[str]) -> None:
        if name not in choices:
            raise BundleError(
                f"The bundle has no such {what}.",
                where=str(self.folder),
                got=name,
                expected=f"one of {', '.join(choices)}",
                fix="Choose one of them, or export it too: see `divo-export bundle --help`.",
            )

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
    path = find_manifest(folder)
    manifest = read_manifest(path)
    verify_bundle(folder, manifest, path)
    return Bundle(folder, manifest)
