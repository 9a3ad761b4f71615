"""ONNX Runtime on the CPU.

One thread, sequential, no spinning: the default per-core thread pool competes with the control loop for its cores.
Inputs and outputs are bound once to memory of our own: `session.run` makes new tensors for both in every call, which
for a network of this size is a good part of the whole. OrtValues are slower than either.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from divo_runtime.errors import BackendError
from divo_runtime.interfaces import TensorSpec, check_feeds
from divo_runtime.observation import FloatArray

DTYPES = {"tensor(float)": "float32"}
"""ONNX Runtime's name -> ours; the runtime speaks float32 only."""


class OnnxBackend:
    """A network in an ONNX file with fixed float32 shapes. One caller at a time: its memory is shared between calls.

    Args:
        path: The file.
        threads: Threads inside one operator, >= 1.

    Attributes:
        inputs: What `run` must be fed, as the graph names it.
        outputs: What `run` returns.

    Raises:
        BackendError: If onnxruntime is missing, or the file is no such network.
    """

    def __init__(self, path: Path, threads: int = 1) -> None:
        self._path = path
        self._session: Any = _open_session(path, threads)
        self.inputs, self.outputs = read_specs(self._session, path)
        self._fed: dict[str, FloatArray] = {spec.name: np.zeros(spec.shape, np.float32) for spec in self.inputs}
        self._given: dict[str, FloatArray] = {spec.name: np.zeros(spec.shape, np.float32) for spec in self.outputs}
        self._binding: Any = self._session.io_binding()
        for name, array in self._fed.items():
            self._binding.bind_input(name, "cpu", 0, np.float32, array.shape, array.ctypes.data)
        for name, array in self._given.items():
            self._binding.bind_output(name, "cpu", 0, np.float32, array.shape, array.ctypes.data)

    def run(self, feeds: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
        """Run the graph once.

        Raises:
            BackendError: If the feeds do not match `inputs`, after `close`, or if the engine fails.
        """
        if self._session is None:
            raise BackendError("The network is closed.", where=str(self._path), fix="Open it again.")
        check_feeds(self.inputs, feeds, str(self._path))
        for name, array in self._fed.items():
            array[...] = feeds[name]
        try:
            self._session.run_with_iobinding(self._binding)
        except Exception as error:
            where, got = str(self._path), str(error)
            raise BackendError("ONNX Runtime could not run the network.", where=where, got=got) from error
        return {name: array.copy() for name, array in self._given.items()}

    def close(self) -> None:
        """Drop the session."""
        self._binding = None
        self._session = None


def import_onnxruntime() -> ModuleType:
    """Return the module.

    Raises:
        BackendError: If it is not installed.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise BackendError("ONNX Runtime is not installed.", got=str(error), fix="pip install 'divo[ort]'") from error
    module: ModuleType = onnxruntime
    return module


def session_options(onnxruntime: ModuleType, threads: int) -> Any:
    """Return options for one caller with a deadline: `threads` threads, one operator at a time, no busy waiting."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return options


def read_specs(session: Any, path: Path) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """Return inputs and outputs of a session.

    Raises:
        BackendError: If one is not float32 of fixed shape.
    """
    inputs, outputs = (
        tuple(_spec_of(node, path) for node in side) for side in (session.get_inputs(), session.get_outputs())
    )
    return inputs, outputs


def _open_session(path: Path, threads: int) -> Any:
    onnxruntime = import_onnxruntime()
    options = session_options(onnxruntime, threads)
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise BackendError(
            "ONNX Runtime cannot open the file.",
            where=str(path),
            got=str(error),
            expected="a readable ONNX graph of an opset this onnxruntime knows",
            fix="Export the bundle again, or install a newer onnxruntime.",
        ) from error


def _spec_of(node: Any, path: Path) -> TensorSpec:
    fixed = all(isinstance(size, int) and size > 0 for size in node.shape)
    if node.type not in DTYPES or not fixed:
        raise BackendError(
            "The network does not have fixed float32 tensors.",
            where=f"{path}, tensor '{node.name}'",
            got=f"{node.type} {node.shape}",
            expected="tensor(float) with every dimension a number",
            fix="Export with static shapes in float32.",
        )
    return TensorSpec(node.name, tuple(node.shape), DTYPES[node.type])
