"""Why an import kept nothing: no bag, no control period, or the commonest causes with an example of each."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from divo_runtime.errors import DatasetError
from divo_runtime.observation import Fault
from divo_train.data.bags.assembly import ImportResult
from divo_train.data.bags.grids import NO_COMMAND
from divo_train.data.bags.report import drop_rows

NAMED = 3
"""Causes, or bags, that are named."""
ADVICE = {
    Fault.MISSING.value: "Start the recording after all nodes, or publish again now and then (latched goals are lost).",
    Fault.STALE.value: "Publish it faster, or raise max_age_ms if the robot is to live with data as old.",
    Fault.FUTURE.value: "Synchronise the computers' clocks (chrony, PTP), or give --clock receive.",
    Fault.JOINT_MISSING.value: "One message must hold all joints of a term: publish them together, or mend the names.",
    Fault.WRONG_SIZE.value: "Give the term the size that its topic has.",
    NO_COMMAND: "--hold-command-ms lets the last command stand in, --action measured takes the motion instead.",
}
"""What was wrong, without the term -> what to do about it."""


def explain_nothing(result: ImportResult, sources: Iterable[Path], report: Path) -> DatasetError:
    """Return the error of an import without a transition.

    Args:
        result: What became of it.
        sources: What was given.
        report: Where its report stands.
    """
    return DatasetError(
        "Not one transition could be imported.",
        where=", ".join(str(path) for path in sources),
        got=_causes(result) or _without_periods(result) or _without_bags(result),
        expected=_expected(result),
        fix=f"{_advice(result)}See {report}.",
    )


def _causes(result: ImportResult) -> str:
    examples: dict[str, str] = {}
    for bag in result.bags:
        examples = {**bag.tally.examples, **examples}
    rows = drop_rows(result.bags)
    told = [
        f"{cause}: {count:,} ({share})" + (f", first because of: {examples[cause]}" if cause in examples else "")
        for cause, count, share in rows[:NAMED]
    ]
    return "; ".join([*told, *([f"{len(rows) - NAMED} more causes"] if len(rows) > NAMED else [])])


def _without_periods(result: ImportResult) -> str:
    messages = sum(bag.messages for bag in result.bags)
    return f"{len(result.bags)} bags with {messages:,} messages, and no control period" if result.bags else ""


def _without_bags(result: ImportResult) -> str:
    told = [f"{path.name}: {why.splitlines()[0]}" for path, why in result.left_out[:NAMED]]
    return "no bag that could be read" + (f" ({'; '.join(told)})" if told else "")


def _expected(result: ImportResult) -> str:
    if not result.bags:
        return "at least one recording with the topics of the contract"
    if not drop_rows(result.bags):
        return "commands, or on the regular grid every input at least once and something after it"
    return "every term of the contract whole and younger than its max_age_ms, and a command in every period"


def _advice(result: ImportResult) -> str:
    rows = drop_rows(result.bags)
    advice = ADVICE.get(rows[0][0].rpartition(": ")[2], "") if rows else ""
    return f"{advice} " if advice else ""
