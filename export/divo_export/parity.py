"""The gate of the export: torch against every exported network on real observations, in every engine at hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np

from divo_export.closed_loop import compare_closed_loop, deployed_in_torch, open_environment, require_return
from divo_export.divergence import name_divergence
from divo_export.graphs import Announce, Trained
from divo_runtime.backends import OPENERS, find_obstacle, open_backend, opens_precision
from divo_runtime.bundle.manifest import PolicySettings
from divo_runtime.parity.check import check_networks
from divo_runtime.parity.judgement import Parity, ParityError, require_parity
from divo_runtime.parity.report import ClosedLoop
from divo_runtime.parity.sample import ParitySample
from divo_runtime.policy import NetworkPolicy

NOTHING_WRITTEN = "The bundle was not touched. A new version of torch, onnx or the engine is the usual cause."


def export_backends() -> tuple[list[str], dict[str, str]]:
    """Return the engines that a new bundle is compared in, and why it is not in the others.

    Engines that are built from the graphs on the robot's own machine come later, with `divo-runtime check`.
    """
    compared, left_out = [], {}
    for kind in OPENERS:
        if "tensorrt" in kind:
            left_out[kind] = "built from the bundle on the target machine, and checked there"
        elif (obstacle := find_obstacle(kind)) is not None:
            left_out[kind] = obstacle.what
        else:
            compared.append(kind)
    return compared, left_out


def check_parity(
    folder: Path,
    trained: Trained,
    policies: Mapping[str, PolicySettings],
    sample: ParitySample,
    backends: Sequence[str],
    announce: Announce,
) -> list[Parity]:
    """Compare every network in every engine with torch.

    Raises:
        BackendError: If an engine cannot open or run a network.
        ParityError: At the first network that is off, naming the operator, the element and the observation.
    """
    passed = []
    for backend in backends:
        for parity in check_networks(folder, policies, trained.networks.contract, sample, backend):
            try:
                require_parity(parity, NOTHING_WRITTEN)
            except ParityError as error:
                operator = name_divergence(folder, trained, policies, parity)
                raise ParityError(
                    error.what, where=f"{error.where}\n  first operator that differs: {operator}",
                    got=error.got, expected=error.expected, fix=error.fix,
                ) from error  # fmt: skip
            passed.append(parity)
            announce(
                f"{parity.network}: torch and {backend} agree on {parity.observations} observations, "
                f"worst {parity.worst_fraction:.1e} of the range, {parity.agreement:.2%} the same choice"
            )
    return passed


def compare_returns(
    folder: Path, trained: Trained, policies: Mapping[str, PolicySettings], backends: Sequence[str], episodes: int,
    announce: Announce,
) -> tuple[list[ClosedLoop], dict[str, str]]:  # fmt: skip
    """Play every policy with torch and with every engine.

    Returns:
        The comparisons, and why there are none if there are none.

    Raises:
        ParityError: At the first policy that earns less than the trained one.
    """
    contract = trained.networks.contract
    environment = open_environment(contract.environment) if episodes else "--episodes 0"
    if isinstance(environment, str):
        announce(f"closed loop left out: {environment}")
        return [], {"closed loop": environment}
    loops = []
    with closing(environment):
        for name, settings in policies.items():
            for backend in (kind for kind in backends if opens_precision(kind, settings.precision)):
                with closing(NetworkPolicy(open_backend(folder / f"{name}.onnx", backend), contract)) as exported:
                    reference = deployed_in_torch(trained.networks, settings)
                    labels = name, backend, contract.environment
                    loop = compare_closed_loop(environment, reference, exported, episodes, labels)
                require_return(loop, NOTHING_WRITTEN)
                loops.append(loop)
                announce(
                    f"{name}: mean return {np.mean(loop.returns_exported):.3g} in {backend}, "
                    f"{np.mean(loop.returns_torch):.3g} in torch, over {episodes} episodes"
                )
    return loops, {}
