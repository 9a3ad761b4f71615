"""One block: node under test, stand-in robot, load and witnesses, as fresh processes on a ROS domain of their own."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks.timing.cells import Cell
from benchmarks.timing.machine import realtime_permitted
from divo_controller.parameters import Parameters
from divo_runtime.errors import DivoError
from divo_sim.program import Program, ProgramError

ROOT = Path(__file__).resolve().parents[2]
MODULES = {
    "actor": "divo_controller.main",
    "sampler": "divo_controller.main",
    "noop": "benchmarks.timing.noop_node",
    "naive": "benchmarks.timing.naive_node",
}
STAND_IN_PATIENCE_S = 30.0
WATCH_PERIOD_S = 0.25


class TrialError(DivoError):
    """A block could not be measured."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """What is the same for all cells."""

    realtime_priority: int = Parameters().realtime_priority
    """SCHED_FIFO priority of our node's control thread, where permitted: the node's own default."""
    cpu: int = Parameters().cpu
    """Core that our node's control thread is pinned to: the node's own default."""
    rehearse_us: int = Parameters().rehearse_us
    """How long before each deadline our node rehearses the cycle [us]: the node's own default."""
    more: tuple[str, ...] = ()
    """Further arguments of our node."""


def node_arguments(cell: Cell, bundle: Path, conditions: Conditions, folder: Path) -> list[str]:
    """Return what follows `python -m` to start the node under test."""
    policy = "sampler" if cell.subject == "sampler" else "actor"
    arguments = [MODULES[cell.subject], "--bundle", str(bundle), "--policy", policy]
    if cell.subject == "naive":
        return arguments
    arguments += ["--autostart", "true"]
    priority = 0 if cell.ordinary else conditions.realtime_priority
    arguments += ["--realtime-priority", str(priority), "--cpu", str(conditions.cpu)]
    arguments += ["--rehearse-us", str(conditions.rehearse_us), *conditions.more]
    arguments += ["--backend", "litert"] if cell.litert else []
    return arguments + (["--record", str(folder / "recording")] if cell.recording else [])


def run_block(cell: Cell, bundle: Path, out: Path, conditions: Conditions, domain: int) -> None:
    """Measure one block and leave the stand-in's file at `out`.

    Args:
        cell: What to measure.
        bundle: Bundle of the cell's rate.
        out: File to write; logs of the processes lie beside it.
        conditions: How the node is run.
        domain: ROS domain for this block.

    Raises:
        TrialError: If the stand-in ended without a result, with the end of its log and the node's.
        ProgramError: If a process ended by itself or would not stop.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    environment = _environment(domain)
    cycles = cell.warm_cycles + cell.cycles
    stand_in = ["benchmarks.timing.stand_in", "--bundle", str(bundle), "--cycles", str(cycles), "--out", str(out)]
    stand_in += ["--patience-s", str(STAND_IN_PATIENCE_S)]
    with ExitStack() as cleanup:

        def start(name: str, arguments: Sequence[str]) -> Program:
            program = Program(name, arguments, environment, out.with_suffix(f".{name}.log"))
            cleanup.callback(program.kill)
            return program

        robot = start("stand-in", stand_in)
        node = start("node", node_arguments(cell, bundle, conditions, out.parent))
        cores = sorted(os.sched_getaffinity(0))
        for core in cores if cell.loaded else ():
            start(f"busy{core}", ["benchmarks.timing.busy"])
        seen = {core: witness_file(out, core) for core in cores if realtime_permitted()}
        for file in seen.values():  # of an earlier try, perhaps
            file.unlink(missing_ok=True)
        witnesses = [
            start(f"witness{core}", ["benchmarks.timing.witness", "--cpu", str(core), "--out", str(file)])
            for core, file in seen.items()
        ]
        limit_s = time.monotonic() + cycles / cell.rate_hz + 2 * STAND_IN_PATIENCE_S
        _wait_for(out, robot, node, limit_s)
        for program in (*witnesses, robot, node):
            program.stop()


def witness_file(out: Path, core: int) -> Path:
    """Return where the standstills of a core lie that were noted beside a block's file."""
    return out.with_suffix(f".witness{core}.npy")


def _wait_for(out: Path, robot: Program, node: Program, limit_s: float) -> None:
    """Wait until the stand-in has written its file."""
    while not out.exists():
        node.check_alive()
        try:
            robot.check_alive()
        except ProgramError as error:  # the cause usually stands in the node's log
            raise node.failure("The node under test was not measured.", str(error)) from error
        if time.monotonic() > limit_s:
            raise TrialError("The stand-in does not end.", where=str(robot.log))
        time.sleep(WATCH_PERIOD_S)


def _environment(domain: int) -> dict[str, str]:
    environment = {name: value for name, value in os.environ.items() if name != "ROS_LOCALHOST_ONLY"}
    path = os.pathsep.join(part for part in (str(ROOT), environment.get("PYTHONPATH", "")) if part)
    return environment | {
        "PYTHONPATH": path,
        "ROS_DOMAIN_ID": str(domain),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
    }
