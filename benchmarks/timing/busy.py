"""CPU load: hashes one megabyte again and again, at normal priority, until it is ended. One process per core."""

from __future__ import annotations

import hashlib

BLOCK = bytes(1 << 20)
"""Larger than the second-level cache of most cores, so that memory is busy too."""


def main() -> None:
    """Entry point; does not return."""
    while True:
        hashlib.sha256(BLOCK).digest()


if __name__ == "__main__":
    main()
