"""Does a network compute what was trained? Judged on real observations, in robot units.

A policy's answer has two parts: the numbers of each candidate, and the choice among them. They are judged apart: of two
candidates of practically equal value either may be chosen, and then the actions have nothing to do with each other. So
the action is compared with the reference's candidate of the same row, and a different choice must be one that the
reference values (practically) as high. All thresholds stand in `TOLERANCES`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from divo_runtime.bundle.manifest import Precision
from divo_runtime.bundle.ports import CRITIC, LEAPP_NODE
from divo_runtime.contract import Contract
from divo_runtime.errors import DivoError
from divo_runtime.fields import JointArray
from divo_runtime.observation import FloatArray
from divo_runtime.parity.sample import ParitySample, Reference
from divo_runtime.schema import Record


@dataclass(frozen=True, slots=True)
class Tolerance:
    """What still passes."""

    error: float
    """Largest error of an action, as a fraction of its range; of a value, as a fraction of the values' spread."""
    regret: float
    """Largest loss of value by another choice than the reference's, as a fraction of the values' spread."""
    agreement: float
    """Smallest share of observations with the reference's choice."""


TOLERANCES: dict[Precision, Tolerance] = {
    "float32": Tolerance(1e-4, 1e-4, 0.99),
    "float16": Tolerance(2e-2, 2e-2, 0.95),
    "bfloat16": Tolerance(5e-2, 5e-2, 0.90),
    "int8": Tolerance(5e-2, 5e-2, 0.90),
}
"""The one place with thresholds. float32 summed in another order stays a hundred times below its line, a wrong unit or
a missing normaliser is far above. The others are wide nets against mistakes (numbers of 11, 8 and about 7 bits through
several layers); what a reduced precision costs is judged by the closed-loop return."""


class ParityError(DivoError):
    """A network does not compute what was trained."""


class LargestError(Record, frozen=True, kw_only=True):
    """The observation with the largest error, to look at or to replay."""

    index: int
    """Number of the observation in the sample."""
    element: str
    """Element of the action, or member of the critic, that is off most."""
    expected: float
    got: float
    observation: tuple[float, ...]
    """In contract units."""


class Parity(Record, frozen=True, kw_only=True):
    """How far a network in a backend is from the trained networks."""

    network: str
    backend: str
    precision: Precision
    observations: int
    compared: int
    """Observations whose actions were compared: all, or those with the reference's choice where only that is known."""
    names: tuple[str, ...]
    """Action names; for the critic its members."""
    worst: tuple[float, ...]
    """Largest absolute error per element, in robot units (values for the critic)."""
    p999: tuple[float, ...]
    """99.9th percentile of the absolute error per element."""
    worst_of_range: tuple[float, ...]
    """The largest error as a fraction of the action's range (of the values' spread)."""
    agreement: float
    """Share of observations where the same candidate was chosen."""
    worst_regret: float
    """Largest loss of value, as the reference sees it, by another choice; fraction of the values' spread."""
    worst_value: float
    """Largest error of a candidate's value, fraction of the values' spread."""
    worst_case: LargestError

    @property
    def worst_fraction(self) -> float:
        """The largest error of any element, as a fraction of its range."""
        return max(self.worst_of_range)


@dataclass(frozen=True, slots=True)
class Answers:
    """What a network gave for every observation."""

    action: FloatArray
    """(count, act_dim)"""
    value: FloatArray
    """(count, N)"""


def compare_policy(
    answers: Answers, reference: Reference, sample: ParitySample, contract: Contract, labels: tuple[str, str, Precision]
) -> Parity:
    """Judge a policy's answers.

    Args:
        answers: What the network gave.
        reference: What the trained networks give.
        sample: The observations.
        contract: Gives action names and ranges.
        labels: Network, backend and precision, for the report.
    """
    lower, upper = contract.action_range()
    rows = np.arange(len(sample.observations))
    chosen, wanted = answers.value.argmax(axis=1), reference.value.argmax(axis=1)
    same = chosen == wanted
    expected = reference.action if reference.candidates is None else reference.candidates[rows, chosen]
    comparable = same | (reference.candidates is not None)
    spread = float(np.ptp(reference.value)) or 1.0
    regret = reference.value[rows, wanted] - reference.value[rows, chosen]
    errors = _finite_errors(answers.action, expected) * comparable[:, np.newaxis]
    return _judged(
        errors, upper - lower, expected, answers.action, sample, contract.action.names, labels,
        compared=int(comparable.sum()),
        agreement=float(same.mean()),
        worst_regret=float(regret.max()) / spread,
        worst_value=float(_finite_errors(answers.value, reference.value).max()) / spread,
    )  # fmt: skip


def compare_critic(answers: FloatArray, sample: ParitySample, labels: tuple[str, str, Precision]) -> Parity:
    """Judge the critic's answers, (count, members + 1); errors are measured against the spread of V over the data."""
    assert sample.critic is not None
    expected = sample.critic
    names = (*(f"q{i}" for i in range(expected.shape[1] - 1)), "v")
    spread = float(np.ptp(expected[:, -1])) or 1.0
    errors = _finite_errors(answers, expected)
    return _judged(
        errors, np.full(len(names), spread), expected, answers, sample, names, labels,
        compared=len(errors), agreement=1.0, worst_regret=0.0, worst_value=float(errors.max()) / spread,
    )  # fmt: skip


def _judged(
    errors: JointArray, ranges: JointArray, expected: FloatArray, got: FloatArray, sample: ParitySample,
    names: tuple[str, ...], labels: tuple[str, str, Precision], *,
    compared: int, agreement: float, worst_regret: float, worst_value: float,
) -> Parity:  # fmt: skip
    index, element = np.unravel_index((errors / ranges).argmax(), errors.shape)
    worst = errors.max(axis=0)
    return Parity(
        network=labels[0],
        backend=labels[1],
        precision=labels[2],
        observations=len(errors),
        compared=compared,
        names=names,
        worst=tuple(map(float, worst)),
        p999=tuple(map(float, np.quantile(errors, 0.999, axis=0, method="higher"))),
        worst_of_range=tuple(map(float, worst / ranges)),
        agreement=agreement,
        worst_regret=worst_regret,
        worst_value=worst_value,
        worst_case=LargestError(
            index=int(index),
            element=names[element],
            expected=float(expected[index, element]),
            got=float(got[index, element]),
            observation=tuple(map(float, sample.observations[index])),
        ),
    )


def _finite_errors(got: FloatArray, expected: FloatArray) -> JointArray:
    """Return |got - expected|, infinite where either is not a number, so that no comparison overlooks it."""
    errors = np.abs(got.astype(np.float64) - expected)
    errors[~np.isfinite(errors)] = np.inf
    return errors


def require_parity(parity: Parity, fix: str) -> None:
    """Refuse a network that is off by more than `TOLERANCES` allow.

    Raises:
        ParityError: Naming network, backend, element, observation and values.
    """
    allowed = TOLERANCES[parity.precision]
    if parity.worst_fraction > allowed.error:
        case, worst = parity.worst_case, parity.names.index(parity.worst_case.element)
        whole = "the values' spread" if parity.network == CRITIC else "its range"
        raise ParityError(
            "A network does not compute what was trained.",
            where=f"{_label(parity)}, '{case.element}', observation {case.index}: "
            f"[{', '.join(f'{number:.6g}' for number in case.observation)}]",
            got=f"{case.got:.7g}, off by {parity.worst_of_range[worst]:.2e} of {whole}",
            expected=f"{case.expected:.7g}, within {allowed.error:.0e} of {whole}",
            fix=fix,
        )
    if parity.worst_value > allowed.error or parity.worst_regret > allowed.regret:
        raise ParityError(
            "A network values its candidates differently from what was trained.",
            where=_label(parity),
            got=f"a value off by {parity.worst_value:.2e}, a choice that costs {parity.worst_regret:.2e} of the spread",
            expected=f"at most {allowed.error:.0e} and {allowed.regret:.0e}",
            fix=fix,
        )
    if parity.agreement < allowed.agreement:
        raise ParityError(
            "A network chooses other candidates than what was trained.",
            where=_label(parity),
            got=f"the same choice in {parity.agreement:.2%} of {parity.observations} observations",
            expected=f"at least {allowed.agreement:.0%}",
            fix=fix,
        )


def _label(parity: Parity) -> str:
    name = f"{LEAPP_NODE}.onnx" if parity.network == LEAPP_NODE else parity.network
    return f"{name} in {parity.backend} ({parity.precision})"
