"""The manifest of a bundle: one record type for the exporter that writes it and the runtime that reads it.

The file is a LEAPP 1.3 configuration (https://github.com/nvidia-isaac/leapp), so other loaders can run the networks
too; everything that LEAPP has no word for stands under `x-divo`. Floats are written with all their digits.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
import yaml

from divo_runtime.contract import Contract, Positive
from divo_runtime.errors import BundleError, ContractError
from divo_runtime.graph import read_graph
from divo_runtime.ports import PolicyRole, Port, Role, network_ports
from divo_runtime.schema import Record, convert

SCHEMA: Final = 1
"""Version of our part; a reader refuses every other."""

LEAPP_VERSION = "1.3"
"""Version of LEAPP's configuration format that the manifest follows."""

Count = Annotated[int, msgspec.Meta(ge=1)]


class ModelFile(Record, frozen=True, kw_only=True):
    """Where a network is stored."""

    backend: Literal["onnx"]
    model_path: str
    """File name inside the bundle."""
    md5sum: str
    sha256sum: str
    opset_version: int


class Model(Record, frozen=True, kw_only=True):
    """One network."""

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    parameters: ModelFile


class Configs(Record, frozen=True, kw_only=True):
    """LEAPP's settings of a pipeline."""

    frequency: Positive
    """Control rate [Hz]."""


class Pipeline(Record, frozen=True, kw_only=True):
    """How LEAPP connects the networks: not at all, each is used on its own."""

    inputs: dict[Role, tuple[str, ...]]
    outputs: dict[Role, tuple[str, ...]]
    data_flow: dict[str, tuple[str, ...]]
    feedback_flow: dict[str, tuple[str, ...]]
    configs: Configs


class PolicySettings(Record, frozen=True, kw_only=True):
    """How a policy network makes its action; information, the graph already does it."""

    candidates: Count
    """Actions proposed per step, of which the critic chooses one."""
    steps: Count
    """Evaluations of the network per action."""
    sigmas: tuple[float, ...] = ()
    """Noise levels of the sampler, falling; empty for an actor without."""


class Moments(Record, frozen=True, kw_only=True):
    """Statistics of the training data, one value per element."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    minimum: tuple[float, ...]
    maximum: tuple[float, ...]


class Statistics(Record, frozen=True, kw_only=True):
    """What the networks were trained on, in robot units."""

    observation: Moments
    action: Moments


class Provenance(Record, frozen=True, kw_only=True):
    """Where the networks come from."""

    dataset: str
    dataset_sha256: str
    transitions: int
    git_commit: str
    divo_version: str
    created: str
    """ISO 8601 time in UTC."""
    config: dict[str, Any] = msgspec.field(default_factory=dict)
    """The training configuration."""


class Extras(Record, frozen=True, kw_only=True):
    """Our part of the manifest."""

    schema: Literal[1]
    contract: Contract
    policies: dict[PolicyRole, PolicySettings]
    statistics: Statistics
    provenance: Provenance
    files: dict[str, str]
    """File name -> sha256, of every other file in the bundle."""


class Manifest(Record, frozen=True, kw_only=True):
    """A bundle's manifest."""

    models: dict[Role, Model]
    pipeline: Pipeline
    system_information: dict[str, Any] = msgspec.field(name="system information")
    x_divo: Extras = msgspec.field(name="x-divo")

    @property
    def contract(self) -> Contract:
        """The robot task that the bundle is for."""
        return self.x_divo.contract


class _PlainDumper(yaml.SafeDumper):
    """YAML without anchors: a list that occurs twice is written twice."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def compose_manifest(
    folder: Path,
    contract: Contract,
    policies: Mapping[PolicyRole, PolicySettings],
    statistics: Statistics,
    provenance: Provenance,
    exporter: Mapping[str, str],
    critics: int = 0,
) -> Manifest:
    """Describe the networks `actor.onnx`, `sampler.onnx`, `critic.onnx` and whatever else lies in `folder`.

    Call it last: every file in the folder, except manifests, is hashed now. That the networks really have the tensors
    that are written here is checked when the bundle is loaded; an exporter should load what it has written.

    Args:
        folder: Where the networks are.
        contract: The robot task.
        policies: Settings of each policy that has a network there.
        statistics: Of the training data.
        provenance: Where the networks come from.
        exporter: Names and versions of the software that wrote them.
        critics: Members of the critic's ensemble; 0 if there is no critic.
    """
    rows: dict[Role, int] = {role: settings.candidates for role, settings in policies.items()}
    rows |= {"critic": critics} if critics else {}
    models = {
        role: _describe_model(folder / f"{role}.onnx", *network_ports(contract, role, rows[role])) for role in rows
    }
    others = sorted(file for file in folder.rglob("*") if file.is_file() and file.suffix != ".yaml")
    return Manifest(
        models=models,
        pipeline=Pipeline(
            inputs={role: tuple(port.name for port in model.inputs) for role, model in models.items()},
            outputs={role: tuple(port.name for port in model.outputs) for role, model in models.items()},
            data_flow={},
            feedback_flow={},
            configs=Configs(frequency=contract.rate_hz),
        ),
        system_information={"leapp config version": LEAPP_VERSION, **exporter},
        x_divo=Extras(
            schema=SCHEMA,
            contract=contract,
            policies=dict(policies),
            statistics=statistics,
            provenance=provenance,
            files={file.relative_to(folder).as_posix(): file_hash(file, "sha256") for file in others},
        ),
    )


def file_hash(path: Path, algorithm: Literal["md5", "sha256"]) -> str:
    """Return the hash of a file in hexadecimal digits."""
    return hashlib.new(algorithm, path.read_bytes(), usedforsecurity=False).hexdigest()


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


def read_manifest(path: Path) -> Manifest:
    """Read a manifest.

    Raises:
        BundleError: If it is missing, no YAML, of another schema version, or does not fit its schema.
    """
    try:
        text = path.read_text(encoding="utf-8")
        tree = yaml.compose(text, Loader=yaml.SafeLoader)
        data = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise BundleError("The manifest cannot be read.", where=str(path), got=str(error)) from error
    extras = data.get("x-divo") if isinstance(data, dict) else None
    version = extras.get("schema") if isinstance(extras, dict) else None
    if version != SCHEMA or isinstance(version, bool):
        raise BundleError(
            "The manifest is not of a schema that this version reads.",
            where=f"{path}, key 'x-divo.schema'",
            got="nothing" if version is None else repr(version),
            expected=str(SCHEMA),
            fix="Export the bundle again with this version of divo, or install the version that wrote it.",
        )
    try:
        return convert(data, Manifest, str(path), tree)
    except ContractError as error:
        raise BundleError(
            "The manifest does not fit its schema.",
            where=error.where,
            got=error.got,
            expected=error.expected,
            fix="Export the bundle again; a manifest is not to be edited by hand.",
        ) from error
