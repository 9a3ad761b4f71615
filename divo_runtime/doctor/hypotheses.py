"""What may have happened to the observations of a recording: wrong units, signs, orders, frames.

Each hypothesis is a way to put the observations right again. The one that makes them most like the training data, and
clearly more so in every part of the recording, is believed; then the next is looked for in what it has put right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations, permutations, product

import numpy as np

from divo_runtime.contract import Contract, ObservationTerm
from divo_runtime.doctor.finding import Finding
from divo_runtime.doctor.training import Surprise
from divo_runtime.fields import JointArray
from divo_runtime.observation import ObservationBuilder

DEGREES = 180.0 / np.pi
CLEAR = 0.06
"""Least fall of the mean surprise that is believed. On healthy episodes of the arm none fell by more than 0.012."""
EVERYWHERE = 0.02
"""Least fall in each quarter of the recording."""
MOVED = 0.3
"""Likewise for a shift, which is fitted to the recording and so always helps a little."""
PART = 0.75
"""What has nothing to fit is believed before a shift if it brings this part of the shift's fall."""
LARGE = 5.0
"""Numbers in another unit lie so many training deviations from the training mean at least."""
MOST = 6
"""Mistakes in one recording that are looked for."""
PARTS = 4

Change = Callable[[JointArray], JointArray]
"""(m, obs_dim) absolute observations -> the same, put right."""


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """One thing that may be wrong."""

    finding: Finding
    mend: Change
    needed: float = CLEAR
    """Least fall of the mean surprise."""


def explain(
    contract: Contract, surprise: Surprise, rows: JointArray, foreign: Sequence[bool]
) -> tuple[list[Finding], Change]:
    """Return what is wrong with observations, and what puts them right.

    Args:
        contract: The robot task.
        surprise: Knows the training data.
        rows: (m, obs_dim) absolute observations.
        foreign: (obs_dim,) which elements lie outside of the training data so often that a shift is worth a thought.
    """
    findings: list[Finding] = []
    mends: list[Change] = []
    for _ in range(MOST):
        best, fall = _best(surprise, rows, _plain(contract, surprise, rows))
        shift, more = _best(surprise, rows, _shifts(contract, surprise, rows, foreign))
        if shift and fall < PART * more:
            best = shift
        if best is None:
            break
        findings.append(best.finding)
        mends.append(best.mend)
        rows = best.mend(rows)
    return findings, _chained(mends)


def _best(surprise: Surprise, rows: JointArray, hypotheses: Iterable[Hypothesis]) -> tuple[Hypothesis | None, float]:
    """Return the hypothesis that is believed most, if one is, with the fall of the mean surprise."""
    before = surprise(rows)
    parts = np.array_split(np.arange(len(rows)), PARTS)
    best, largest = None, 0.0
    for hypothesis in hypotheses:
        fall = before - surprise(hypothesis.mend(rows))
        mean = float(fall.mean())
        if mean >= max(hypothesis.needed, largest) and all(fall[part].mean() >= EVERYWHERE for part in parts):
            best, largest = hypothesis, mean
    return best, largest


def _plain(contract: Contract, surprise: Surprise, rows: JointArray) -> Iterable[Hypothesis]:
    """Yield everything that has no number to fit."""
    yield from _units(contract, surprise, rows)
    yield from _signs(contract)
    yield from _orders(contract, surprise, rows)
    yield from _axes(contract)
    yield from _scans(contract)


def _units(contract: Contract, surprise: Surprise, rows: JointArray) -> Iterable[Hypothesis]:
    """Yield other units. Whatever is made smaller surprises less, so only what is far too large is made smaller."""
    size = np.sqrt(np.square(rows - surprise.centre).mean(axis=0)) / surprise.scale
    for name, terms in _groups(contract):
        columns = [column for term in terms for column in _columns(contract, term)]
        if all(term.unit.startswith("rad") for term in terms):
            cases = ((1 / DEGREES, "in degrees instead of radians"), (DEGREES, "57.3 times too small"))
        elif all(term.unit.startswith("m") for term in terms):
            cases = ((1e-3, "in millimetres instead of metres"), (1e-2, "in centimetres instead of metres"))
        else:
            continue
        for factor, what in cases:
            if factor < 1.0 and np.median(size[columns]) < LARGE:
                continue
            yield Hypothesis(
                Finding(
                    "unit",
                    f"{name} seems to be {what}.",
                    "ROS messages and the contract are in SI units: convert in the driver, not in the contract.",
                ),
                _scaled(columns, factor),
            )


def _signs(contract: Contract) -> Iterable[Hypothesis]:
    joints = sorted({joint for term in contract.observation for joint in term.joints})
    advice = "Compare the driver's sign convention with that of the training data; it may be mounted the other way."
    for joint in joints:
        whole = [(term, column) for term, column in _joint_columns(contract, joint)]
        for places in [whole, *([place] for place in whole if len(whole) > 1)]:
            of = "" if len(places) == len(whole) else f"{places[0][0].name} of "
            finding = Finding("sign", f"{of}{joint} has the opposite sign of the training data.", advice)
            yield Hypothesis(finding, _scaled([column for _, column in places], -1.0))
    for term in contract.observation:
        if term.layout in ("xyz", "xyzw", "heading"):
            for column, name in zip(_columns(contract, term), term.element_names, strict=True):
                yield Hypothesis(
                    Finding("sign", f"{name} has the opposite sign of the training data.", _FRAME_ADVICE),
                    _scaled([column], -1.0),
                )


def _orders(contract: Contract, surprise: Surprise, rows: JointArray) -> Iterable[Hypothesis]:
    """Exchange joints two by two, as long as that helps, and offer the whole rearrangement as one hypothesis."""
    for name, terms in _groups(contract):
        joints = terms[0].joints
        if not joints or any(set(term.joints) != set(joints) for term in terms):
            continue
        order = tuple(joints)
        level = float(surprise(rows).mean())
        while True:
            tried = [_swapped(order, one, other) for one, other in combinations(range(len(joints)), 2)]
            levels = [float(surprise(_reordered(contract, terms, joints, each)(rows)).mean()) for each in tried]
            if not levels or min(levels) > level - CLEAR:
                break
            order, level = tried[int(np.argmin(levels))], min(levels)
        if order != tuple(joints):
            moved = ", ".join(f"{a} looks like {b}" for a, b in zip(order, joints, strict=True) if a != b)
            yield Hypothesis(
                Finding(
                    "joint order",
                    f"In {name} the joints seem to be exchanged: what is called {moved}.",
                    "Compare the driver's order of names with its order of numbers; the contract goes by the names.",
                ),
                _reordered(contract, terms, joints, order),
            )


def _axes(contract: Contract) -> Iterable[Hypothesis]:
    for term in contract.observation:
        if term.layout != "xyz" or term.width != 3:
            continue
        columns = _columns(contract, term)
        for order, signs in product(permutations(range(3)), product((1.0, -1.0), repeat=3)):
            if order == (0, 1, 2) and sum(signs) >= 1.0:
                continue  # the identity, and what `_signs` has
            shown = ", ".join(f"{'-' * (sign < 0)}{'xyz'[axis]}" for axis, sign in zip(order, signs, strict=True))
            finding = f"{term.name} is in another frame: ({shown}) of it would be (x, y, z) of the training data."
            mend = _turned(columns, [columns[axis] for axis in order], signs)
            yield Hypothesis(Finding("frame", finding, _FRAME_ADVICE), mend)


def _scans(contract: Contract) -> Iterable[Hypothesis]:
    advice = "Compare angle_min, angle_increment and the mounting of the scanner with those of the recordings."
    for term in contract.observation:
        if term.layout != "array" or term.width < 3:
            continue
        columns = _columns(contract, term)
        for backwards, turn in product((False, True), range(term.width)):
            if not backwards and not turn:
                continue
            source = np.roll(columns[::-1] if backwards else columns, turn).tolist()
            how = " and ".join(["the other way round"] * backwards + [f"begins {turn} values later"] * bool(turn))
            finding = Finding("frame", f"{term.name} runs {how} compared with the training data.", advice)
            yield Hypothesis(finding, _turned(columns, source, [1.0] * len(columns)), 2 * CLEAR)


def _shifts(contract: Contract, surprise: Surprise, rows: JointArray, foreign: Sequence[bool]) -> Iterable[Hypothesis]:
    """Move what lies outside of the training data to its middle."""
    off = surprise.centre - np.median(rows, axis=0)
    for term in contract.observation:
        columns = [column for column in _columns(contract, term) if foreign[column]]
        if term.unit not in ("rad", "m") or not columns or term.layout == "array":
            continue
        names = [term.element_names[column - _columns(contract, term)[0]] for column in columns]
        by = ", ".join(
            f"{name} by {-off[column]:+.2g} {term.unit}" for name, column in zip(names, columns, strict=True)
        )
        if term.joints:
            subject, advice = "offset", "Is the zero of the joint another one, or does the robot stand elsewhere?"
        else:
            subject, advice = "frame", f"{_FRAME_ADVICE} Or it is a place that training has not shown."
        finding = Finding(subject, f"{term.name} lies off the training data: {by}.", advice)
        yield Hypothesis(finding, _moved(columns, off[columns]), MOVED)


_FRAME_ADVICE = "Is it given in the frame of the training data? Compare header.frame_id, and transform it with tf2."


def _groups(contract: Contract) -> list[tuple[str, list[ObservationTerm]]]:
    """Return every term by itself, and together what comes from one topic in one kind of unit."""
    groups = [(term.name, [term]) for term in contract.observation]
    for topic in contract.topics:
        for kind in ("rad", "m"):
            terms = [each for each in contract.observation if each.topic == topic and each.unit.startswith(kind)]
            if len(terms) > 1:
                groups.append((" and ".join(term.name for term in terms), terms))
    return groups


def _columns(contract: Contract, term: ObservationTerm) -> list[int]:
    place = ObservationBuilder(contract).slice_of(term.name)
    return list(range(place.start, place.stop))


def _joint_columns(contract: Contract, joint: str) -> list[tuple[ObservationTerm, int]]:
    return [
        (term, _columns(contract, term)[term.joints.index(joint)])
        for term in contract.observation
        if joint in term.joints
    ]


def _swapped(order: tuple[str, ...], one: int, other: int) -> tuple[str, ...]:
    listed = list(order)
    listed[one], listed[other] = listed[other], listed[one]
    return tuple(listed)


def _reordered(
    contract: Contract, terms: Sequence[ObservationTerm], joints: Sequence[str], order: Sequence[str]
) -> Change:
    """Return what puts the numbers of `order` in the place of those of `joints`, in all terms."""
    source = dict(zip(joints, order, strict=True))
    into, out_of = [], []
    for term in terms:
        columns = dict(zip(term.joints, _columns(contract, term), strict=True))
        into += [columns[joint] for joint in term.joints]
        out_of += [columns[source[joint]] for joint in term.joints]
    return _turned(into, out_of, [1.0] * len(into))


def _scaled(columns: Sequence[int], factor: float) -> Change:
    return _turned(columns, columns, [factor] * len(columns))


def _turned(into: Sequence[int], out_of: Sequence[int], factors: Sequence[float]) -> Change:
    def mend(rows: JointArray) -> JointArray:
        changed = rows.copy()
        changed[:, list(into)] = rows[:, list(out_of)] * np.array(factors)
        return changed

    return mend


def _moved(columns: Sequence[int], by: JointArray) -> Change:
    def mend(rows: JointArray) -> JointArray:
        changed = rows.copy()
        changed[:, list(columns)] += by
        return changed

    return mend


def _chained(mends: Sequence[Change]) -> Change:
    def mend(rows: JointArray) -> JointArray:
        for each in mends:
            rows = each(rows)
        return rows

    return mend
