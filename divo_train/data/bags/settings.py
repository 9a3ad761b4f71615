"""How bags are imported: everything that a person can choose, in one record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from divo_runtime.contract import Contract
from divo_train.data.bags.grids import GridKind
from divo_train.data.bags.roles import TopicNames


@dataclass(frozen=True, slots=True)
class ImportSettings:
    """How every bag of an import is read."""

    contract: Contract
    """With the sections `episodes` and `reward` as they are to be used; `clock` too."""
    names: TopicNames = field(default_factory=TopicNames)
    action: Literal["command", "measured"] = "command"
    """What the action is: what was commanded, or what moved."""
    grid: GridKind | Literal["auto"] = "auto"
    """Where the control periods come from."""
    gap_periods: float = 1.5
    """Two periods further apart than this many do not belong to one episode."""
    hold_s: float = 0.0
    """How old a command may be that stands in where none was published; on the regular grid only [s]."""
    simulated_time: bool = False
    """Whether time runs by `/clock` or by the stamps instead of the arrivals."""
    keep_going: bool = False
    """Import what can be read of damaged bags, and leave out those that cannot."""

    @property
    def gap_ns(self) -> int:
        """Longest distance of two periods of one episode [ns]."""
        return round(self.gap_periods * self.contract.period_ns)

    def described(self) -> Mapping[str, object]:
        """Return them as plain data, for the dataset's description."""
        return {
            "action": self.action,
            "grid": self.grid,
            "clock": self.contract.clock,
            "gap_periods": self.gap_periods,
            "hold_s": self.hold_s,
            "simulated_time": self.simulated_time,
            "keep_going": self.keep_going,
            "namespace": self.names.namespace,
            "remaps": dict(self.names.remaps),
        }
