"""The whole table through real DDS, again and again; a file for each time, so that a broken-off series goes on."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.faults.fault import Fault
from benchmarks.faults.judge import Evidence, find_faults
from benchmarks.faults.rig import Rig
from benchmarks.faults.table import faults_of
from benchmarks.faults.trial import run_fault
from divo_runtime.errors import DivoError

RIGS = ("plain", "recording", "simulated time")
Outcome = dict[str, Any]
"""One fault of one repetition: what was wrong, and the times [ms]."""


def table_key(commit: str) -> str:
    """Return what a repetition depends on: code and table."""
    rows = "\n".join(repr((row.name, row.injection, row.reaction, row.within_ms)) for row in faults_of("node"))
    return f"{commit} {hashlib.sha256(rows.encode()).hexdigest()[:16]}"


def run_repetition(
    work: Path, seed: int, domain: int, chosen: Sequence[Fault], done: Callable[[Fault, Outcome], None]
) -> dict[str, Outcome]:
    """Run every chosen fault once and return name -> outcome.

    Args:
        work: Folder for bundles and logs.
        seed: Of what each fault hits.
        domain: ROS domain.
        chosen: Rows of the table for the node.
        done: Called after each fault.
    """
    outcomes: dict[str, Outcome] = {}
    for kind in RIGS:
        rows = [row for row in chosen if row.rig == kind]
        if not rows:
            continue
        with open_rig(work / kind.replace(" ", "_"), domain, kind) as rig:
            for row in rows:
                outcomes[row.name] = judge_fault(rig, row, seed)
                done(row, outcomes[row.name])
    return outcomes


@contextmanager
def open_rig(work: Path, domain: int, kind: str) -> Iterator[Rig]:
    """Give a rig whose policy commands; it is ended afterwards, also if it does not come to that."""
    work.mkdir(parents=True, exist_ok=True)
    rig = Rig(work, domain, kind)
    try:
        rig.settle()
        yield rig
    finally:
        rig.close()


def judge_fault(rig: Rig, row: Fault, seed: int) -> Outcome:
    """Run one fault and return its outcome; a rig that breaks is a fault that was not handled."""
    try:
        evidence = run_fault(rig, row, seed)
    except DivoError as error:
        return {"wrong": [str(error)]}
    return outcome_of(row, evidence)


def outcome_of(row: Fault, evidence: Evidence) -> Outcome:
    """Return what is kept of the evidence."""
    times = {
        "reaction_ms": evidence.reaction_ms,
        "latched_ms": evidence.latched_ms,
        "rest_ms": evidence.rest_ms,
        "gap_ms": evidence.longest_gap_ms,
        "back_ms": evidence.back_ms,
    }
    rounded = {name: round(value, 1) for name, value in times.items() if value is not None}
    return {"wrong": find_faults(row, evidence), **rounded}


def read_repetition(path: Path, key: str) -> dict[str, Outcome]:
    """Return the outcomes of a repetition of the same code and table; nothing if there is none."""
    if not path.exists():
        return {}
    kept = json.loads(path.read_text(encoding="utf-8"))
    return dict(kept["outcomes"]) if kept["key"] == key else {}


def write_repetition(path: Path, key: str, outcomes: Mapping[str, Outcome]) -> None:
    """Keep a repetition, in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".writing")
    temporary.write_text(json.dumps({"key": key, "outcomes": outcomes}, indent=1), encoding="utf-8")
    os.replace(temporary, path)


def summarize(repetitions: Sequence[Mapping[str, Outcome]]) -> dict[str, dict[str, Any]]:
    """Return name -> how often it ran and was handled, the longest times [ms], and what went wrong."""
    summary: dict[str, dict[str, Any]] = {}
    for row in faults_of("node"):
        outcomes = [repetition[row.name] for repetition in repetitions if row.name in repetition]
        if not outcomes:
            continue
        worst = {
            name: max(times)
            for name in ("reaction_ms", "latched_ms", "rest_ms", "gap_ms", "back_ms")
            if (times := [outcome[name] for outcome in outcomes if name in outcome])
        }
        wrong = [line for outcome in outcomes for line in outcome["wrong"]]
        handled = sum(not outcome["wrong"] for outcome in outcomes)
        summary[row.name] = {"runs": len(outcomes), "handled": handled, **worst, "wrong": wrong[:5]}
    return summary
