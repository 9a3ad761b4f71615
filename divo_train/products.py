"""Matrix products of a size at which the choice of the library decides the speed of training.

torch hands products of float32 to MKL, which on a processor that is not Intel's leaves half of it unused; oneDNN, which
torch has on board too, does not (`make bench-train` times both). Only torch's compiler emits oneDNN's operator for
float32; here it is called directly. Where a build has no oneDNN, MKL does it.
"""

from __future__ import annotations

import torch
from torch import Tensor

SMALLEST = 16
"""Below this in any dimension, preparing oneDNN's call costs more than it saves."""

HAS_ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def product(a: Tensor, b: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return (n, k) @ (k, m) + (m,), on the CPU and without a gradient.

    Args:
        a: (n, k); a transposed view is copied, which is cheaper than multiplying it as it is.
        b: (k, m), or a transposed view of (m, k).
        bias: (m,), or None.
    """
    if a.dtype != torch.float32 or not HAS_ONEDNN or min(*a.shape, b.shape[1]) < SMALLEST:
        return torch.mm(a, b) if bias is None else torch.addmm(bias, a, b)
    out: Tensor = torch.ops.mkldnn._linear_pointwise(a.contiguous(), b.t(), bias, "none", [], "")
    return out
