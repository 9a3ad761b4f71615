"""What each network of a bundle takes and gives, as the contract dictates it: to write, to check and to run them."""

from __future__ import annotations

from typing import Literal

from divo_runtime.contract import ActionKind, Contract
from divo_runtime.interfaces import TensorSpec
from divo_runtime.schema import Record

Role = Literal["actor", "sampler", "critic"]
PolicyRole = Literal["actor", "sampler"]

ACTION_KINDS: dict[ActionKind, str] = {
    "joint_position": "target/joint/position",
    "joint_velocity": "target/joint/velocity",
    "twist": "target/body/twist",
}
"""LEAPP's words for the action; it has none for a whole twist."""


class Port(Record, frozen=True, kw_only=True, omit_defaults=True):
    """One tensor at the border of a network, as LEAPP writes it."""

    name: str
    dtype: Literal["float32"]
    shape: tuple[int, ...]
    type: Literal["tensor"]
    kind: str | None = None
    """LEAPP's word for what it means, such as `target/joint/velocity`."""
    element_names: tuple[tuple[str, ...], ...] | None = None
    """Names along each dimension; empty for a dimension without."""

    @property
    def spec(self) -> TensorSpec:
        """The tensor without its meaning."""
        return TensorSpec(self.name, self.shape, self.dtype)


def network_ports(contract: Contract, role: Role, rows: int) -> tuple[tuple[Port, ...], tuple[Port, ...]]:
    """Return inputs and outputs of a network.

    Args:
        contract: The robot task.
        role: `actor` and `sampler`: observation (1, obs_dim) and noise (rows, act_dim) to action (1, act_dim) in robot
            units and value (rows,); `critic`: observation and action to q (rows,) and v (1,).
        rows: Candidates of a policy, or members of the critic's ensemble, >= 1.
    """
    names = contract.action.names
    observation = _port("observation", (1, contract.observation_size), "state/observation", contract.element_names)
    action = _port("action", (1, len(names)), ACTION_KINDS[contract.action.kind], names)
    if role == "critic":
        return (observation, action), (_port("q", (rows,)), _port("v", (1,)))
    noise = _port("noise", (rows, len(names)), "noise/normal")
    return (observation, noise), (action, _port("value", (rows,)))


def _port(name: str, shape: tuple[int, ...], kind: str | None = None, elements: tuple[str, ...] = ()) -> Port:
    element_names = ((), elements) if elements else None
    return Port(name=name, dtype="float32", shape=shape, type="tensor", kind=kind, element_names=element_names)
