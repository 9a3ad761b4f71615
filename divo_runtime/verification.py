"""The checks that a bundle must pass before anything in it is run: files by hash, networks by name and shape.

Each refusal names the file or key, what was found there, what belongs there, and what to do.
"""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

from divo_runtime.errors import BundleError
from divo_runtime.graph import read_graph
from divo_runtime.interfaces import TensorSpec
from divo_runtime.manifest import Manifest, Model, file_hash
from divo_runtime.ports import Role, network_ports

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
    policies, models = set(manifest.x_divo.policies), set(manifest.models)
    if not policies or models - {"critic"} != policies:
        where = f"{path}, keys 'models' and 'x-divo.policies'"
        got = f"models {', '.join(sorted(models)) or 'none'}; policies {', '.join(sorted(policies)) or 'none'}"
        expected = "a model for every policy, and at most a critic beside them"
        _refuse("Models and policies do not belong together.", where, got, expected)
    for role, model in manifest.models.items():
        where = f"{path}, key 'models.{role}'"
        _verify_hashes(folder, manifest, model, where)
        _verify_tensors(folder / model.parameters.model_path, manifest, role, model, where)
    _verify_sizes(manifest, path)


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


def _verify_hashes(folder: Path, manifest: Manifest, model: Model, where: str) -> None:
    name, declared = model.parameters.model_path, manifest.x_divo.files
    if name not in declared:
        _refuse("A model's file is not declared.", where, f"model_path {name}", f"one of {', '.join(declared)}")
    said = f"sha256 {model.parameters.sha256sum}, md5 {model.parameters.md5sum}"
    true = f"sha256 {declared[name]}, md5 {file_hash(folder / name, 'md5')}"
    if said != true:
        _refuse("A model's hashes are not those of its file.", where, said, true)


def _verify_tensors(file: Path, manifest: Manifest, role: Role, model: Model, where: str) -> None:
    """Compare manifest and graph with what the contract asks for; a critic may have any number of members."""
    if role == "critic":
        rows = next((port.shape[0] for port in model.outputs if port.name == "q" and port.shape), 1)
    else:
        rows = manifest.x_divo.policies[role].candidates
    inputs, outputs = network_ports(manifest.contract, role, rows)
    wanted = [port.spec for port in (*inputs, *outputs)]
    graph = read_graph(file)
    said = [port.spec for port in (*model.inputs, *model.outputs)]
    for specs, whose in ((said, where), ([*graph.inputs, *graph.outputs], str(file))):
        if specs != wanted:
            fix = "Export the bundle again from the run that was trained with this contract."
            _refuse("A network's tensors are not the contract's.", whose, _list(specs), _list(wanted), fix)


def _verify_sizes(manifest: Manifest, path: Path) -> None:
    contract, statistics = manifest.contract, manifest.x_divo.statistics
    if (rate_hz := manifest.pipeline.configs.frequency) != contract.rate_hz:
        where = f"{path}, key 'pipeline.configs.frequency'"
        _refuse("The rate is not the contract's.", where, f"{rate_hz:g} Hz", f"{contract.rate_hz:g} Hz")
    for name, moments, size in (
        ("observation", statistics.observation, contract.observation_size),
        ("action", statistics.action, contract.action_size),
    ):
        sizes = {len(moments.mean), len(moments.std), len(moments.minimum), len(moments.maximum)}
        if sizes != {size}:
            where = f"{path}, key 'x-divo.statistics.{name}'"
            got = f"{', '.join(map(str, sorted(sizes)))} values"
            _refuse("The statistics are not of the contract's size.", where, got, f"{size} values")


def _list(specs: list[TensorSpec]) -> str:
    return ", ".join(map(str, specs)) or "none"


def _refuse(what: str, where: str, got: str, expected: str, fix: str = EXPORT_AGAIN) -> NoReturn:
    raise BundleError(what, where=where, got=got, expected=expected, fix=fix)
