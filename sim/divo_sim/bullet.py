"""PyBullet, without the line about its build that importing it writes into every program's terminal.

The line comes from C, so it is the file descriptor that looks away for a moment, not `sys.stderr`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

STANDARD_ERROR = 2


@contextmanager
def silenced(descriptor: int = STANDARD_ERROR) -> Iterator[None]:
    """Let nothing through a file descriptor, whoever writes to it; exceptions pass."""
    kept = os.dup(descriptor)
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, descriptor)
        os.close(nowhere)
        yield
    finally:
        os.dup2(kept, descriptor)
        os.close(kept)


with silenced():
    import pybullet

__all__ = ["pybullet", "silenced"]
