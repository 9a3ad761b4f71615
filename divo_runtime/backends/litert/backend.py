"""LiteRT (TensorFlow Lite's successor) on the CPU, which computes with XNNPACK.

It reads no ONNX, so the network is translated when it is opened; the file of the bundle stays what it is. At these
sizes it is faster than ONNX Runtime, because its way from one operator to the next is shorter: see docs/inference.md.
Source: https://ai.google.dev/edge/api/tflite/python/tf/lite/Interpreter
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from divo_runtime.backends.litert.translation import translate
from divo_runtime.errors import BackendError
from divo_runtime.interfaces import TensorSpec, check_feeds
from divo_runtime.observation import FloatArray
from divo_runtime.onnx_file.program import read_program


@dataclass(frozen=True, slots=True)
class Library:
    """The two modules of LiteRT that are needed."""

    interpreter: ModuleType
    schema: ModuleType
    """Classes for the tables of its file format."""


class LitertBackend:
    """A network in an ONNX file with fixed float32 shapes. One caller at a time: its memory is shared between calls.

    Args:
        path: The ONNX file.
        threads: Threads inside one operator, >= 1.

    Attributes:
        inputs: What `run` must be fed, as the graph names it.
        outputs: What `run` returns.

    Raises:
        BackendError: If LiteRT is missing, the file is no such network, or an operator has no translation.
    """

    def __init__(self, path: Path, threads: int = 1) -> None:
        self._path = path
        library, program = import_litert(), read_program(path)
        self.inputs, self.outputs = program.outside.inputs, program.outside.outputs
        for spec in (*self.inputs, *self.outputs):
            _require_fixed(spec, path)
        model = translate(program, library.schema, path)
        self._interpreter: Any = _open_interpreter(library, model, threads, path)
        details = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        fed, given = ([int(detail["index"]) for detail in side] for side in details)  # in the order of the model
        self._fed = tuple((spec.name, index) for spec, index in zip(self.inputs, fed, strict=True))
        self._given = tuple((spec.name, index) for spec, index in zip(self.outputs, given, strict=True))

    def run(self, feeds: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
        """Run the graph once.

        Raises:
            BackendError: If the feeds do not match `inputs`, after `close`, or if the engine fails.
        """
        if self._interpreter is None:
            raise BackendError("The network is closed.", where=str(self._path), fix="Open it again.")
        check_feeds(self.inputs, feeds, str(self._path))
        interpreter = self._interpreter
        try:
            for name, index in self._fed:
                interpreter.set_tensor(index, feeds[name])
            interpreter.invoke()
            # both ways a copy, and still faster than a view of the interpreter's memory, which must not outlive a run
            return {name: interpreter.get_tensor(index) for name, index in self._given}
        except (RuntimeError, ValueError) as error:
            where, got = str(self._path), str(error)
            raise BackendError("LiteRT could not run the network.", where=where, got=got) from error

    def close(self) -> None:
        """Drop the interpreter."""
        self._interpreter = None


def import_litert() -> Library:
    """Return LiteRT's modules.

    Raises:
        BackendError: If it is not installed.
    """
    try:
        from ai_edge_litert import interpreter, schema_py_generated
    except ImportError as error:
        fix = "pip install 'divo[litert]'"
        raise BackendError("LiteRT is not installed.", got=str(error), fix=fix) from error
    return Library(interpreter, schema_py_generated)


def _open_interpreter(library: Library, model: bytes, threads: int, path: Path) -> Any:
    try:
        interpreter = library.interpreter.Interpreter(model_content=model, num_threads=threads)
        interpreter.allocate_tensors()
    except (RuntimeError, ValueError) as error:
        raise BackendError(
            "LiteRT cannot open the translated network.",
            where=str(path),
            got=str(error),
            fix="Run it with the backend onnxruntime, or install the LiteRT of constraints.txt.",
        ) from error
    return interpreter


def _require_fixed(spec: TensorSpec, path: Path) -> None:
    if spec.dtype != "float32" or any(size < 1 for size in spec.shape):
        raise BackendError(
            "The network does not have fixed float32 tensors.",
            where=f"{path}, tensor '{spec.name}'",
            got=str(spec),
            expected="float32 with every dimension a number",
            fix="Export with static shapes in float32.",
        )
