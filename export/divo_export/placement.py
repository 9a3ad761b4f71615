"""Puts a finished folder in the place of an older one, so that at every moment one of the two is there, whole.

Linux can exchange two names in one step (renameat2 with RENAME_EXCHANGE, since 3.15). Where the file system cannot, the
older folder is moved aside first and moved back if the second move fails; only a crash between these two moves leaves
the place empty, with both folders beside it.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
from pathlib import Path

AT_FDCWD = -100
RENAME_EXCHANGE = 2
UNSUPPORTED = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP)
"""What a file system or kernel answers that cannot exchange names."""


def put_in_place(folder: Path, place: Path) -> None:
    """Move `folder` to `place` and remove what was there.

    Args:
        folder: A finished folder on the same file system as `place`.
        place: Where it shall be; nothing, or an older folder.

    Raises:
        OSError: If it cannot be moved; then `place` is what it was.
    """
    _write_through(folder)
    if not place.exists():
        folder.rename(place)
    elif not _exchanged(folder, place):
        aside = folder.with_name(f"{folder.name}.older")
        place.rename(aside)
        try:
            folder.rename(place)
        except OSError:
            aside.rename(place)
            raise
        folder = aside
    _synchronize(place.parent)
    if folder.exists():
        shutil.rmtree(folder)


def _exchanged(folder: Path, place: Path) -> bool:
    """Exchange two names, and say whether this system can."""
    code = _rename_exchange(folder.resolve(), place.resolve())
    if code and code not in UNSUPPORTED:
        raise OSError(code, os.strerror(code), str(place))
    return code == 0


def _rename_exchange(first: Path, second: Path) -> int:
    """Call renameat2 and return its error number, 0 if it has exchanged the names."""
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        return errno.ENOSYS
    failed = renameat2(AT_FDCWD, os.fsencode(first), AT_FDCWD, os.fsencode(second), RENAME_EXCHANGE)
    return ctypes.get_errno() if failed else 0


def _write_through(folder: Path) -> None:
    """Wait until every file is on the disk: a name that outlives a power cut must not point to half a file."""
    for path in (*folder.rglob("*"), folder):
        _synchronize(path)


def _synchronize(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
