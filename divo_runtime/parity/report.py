"""`parity.json`: what was compared when a bundle was exported, and how far apart it was."""

from __future__ import annotations

from pathlib import Path

import msgspec

from divo_runtime.errors import BundleError
from divo_runtime.parity.judgement import Parity
from divo_runtime.schema import Record

REPORT_FILE = "parity.json"


class ClosedLoop(Record, frozen=True, kw_only=True):
    """The same seeded episodes, once with the trained networks and once with the exported one."""

    network: str
    backend: str
    environment: str
    seeds: tuple[int, ...]
    returns_torch: tuple[float, ...]
    """Undiscounted return of each episode."""
    returns_exported: tuple[float, ...]
    mean_difference: float
    """Exported minus torch."""
    standard_error: float
    """Of the mean difference, over the episodes."""
    allowed_loss: float
    """What the mean may lose, beyond twice its standard error."""


class ParityReport(Record, frozen=True, kw_only=True):
    """Everything that was compared."""

    seed: int
    """Seed of the noise."""
    results: tuple[Parity, ...]
    closed_loop: tuple[ClosedLoop, ...] = ()
    left_out: dict[str, str] = msgspec.field(default_factory=dict)
    """What was not compared, and why: backends that are not on the exporting machine, a task without simulator."""
    versions: dict[str, str] = msgspec.field(default_factory=dict)
    """Software and machine that it was done with."""


def write_report(path: Path, report: ParityReport) -> None:
    """Write a report as JSON.

    Raises:
        OSError: If the file cannot be written.
    """
    path.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n")


def read_report(path: Path) -> ParityReport | None:
    """Return the report of a bundle, or None where there is none.

    Raises:
        BundleError: If it is not one that this version reads.
    """
    if not path.is_file():
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=ParityReport)
    except (OSError, msgspec.MsgspecError) as error:
        raise BundleError(
            "The parity report cannot be read.", where=str(path), got=str(error), fix="Export the bundle again."
        ) from error
