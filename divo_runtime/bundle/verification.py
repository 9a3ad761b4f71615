"""The checks that a bundle must pass before anything in it is run: files by hash, networks by name and shape.

Each refusal names the file or key, what was found there, what belongs there, and what to do.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import NoReturn

from divo_runtime.bundle.manifest import Manifest, Model, file_hash
from divo_runtime.bundle.ports import CRITIC, LEAPP_NODE, Port, leapp_ports, network_ports
from divo_runtime.errors import BundleError
from divo_runtime.interfaces import TensorSpec
from divo_runtime.onnx_file.graph import read_graph

NO_STATISTIC = "Export the bundle again; if it comes back, look for NaN in the dataset."
EXPORT_AGAIN = "Export the bundle again, or copy the whole folder again."


def find_manifest(folder: Path) -> Path:
    """Return the manifest of the bundle in `folder`.

    Raises:
        BundleError: If there is no folder, or not exactly one `*.yaml` in it.
    """
    if not folder.is_dir():
        got = "a file" if folder.exists() else "nothing"
        expected = "the folder that the export wrote"
        _refuse("There is no bundle folder.", str(folder), got, expected, "Check the path.")
    manifests = sorted(folder.glob("*.yaml"))
    if len(manifests) != 1:
        got = ", ".join(path.name for path in manifests) or "no *.yaml"
        fix = "Remove those that are not of this bundle." if manifests else "Give the folder of one bundle."
        _refuse("A bundle has exactly one manifest.", str(folder), got, "one *.yaml", fix)
    return manifests[0]


def verify_bundle(folder: Path, manifest: Manifest, path: Path) -> None:
    """Check a bundle against its manifest, and its manifest against its contract.

    Args:
        folder: The bundle.
        manifest: What it says about itself.
        path: The manifest's file.

    Raises:
        BundleError: If a file is missing, changed, undeclared, or if a name, shape, size or rate does not fit.
    """
    if path.stem != manifest.contract.name:
        expected = f"{manifest.contract.name}.yaml"
        _refuse("The manifest does not bear its contract's name.", str(path), path.name, expected)
    _verify_files(folder, manifest, path)
    extras = manifest.x_divo
    policies, networks = set(extras.policies), set(extras.networks)
    if not policies or networks - {CRITIC} != policies:
        where = f"{path}, keys 'x-divo.networks' and 'x-divo.policies'"
        got = f"networks {', '.join(sorted(networks)) or 'none'}; policies {', '.join(sorted(policies)) or 'none'}"
        expected = "a network for every policy, and at most a critic beside them"
        _refuse("Networks and policies do not belong together.", where, got, expected)
    for name, model in extras.networks.items():
        _verify_model(folder, manifest, model, _wanted(manifest, name, model), f"{path}, key 'x-divo.networks.{name}'")
    if strangers := sorted(set(manifest.models) - {LEAPP_NODE}):
        where, expected = f"{path}, key 'models'", f"only '{LEAPP_NODE}'; other networks stand under x-divo"
        _refuse("The manifest offers LEAPP loaders networks that it should not.", where, ", ".join(strangers), expected)
    for name, model in manifest.models.items():
        candidates = next((port.shape[1] for port in model.inputs if port.name == "noise" and len(port.shape) == 3), 1)
        ports = leapp_ports(manifest.contract, candidates)
        _verify_model(folder, manifest, model, ports, f"{path}, key 'models.{name}'")
    _verify_statistics(manifest, path)


def _verify_files(folder: Path, manifest: Manifest, path: Path) -> None:
    declared = manifest.x_divo.files
    for name, expected in declared.items():
        file = folder / name
        if folder.resolve() not in file.resolve().parents:
            where = f"{path}, key 'x-divo.files'"
            _refuse("The manifest names a file outside of the bundle.", where, name, "names inside the folder")
        if not file.is_file():
            _refuse("A file of the bundle is missing.", str(file), "nothing", f"a file with sha256 {expected}")
        if (got := file_hash(file, "sha256")) != expected:
            what = "A file of the bundle has changed since its export."
            _refuse(what, str(file), f"sha256 {got}", f"sha256 {expected}")
    networks = {file.relative_to(folder).as_posix() for file in folder.rglob("*.onnx")}
    if foreign := sorted(networks - set(declared)):
        expected = ", ".join(name for name in declared if name.endswith(".onnx"))
        fix = "Remove them, or export the bundle again."
        _refuse("Networks lie there that the manifest does not know.", str(folder), ", ".join(foreign), expected, fix)


def _wanted(manifest: Manifest, name: str, model: Model) -> tuple[tuple[Port, ...], tuple[Port, ...]]:
    """Return the ports that the contract asks for; a critic may have any number of members."""
    if name == CRITIC:
        members = next((port.shape[0] for port in model.outputs if port.name == "q" and port.shape), 1)
        return network_ports(manifest.contract, "critic", members)
    chosen = manifest.x_divo.policies[name]
    return network_ports(manifest.contract, chosen.kind, chosen.candidates, chosen.valued)


def _verify_model(
    folder: Path, manifest: Manifest, model: Model, ports: tuple[tuple[Port, ...], tuple[Port, ...]], where: str
) -> None:
    """Compare a network's hashes with its file, and its tensors in manifest and graph with what is wanted."""
    name, declared = model.parameters.model_path, manifest.x_divo.files
    if name not in declared:
        _refuse("A network's file is not declared.", where, f"model_path {name}", f"one of {', '.join(declared)}")
    said = f"sha256 {model.parameters.sha256sum}, md5 {model.parameters.md5sum}"
    true = f"sha256 {declared[name]}, md5 {file_hash(folder / name, 'md5')}"
    if said != true:
        _refuse("A network's hashes are not those of its file.", where, said, true)
    wanted = [port.spec for side in ports for port in side]
    graph = read_graph(folder / name)
    described = [port.spec for port in (*model.inputs, *model.outputs)]
    for specs, whose in ((described, where), ([*graph.inputs, *graph.outputs], str(folder / name))):
        if specs != wanted:
            fix = "Export the bundle again from the run that was trained with this contract."
            _refuse("A network's tensors are not the contract's.", whose, _list(specs), _list(wanted), fix)


def _verify_statistics(manifest: Manifest, path: Path) -> None:
    """Check rate, sizes and numbers: a NaN here would silently switch off whatever compares with it."""
    contract, statistics = manifest.contract, manifest.x_divo.statistics
    if (rate_hz := manifest.pipeline.configs.frequency) != contract.rate_hz:
        where = f"{path}, key 'pipeline.configs.frequency'"
        _refuse("The rate is not the contract's.", where, f"{rate_hz:g} Hz", f"{contract.rate_hz:g} Hz")
    for name, moments, elements in (
        ("observation", statistics.observation, contract.element_names),
        ("action", statistics.action, contract.action.names),
    ):
        for key in moments.__struct_fields__:
            values = getattr(moments, key)
            where = f"{path}, key 'x-divo.statistics.{name}.{key}'"
            if len(values) != len(elements):
                what = "The statistics are not of the contract's size."
                _refuse(what, where, f"{len(values)} values", f"{len(elements)} values")
            for element, value in zip(elements, values, strict=True):
                if not math.isfinite(value) or (key == "std" and value < 0):
                    what, expected = "A statistic is not a usable number.", "a finite number, not negative for std"
                    _refuse(what, f"{where}, element '{element}'", repr(value), expected, NO_STATISTIC)
    size = len(manifest.x_divo.calibration.novelty.mean) if manifest.x_divo.calibration else contract.observation_size
    if size != contract.observation_size:
        where = f"{path}, key 'x-divo.calibration.novelty'"
        what = "The calibration is not of the contract's size."
        _refuse(what, where, f"{size} values", f"{contract.observation_size} values")


def _list(specs: list[TensorSpec]) -> str:
    return ", ".join(map(str, specs)) or "none"


def _refuse(what: str, where: str, got: str, expected: str, fix: str = EXPORT_AGAIN) -> NoReturn:
    raise BundleError(what, where=where, got=got, expected=expected, fix=fix)
