"""TensorRT engines on disk: each lies beside a key file that says what it was built from, on and with.

An engine is a program for one GPU, one TensorRT and one graph. Used with another it may fail, or worse, compute with
old weights; so it is used only where its key fits, and built again where it does not. Engines are made on the target
machine, after the export, so they are not among the hashes of the bundle's manifest: the key file holds their hash.

What may run where is NVIDIA's rule: "Engine Compatibility", https://docs.nvidia.com/deeplearning/tensorrt/latest/
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from divo_runtime.backends.cuda import Gpu
from divo_runtime.errors import BackendError
from divo_runtime.schema import Record

Precision = Literal["fp32", "fp16"]
Hardware = Literal["this_gpu", "same_compute_capability", "ampere_plus"]
AMPERE = (8, 0)
FOLDER = "engines"
"""Beside the graphs of a bundle."""


class EngineKey(Record, frozen=True, kw_only=True):
    """What an engine was built from, on and with: the JSON file beside it."""

    schema_version: Literal[1] = 1
    graph: str
    """File name of the graph."""
    graph_sha256: str
    engine_sha256: str
    gpu: str
    """Name of the GPU that it was built on."""
    compute_capability: tuple[int, int]
    tensorrt: str
    """Version of the builder."""
    precision: Precision
    version_compatible: bool = False
    """Whether later TensorRT versions, and the lean runtime, may run it."""
    hardware: Hardware = "this_gpu"
    """Which GPUs may run it."""


@dataclass(frozen=True, slots=True)
class Target:
    """What an engine shall run on."""

    gpu: Gpu
    tensorrt: str
    """Version of the TensorRT that is installed."""
    lean: bool = False
    """Whether it is the lean runtime, which runs version-compatible engines only."""


def engine_path(graph: Path, precision: Precision, target: Target) -> Path:
    """Return where the engine of a graph for a target lies."""
    gpu = re.sub(r"[^a-z0-9]+", "-", target.gpu.name.lower()).strip("-")
    major, minor = target.gpu.capability
    name = f"{graph.stem}.{precision}.{gpu}-sm{major}{minor}.trt{target.tensorrt}.engine"
    return graph.parent / FOLDER / name


def key_path(engine: Path) -> Path:
    """Return where the key of an engine lies."""
    return engine.with_name(engine.name + ".json")


def write_engine(path: Path, engine: bytes, key: EngineKey) -> None:
    """Write an engine and its key; the engine last, so that an interrupted write leaves a pair that is refused.

    Raises:
        BackendError: If the folder cannot be written to.
    """
    try:
        path.parent.mkdir(exist_ok=True)
        key_path(path).write_bytes(msgspec.json.format(msgspec.json.encode(key), indent=1) + b"\n")
        partial = path.with_name(path.name + ".partial")
        partial.write_bytes(engine)
        partial.replace(path)
    except OSError as error:
        fix = "Free space, or make the folder writable; the engine has to lie beside its graph."
        raise BackendError("The engine cannot be written.", where=str(path), got=str(error), fix=fix) from error


def read_key(path: Path) -> EngineKey:
    """Read a key file.

    Raises:
        BackendError: If it is not there or is not a key.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=EngineKey)
    except (OSError, msgspec.DecodeError) as error:
        raise BackendError(
            "An engine's key cannot be read.",
            where=str(path),
            got=str(error),
            expected="the JSON file that `divo-export tensorrt` wrote",
            fix=rebuild_command(path.parent.parent),
        ) from error


def find_mismatches(key: EngineKey, graph_sha256: str, precision: Precision, target: Target) -> tuple[str, ...]:
    """Return every reason why an engine must not run on a target; none if it may."""
    reasons = []
    if key.graph_sha256 != graph_sha256:
        reasons.append(f"its graph has sha256 {key.graph_sha256[:16]}, the file here {graph_sha256[:16]}")
    if key.precision != precision:
        reasons.append(f"it is {key.precision}, wanted is {precision}")
    built = Gpu(key.gpu, key.compute_capability)
    fits = {
        "this_gpu": built == target.gpu,
        "same_compute_capability": built.capability == target.gpu.capability,
        "ampere_plus": target.gpu.capability >= AMPERE,
    }
    if not fits[key.hardware]:
        reasons.append(f"it is for {built}{_allowance(key.hardware)}, this is {target.gpu}")
    later = key.version_compatible and _numbers(target.tensorrt) >= _numbers(key.tensorrt)
    if key.tensorrt != target.tensorrt and not later:
        limit = " and later" if key.version_compatible else ""
        reasons.append(f"it is for TensorRT {key.tensorrt}{limit}, this is {target.tensorrt}")
    if target.lean and not key.version_compatible:
        reasons.append("it is not version compatible, and only the lean runtime is installed")
    return tuple(reasons)


def find_engine(graph: Path, precision: Precision, target: Target) -> tuple[Path, EngineKey]:
    """Return the engine of a graph that may run on a target, and its key.

    Raises:
        BackendError: If there is none; it says of each engine of this graph why it does not fit.
    """
    graph_sha256 = sha256(graph.read_bytes())
    refusals = []
    own = key_path(engine_path(graph, precision, target))
    files = (graph.parent / FOLDER).glob(f"{graph.stem}.*.engine.json")
    for file in sorted(files, key=lambda file: (file != own, file)):  # what was built here comes first
        engine = file.with_name(file.name.removesuffix(".json"))
        key = _key_or_refusal(file)
        if isinstance(key, EngineKey):
            reasons = find_mismatches(key, graph_sha256, precision, target)
            if not reasons and engine.is_file():
                return engine, key
            refusals.append(f"{engine.name}: {'; '.join(reasons) or 'the key is there, the engine is not'}")
        else:
            refusals.append(f"{file.name}: {key}")
    raise BackendError(
        "There is no TensorRT engine for this graph on this machine.",
        where=str(graph.parent / FOLDER),
        got=" | ".join(refusals) or "no engine of this graph",
        expected=f"an engine of {graph.name} in {precision} for {target.gpu} and TensorRT {target.tensorrt}",
        fix=rebuild_command(graph.parent, precision),
    )


def load_engine(path: Path, key: EngineKey) -> bytes:
    """Read an engine.

    Raises:
        BackendError: If it cannot be read, or is not the file that was built.
    """
    try:
        engine = path.read_bytes()
    except OSError as error:
        fix = rebuild_command(path.parent.parent, key.precision)
        raise BackendError("A TensorRT engine cannot be read.", where=str(path), got=str(error), fix=fix) from error
    if (got := sha256(engine)) != key.engine_sha256:
        raise BackendError(
            "A TensorRT engine has changed since it was built.",
            where=str(path),
            got=f"sha256 {got}",
            expected=f"sha256 {key.engine_sha256}",
            fix=rebuild_command(path.parent.parent, key.precision),
        )
    return engine


def rebuild_command(bundle: Path, precision: Precision = "fp32") -> str:
    """Return what to type to build the engines of a bundle again."""
    return f"divo-export tensorrt {bundle}" + (" --precision fp16" if precision == "fp16" else "")


def sha256(data: bytes) -> str:
    """Return the hash in hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def _key_or_refusal(path: Path) -> EngineKey | str:
    """A broken key must not hide a good engine beside it."""
    try:
        return read_key(path)
    except BackendError as error:
        return f"{error.what} {error.got}"


def _allowance(hardware: Hardware) -> str:
    return {"this_gpu": "", "same_compute_capability": " and its kind", "ampere_plus": " and sm_80 or newer"}[hardware]


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version))
