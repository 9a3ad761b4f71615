"""A GPU made of host memory, to drive our TensorRT backend where there is none.

Its "engine" is an ONNX file that ONNX Runtime computes, its memory is numpy's, a captured call is a list of steps.
Enumerations are those of the real libraries; `test_backend_tensorrt_calls.py` compares every function with the real
one of its name. This shows that our calls are in the right order and that nothing leaks; it shows nothing of a GPU.
"""

# ruff: noqa: N802, N815  (the names are CUDA's)
from __future__ import annotations

import ctypes
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace

import numpy as np
import onnxruntime
import tensorrt_lean_bindings as lean
from cuda.bindings import runtime as real

VERSION = "10.3.0"
OK = (real.cudaError_t.cudaSuccess,)
BROKEN = (real.cudaError_t.cudaErrorIllegalAddress,)


class PretendCuda(ModuleType):
    """The calls of CUDA's runtime that we use."""

    cudaError_t, cudaMemcpyKind = real.cudaError_t, real.cudaMemcpyKind
    cudaStreamCaptureMode, cudaStreamNonBlocking = real.cudaStreamCaptureMode, real.cudaStreamNonBlocking

    def __init__(self, name="NVIDIA Pretend 1", capability=(8, 6)):
        super().__init__("cuda.bindings.runtime")
        self.gpu = SimpleNamespace(name=name.encode(), major=capability[0], minor=capability[1])
        self.memory: dict[int, np.ndarray] = {}
        self.living: set[object] = set()
        self.recording: list | None = None
        self.calls: list[str] = []
        self.fails: str = ""

    def _answer(self, name, *results):
        self.calls.append(name)
        return BROKEN if name == self.fails else (*OK, *results)

    def _do(self, step):
        step() if self.recording is None else self.recording.append(step)

    def _make(self, name, thing):
        """Return a new thing that must be given back, unless this call is the one that fails."""
        if name != self.fails:
            self.living.add(thing)
        return self._answer(name, thing)

    def _reserve(self, name, size):
        if name == self.fails:
            return self._answer(name)
        block = np.full(size, 255, np.uint8)  # as floats: NaN, so that what is never written shows
        self.memory[block.ctypes.data] = block
        return self._answer(name, block.ctypes.data)

    def cudaGetDeviceCount(self):
        return self._answer("cudaGetDeviceCount", 1)

    def cudaGetDeviceProperties(self, device):
        return self._answer("cudaGetDeviceProperties", self.gpu)

    def cudaGetErrorString(self, error):
        return real.cudaGetErrorString(error)

    def cudaMalloc(self, size):
        return self._reserve("cudaMalloc", size)

    def cudaMallocHost(self, size):
        return self._reserve("cudaMallocHost", size)

    def cudaFree(self, pointer):
        del self.memory[pointer]
        return self._answer("cudaFree")

    def cudaFreeHost(self, pointer):
        del self.memory[pointer]
        return self._answer("cudaFreeHost")

    def cudaStreamCreateWithFlags(self, flags):
        return self._make("cudaStreamCreateWithFlags", 7)

    def cudaStreamDestroy(self, stream):
        self.living.remove(stream)
        return self._answer("cudaStreamDestroy")

    def cudaStreamSynchronize(self, stream):
        assert self.recording is None, "waiting is not allowed while a graph is recorded"
        return self._answer("cudaStreamSynchronize")

    def cudaMemcpyAsync(self, to, source, size, kind, stream):
        assert {to, source} <= set(self.memory)
        self._do(lambda: ctypes.memmove(to, source, size))
        return self._answer("cudaMemcpyAsync")

    def cudaStreamBeginCapture(self, stream, mode):
        self.recording = []
        return self._answer("cudaStreamBeginCapture")

    def cudaStreamEndCapture(self, stream):
        graph, self.recording = tuple(self.recording), None
        return self._make("cudaStreamEndCapture", graph)

    def cudaGraphInstantiate(self, graph, flags):
        return self._make("cudaGraphInstantiate", ("executable", graph))

    def cudaGraphLaunch(self, executable, stream):
        assert executable in self.living
        for step in executable[1]:
            step()
        return self._answer("cudaGraphLaunch")

    def cudaGraphDestroy(self, graph):
        self.living.remove(graph)
        return self._answer("cudaGraphDestroy")

    def cudaGraphExecDestroy(self, executable):
        self.living.remove(executable)
        return self._answer("cudaGraphExecDestroy")


def pretend_tensorrt(cuda: PretendCuda, version: str = VERSION) -> ModuleType:
    """Return a module that looks like TensorRT to our backend."""
    module = ModuleType("tensorrt")
    module.__spec__ = ModuleSpec("tensorrt", loader=None)
    module.__version__ = version
    module.Runtime = lambda log: PretendRuntime(cuda, log)
    for name in ("ILogger", "TensorIOMode", "DataType", "TensorLocation", "HardwareCompatibilityLevel"):
        setattr(module, name, getattr(lean, name))
    return module


class PretendRuntime:
    engine_host_code_allowed = False

    def __init__(self, cuda, log):
        self.cuda, self.log = cuda, log

    def deserialize_cuda_engine(self, serialized_engine):
        try:
            session = onnxruntime.InferenceSession(serialized_engine, providers=["CPUExecutionProvider"])
        except Exception as error:
            self.log.log(lean.ILogger.INFO, "looking at it")
            self.log.log(lean.ILogger.ERROR, f"magic tag does not match: {type(error).__name__}")
            return None
        return PretendEngine(self.cuda, session)


class PretendEngine:
    dtype = lean.DataType.FLOAT

    def __init__(self, cuda, session):
        self.cuda, self.session = cuda, session
        self.tensors = {
            node.name: (mode, tuple(node.shape))
            for mode, side in (
                (lean.TensorIOMode.INPUT, session.get_inputs()),
                (lean.TensorIOMode.OUTPUT, session.get_outputs()),
            )
            for node in side
        }

    @property
    def num_io_tensors(self):
        return len(self.tensors)

    def get_tensor_name(self, index):
        return list(self.tensors)[index]

    def get_tensor_mode(self, name):
        return self.tensors[name][0]

    def get_tensor_shape(self, name):
        return self.tensors[name][1]

    def get_tensor_dtype(self, name):
        return self.dtype

    def get_tensor_location(self, name):
        return lean.TensorLocation.DEVICE

    def create_execution_context(self):
        return PretendContext(self)


class PretendContext:
    def __init__(self, engine):
        self.engine, self.addresses = engine, {}

    def set_tensor_address(self, name, memory):
        assert memory in self.engine.cuda.memory
        self.addresses[name] = memory
        return True

    def execute_async_v3(self, stream_handle):
        if set(self.addresses) != set(self.engine.tensors):
            return False
        self.engine.cuda._do(self._compute)
        return True

    def _compute(self):
        feeds = {
            name: self._tensor(name)
            for name, (mode, _) in self.engine.tensors.items()
            if mode == lean.TensorIOMode.INPUT
        }
        names = [name for name in self.engine.tensors if name not in feeds]
        for name, array in zip(names, self.engine.session.run(names, feeds), strict=True):
            self._tensor(name)[...] = array

    def _tensor(self, name):
        return self.engine.cuda.memory[self.addresses[name]].view(np.float32).reshape(self.engine.tensors[name][1])
