"""Errors that a person can act on: what went wrong, where, what was got, what was expected, how to mend it."""

from __future__ import annotations


class DivoError(Exception):
    """Base of every error raised on purpose.

    Args:
        what: One sentence, the problem.
        where: File, key, topic or tensor it was found in.
        got: The offending value.
        expected: What would have been accepted.
        fix: What the reader can do about it.
    """

    def __init__(self, what: str, *, where: str = "", got: str = "", expected: str = "", fix: str = "") -> None:
        self.what, self.where, self.got, self.expected, self.fix = what, where, got, expected, fix
        details = {"where": where, "got": got, "expected": expected, "fix": fix}
        super().__init__("\n".join([what, *(f"  {key}: {text}" for key, text in details.items() if text)]))


class ContractError(DivoError):
    """A contract file is malformed or contradicts itself."""


class ObservationError(DivoError):
    """Messages do not hold what the contract promises."""


class BundleError(DivoError):
    """A bundle is damaged, incomplete or foreign."""


class BackendError(DivoError):
    """A network cannot be opened or run."""


class DatasetError(DivoError):
    """A dataset is damaged or does not fit its contract."""


class RecordingError(DivoError):
    """A recording cannot be written or read."""


class ReplayDifferenceError(DivoError):
    """A recording, computed again, gives something else."""
