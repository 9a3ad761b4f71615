"""Networks by kind of engine. Each engine's library is imported only when it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from divo_runtime.errors import BackendError
from divo_runtime.interfaces import Backend

Opener = Callable[[Path, int], Backend]


def _onnxruntime() -> Opener:
    from divo_runtime.backends.onnxrt import OnnxBackend

    return OnnxBackend


OPENERS: dict[str, Callable[[], Opener]] = {"onnxruntime": _onnxruntime}
"""Kind -> function that imports the engine and returns how to open a file."""


def open_backend(path: Path, kind: str = "onnxruntime", threads: int = 1) -> Backend:
    """Open a network file.

    Args:
        path: File of the network, such as `actor.onnx`.
        kind: One of `OPENERS`.
        threads: Threads for one run, >= 1. One is best for small networks: more threads wait for each other.

    Raises:
        BackendError: If the kind is unknown, its library is missing, or the file cannot be opened.
    """
    if kind not in OPENERS:
        raise BackendError(
            "There is no such backend.", got=kind, expected=f"one of {', '.join(OPENERS)}", fix="Choose one of them."
        )
    if threads < 1:
        raise BackendError("A network needs a thread to run in.", got=str(threads), expected="threads >= 1")
    return OPENERS[kind]()(path, threads)
