"""The manifest of a bundle: one record type for the exporter that writes it and the runtime that reads it.

The file is a LEAPP 1.3 configuration (https://github.com/nvidia-isaac/leapp), so other loaders can run the actor too.
LEAPP's loader runs every network under `models`, so only one stands there; our own networks, and everything else that
LEAPP has no word for, stand under `x-divo`. Floats are written with all their digits.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
import yaml

from divo_runtime.bundle.ports import PolicyKind, Port
from divo_runtime.contract import Contract
from divo_runtime.errors import BundleError, ContractError
from divo_runtime.safety.calibration import Calibration
from divo_runtime.safety.limits import Positive
from divo_runtime.schema import Record, convert

SCHEMA: Final = 2
"""Version of our part; older ones are brought up to it when they are read, newer ones refused."""

LEAPP_VERSION = "1.3"
"""Version of LEAPP's configuration format that the manifest follows."""

Count = Annotated[int, msgspec.Meta(ge=1)]
Precision = Literal["float32", "float16", "bfloat16", "int8"]


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
    """How LEAPP connects the networks: not at all, there is only one."""

    inputs: dict[str, tuple[str, ...]]
    outputs: dict[str, tuple[str, ...]]
    data_flow: dict[str, tuple[str, ...]]
    feedback_flow: dict[str, tuple[str, ...]]
    configs: Configs


class PolicySettings(Record, frozen=True, kw_only=True):
    """How a policy network makes its action; information, the graph already does it."""

    kind: PolicyKind
    """`actor`: one evaluation, distilled; `sampler`: few-step diffusion."""
    candidates: Count
    """Actions proposed per step, of which the critic chooses one."""
    steps: Count
    """Evaluations of the network per action."""
    sigmas: tuple[float, ...] = ()
    """Noise levels of the sampler, falling; empty for an actor without."""
    precision: Precision = "float32"
    """What the network computes in; its inputs and outputs are float32 always."""
    valued: bool = True
    """Whether the network tells its candidates' values; one that proposes a single action need not."""


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

    schema: Literal[2]
    contract: Contract
    networks: dict[str, Model]
    """Every network that the runtime opens: the policies by their names, and `critic`."""
    policies: dict[str, PolicySettings]
    """Name -> settings; a controller chooses among them at run time."""
    statistics: Statistics
    provenance: Provenance
    files: dict[str, str]
    """File name -> sha256, of every other file in the bundle."""
    calibration: Calibration | None = None
    """What the run-time guards compare with; nothing turns them off."""


class Manifest(Record, frozen=True, kw_only=True):
    """A bundle's manifest."""

    models: dict[str, Model]
    """What LEAPP loaders see: the one-step actor as the node `policy`, with one input per term of the contract."""
    pipeline: Pipeline
    system_information: dict[str, Any] = msgspec.field(name="system information")
    x_divo: Extras = msgspec.field(name="x-divo")

    @property
    def contract(self) -> Contract:
        """The robot task that the bundle is for."""
        return self.x_divo.contract


_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's where PyYAML was built with it: about ten times faster, which a robot's start notices."""


def file_hash(path: Path, algorithm: Literal["md5", "sha256"]) -> str:
    """Return the hash of a file in hexadecimal digits.

    Raises:
        BundleError: If it cannot be read.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        fix = "Copy the whole bundle again, with files that this user may read."
        raise BundleError("A file of the bundle cannot be read.", where=str(path), got=str(error), fix=fix) from error
    return hashlib.new(algorithm, data, usedforsecurity=False).hexdigest()


def read_manifest(path: Path) -> Manifest:
    """Read a manifest, of this schema or an older one.

    Raises:
        BundleError: If it is missing, no YAML, of a newer schema version, or does not fit its schema.
    """
    try:
        text = path.read_text(encoding="utf-8")
        data = yaml.load(text, Loader=_LOADER)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        fix = "Copy the whole bundle again, or export it again."
        raise BundleError("The manifest cannot be read.", where=str(path), got=str(error), fix=fix) from error
    extras = data.get("x-divo") if isinstance(data, dict) else None
    version = extras.get("schema") if isinstance(extras, dict) else None
    if isinstance(version, bool) or version not in range(1, SCHEMA + 1):
        newer = isinstance(version, int) and not isinstance(version, bool) and version > SCHEMA
        raise BundleError(
            "The manifest is of a newer schema." if newer else "The manifest does not say which schema it is of.",
            where=f"{path}, key 'x-divo.schema'",
            got="nothing" if version is None else repr(version),
            expected=f"a number from 1 to {SCHEMA}, which this version of divo reads",
            fix="Install the version of divo that wrote it, or export the bundle again with this one.",
        )
    try:
        data = _upgraded(data) if version == 1 else data
        try:
            return convert(data, Manifest, str(path))
        except ContractError:  # once more, to name the line; composing the text a second time costs milliseconds
            return convert(data, Manifest, str(path), yaml.compose(text, Loader=yaml.SafeLoader))
    except ContractError as error:
        raise BundleError(
            "The manifest does not fit its schema.",
            where=error.where,
            got=error.got,
            expected=error.expected,
            fix="Export the bundle again; a manifest is not to be edited by hand.",
        ) from error


def _upgraded(data: dict[str, Any]) -> dict[str, Any]:
    """Return a manifest of schema 1 in the form of schema 2.

    Schema 1 had our own networks under LEAPP's `models`, and only the policies `actor` and `sampler`.
    """
    extras, pipeline = data["x-divo"], data.get("pipeline")
    policies = extras.get("policies")
    upgraded = {
        "schema": SCHEMA,
        "networks": data.get("models"),
        "policies": {name: {"kind": name, **chosen} for name, chosen in policies.items()}
        if isinstance(policies, dict) and all(isinstance(chosen, dict) for chosen in policies.values())
        else policies,
    }
    unconnected = {**pipeline, "inputs": {}, "outputs": {}} if isinstance(pipeline, dict) else pipeline
    return {**data, "models": {}, "pipeline": unconnected, "x-divo": {**extras, **upgraded}}
