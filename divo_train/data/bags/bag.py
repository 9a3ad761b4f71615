"""A bag as one stream of messages, whatever it is stored in: a rosbag2 folder, split or not, or a lone file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from divo_train.data.bags.parts import BagError, BagTopic, Part, RawMessage, WholePart
from divo_train.data.bags.salvage import SalvagedPart, mcap_condition

STORAGE_SUFFIXES = (".mcap", ".db3")
SLICE_BYTES = 64 * 1024 * 1024
"""Part of a large file that is read at a time."""
CLOCK_STEP_NS = 1_000_000_000
"""Arrival times that go back by more than this between two chunks mean that the recorder's clock was set back."""


@dataclass(slots=True)
class Bag:
    """An opened bag.

    Its topics are those of all its parts, each name and type once.
    """

    path: Path
    parts: Sequence[Part]
    notes: list[str] = field(default_factory=list)
    """What is wrong with it, one sentence each."""
    keep_going: bool = False
    topics: list[BagTopic] = field(init=False)

    def __post_init__(self) -> None:
        """Merge the topics of the parts."""
        merged: dict[tuple[str, str], BagTopic] = {}
        for topic in (topic for part in self.parts for topic in part.topics):
            key = (topic.name, topic.type)
            known = merged.get(key)
            count = topic.count + (known.count if known else 0)
            text = (known and known.definition) or topic.definition
            merged[key] = BagTopic(*key, count, text, (known and known.digest) or topic.digest)
        self.topics = sorted(merged.values(), key=lambda topic: (topic.name, topic.type))

    @property
    def span_ns(self) -> tuple[int, int]:
        """Arrival of the first and of the last message [ns]."""
        spans = [part.span_ns for part in self.parts if part.span_ns != (0, 0)]
        return (min(first for first, _ in spans), max(last for _, last in spans)) if spans else (0, 0)

    @property
    def size_bytes(self) -> int:
        """Size of the bag's files."""
        return sum(file.stat().st_size for file in bag_files(self.path))

    def messages(self, wanted: Sequence[int]) -> Iterator[RawMessage]:
        """Yield messages in the order of their arrival.

        Args:
            wanted: Numbers of topics, in `topics`.

        Raises:
            BagError: Where the bag turns out to be damaged; with `keep_going` that is noted instead, and it ends there.
        """
        numbers = {(self.topics[number].name, self.topics[number].type): number for number in wanted}
        for part in self.parts:
            keys = [(topic.name, topic.type) for topic in part.topics]
            mine = [index for index, key in enumerate(keys) if key in numbers]
            translation = [numbers.get(key, -1) for key in keys]
            try:
                for index, log_ns, raw in part.messages(mine):
                    yield translation[index], log_ns, raw
            except BagError as error:
                if not self.keep_going:
                    raise
                self.notes.append(f"Reading stopped early: {error.got or error.what}")

    def close(self) -> None:
        """Free the files."""
        for part in self.parts:
            part.close()


def bag_files(path: Path) -> list[Path]:
    """Return the storage files of a bag, in the order of their names; the path itself if it is a file."""
    if path.is_file():
        return [path]
    names = [file for file in path.iterdir() if set(file.suffixes) & set(STORAGE_SUFFIXES)] if path.is_dir() else []
    return sorted(names, key=_split_number)


def find_bags(folder: Path, depth: int = 1) -> list[Path]:
    """Return the bags of a folder, in the order of their names: the folder itself if it is one, else what it holds.

    Folders in it are looked into as far down as `depth` says.

    Files are one split bag if `metadata.yaml` says so, or if they are called as rosbag2 calls splits: by the folder's
    name and a number. Other files, such as those of a controller that records, are bags of their own.
    """
    files = bag_files(folder)
    if files and (len(files) == 1 or _is_split(folder, files)):
        return [folder]
    inner = [each for each in folder.iterdir() if each.is_dir()] if depth else []
    found = ([each] if each.is_file() else find_bags(each, depth - 1) for each in sorted([*files, *inner]))
    return [bag for bags in found for bag in bags]


def open_bag(path: Path, keep_going: bool = False) -> Bag:
    """Open a bag.

    Args:
        path: A rosbag2 folder, or a `.mcap` or `.db3` file.
        keep_going: Read what can be read of a damaged bag.

    Raises:
        BagError: If there is no bag, or it is damaged and `keep_going` is not set.
    """
    files = bag_files(path)
    if not files or (path.is_file() and path.suffix not in STORAGE_SUFFIXES):
        raise BagError(
            "There is no bag here.",
            where=str(path),
            got="a file of another kind" if path.is_file() else "no .mcap or .db3 file" if path.exists() else "nothing",
            expected="a rosbag2 folder, or a .mcap or .db3 file",
            fix="Check the path.",
        )
    if len(files) > 1 and not _is_split(path, files):
        raise BagError(
            "This folder holds several bags.",
            where=str(path),
            got=", ".join(file.name for file in files[:3]),
            expected=f"metadata.yaml, or files called {path.resolve().name}_0, {path.resolve().name}_1, ...",
            fix="Name the files one by one; `divo-train import` does so by itself.",
        )
    notes: list[str] = []
    conditions = {}
    for file in files:
        if file.suffix == ".mcap":
            conditions[file], back_ns = mcap_condition(file)
            if back_ns > CLOCK_STEP_NS:
                notes.append(f"{file.name}: the recorder's clock was set back by {back_ns / 1e9:.1f} s.")
    described = path.is_file() or (path / "metadata.yaml").exists()
    if not described:
        notes.append("There is no metadata.yaml, as when recording was interrupted; its files are read one by one.")
    if described and all(condition == "indexed" for condition in conditions.values()):
        try:
            return Bag(path, [WholePart(path, _slices(files))], notes, keep_going)
        except BagError:
            if not keep_going:
                raise
    parts: list[Part] = []
    for file in files:
        condition = conditions.get(file, "indexed")
        if condition == "truncated" and not keep_going:
            WholePart(file)  # names the damage
        part, note = _open_part(file, condition, keep_going)
        notes.extend([note] if note else [])
        parts.extend([part] if part else [])
    if not parts:
        raise BagError(
            "Nothing in this bag can be read.", where=str(path), got="; ".join(notes), fix="Leave it out, or mend it."
        )
    return Bag(path, parts, notes, keep_going)


def _open_part(file: Path, condition: str, keep_going: bool) -> tuple[Part | None, str]:
    """Open one storage file by itself; return it with what is wrong with it."""
    try:
        if condition == "indexed":
            return WholePart(file, _slices([file])), ""
        part = SalvagedPart(file)
    except BagError as error:
        if not keep_going:
            raise
        return None, f"{file.name} cannot be read: {error.got}"
    if condition == "unindexed":
        lost = f", {part.lost_bytes:,} bytes of it damaged" if part.lost_bytes else ""
        return part, f"{file.name} has no index and is read from front to back{lost}."
    share = 1 - part.lost_bytes / max(file.stat().st_size, 1)
    return part, f"{file.name} is cut off: {part.lost_bytes:,} bytes at its end are lost ({share:.1%} is read)."


def _slices(files: Sequence[Path]) -> int:
    """Return in how many stretches of time a bag of these files is to be read."""
    return 1 + files[0].stat().st_size // SLICE_BYTES if len(files) == 1 else 1


def _is_split(folder: Path, files: Sequence[Path]) -> bool:
    """Return whether a folder's storage files are one bag."""
    name = re.compile(re.escape(folder.resolve().name) + r"(_\d+)?\.(mcap|db3)(\..*)?")
    return (folder / "metadata.yaml").exists() or all(name.fullmatch(file.name) for file in files)


def _split_number(file: Path) -> tuple[int, str]:
    """Sort `bag_10.mcap` behind `bag_9.mcap`, as rosbag2 numbers split files."""
    digits = file.name.split(".")[0].rpartition("_")[2]
    return (int(digits) if digits.isdigit() else -1, file.name)
