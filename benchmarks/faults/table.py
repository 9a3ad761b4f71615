"""The table of all faults."""

from __future__ import annotations

from benchmarks.faults.fault import Fault, Where
from benchmarks.faults.input_faults import input_faults
from benchmarks.faults.machine_faults import machine_faults

TABLE: tuple[Fault, ...] = (*input_faults(), *machine_faults())


def faults_of(where: Where) -> tuple[Fault, ...]:
    """Return the rows that make sense for the pure controller, or for the node."""
    return tuple(fault for fault in TABLE if fault.only in (None, where))


def fault_named(name: str) -> Fault:
    """Return a row."""
    return next(fault for fault in TABLE if fault.name == name)
