"""Networks by kind of engine. Each engine's library is imported only when it is asked for.

No kind ever stands in for another: a GPU kind that cannot run on the GPU is an error, not a slow run on the CPU.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from divo_runtime.bundle.manifest import Precision
from divo_runtime.errors import BackendError
from divo_runtime.interfaces import Backend

Opener = Callable[[Path, int], Backend]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of engine."""

    require: Callable[[], object]
    """Raises a `BackendError` that says what this machine lacks."""
    opener: Opener
    """Opens a network file with a number of threads."""
    float32_only: bool = False
    """Whether it cannot open a network that is stored in fewer bits."""


def _onnxruntime() -> Kind:
    from divo_runtime.backends.onnxrt import OnnxBackend, import_onnxruntime

    return Kind(import_onnxruntime, OnnxBackend)


def _litert() -> Kind:
    from divo_runtime.backends.litert.backend import LitertBackend, import_litert

    return Kind(import_litert, LitertBackend, float32_only=True)


def _onnxruntime_cuda() -> Kind:
    from divo_runtime.backends.onnxrt_gpu import CUDA, OnnxGpuBackend, require_provider

    return Kind(lambda: require_provider(CUDA), lambda path, threads: OnnxGpuBackend(path, threads, CUDA))


def _onnxruntime_tensorrt() -> Kind:
    from divo_runtime.backends.onnxrt_gpu import TENSORRT, OnnxGpuBackend, require_provider

    return Kind(lambda: require_provider(TENSORRT), lambda path, threads: OnnxGpuBackend(path, threads, TENSORRT))


def _tensorrt() -> Kind:
    from divo_runtime.backends.tensorrt import TensorrtBackend, require_tensorrt

    return Kind(require_tensorrt, lambda path, _: TensorrtBackend(path, "fp32"))


def _tensorrt_fp16() -> Kind:
    from divo_runtime.backends.tensorrt import TensorrtBackend, require_tensorrt

    return Kind(require_tensorrt, lambda path, _: TensorrtBackend(path, "fp16"))


OPENERS: dict[str, Callable[[], Kind]] = {
    "onnxruntime": _onnxruntime,
    "litert": _litert,
    "onnxruntime-cuda": _onnxruntime_cuda,
    "onnxruntime-tensorrt": _onnxruntime_tensorrt,
    "tensorrt": _tensorrt,
    "tensorrt-fp16": _tensorrt_fp16,
}
"""Kind -> function that imports our side of it; the engine's own library is imported when a network is opened."""


def open_backend(path: Path, kind: str = "onnxruntime", threads: int = 1) -> Backend:
    """Open a network file.

    Args:
        path: ONNX file of the network, such as `actor.onnx`. The `tensorrt` kinds run the engine that was built from
            it, which lies in `engines/` beside it.
        kind: One of `OPENERS`.
        threads: Threads on the CPU for one run, >= 1. One is best for small networks: more threads wait for each
            other.

    Raises:
        BackendError: If the kind is unknown, the machine lacks its library or its GPU, or the file cannot be opened.
    """
    if threads < 1:
        raise BackendError("A network needs a thread to run in.", got=str(threads), expected="threads >= 1")
    return _find(kind).opener(path, threads)


def find_obstacle(kind: str) -> BackendError | None:
    """Return why this machine cannot run a kind, or None if it can.

    Raises:
        BackendError: If there is no such kind.
    """
    require = _find(kind).require
    try:
        require()
    except BackendError as error:
        return error
    return None


def opens_precision(kind: str, precision: Precision) -> bool:
    """Return whether a kind of engine can open networks that are stored in a precision.

    Raises:
        BackendError: If there is no such kind.
    """
    return precision == "float32" or not _find(kind).float32_only


def available_kinds() -> tuple[str, ...]:
    """Return the kinds whose library and hardware this machine has."""
    return tuple(kind for kind in OPENERS if find_obstacle(kind) is None)


def _find(kind: str) -> Kind:
    if kind not in OPENERS:
        raise BackendError(
            "There is no such backend.", got=kind, expected=f"one of {', '.join(OPENERS)}", fix="Choose one of them."
        )
    return OPENERS[kind]()
