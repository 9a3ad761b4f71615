"""`python -m benchmarks.inference`: how long one inference takes, beside torch and beside its floor.

For every policy, all contestants take turns in blocks, so that what else the machine does hits all of them alike. What
is timed, and what the floor is, stands in docs/inference.md.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks import figures
from benchmarks.inference_contestants import Case, open_contestants, products_of
from benchmarks.inference_floor import floor_of
from benchmarks.inference_report import (
    CaseResult,
    figures_of,
    plot_results,
    result_table,
    summarize,
    write_json,
    write_page,
)
from divo_export.graphs import Trained, load_trained
from divo_runtime.bench import measure_in_turns
from divo_runtime.bundle.loading import load_bundle
from divo_runtime.errors import DivoError
from divo_sim.machine import describe_machine

SCRIPT = "benchmarks/inference.py"
DOCS = figures.ROOT / "docs"
PRODUCTS, CALLS_ALONE = "floor: products", "floor: calls alone"
STEPS, CANDIDATES = (1, 2, 3, 5), (1, 4, 16, 64)
QUICK_CALLS = 500
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""The libraries of the floor read these when they are loaded, so they must be set before this program starts."""
PROCESSES = 5
"""Fresh processes that open the bundle; the median counts."""


@dataclass(frozen=True)
class InferenceCommand:
    """Time one inference of every policy in every backend, torch and the bare products; 20 minutes in full."""

    run: Path = Path("runs/arm_reach/mixed-25")
    """Run folder of `divo-train fit`; the graphs are exported from it."""
    bundle: Path = Path("bundles/arm_reach")
    """Bundle whose opening and memory are measured."""
    calls: int = 20_000
    """Timed calls of each contestant; p99.9 rests on a thousandth of them."""
    core: int = -1
    """Core to run on; -1 is the last."""
    compiled: bool = True
    """Also time torch.compile where it is compared (compiling takes about half a minute per policy)."""
    quick: bool = False
    """The deployed policies and the ones with a target only, few calls, nothing compiled; not to be published."""
    record: bool = False
    """Write docs/figures.json, docs/inference.png and the table of docs/inference.md."""
    out: Path = Path("benchmarks/results/inference.json")
    """Where the results are written; with --quick nowhere."""


def cases_of(trained: Trained, quick: bool, compiled: bool) -> list[Case]:
    """Return what is timed: the actor alone and with a critic, the sampler at all steps and numbers of candidates."""
    deployed = trained.networks.config.actor.candidates
    cases = [Case("actor", 1, critic=False, compiled=compiled and deployed == 1)]
    cases += [Case("actor", n, compiled=compiled and n == deployed) for n in CANDIDATES]
    for steps in STEPS:
        for n in sorted({*CANDIDATES, trained.networks.config.sampler.candidates}):
            cases.append(Case("sampler", n, steps, compiled=compiled and steps == STEPS[-1]))
    if quick:
        wanted = {"actor_alone", deployed_actor(trained)}
        return [case for case in cases if case.name in wanted or case.steps == STEPS[-1]]
    return cases


def deployed_actor(trained: Trained) -> str:
    """Return the case that stands for the actor of a bundle: a single answer needs no critic, unless a guard asks."""
    candidates = trained.networks.config.actor.candidates
    return "actor_alone" if candidates == 1 else f"actor_n{candidates}"


def measure_case(trained: Trained, case: Case, observation: np.ndarray, calls: int) -> CaseResult:
    """Time all contestants of one case in turns."""
    with tempfile.TemporaryDirectory() as scratch:
        contestants, opened = open_contestants(trained, case, observation, Path(scratch))
        with opened:
            floor = floor_of(products_of(trained, case))
            everyone = {**contestants, PRODUCTS: floor.products, CALLS_ALONE: floor.calls_alone}
            timed = measure_in_turns(everyone, time.perf_counter_ns, calls)
    return summarize(case.name, timed, PRODUCTS, CALLS_ALONE, floor.multiplications)


def measure_process(bundle: Path) -> dict[str, float]:
    """Return opening time and memory of the runtime, the medians over fresh processes."""
    command = [sys.executable, "-m", "benchmarks.inference_process", str(bundle)]
    answers = [
        json.loads(subprocess.run(command, check=True, capture_output=True, text=True, cwd=figures.ROOT).stdout)
        for _ in range(PROCESSES)
    ]
    return {key: float(np.median([answer[key] for answer in answers])) for key in answers[0]}


def main() -> None:
    """Entry point; a mistake of the user ends with its explanation and exit code 2."""
    command, console = tyro.cli(InferenceCommand), Console(width=max(Console().width, 110))
    if any(os.environ.get(name) != "1" for name in ONE_THREAD):
        os.environ.update(dict.fromkeys(ONE_THREAD, "1"))
        os.execv(sys.executable, [sys.executable, "-m", "benchmarks.inference", *sys.argv[1:]])
    try:
        _run(command, console)
    except DivoError as error:
        Console(stderr=True).print(f"[bold red]error:[/] {error}", highlight=False, soft_wrap=True)
        sys.exit(2)


def _run(command: InferenceCommand, console: Console) -> None:
    torch.set_num_threads(1)
    trained, bundle = load_trained(command.run), command.bundle.resolve()
    observation = load_bundle(bundle).typical_observation
    process = measure_process(bundle)
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[command.core]})
    cases = cases_of(trained, command.quick, command.compiled and not command.quick)
    calls = QUICK_CALLS if command.quick else command.calls
    results = []
    columns = (TextColumn("{task.description:20}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=len(cases))
        for case in cases:
            progress.update(task, description=case.name)
            results.append(measure_case(trained, case, observation, calls))
            progress.advance(task)
    console.print(result_table(results))
    console.print(f"A fresh process opens, verifies and warms up the bundle in {process['open_ms']:.0f} ms", end=" ")
    console.print(f"and then holds {process['rss_mb']:.0f} MB.")
    if command.quick:
        return
    machine = describe_machine(("divo", "numpy", "torch", "onnxruntime", "ai-edge-litert"))
    machine |= {"cores": str(len(cores)), "pinned to core": str(cores[command.core]), "commit": figures.commit()}
    write_json(command.out, machine, results, process)
    console.print(f"Written: {command.out}")
    if command.record:
        deployed = deployed_actor(trained)
        plot_results(DOCS / "inference.png", results)
        figures.record_all(figures_of(results, process, deployed), SCRIPT)
        write_page(DOCS / "inference.md", results)
        page = DOCS / "inference.md"
        page.write_text(figures.quoted(page.read_text(encoding="utf-8"), figures.read_figures(), str(page)), "utf-8")
        console.print("Recorded: docs/figures.json, docs/inference.png, docs/inference.md")


if __name__ == "__main__":
    main()
