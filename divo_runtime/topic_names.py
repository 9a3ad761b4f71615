"""How a contract's relative topics are called on a robot or in a recording of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class TopicNames:
    """How the contract's relative topics are called in a bag."""

    namespace: str = ""
    remaps: Mapping[str, str] = field(default_factory=dict)
    """Name in the contract -> name in the bag."""

    def absolute(self, name: str) -> str:
        """Return the name in the bag."""
        name = self.remaps.get(name, name)
        if name.startswith("/"):
            return name
        parts = [part for part in (self.namespace.strip("/"), name) if part]
        return "/" + "/".join(parts)
