"""Finished episodes on disk, one line each, so that an interrupted validation goes on where it stopped.

`episodes-<policy>.jsonl` begins with a line that says what was validated; anything played with another bundle or
version is dropped. `timing-<policy>.csv` holds the control cycles of the same episodes, written before them: an episode
that is listed is complete.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from divo_sim.loop_episode import LoopEpisode, Timing
from divo_sim.outcomes import Outcome

SEED_COLUMN = "seed"


class EpisodeStore:
    """The episodes of one policy.

    Args:
        folder: Where the files are.
        policy: Name of the policy, part of the files' names.
        key: What must be the same for old episodes to count, such as the bundle's hash.
    """

    def __init__(self, folder: Path, policy: str, key: Mapping[str, str]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._episodes = folder / f"episodes-{policy}.jsonl"
        self._timings = folder / f"timing-{policy}.csv"
        self._key = dict(key)

    def begin(self, seeds: Collection[int]) -> dict[int, LoopEpisode]:
        """Return the episodes that are there for `seeds`, by seed, and drop all others from the files."""
        kept = {seed: episode for seed, episode in self._read().items() if seed in seeds}
        self._episodes.write_text(json.dumps({"key": self._key}) + "\n", encoding="utf-8")
        self._timings.unlink(missing_ok=True)
        for episode in kept.values():
            self.add(episode)
        return kept

    def add(self, episode: LoopEpisode) -> None:
        """Append a finished episode."""
        if episode.timings:
            new = not self._timings.exists()
            with self._timings.open("a", encoding="utf-8", newline="") as file:
                writer = csv.DictWriter(file, [SEED_COLUMN, *episode.timings[0]])
                if new:
                    writer.writeheader()
                writer.writerows({SEED_COLUMN: episode.outcome.seed, **timing} for timing in episode.timings)
        with self._episodes.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(replace(episode, timings=()))) + "\n")

    def _read(self) -> dict[int, LoopEpisode]:
        if not self._episodes.exists():
            return {}
        head, *lines = self._episodes.read_text(encoding="utf-8").split("\n")
        if _parse(head).get("key") != self._key:
            return {}
        records = [record for line in lines if (record := _parse(line))]
        timings = self._read_timings()
        return {
            record["outcome"]["seed"]: LoopEpisode(
                **{
                    **record,
                    "outcome": _outcome(record["outcome"]),
                    "timings": tuple(timings.get(record["outcome"]["seed"], ())),
                }
            )
            for record in records
        }

    def _read_timings(self) -> dict[int, list[Timing]]:
        found: dict[int, list[Timing]] = {}
        if self._timings.exists():
            with self._timings.open(encoding="utf-8", newline="") as file:
                for row in csv.DictReader(file):
                    if None in row or {None, ""} & set(row.values()):
                        continue  # cut off in the middle by a kill
                    values = {name: float(text) for name, text in row.items()}
                    found.setdefault(int(values.pop(SEED_COLUMN)), []).append(values)
        return found


def _parse(line: str) -> dict[str, Any]:
    """Return the object of a line, or an empty one if a kill cut the line off."""
    try:
        record = json.loads(line)
    except json.JSONDecodeError:
        return {}
    return record if isinstance(record, dict) else {}


def _outcome(record: Mapping[str, Any]) -> Outcome:
    return Outcome(
        **{**record, "path": tuple(map(tuple, record["path"])), "joints": tuple(map(tuple, record["joints"]))}
    )
