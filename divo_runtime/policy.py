"""A policy made of one network: actor and sampler have the same tensors, so one class serves both."""

from __future__ import annotations

import numpy as np

from divo_runtime.bundle.ports import network_ports
from divo_runtime.contract import Contract
from divo_runtime.errors import BackendError
from divo_runtime.interfaces import Backend, PolicyAction
from divo_runtime.observation import FloatArray


class NetworkPolicy:
    """Acts by one run of a network that holds normaliser, sampler and the critic's choice.

    Args:
        backend: Network with inputs `observation` (1, obs_dim) and `noise` (N, act_dim), outputs `action` (1, act_dim)
            in robot units and, if it is valued, `value` (N,), the critic's value of each candidate.
        contract: The robot task.
        critic: Values the action of a network that does not; None leaves the value unknown.

    Raises:
        BackendError: If the network's tensors are others.
    """

    def __init__(self, backend: Backend, contract: Contract, critic: Backend | None = None) -> None:
        candidates = next((spec.shape[0] for spec in backend.inputs if spec.name == "noise" and spec.shape), 1)
        self._valued = any(spec.name == "value" for spec in backend.outputs)
        ports = network_ports(contract, "actor", candidates, self._valued or candidates > 1)
        inputs, outputs = (tuple(port.spec for port in side) for side in ports)
        if set(backend.inputs) != set(inputs) or set(backend.outputs) != set(outputs):
            raise BackendError(
                "The network is not a policy for this contract.",
                got=", ".join(map(str, (*backend.inputs, *backend.outputs))),
                expected=", ".join(map(str, (*inputs, *outputs))),
                fix="Export the bundle again from the run that was trained with this contract.",
            )
        self._backend, self._critic = backend, critic
        self._noise_shape = (candidates, contract.action_size)

    @property
    def noise_shape(self) -> tuple[int, int]:
        """(candidates, act_dim) of the standard normal noise that `act` wants."""
        return self._noise_shape

    def act(self, observation: FloatArray, noise: FloatArray) -> PolicyAction:
        """Run the network once.

        Args:
            observation: (obs_dim,) float32 in the contract's order and units.
            noise: `noise_shape` float32, standard normal.

        Returns:
            The action of the candidate with the highest value, and that value, NaN if nobody knows it; whether they are
            finite is not checked here but in the controller.

        Raises:
            BackendError: If a shape or type is wrong, or the network fails.
        """
        outputs = self._backend.run({"observation": observation[np.newaxis], "noise": noise})
        action = outputs["action"]
        if self._valued:
            return PolicyAction(action[0], float(outputs["value"].max()))
        if self._critic is None:
            return PolicyAction(action[0], float("nan"))
        judged = self._critic.run({"observation": observation[np.newaxis], "action": action})
        return PolicyAction(action[0], float(judged["q"].mean()))

    def close(self) -> None:
        """Close the network."""
        self._backend.close()


def warm_up(policy: NetworkPolicy, observation: FloatArray, rng: np.random.Generator, calls: int = 100) -> None:
    """Run a policy until its memory is allocated, so that the first real cycle is not the slow one.

    Args:
        policy: The policy.
        observation: (obs_dim,) float32, a typical one, such as the mean of the training data.
        rng: Source of the noise.
        calls: How often, >= 1.

    Raises:
        BackendError: If a call fails or the last action is not finite.
    """
    for _ in range(calls):
        chosen = policy.act(observation, rng.standard_normal(policy.noise_shape, dtype=np.float32))
    if not np.isfinite(chosen.action).all():
        raise BackendError(
            "The policy does not give a finite action for a typical observation.",
            got=str(chosen.action.tolist()),
            expected="finite numbers",
            fix="Export the bundle again; its parity report shows where the networks differ.",
        )
