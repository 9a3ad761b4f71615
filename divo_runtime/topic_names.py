"""How a contract's relative topics are called on a robot or in a recording of it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from divo_runtime.contract import Contract
from divo_runtime.errors import DivoError

EVENT_SUFFIX = "/_service_event"
"""Where the recorded calls of a service stand, behind its name."""


@dataclass(frozen=True, slots=True)
class TopicNames:
    """How the contract's relative topics are called in a bag."""

    namespace: str = ""
    remaps: Mapping[str, str] = field(default_factory=dict)
    """Name in the contract, with or without its leading slash -> name in the bag."""

    def absolute(self, name: str) -> str:
        """Return the name in the bag."""
        bare = {own.lstrip("/"): there for own, there in self.remaps.items()}
        name = bare.get(name.lstrip("/"), name)
        if name.startswith("/"):
            return name
        parts = [part for part in (self.namespace.strip("/"), name) if part]
        return "/" + "/".join(parts)


def parse_topic_names(namespace: str, remaps: Iterable[str], contract: Contract) -> TopicNames:
    """Return the names that the options --namespace and --remap give.

    Args:
        namespace: Of the contract's topics.
        remaps: Texts `name:=name_there`.
        contract: Says which names there are.

    Raises:
        DivoError: If a text cannot be read, names no topic of the contract, or one that another names already.
    """
    known = _named_topics(contract)
    parsed: dict[str, str] = {}
    for text in remaps:
        own, _, there = text.partition(":=")
        if not own or not there or ":=" in there:
            raise DivoError("A remap cannot be read.", where="--remap", got=text, expected="name:=name_there")
        if own.lstrip("/") not in known:
            near = difflib.get_close_matches(own.lstrip("/"), known, n=1)
            raise DivoError(
                "A remap names no topic of the contract.",
                where=f"--remap {text}",
                got=own,
                expected=f"one of {', '.join(known)}",
                fix=f"Did you mean {near[0]}?" if near else "The contract's name stands before the :=.",
            )
        if own.lstrip("/") in parsed:
            raise DivoError("A topic is remapped twice.", where="--remap", got=text, expected="each topic once")
        parsed[own.lstrip("/")] = there
    return TopicNames(namespace, parsed)


def _named_topics(contract: Contract) -> list[str]:
    """Return every topic that the contract names, without leading slashes."""
    names = [*contract.topics, contract.action.topic]
    if contract.episodes:
        names += [contract.episodes.topic, contract.episodes.service and contract.episodes.service + EVENT_SUFFIX]
    if contract.reward:
        names += [contract.reward.topic, contract.reward.terminated_topic]
    return list(dict.fromkeys(name.lstrip("/") for name in names if name))
