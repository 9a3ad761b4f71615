"""Episodes that `divo-train evaluate` has written, to show beside those of a validation."""

from __future__ import annotations

import json
from pathlib import Path

from divo_runtime.errors import DivoError
from divo_sim.outcomes import Outcome


def read_evaluation(path: Path) -> list[Outcome]:
    """Read the episodes of an evaluation's JSON file.

    Raises:
        DivoError: If the file cannot be read or holds something else.
    """
    try:
        episodes = json.loads(path.read_text(encoding="utf-8"))["episodes"]
        outcomes = [
            Outcome(
                seed=int(episode["seed"]),
                success=bool(episode["success"]),
                collision_free=bool(episode["collision_free"]),
                route=int(episode["route"]),
                return_=float(episode["return_"]),
                steps=int(episode["steps"]),
                path=tuple(tuple(float(x) for x in point) for point in episode["path"]),
            )
            for episode in episodes
        ]
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise _foreign(path, f"{type(error).__name__}: {error}") from error
    if not outcomes:
        raise _foreign(path, "no episodes")
    return outcomes


def _foreign(path: Path, got: str) -> DivoError:
    return DivoError(
        "This is not an evaluation.",
        where=str(path),
        got=got,
        expected="the file of `divo-train evaluate`, whose episodes have seed, success, route, return_, steps, path",
        fix="Evaluate again, or leave --evaluation out.",
    )
