"""The referee's environment, its data, and the process that trains in it."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from rich.console import Console

from divo_runtime.errors import DivoError
from divo_train.data.training_set import TrainingSet
from divo_train.value_learning import reward_scale

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv-referee"
PINS = ROOT / "benchmarks" / "referee-requirements.txt"
WORKER = ROOT / "benchmarks" / "referee_worker.py"


class RefereeError(DivoError):
    """The referee's environment cannot be made, or its process failed."""


def make_environment(console: Console) -> Path:
    """Make `.venv-referee` from its pins, if it is not there in this form, and return its Python.

    Raises:
        RefereeError: If pip fails.
    """
    python, mark = VENV / "bin" / "python", VENV / ".ready"
    if mark.exists() and mark.read_text() == PINS.read_text():
        return python
    console.print("Installing d3rlpy into .venv-referee (about a minute)")
    try:
        subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)
        command = [str(python), "-m", "pip", "install", "--disable-pip-version-check", "--quiet", "-r", str(PINS)]
        subprocess.run(command, check=True)
    except subprocess.CalledProcessError as error:
        raise RefereeError(
            "The referee's environment cannot be made.", where=str(VENV), got=str(error),
            fix="See pip's message above; the pins are in benchmarks/referee-requirements.txt.",
        ) from error  # fmt: skip
    mark.write_text(PINS.read_text())
    return python


def write_data(data: TrainingSet, discount: float, path: Path) -> int:
    """Write what our learners see (normalised, scaled) as flat rows and return the number of transitions.

    d3rlpy drops the last row of an episode that ends by a time-out, as it does not know what followed. We do: so each
    such episode gets a row more, with the last observation and no action. Both learn from the same transitions.
    """
    dataset = data.dataset
    observations = data.observations.cpu().numpy()
    ends = np.append(np.flatnonzero(np.diff(dataset.episodes)), len(dataset) - 1)
    closing = ends[~dataset.terminated[ends]]
    width = data.actions.shape[1]
    order = np.argsort(np.concatenate([np.arange(len(dataset)), closing + 0.5]), kind="stable")

    def joined(rows: Any, more: Any) -> Any:
        return np.concatenate([rows, more])[order]

    count = len(closing)
    np.savez(
        path,
        observations=joined(observations[dataset.rows], observations[dataset.rows[closing] + 1]),
        actions=joined(data.actions.cpu().numpy(), np.zeros((count, width), np.float32)),
        rewards=joined(dataset.rewards * reward_scale(data, discount), np.zeros(count)).astype(np.float32),
        terminals=joined(dataset.terminated, np.zeros(count, bool)).astype(np.float32),
        timeouts=joined(np.zeros(len(dataset), bool), np.ones(count, bool)).astype(np.float32),
    )
    return len(dataset)


class RefereeProcess:
    """d3rlpy in a process of its own.

    Args:
        python: The referee's interpreter.
        log: File for what d3rlpy prints.
    """

    def __init__(self, python: Path, log: Path) -> None:
        self._log = log
        self._errors = log.open("w")
        environment = {"OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin", "HOME": str(log.parent)}
        self._process = subprocess.Popen(
            [str(python), str(WORKER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True,
            env=environment, cwd=log.parent,
        )  # fmt: skip

    def ask(self, **job: Any) -> dict[str, Any]:
        """Send a job and wait for its answer.

        Raises:
            RefereeError: If the process has ended.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(job) + "\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            lines = self._log.read_text().splitlines()
            raise RefereeError("d3rlpy's process ended.", where=str(self._log), got=lines[-1] if lines else "nothing")
        return dict(json.loads(answer))

    def __enter__(self) -> RefereeProcess:
        """Return itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """End the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):  # it may have ended before
            self._process.stdin.close()
        try:
            self._process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._errors.close()
