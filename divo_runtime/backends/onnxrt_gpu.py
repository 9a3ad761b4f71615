"""ONNX Runtime on an NVIDIA GPU, by its CUDA or its TensorRT provider.

Inputs and outputs are bound once to memory on the GPU, which a CUDA graph needs anyway. ONNX Runtime's own habit is to
go on with the CPU when the GPU's libraries are missing, saying so only in its log; here that is refused.
Sources: CUDA-ExecutionProvider.html and TensorRT-ExecutionProvider.html in https://onnxruntime.ai/docs/execution-providers/.
"""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from divo_runtime.backends.cuda import Gpu, find_gpu, import_cuda
from divo_runtime.backends.engine_files import FOLDER, sha256
from divo_runtime.backends.onnxrt import import_onnxruntime, read_specs, session_options
from divo_runtime.backends.tensorrt import import_tensorrt
from divo_runtime.errors import BackendError
from divo_runtime.interfaces import check_feeds
from divo_runtime.observation import FloatArray

CUDA = "CUDAExecutionProvider"
TENSORRT = "TensorrtExecutionProvider"
FIRST_RUNS = 3
"""Runs at opening: ONNX Runtime records its CUDA graph in the second at the latest, and what fails shall fail now."""


class OnnxGpuBackend:
    """A network in an ONNX file, all of it on the GPU. One caller at a time.

    Args:
        path: The file.
        threads: Threads of the session on the CPU, >= 1.
        provider: `CUDA` or `TENSORRT`.

    Attributes:
        inputs: What `run` must be fed, as the graph names it.
        outputs: What `run` returns.

    Raises:
        BackendError: If the provider or the GPU is missing, or any part of the network would run on the CPU.
    """

    def __init__(self, path: Path, threads: int, provider: str) -> None:
        self._path = path
        onnxruntime, gpu = require_provider(provider)
        self._session: Any = _open_session(onnxruntime, gpu, path, threads, provider)
        self.inputs, self.outputs = read_specs(self._session, path)
        on_gpu = onnxruntime.OrtValue.ortvalue_from_shape_and_type
        self._fed = {spec.name: on_gpu(list(spec.shape), np.float32, "cuda", 0) for spec in self.inputs}
        self._given = {spec.name: on_gpu(list(spec.shape), np.float32, "cuda", 0) for spec in self.outputs}
        self._binding: Any = self._session.io_binding()
        for name, value in self._fed.items():
            self._binding.bind_ortvalue_input(name, value)
        for name, value in self._given.items():
            self._binding.bind_ortvalue_output(name, value)
        for _ in range(FIRST_RUNS):
            self.run({spec.name: np.zeros(spec.shape, np.float32) for spec in self.inputs})

    def run(self, feeds: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
        """Run the graph once and wait for it.

        Raises:
            BackendError: If the feeds do not match `inputs`, after `close`, or if the engine fails.
        """
        if self._session is None:
            raise BackendError("The network is closed.", where=str(self._path), fix="Open it again.")
        check_feeds(self.inputs, feeds, str(self._path))
        try:
            for name, value in self._fed.items():
                value.update_inplace(np.ascontiguousarray(feeds[name]))
            self._binding.synchronize_inputs()
            self._session.run_with_iobinding(self._binding)
            self._binding.synchronize_outputs()
            # numpy() copies from the GPU, but shows memory that the host shares as it is: the caller gets a copy.
            return {name: np.array(value.numpy()) for name, value in self._given.items()}
        except Exception as error:
            where, got = str(self._path), str(error)
            raise BackendError("ONNX Runtime could not run the network on the GPU.", where=where, got=got) from error

    def close(self) -> None:
        """Drop session and memory."""
        self._binding = None
        self._fed, self._given = {}, {}
        self._session = None


def require_provider(provider: str) -> tuple[ModuleType, Gpu]:
    """Return onnxruntime and the GPU.

    Raises:
        BackendError: If this onnxruntime was built without the provider, or there is no GPU.
    """
    onnxruntime = import_onnxruntime()
    if provider not in onnxruntime.get_available_providers():
        raise BackendError(
            "This ONNX Runtime cannot use the GPU.",
            got=f"onnxruntime {onnxruntime.__version__} with {', '.join(onnxruntime.get_available_providers())}",
            expected=provider,
            fix="pip uninstall onnxruntime, then pip install 'divo[cuda]' (onnxruntime-gpu); both give the same "
            "module, so only one may be installed. On a Jetson see docs/gpu.md.",
        )
    return onnxruntime, find_gpu(import_cuda())


def provider_options(provider: str, cache: Path) -> dict[str, str]:
    """Return the options of a provider.

    Args:
        provider: `CUDA` or `TENSORRT`.
        cache: Folder for TensorRT's engines and timings.
    """
    if provider == CUDA:
        # TF32 rounds the factors of a product to 10 bits: faster, but outside of the tolerance of float32 parity.
        return {"device_id": "0", "enable_cuda_graph": "1", "use_tf32": "0"}
    return {
        "device_id": "0",
        "trt_cuda_graph_enable": "1",
        "trt_fp16_enable": "0",
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": str(cache),
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": str(cache),
    }


def cache_folder(path: Path, gpu: Gpu, onnxruntime: str, tensorrt: str) -> Path:
    """Return where the TensorRT provider keeps the engines of a graph.

    ONNX Runtime asks to empty its cache when graph, GPU, ONNX Runtime or TensorRT change; a folder for each does that.

    Args:
        path: The ONNX file.
        gpu: The GPU.
        onnxruntime: Version.
        tensorrt: Version, or `unknown`.
    """
    name = f"{sha256(path.read_bytes())[:16]}-{gpu}-ort{onnxruntime}-trt{tensorrt}"
    return path.parent / FOLDER / "onnxruntime" / re.sub(r"[^A-Za-z0-9._]+", "-", name)


def _open_session(onnxruntime: ModuleType, gpu: Gpu, path: Path, threads: int, provider: str) -> Any:
    options = session_options(onnxruntime, threads)
    options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    found = io.StringIO()
    try:
        with contextlib.redirect_stdout(found):  # it prints what it cannot load
            onnxruntime.preload_dlls()
        cache = path.parent / FOLDER
        if provider == TENSORRT:
            cache = cache_folder(path, gpu, onnxruntime.__version__, _load_tensorrt())
            cache.mkdir(parents=True, exist_ok=True)
        session = onnxruntime.InferenceSession(
            str(path), options, providers=[(provider, provider_options(provider, cache))], enable_fallback=0
        )
    except Exception as error:
        raise BackendError(
            "ONNX Runtime cannot run the whole network on the GPU, and must not run a part of it on the CPU.",
            where=str(path),
            got=" ".join(f"{error} {found.getvalue()}".split()),
            expected=f"{provider} for every operator",
            fix="Install the CUDA, cuDNN and TensorRT libraries that this onnxruntime asks for (docs/gpu.md), or choose"
            " the backend onnxruntime to run on the CPU.",
        ) from error
    if session.get_providers()[0] != provider:
        got = ", ".join(session.get_providers())
        raise BackendError("ONNX Runtime left the GPU aside.", where=str(path), got=got, expected=provider)
    return session


def _load_tensorrt() -> str:
    """Load TensorRT, so that the provider finds its libraries where pip put them, and return its version."""
    try:
        library = import_tensorrt()
    except BackendError:
        return "unknown"  # the provider may still find a TensorRT of the system; if not, the session says so
    return "unknown" if library.lean else library.version
