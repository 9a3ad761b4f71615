"""Which topic of a bag is what: the contract's inputs, its command, the marks, the reward, the controller's cycles."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from divo_runtime.contract import Contract, Episodes
from divo_runtime.topic_names import EVENT_SUFFIX
from divo_runtime.topic_names import TopicNames as TopicNames
from divo_train.data.bags.marks import MESSAGE_TYPES
from divo_train.data.bags.parts import BagError, BagTopic
from divo_train.data.bags.service_calls import EVENT_TYPES

CYCLE_TYPE = "divo_controller/msg/Cycle"
CLOCK_TYPE = "rosgraph_msgs/msg/Clock"
NUMBER_TYPES = ("std_msgs/msg/Float64", "std_msgs/msg/Float32")
FLAG_TYPES = ("std_msgs/msg/Bool",)


@dataclass(frozen=True, slots=True)
class Roles:
    """Numbers of a bag's topics by what they are for; None where there is no such topic."""

    inputs: Mapping[str, int]
    """Topic as in the contract -> number."""
    command: int | None
    marks: int | None = None
    reward: int | None = None
    terminated: int | None = None
    cycles: int | None = None
    clock: int | None = None

    @property
    def numbers(self) -> list[int]:
        """All of them, each once."""
        others = (self.command, self.marks, self.reward, self.terminated, self.cycles, self.clock)
        return sorted({*self.inputs.values(), *(number for number in others if number is not None)})


def assign_roles(
    topics: Sequence[BagTopic], contract: Contract, names: TopicNames, needs_command: bool
) -> tuple[Roles, list[str]]:
    """Find the contract's topics in a bag.

    Args:
        topics: What the bag holds.
        contract: Says what is looked for, with its sections `episodes` and `reward`.
        names: How relative names become absolute.
        needs_command: Whether actions come from the command topic.

    Returns:
        The roles, and notes on what is odd but no hindrance.

    Raises:
        BagError: If a topic that is needed is absent or of another type.
    """
    notes: list[str] = []

    def find(name: str, types: Sequence[str], what: str) -> int:
        return _find(topics, names.absolute(name), types, what, notes)

    inputs = {topic: find(topic, (kind,), "an input of the contract") for topic, kind in contract.topics.items()}
    cycles = _only(topics, CYCLE_TYPE, notes)
    command: int | None = None
    try:
        command = find(contract.action.topic, (contract.action.type,), "the command")
    except BagError:
        if needs_command and cycles is None:
            raise
    reward, episodes = contract.reward, contract.episodes
    return (
        Roles(
            inputs=inputs,
            command=command,
            marks=find(*_marks(episodes), "the episode marks") if episodes else None,
            reward=find(reward.topic, NUMBER_TYPES, "the reward") if reward and reward.topic else None,
            terminated=find(reward.terminated_topic, FLAG_TYPES, "the termination")
            if reward and reward.terminated_topic
            else None,
            cycles=cycles,
            clock=_only(topics, CLOCK_TYPE, notes),
        ),
        notes,
    )


def _marks(episodes: Episodes) -> tuple[str, Sequence[str]]:
    """Return where the marks stand in a bag, and of which types they may be."""
    if episodes.service:
        return episodes.service + EVENT_SUFFIX, EVENT_TYPES
    return episodes.topic, MESSAGE_TYPES


def _find(topics: Sequence[BagTopic], name: str, types: Sequence[str], what: str, notes: list[str]) -> int:
    same = [number for number, topic in enumerate(topics) if topic.name == name]
    fitting = [number for number in same if topics[number].type in types]
    if len(same) > 1:
        got = " and ".join(f"{topics[number].type} ({topics[number].count:,} messages)" for number in same)
        used = f"; {topics[fitting[0]].type} is used" if fitting else ""
        notes.append(f"Topic {name} stands in the bag with different types: {got}{used}.")
    if fitting:
        return fitting[0]
    if same:
        raise BagError(
            f"The topic of {what} has another type in the bag.",
            where=name,
            got=" and ".join(topics[number].type for number in same),
            expected=" or ".join(types),
            fix="Change the type in the contract, or record the right topic.",
        )
    known = [topic.name for topic in topics]
    tails = [each for each in known if each.endswith(name)]
    near = tails or difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    spaces = f", or give --namespace {tails[0].removesuffix(name)}" if tails else ""
    raise BagError(
        f"The bag does not hold the topic of {what}.",
        where=name,
        got=f"topics {', '.join(sorted(set(known))) or 'none'}",
        expected=f"{name} ({' or '.join(types)})",
        fix=f"Record it, or say what it is called there with --remap {name.lstrip('/')}:={near[0] if near else '/name'}"
        f"{spaces}.",
    )


def _only(topics: Sequence[BagTopic], kind: str, notes: list[str]) -> int | None:
    """Return the topic of a type that has the most messages."""
    found = [number for number, topic in enumerate(topics) if topic.type == kind and topic.count]
    found.sort(key=lambda number: -topics[number].count)
    if len(found) > 1:
        notes.append(f"Several topics of type {kind}; {topics[found[0]].name} is used.")
    return found[0] if found else None
