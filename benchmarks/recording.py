"""What recording costs the control thread: the same controller with and without a recorder, block by block in turn.

In each cycle the controller gets messages of the simulated arm. Timed is what the control thread does between them and
the published command: the step and, with a recorder, everything that it adds. Publishing itself is left out, being the
same for both. The recording's own thread encodes and writes to disk meanwhile, as it does in the node.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from rich.console import Console

from benchmarks.figures import record_all
from divo_runtime.bundle.loading import load_bundle
from divo_runtime.controller import Controller
from divo_runtime.observation import Measurement
from divo_runtime.recording.messages import CycleTimes
from divo_runtime.recording.recorder import Recorder
from divo_runtime.timing.loop import LoopStats, MonotonicClock, run_loop
from divo_runtime.timing.realtime import take_turns
from divo_sim.arm_body import simulated_arm
from divo_sim.simulated_robot import SimulatedRobot

SCRIPT = "benchmarks/recording.py"


@dataclass(frozen=True, slots=True)
class Arguments:
    """Measure what recording costs the control thread."""

    bundle: Path = Path("bundles/arm_reach")
    """Bundle to run; its actor acts."""
    rate_hz: float = 200.0
    """Rate of the loop, whatever the bundle's contract says [Hz]."""
    block_s: float = 2.0
    """Length of a block [s]."""
    blocks: int = 30
    """Blocks with and without a recorder together."""
    warmup_s: float = 0.5
    """Left out at the beginning of each block [s]."""
    record: bool = False
    """Write the result to docs/figures.json."""


@dataclass(frozen=True, slots=True)
class Block:
    """Durations of one block [ns]."""

    work: list[int]
    late: list[int]


def main(arguments: Arguments) -> int:
    """Measure, show and return the exit status: 1 if the recording was not complete."""
    take_turns()  # as the node does
    with tempfile.TemporaryDirectory() as folder, load_bundle(arguments.bundle) as bundle:
        policy = bundle.open_policy("actor")
        path = Path(folder) / "run.mcap"
        settings = {"policy": "actor", "backend": "onnxruntime", "threads": 1, "seed": 0, "noise_rows": 1}
        kind = _message_class(bundle.contract.action.type)
        recorder = Recorder(
            path, 0, bundle, settings, "/bench", "/{}".format, _message_class, lambda command, _: kind(data=command)
        )
        plain = Controller(bundle.contract, policy, 0, time.perf_counter_ns)
        recorded = recorder.watch(Controller(bundle.contract, policy, 0, time.perf_counter_ns), lambda: "actor", 0)
        robot = simulated_arm(bundle.contract)
        sides: dict[str, list[Block]] = {"off": [], "on": []}
        for number in range(arguments.blocks):
            side = ("off", "on")[number % 2]
            controller, tape = (recorded, recorder) if side == "on" else (plain, None)
            sides[side].append(_run_block(controller, tape, robot, arguments))
        recorder.close()
        size = path.stat().st_size
    cycles = sum(len(block.work) for block in sides["on"])
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"{arguments.rate_hz:g} Hz, {cycles} cycles with and as many without a recorder, in turn")
    for name, pick in (("work", lambda block: block.work), ("lateness", lambda block: block.late)):
        for side, blocks in sides.items():
            console.print(f"{name:<9} {side:<4} {_percentiles([ns for block in blocks for ns in pick(block)])}")
    means = {side: float(np.mean([ns for block in blocks for ns in block.work])) for side, blocks in sides.items()}
    overhead_us = (means["on"] - means["off"]) / 1e3
    console.print(f"overhead  {overhead_us:.1f} us per cycle in the mean; {size / cycles:.0f} bytes per cycle on disk")
    complete = not recorder.problem and not any(recorder.dropped.values())
    console.print(f"recording {'complete' if complete else recorder.problem or dict(recorder.dropped)}")
    if arguments.record and complete:
        record_all({"recording.overhead_us": (overhead_us, "us")}, SCRIPT)
    return int(not complete)


def _run_block(controller: Controller, recorder: Recorder | None, robot: SimulatedRobot, arguments: Arguments) -> Block:
    block, clock = Block([], []), MonotonicClock()
    count, skipped = round(arguments.block_s * arguments.rate_hz), round(arguments.warmup_s * arguments.rate_hz)
    now_ns = time.time_ns()
    refused = controller.activate(now_ns, _measure(robot, now_ns), 0)
    assert not refused, refused
    done = 0

    def tick(started_ns: int) -> None:
        nonlocal done
        now_ns = time.time_ns()
        measurements = _measure(robot, now_ns)
        begun_ns = time.perf_counter_ns()
        output = controller.step(now_ns, measurements)
        if recorder is not None:
            recorder.send(output.command, now_ns, time.time_ns())
            recorder.time(CycleTimes(0, 0, 0, 0, 0))
        ended_ns = time.perf_counter_ns()
        done += 1
        if done > skipped:
            block.work.append(ended_ns - begun_ns)

    stats = LoopStats()
    run_loop(round(1e9 / arguments.rate_hz), _Late(clock, block.late), tick, lambda: done >= count, stats)
    del block.late[:skipped]
    controller.deactivate()
    return block


class _Late:
    """A clock that notes how late it wakes."""

    def __init__(self, clock: MonotonicClock, late: list[int]) -> None:
        self._clock, self._late = clock, late
        self.now_ns = clock.now_ns

    def sleep_until_ns(self, deadline_ns: int) -> None:
        self._clock.sleep_until_ns(deadline_ns)
        self._late.append(self._clock.now_ns() - deadline_ns)


def _measure(robot: SimulatedRobot, now_ns: int) -> dict[str, Measurement]:
    return {topic: Measurement(message, now_ns, now_ns) for topic, message in robot.messages(now_ns).items()}


def _message_class(name: str) -> Callable[..., Any]:
    package, _, short = name.split("/")
    found: Callable[..., Any] = getattr(import_module(f"{package}.msg"), short)
    return found


def _percentiles(values: list[int]) -> str:
    p50, p90, p99, p999 = np.percentile(values, [50, 90, 99, 99.9]) / 1e3
    return f"mean {np.mean(values) / 1e3:7.1f}  p50 {p50:7.1f}  p90 {p90:7.1f}  p99 {p99:7.1f}  p99.9 {p999:7.1f} us"


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Arguments)))
