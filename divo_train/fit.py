"""Run the stages of a training run, several at a time, and gather the result into one weight file."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from multiprocessing import connection
from multiprocessing.queues import Queue
from pathlib import Path
from queue import Empty

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from torch import Tensor

from divo_runtime.errors import DivoError
from divo_train.checkpoint import save_tensors
from divo_train.config import FitConfig
from divo_train.curves import draw_curves
from divo_train.data.dataset import Dataset
from divo_train.data.minari import load_minari
from divo_train.data.training_set import training_set
from divo_train.methods import stages_of
from divo_train.replicas import replica_of
from divo_train.run_folder import begin_run, run_metadata
from divo_train.stage import Stage
from divo_train.stage_run import run_stage
from divo_train.training import finished_tensors

AIDS = ("q_target.", "critic.", "teacher.", "denoiser.")
"""Networks that only training needs."""

WEIGHTS = "policy.safetensors"

_progress_queue: Queue[tuple[str, int, dict[str, float]]] | None = None


class StageError(DivoError):
    """A stage cannot be run on this machine, or its process died."""


def fit(config: FitConfig, console: Console) -> Path:
    """Train what `config` asks for and return the run folder.

    Raises:
        DatasetError: If the dataset is missing, damaged, or not the one this run began with.
        DivergedError: If a loss becomes NaN.
        StageError: If the device is not there or a stage's process is killed.
    """
    _require_device(config.device)
    dataset = load_minari(Path(config.dataset))
    folder = Path(config.out)
    begin_run(folder, config, dataset)
    console.print(f"{dataset!r} -> {folder}")
    stages = stages_of(config.methods)
    written = all((seed_folder(config, number) / WEIGHTS).exists() for number in range(config.replicas))
    if written and all(finished_tensors(folder, stage.name, stage.updates(config)) for stage in stages):
        return folder
    context = multiprocessing.get_context("spawn")
    queue: Queue[tuple[str, int, dict[str, float]]] = context.Queue()
    columns = (
        TextColumn("{task.description:<10}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with (
        Progress(*columns, console=console) as progress,
        ProcessPoolExecutor(config.workers, context, initializer=_begin_worker, initargs=(queue,)) as pool,
    ):
        bars = {stage.name: progress.add_task(stage.name, total=stage.updates(config), note="") for stage in stages}
        try:
            headlines = {stage.name: stage.headline for stage in stages}
            _run_all(stages, config, pool, lambda: _show(queue, progress, bars, headlines))
        except BrokenProcessPool as error:
            raise StageError(
                "A stage's process was killed.", where=str(folder), got=str(error),
                fix="See whether memory ran out. The same command goes on from the last checkpoint.",
            ) from error  # fmt: skip
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in multiprocessing.active_children():
                process.terminate()
            raise
    for number in range(config.replicas):
        own = replace(config, seed=config.seed + number, replicas=1, out=str(seed_folder(config, number)))
        begin_run(Path(own.out), own, dataset)
        save_tensors(Path(own.out) / WEIGHTS, gather_weights(config, number, dataset), run_metadata(own, dataset))
    draw_curves(folder, [stage.name for stage in stages])
    return folder


def seed_folder(config: FitConfig, number: int) -> Path:
    """Return where the weights of one seed go: the run folder itself, or a folder in it if there are several seeds."""
    folder = Path(config.out)
    return folder if config.replicas == 1 else folder / f"seed-{config.seed + number}"


def gather_weights(config: FitConfig, number: int, dataset: Dataset) -> dict[str, Tensor]:
    """Return the networks of one seed that policies and exports are made of, from the stages' checkpoints."""
    normalizer = training_set(dataset, "cpu").normalizer
    weights = {f"normalizer.{key}": tensor for key, tensor in normalizer.state_dict().items()}
    for stage in stages_of(config.methods):
        tensors = finished_tensors(Path(config.out), stage.name, stage.updates(config)) or {}
        own = replica_of(tensors, number, config.replicas)
        weights |= {f"{stage.name}.{key}": tensor for key, tensor in own.items() if not key.startswith(AIDS)}
    return weights


def _run_all(stages: tuple[Stage, ...], config: FitConfig, pool: ProcessPoolExecutor, show: Callable[[], None]) -> None:
    """Start each stage as soon as what it needs is finished and a process is free."""
    waiting, running, finished = list(stages), dict[Future[None], str](), set[str]()
    while waiting or running:
        for stage in list(waiting):
            if len(running) < config.workers and finished.issuperset(need.name for need in stage.needs):
                waiting.remove(stage)
                running[pool.submit(_work, stage.name, config)] = stage.name  # by name: a stage is made of functions
        done, _ = wait(running, timeout=0.2, return_when=FIRST_COMPLETED)
        show()
        for future in done:
            finished.add(running.pop(future))
            future.result()


def _require_device(name: str) -> None:
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:  # torch asserts where it was built without CUDA
        raise StageError(
            "Torch cannot use this device.", where="--device", got=f"{name}: {str(error).splitlines()[0]}",
            expected="cpu, or cuda on a machine that has it",
        ) from error  # fmt: skip


def _begin_worker(queue: Queue[tuple[str, int, dict[str, float]]]) -> None:
    """Prepare a process for stages: it leaves Ctrl-C to its parent, and does not outlive it.

    A stage left alone would write its checkpoints into the run that somebody has started again.
    """
    global _progress_queue
    _progress_queue = queue
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os._exit(1)


def _work(stage: str, config: FitConfig) -> None:
    def report(step: int, metrics: Mapping[str, float]) -> None:
        if _progress_queue is not None:
            _progress_queue.put((stage, step, dict(metrics)))

    run_stage(next(one for one in stages_of(config.methods) if one.name == stage), config, report)


def _show(
    queue: Queue[tuple[str, int, dict[str, float]]],
    progress: Progress,
    bars: Mapping[str, TaskID],
    headlines: Mapping[str, str],
) -> None:
    while True:
        try:
            stage, step, metrics = queue.get_nowait()
        except Empty:
            return
        note = f"{headlines[stage]} {metrics[headlines[stage]]:.4f}"
        bar = next(task for task in progress.tasks if task.id == bars[stage])
        tenths = bar.percentage // 10
        progress.update(bars[stage], completed=step, note=note)
        if not progress.console.is_terminal and bar.percentage // 10 > tenths:  # a log has no bars
            progress.console.print(f"{stage} {step} of {bar.total:.0f}: {note}", highlight=False)
