"""TensorRT without ONNX Runtime: an engine built on this machine, run as one CUDA graph per call.

A call copies the inputs to pinned memory, launches one graph (copies to the GPU, the network, copies back) and waits.
Nothing is allocated on the GPU after opening. Works with the whole TensorRT 10 or 11, or with its lean runtime.
Sources: TensorRT 10 and 11 Python API, https://docs.nvidia.com/deeplearning/tensorrt/latest/ ("CUDA graphs": the first
enqueue must come before the capture); CUDA runtime API, https://nvidia.github.io/cuda-python/.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from divo_runtime.backends.cuda import Gpu, ask, find_gpu, import_cuda
from divo_runtime.backends.engine_files import Precision, Target, find_engine, load_engine, rebuild_command
from divo_runtime.errors import BackendError
from divo_runtime.interfaces import TensorSpec, check_feeds
from divo_runtime.observation import FloatArray
from divo_runtime.onnx_file.graph import read_graph

MODULES = ("tensorrt", "tensorrt_lean", "tensorrt_lean_bindings")
"""In order of preference. The wheel tensorrt-lean-cu12-bindings alone gives the last name."""


@dataclass(frozen=True, slots=True)
class Library:
    """The installed TensorRT."""

    module: ModuleType
    lean: bool
    """Whether it is the lean runtime, which runs version-compatible engines only and builds none."""

    @property
    def version(self) -> str:
        """Such as `11.4.0.106`."""
        return str(self.module.__version__)


@dataclass(frozen=True, slots=True)
class _Tensor:
    """One input or output: pinned memory on the host, seen as an array, and its place on the GPU."""

    spec: TensorSpec
    host: FloatArray
    host_pointer: int
    device_pointer: int


@dataclass(frozen=True, slots=True)
class _Opened:
    """An opened engine; each member needs those before it."""

    log: Any
    runtime: Any
    engine: Any
    context: Any


class TensorrtBackend:
    """The TensorRT engine of a graph. One caller at a time.

    Args:
        path: The ONNX file; its engine lies in `engines/` beside it.
        precision: Of the engine inside; inputs and outputs are float32 always.

    Attributes:
        inputs: What `run` must be fed, as the graph names it.
        outputs: What `run` returns.

    Raises:
        BackendError: If CUDA, a GPU, TensorRT or a fitting engine is missing, or the engine's tensors are not the
            graph's.
    """

    def __init__(self, path: Path, precision: Precision = "fp32") -> None:
        self._path = path
        # The GPU is asked for first: without a driver TensorRT 11.4 gives a null runtime, and using it is a crash.
        self._cuda = import_cuda()
        gpu = find_gpu(self._cuda)
        library = import_tensorrt()
        graph = read_graph(path)
        engine_file, key = find_engine(path, precision, Target(gpu, library.version, library.lean))
        self.inputs, self.outputs = graph.inputs, graph.outputs
        with ExitStack() as stack:
            self._opened: _Opened | None = _open_engine(
                library, load_engine(engine_file, key), key.version_compatible, engine_file
            )
            self._context = self._opened.context
            _check_tensors(library.module, self._opened.engine, (self.inputs, self.outputs), engine_file)
            self._stream = ask(
                self._cuda, self._cuda.cudaStreamCreateWithFlags(self._cuda.cudaStreamNonBlocking), "make a stream"
            )
            stack.callback(self._release, self._cuda.cudaStreamDestroy, self._stream)
            self._fed = tuple(self._allocate(spec, stack) for spec in self.inputs)
            self._given = tuple(self._allocate(spec, stack) for spec in self.outputs)
            self._enqueue()
            self._wait()
            self._graph = self._capture()
            stack.callback(self._release, self._cuda.cudaGraphExecDestroy, self._graph)
            self._resources: ExitStack | None = stack.pop_all()

    def run(self, feeds: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
        """Run the engine once and wait for it.

        Raises:
            BackendError: If the feeds do not match `inputs`, after `close`, or if the GPU fails.
        """
        if self._resources is None:
            raise BackendError("The network is closed.", where=str(self._path), fix="Open it again.")
        check_feeds(self.inputs, feeds, str(self._path))
        for tensor in self._fed:
            tensor.host[...] = feeds[tensor.spec.name]
        ask(self._cuda, self._cuda.cudaGraphLaunch(self._graph, self._stream), "launch the network's graph")
        self._wait()
        return {tensor.spec.name: tensor.host.copy() for tensor in self._given}

    def close(self) -> None:
        """Give back the memory of GPU and host."""
        if self._resources is not None:
            resources, self._resources = self._resources, None
            self._context = self._opened = None  # before the memory that they point to
            resources.close()

    def _allocate(self, spec: TensorSpec, stack: ExitStack) -> _Tensor:
        """Reserve a tensor's memory, to be given back by `stack`, and tell the engine where it is."""
        count = int(np.prod(spec.shape))
        size = 4 * count
        host = ask(self._cuda, self._cuda.cudaMallocHost(size), f"reserve {size} bytes of host memory")
        stack.callback(self._release, self._cuda.cudaFreeHost, host)
        device = ask(self._cuda, self._cuda.cudaMalloc(size), f"reserve {size} bytes on the GPU")
        stack.callback(self._release, self._cuda.cudaFree, device)
        view = np.ctypeslib.as_array((ctypes.c_float * count).from_address(int(host))).reshape(spec.shape)
        view[...] = 0
        if not self._context.set_tensor_address(spec.name, int(device)):
            raise BackendError("TensorRT refuses a tensor's address.", where=str(self._path), got=str(spec))
        return _Tensor(spec, view, int(host), int(device))

    def _enqueue(self) -> None:
        """Put one whole call on the stream: inputs to the GPU, network, outputs back."""
        cuda = self._cuda
        for tensor in self._fed:
            to_gpu = cuda.cudaMemcpyKind.cudaMemcpyHostToDevice
            copied = cuda.cudaMemcpyAsync(
                tensor.device_pointer, tensor.host_pointer, tensor.host.nbytes, to_gpu, self._stream
            )
            ask(cuda, copied, f"copy '{tensor.spec.name}' to the GPU")
        if not self._context.execute_async_v3(int(self._stream)):
            fix = rebuild_command(self._path.parent)
            raise BackendError("TensorRT could not run the network.", where=str(self._path), fix=fix)
        for tensor in self._given:
            to_host = cuda.cudaMemcpyKind.cudaMemcpyDeviceToHost
            copied = cuda.cudaMemcpyAsync(
                tensor.host_pointer, tensor.device_pointer, tensor.host.nbytes, to_host, self._stream
            )
            ask(cuda, copied, f"copy '{tensor.spec.name}' from the GPU")

    def _capture(self) -> Any:
        """Record a call as a CUDA graph, so that later ones are a single launch."""
        cuda = self._cuda
        only_this_thread = cuda.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        ask(cuda, cuda.cudaStreamBeginCapture(self._stream, only_this_thread), "record a graph")
        self._enqueue()
        recorded = ask(cuda, cuda.cudaStreamEndCapture(self._stream), "record the network as a graph")
        try:
            return ask(cuda, cuda.cudaGraphInstantiate(recorded, 0), "make the recorded graph executable")
        finally:
            ask(cuda, cuda.cudaGraphDestroy(recorded), "drop the recording")

    def _wait(self) -> None:
        ask(self._cuda, self._cuda.cudaStreamSynchronize(self._stream), "finish the network")

    def _release(self, release: Any, resource: Any) -> None:
        ask(self._cuda, release(resource), "give memory back")


def import_tensorrt() -> Library:
    """Return the installed TensorRT: the whole one if there is one, else the lean runtime.

    Raises:
        BackendError: If there is neither.
    """
    name = next((name for name in MODULES if importlib.util.find_spec(name) is not None), None)
    fix = "pip install 'divo[tensorrt]'; on a Jetson use the TensorRT of JetPack (docs/gpu.md)."
    if name is None:
        expected = f"one of the modules {', '.join(MODULES)}"
        raise BackendError("TensorRT is not installed.", got="none of them", expected=expected, fix=fix)
    try:
        return Library(importlib.import_module(name), lean=name != "tensorrt")
    except (ImportError, OSError) as error:
        raise BackendError("TensorRT cannot be loaded.", where=name, got=str(error), fix=fix) from error


def require_tensorrt() -> tuple[Gpu, Library]:
    """Return GPU and TensorRT of this machine.

    Raises:
        BackendError: If CUDA, a GPU or TensorRT is missing.
    """
    return find_gpu(import_cuda()), import_tensorrt()


def _open_engine(library: Library, plan: bytes, version_compatible: bool, file: Path) -> _Opened:
    trt = library.module
    messages: list[str] = []
    log = _message_log(trt, messages)
    runtime = trt.Runtime(log)
    if version_compatible:
        # Such an engine carries the lean runtime it was built with: machine code. Its hash has been checked.
        runtime.engine_host_code_allowed = True
    engine = runtime.deserialize_cuda_engine(plan)
    context = engine.create_execution_context() if engine is not None else None
    if context is None:
        raise BackendError(
            "TensorRT cannot open the engine.",
            where=str(file),
            got=" | ".join(messages) or "no message",
            expected="an engine that this TensorRT built",
            fix=rebuild_command(file.parent.parent),
        )
    return _Opened(log, runtime, engine, context)


def _message_log(trt: ModuleType, messages: list[str]) -> Any:
    """Return a logger that keeps errors and warnings for our own error texts instead of printing them."""

    class MessageLog(trt.ILogger):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR, trt.ILogger.WARNING):
                messages.append(message)

    return MessageLog()


def _check_tensors(trt: ModuleType, engine: Any, expected: tuple[tuple[TensorSpec, ...], ...], file: Path) -> None:
    """Refuse an engine whose tensors are not the graph's, in float32, on the GPU."""
    found: dict[Any, set[TensorSpec]] = {trt.TensorIOMode.INPUT: set(), trt.TensorIOMode.OUTPUT: set()}
    for index in range(engine.num_io_tensors):
        name = engine.get_tensor_name(index)
        float32 = engine.get_tensor_dtype(name) == trt.DataType.FLOAT
        on_gpu = engine.get_tensor_location(name) == trt.TensorLocation.DEVICE
        dtype = "float32" if float32 and on_gpu else str(engine.get_tensor_dtype(name))
        found[engine.get_tensor_mode(name)].add(TensorSpec(name, tuple(engine.get_tensor_shape(name)), dtype))
    inputs, outputs = expected
    if (found[trt.TensorIOMode.INPUT], found[trt.TensorIOMode.OUTPUT]) != (set(inputs), set(outputs)):
        raise BackendError(
            "The engine's tensors are not the graph's.",
            where=str(file),
            got=", ".join(sorted(str(spec) for side in found.values() for spec in side)),
            expected=", ".join(sorted(map(str, (*inputs, *outputs)))),
            fix=rebuild_command(file.parent.parent),
        )
