"""Write a manifest: describe the networks of a folder, and hash whatever lies in it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import yaml

from divo_runtime.bundle.manifest import (
    LEAPP_VERSION,
    SCHEMA,
    Configs,
    Extras,
    Manifest,
    Model,
    ModelFile,
    Pipeline,
    PolicySettings,
    Provenance,
    Statistics,
    file_hash,
)
from divo_runtime.bundle.ports import CRITIC, LEAPP_NODE, Port, leapp_ports, network_ports
from divo_runtime.contract import Contract
from divo_runtime.onnx_file.graph import read_graph
from divo_runtime.safety.calibration import Calibration


class _PlainDumper(yaml.SafeDumper):
    """YAML without anchors: a list that occurs twice is written twice."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def compose_manifest(
    folder: Path,
    contract: Contract,
    policies: Mapping[str, PolicySettings],
    statistics: Statistics,
    provenance: Provenance,
    exporter: Mapping[str, str],
    critics: int = 0,
    calibration: Calibration | None = None,
) -> Manifest:
    """Describe the networks `<policy>.onnx`, `critic.onnx` and whatever else lies in `folder`.

    Call it last: every file in the folder, except manifests, is hashed now. That the networks really have the tensors
    that are written here is checked when the bundle is loaded; an exporter should load what it has written.

    Args:
        folder: Where the networks are. If there is a `policy.onnx` (the policy `actor` with one input per term), LEAPP
            loaders are pointed to it.
        contract: The robot task.
        policies: Name -> settings of each policy that has a network there.
        statistics: Of the training data.
        provenance: Where the networks come from.
        exporter: Names and versions of the software that wrote them.
        critics: Members of the critic's ensemble; 0 if there is no critic.
        calibration: What the run-time guards compare with.
    """
    networks = {
        name: _describe_model(
            folder / f"{name}.onnx", *network_ports(contract, chosen.kind, chosen.candidates, chosen.valued)
        )
        for name, chosen in policies.items()
    }
    if critics:
        networks[CRITIC] = _describe_model(folder / f"{CRITIC}.onnx", *network_ports(contract, "critic", critics))
    models: dict[str, Model] = {}
    if (shared := folder / f"{LEAPP_NODE}.onnx").is_file():
        models[LEAPP_NODE] = _describe_model(shared, *leapp_ports(contract, policies["actor"].candidates))
    others = sorted(file for file in folder.rglob("*") if file.is_file() and file.suffix != ".yaml")
    return Manifest(
        models=models,
        pipeline=Pipeline(
            inputs={name: tuple(port.name for port in model.inputs) for name, model in models.items()},
            outputs={name: tuple(port.name for port in model.outputs) for name, model in models.items()},
            data_flow={},
            feedback_flow={},
            configs=Configs(frequency=contract.rate_hz),
        ),
        system_information={"leapp config version": LEAPP_VERSION, **exporter},
        x_divo=Extras(
            schema=SCHEMA,
            contract=contract,
            networks=networks,
            policies=dict(policies),
            statistics=statistics,
            provenance=provenance,
            files={file.relative_to(folder).as_posix(): file_hash(file, "sha256") for file in others},
            calibration=calibration,
        ),
    )


def _describe_model(file: Path, inputs: tuple[Port, ...], outputs: tuple[Port, ...]) -> Model:
    parameters = ModelFile(
        backend="onnx",
        model_path=file.name,
        md5sum=file_hash(file, "md5"),
        sha256sum=file_hash(file, "sha256"),
        opset_version=read_graph(file).opset,
    )
    return Model(inputs=inputs, outputs=outputs, parameters=parameters)


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Write a manifest; `read_manifest` gives back an equal one.

    Raises:
        OSError: If the file cannot be written.
    """
    data = msgspec.to_builtins(manifest)
    text = yaml.dump(data, Dumper=_PlainDumper, sort_keys=False, default_flow_style=None, width=120, allow_unicode=True)
    path.write_text(text, encoding="utf-8")
