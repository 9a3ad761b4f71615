"""The harness floor: our whole node, with the one difference that a controller step does nothing.

Loop, thread, topics, publishing and monitoring are those of the real node, because it is the real node; observation,
policy and gate are gone. What the real node takes longer than this is the price of its work.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from divo_controller.main import main as run_node
from divo_runtime.bundle.loading import load_bundle
from divo_runtime.controller import Controller, ControllerOutput, Measurements, Mode
from divo_runtime.observation import Observation


def main(arguments: Sequence[str]) -> int:
    """Run the node; the arguments are those of `divo-controller`, and the first two are `--bundle FOLDER`."""
    with load_bundle(Path(arguments[1])) as bundle:
        rest = np.zeros(bundle.contract.action_size)
    nothing = np.zeros(0, np.float32)

    def step(self: Controller, now_ns: int, measurements: Measurements) -> ControllerOutput:
        ages_ns = tuple(now_ns - measurement.stamp_ns for measurement in measurements.values())
        return ControllerOutput(rest, Mode.RUNNING, observation=Observation(nothing, ages_ns))

    Controller.step = step  # type: ignore[method-assign]
    return run_node(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
