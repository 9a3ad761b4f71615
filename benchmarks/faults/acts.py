"""What is done to processes, files and clocks: the faults that no message can carry."""

from __future__ import annotations

import os
import resource
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.faults.rig import Rig

ROOM_BYTES = 20_000
"""How much more a recording may grow before its disk is full; a fifth of a second."""


@dataclass(frozen=True, slots=True)
class Act:
    """One way to break something, and to mend it."""

    begin: Callable[[Rig], str]
    """Break it; returns what was said, if somebody was asked."""
    end: Callable[[Rig], None]
    """Mend it."""


def _nothing(rig: Rig) -> None:
    """Mend nothing."""


def _kill_robot(rig: Rig) -> str:
    rig.robot.kill()
    return ""


def _kill_node(rig: Rig) -> str:
    rig.node.kill()
    return ""


def _truncate_bundle(rig: Rig) -> str:
    network = rig.bundle / "actor.onnx"
    os.truncate(network, network.stat().st_size // 2)
    return _reload(rig)


def _swap_bundle(rig: Rig) -> str:
    shutil.copyfile(rig.spare / "actor.onnx", rig.bundle / "actor.onnx")
    return _reload(rig)


def _remove_bundle(rig: Rig) -> str:
    rig.bundle.rename(_away(rig))
    return _reload(rig)


def _bring_back(rig: Rig) -> None:
    _away(rig).rename(rig.bundle)


def _away(rig: Rig) -> Path:
    return rig.bundle.with_name("away")


def _reload(rig: Rig) -> str:
    granted, said = rig.reload()
    return f"granted: {said}" if granted else said


def _restore_bundle(rig: Rig) -> None:
    shutil.copyfile(rig.pristine / "actor.onnx", rig.bundle / "actor.onnx")


def _fill_disk(rig: Rig) -> str:
    while not rig.recording.exists() or rig.recording.stat().st_size == 0:
        time.sleep(0.05)
    _, hard = resource.prlimit(rig.node.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(rig.node.pid, resource.RLIMIT_FSIZE, (rig.recording.stat().st_size + ROOM_BYTES, hard))
    return ""


ACTS: dict[str, Act] = {
    "kill robot": Act(_kill_robot, Rig.restart_robot),
    "kill node": Act(_kill_node, Rig.restart_node),
    "truncate bundle": Act(_truncate_bundle, _restore_bundle),
    "swap bundle": Act(_swap_bundle, _restore_bundle),
    "remove bundle": Act(_remove_bundle, _bring_back),
    "fill disk": Act(_fill_disk, _nothing),
}
"""Those that the robot itself does not do; see `Robot` for the others."""
