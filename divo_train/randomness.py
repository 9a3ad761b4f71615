"""Random streams as functions of (seed, stream, step), so that a resumed run draws what an unbroken one would."""

from __future__ import annotations

import zlib

import numpy as np
import torch


def stream(seed: int, name: str, step: int = 0) -> torch.Generator:
    """Return a CPU generator for one step of one named stream."""
    state = np.random.SeedSequence([seed, zlib.crc32(name.encode()), step]).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state >> np.uint64(1)))
