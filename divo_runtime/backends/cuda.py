"""The GPU as CUDA shows it, through NVIDIA's own bindings (package cuda-bindings, CUDA 12 and 13).

Every call of the bindings returns a tuple with an error code in front; `ask` turns a bad code into an error that a
person can act on. The device is always number 0: choose another with CUDA_VISIBLE_DEVICES.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Any

from divo_runtime.errors import BackendError


@dataclass(frozen=True, slots=True)
class Gpu:
    """One graphics processor."""

    name: str
    """As the driver calls it, such as `NVIDIA RTX A2000`."""
    capability: tuple[int, int]
    """Compute capability, such as (8, 6)."""

    def __str__(self) -> str:
        """Return `NVIDIA RTX A2000 (sm_86)`."""
        return f"{self.name} (sm_{self.capability[0]}{self.capability[1]})"


def import_cuda() -> ModuleType:
    """Return CUDA's runtime API.

    Raises:
        BackendError: If cuda-bindings is not installed.
    """
    try:
        from cuda.bindings import runtime
    except ImportError as error:
        raise BackendError(
            "The CUDA bindings for Python are not installed.",
            got=str(error),
            expected="the package cuda-bindings, of the CUDA version of the driver",
            fix="pip install 'divo[cuda]' or 'divo[tensorrt]' (docs/gpu.md).",
        ) from error
    module: ModuleType = runtime
    return module


def ask(cudart: ModuleType, answer: tuple[Any, ...], doing: str) -> Any:
    """Return what a CUDA call gave, without its error code.

    Args:
        cudart: CUDA's runtime API.
        answer: What the call returned: an error code, then its results.
        doing: What the call was for, as in "allocate 92 bytes".

    Returns:
        None, the result, or the tuple of results.

    Raises:
        BackendError: If the code is not success.
    """
    code, *results = answer
    if code != cudart.cudaError_t.cudaSuccess:
        raise BackendError(
            f"CUDA cannot {doing}.", got=_describe(cudart, code), fix="See nvidia-smi, then docs/gpu.md."
        )
    return None if not results else results[0] if len(results) == 1 else tuple(results)


def find_gpu(cudart: ModuleType) -> Gpu:
    """Return GPU number 0.

    Raises:
        BackendError: If there is no GPU, or no driver that this CUDA can use.
    """
    code, count = cudart.cudaGetDeviceCount()
    if code != cudart.cudaError_t.cudaSuccess or not count:
        got = "no device" if code == cudart.cudaError_t.cudaSuccess else _describe(cudart, code)
        raise BackendError(
            "There is no GPU that CUDA can use.",
            got=got,
            expected="an NVIDIA GPU with a driver for this CUDA version",
            fix="Run on the CPU (backend onnxruntime), or see nvidia-smi and docs/gpu.md.",
        )
    properties = ask(cudart, cudart.cudaGetDeviceProperties(0), "read the GPU's properties")
    return Gpu(properties.name.decode(), (properties.major, properties.minor))


def _describe(cudart: ModuleType, code: Any) -> str:
    _, text = cudart.cudaGetErrorString(code)
    return f"{code.name}: {text.decode() if isinstance(text, bytes) else text}"
