"""TensorRT engines from ONNX graphs, on the machine that shall run them, by way of Polygraphy.

Networks are strongly typed: every tensor keeps the type that the graph gives it. TensorRT 11 knows nothing else, and in
TensorRT 10 it gives the same engine. A half-precision engine therefore comes from a half-precision graph.
Sources: Polygraphy 0.53 (EngineBytesFromNetwork, NetworkFromOnnxPath, CreateConfig) and "Migrating from TensorRT 10.x
to 11.x", https://docs.nvidia.com/deeplearning/tensorrt/latest/.
"""

from __future__ import annotations

import importlib
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from divo_runtime.backends.engine_files import (
    FOLDER,
    EngineKey,
    Hardware,
    Precision,
    Target,
    engine_path,
    find_engine,
    load_engine,
    sha256,
    write_engine,
)
from divo_runtime.backends.tensorrt import Library, TensorrtBackend, require_tensorrt
from divo_runtime.errors import BackendError

HARDWARE: dict[Hardware, str] = {
    "this_gpu": "NONE",
    "same_compute_capability": "SAME_COMPUTE_CAPABILITY",
    "ampere_plus": "AMPERE_PLUS",
}
"""Our word -> member of TensorRT's HardwareCompatibilityLevel."""


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """What kind of engine."""

    precision: Precision = "fp32"
    version_compatible: bool = False
    """For later TensorRT versions of the same major number and for the lean runtime too; can be slower."""
    hardware: Hardware = "this_gpu"
    """For other GPUs too; can be slower."""
    optimization_level: int = 3
    """0 (built fast) to 5 (searched long); 3 is TensorRT's own choice."""


@dataclass(frozen=True, slots=True)
class Built:
    """An engine that lies ready."""

    path: Path
    key: EngineKey
    new: bool
    """False if it was there and fits."""


def ensure_engine(graph: Path, options: BuildOptions, force: bool = False) -> Built:
    """Return the engine of a graph for this machine; build it if it is missing or does not fit.

    Args:
        graph: ONNX file; the engine goes to `engines/` beside it.
        options: What kind of engine.
        force: Build it even if a fitting one is there.

    Raises:
        BackendError: If the machine has no GPU, no builder or no Polygraphy, or the network cannot be built.
    """
    gpu, library = require_tensorrt()
    target = Target(gpu, library.version, library.lean)
    fitting = None if force else _find_fitting(graph, options, target)
    if fitting:
        return fitting
    _require_builder(library)
    path = engine_path(graph, options.precision, target)
    timings = graph.parent / FOLDER / f"timings-{path.name.split('.', 2)[2].removesuffix('.engine')}.cache"
    timings.parent.mkdir(exist_ok=True)
    engine = _build(graph, options, timings, library.module)
    key = EngineKey(
        graph=graph.name,
        graph_sha256=sha256(graph.read_bytes()),
        engine_sha256=sha256(engine),
        gpu=gpu.name,
        compute_capability=gpu.capability,
        tensorrt=library.version,
        precision=options.precision,
        version_compatible=options.version_compatible,
        hardware=options.hardware,
    )
    write_engine(path, engine, key)
    return Built(path, key, new=True)


def open_or_build(graph: Path, options: BuildOptions) -> TensorrtBackend:
    """Open the engine of a graph; build it first if it is missing or does not fit this machine.

    Raises:
        BackendError: As `ensure_engine`, or if the engine cannot be opened.
    """
    ensure_engine(graph, options)
    return TensorrtBackend(graph, options.precision)


def engine_loader(graph: Path, options: BuildOptions, timings: Path, trt: ModuleType) -> Any:
    """Return Polygraphy's recipe for an engine; calling it builds.

    Args:
        graph: ONNX file, already in the wanted precision.
        options: What kind of engine.
        timings: File that keeps how fast each kernel was, so that the next build need not measure again.
        trt: TensorRT's module.

    Raises:
        BackendError: If Polygraphy is missing, or this TensorRT has no such hardware compatibility.
    """
    polygraphy = _import("polygraphy.backend.trt")
    levels = trt.HardwareCompatibilityLevel.__members__
    level = HARDWARE[options.hardware]
    if level not in levels:
        got, expected = f"TensorRT {trt.__version__}, {options.hardware}", f"one of {', '.join(levels)}"
        fix = "Choose another --hardware, or install a newer TensorRT."
        raise BackendError("This TensorRT cannot build such engines.", got=got, expected=expected, fix=fix)
    config = polygraphy.CreateConfig(
        tf32=False,  # 10-bit factors: faster, but outside of the tolerance of float32 parity
        load_timing_cache=str(timings) if timings.exists() else None,
        version_compatible=options.version_compatible,
        hardware_compatibility_level=None if options.hardware == "this_gpu" else levels[level],
        builder_optimization_level=options.optimization_level,
    )
    network = polygraphy.NetworkFromOnnxPath(str(graph), strongly_typed=True)
    return polygraphy.EngineBytesFromNetwork(network, config=config, save_timing_cache=str(timings))


def _import(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        what, fix = "A package that builds engines is not installed.", "pip install 'divo[tensorrt]'"
        raise BackendError(what, where=name, got=str(error), fix=fix) from error


def _in_half_precision(graph: Path) -> bytes:
    """Return a graph that computes in float16 between float32 borders; one of reduced precision stays as it is."""
    onnx, precision = _import("onnx"), _import("divo_export.precision")
    model = onnx.load(graph)
    reduced = any(
        weight.data_type in (onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16) for weight in model.graph.initializer
    ) or any(node.op_type == "QuantizeLinear" for node in model.graph.node)
    return bytes((model if reduced else precision.lower_precision(model, "float16")).SerializeToString())


def _build(graph: Path, options: BuildOptions, timings: Path, trt: ModuleType) -> bytes:
    log = _import("polygraphy.logger").G_LOGGER
    with tempfile.TemporaryDirectory() as scratch:
        source = graph
        if options.precision == "fp16":
            source = Path(scratch) / graph.name
            source.write_bytes(_in_half_precision(graph))
        build = engine_loader(source, options, timings, trt)
        try:
            with log.verbosity(log.WARNING):
                return bytes(build())
        except Exception as error:
            raise BackendError(
                "TensorRT cannot build an engine.",
                where=str(graph),
                got=f"{type(error).__name__}: {error}",
                fix="The messages above name the layer. Report them with the versions of TensorRT and Polygraphy.",
            ) from error


def _find_fitting(graph: Path, options: BuildOptions, target: Target) -> Built | None:
    """Return an engine that this machine may run and that was built with the same options."""
    try:
        path, key = find_engine(graph, options.precision, target)
        load_engine(path, key)
    except BackendError:
        return None  # whatever is wrong with it, it is built again
    same = (key.version_compatible, key.hardware) == (options.version_compatible, options.hardware)
    return Built(path, key, new=False) if same else None


def _require_builder(library: Library) -> None:
    if library.lean:
        raise BackendError(
            "The lean runtime runs engines but cannot build them.",
            got=f"{library.module.__name__} {library.version}",
            expected="the whole TensorRT",
            fix="pip install 'divo[tensorrt]', or build with --version-compatible on a machine that has it and copy "
            "the bundle with its engines.",
        )
