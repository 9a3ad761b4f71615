"""Matrix products of a size at which the choice of the library decides the speed of training.

torch hands products of float32 to MKL, which on a processor that is not Intel's leaves AVX-512 unused, and with it half
of the speed; there oneDNN, which torch has on board too, takes over. Elsewhere MKL is the faster of the two: it takes a
transposed factor as it lies, and small products cost less (`make bench-train` times both). Only torch's compiler emits
oneDNN's operator for float32; here it is called directly.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

SMALLEST = 16
"""Below this in any dimension, preparing oneDNN's call costs more than it saves."""
INTEL, WIDE = "GenuineIntel", "avx512f"


def has_onednn() -> bool:
    """Whether torch has oneDNN's operator on board."""
    return torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def prefers_onednn(processors: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether oneDNN should compute the products here: it is there, and the processor has AVX-512 and is not Intel's.

    By what the processor says of itself rather than by a measurement, so that a machine always gives the same weights.
    """
    said = processors.read_text(encoding="utf-8") if processors.exists() else ""
    return has_onednn() and WIDE in said and INTEL not in said


PREFERS_ONEDNN = prefers_onednn()


def product(a: Tensor, b: Tensor, bias: Tensor | None = None, onednn: bool = PREFERS_ONEDNN) -> Tensor:
    """Return (n, k) @ (k, m) + (m,), on the CPU and without a gradient.

    Args:
        a: (n, k); oneDNN copies a transposed view, which is cheaper than multiplying it as it is.
        b: (k, m), or a transposed view of (m, k).
        bias: (m,), or None.
        onednn: Whether oneDNN is to do it, where the product is large enough.
    """
    if not onednn or a.dtype != torch.float32 or min(*a.shape, b.shape[1]) < SMALLEST:
        return torch.mm(a, b) if bias is None else torch.addmm(bias, a, b)
    out: Tensor = torch.ops.mkldnn._linear_pointwise(a.contiguous(), b.t(), bias, "none", [], "")
    return out
