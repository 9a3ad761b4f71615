"""One direction, x0 - x1, that training has hardly ever seen beyond 0.5; elements between -1 and 1."""

import msgspec
import numpy as np
import pytest

from divo_runtime.bundle.loading import load_bundle
from divo_runtime.bundle.manifest import read_manifest
from divo_runtime.bundle.manifest_writing import write_manifest
from divo_runtime.contract import Contract
from divo_runtime.errors import BundleError, ContractError
from divo_runtime.safety.calibration import Calibration, Novelty, NoveltyScore, Quantiles, novelty_scores
from divo_runtime.safety.guards import Guard, open_guard
from divo_runtime.safety.limits import Safety, Watch
from divo_runtime.schema import convert

SHARES = (0.0, 0.001, 0.01, 0.5, 0.99, 0.999, 1.0)
CALIBRATION = Calibration(
    novelty=Novelty(
        mean=(0.0, 0.0),
        directions=((2.0, -2.0),),
        lower=(-1.0, -1.0),
        upper=(1.0, 1.0),
        scale=(0.5, 0.5),
        scores=Quantiles(shares=SHARES, values=(0.0, 0.0, 0.1, 0.5, 1.0, 1.2, 2.0)),
    ),
    value=Quantiles(shares=SHARES, values=(-9.0, -5.0, -3.0, 0.0, 1.0, 2.0, 3.0)),
    held_out=1000,
)
USUAL = np.float32([0.1, 0.0])
NOVEL = np.float32([0.9, 0.0])


def guard(**watches):
    safety = Safety(limits=(), **{f"{name}_guard": Watch(**watch) for name, watch in watches.items()})
    return Guard(safety, CALIBRATION)


@pytest.mark.parametrize(
    ("observation", "score"),
    [
        ((0.2, 0.0), 0.4),
        ((0.2, 0.2), 0.0 + 1.0 - 0.8 / 0.5),  # below zero: well inside, so the direction counts
        ((-0.8, 0.1), 1.8),
        ((2.0, 2.0), 3.0),  # the direction says 0; 1.0 outside of the range is two standard deviations
    ],
)
def test_novelty_is_the_larger_of_direction_and_range(observation, score):
    assert NoveltyScore(CALIBRATION.novelty)(np.float32(observation)) == pytest.approx(max(score, 0.0), abs=1e-6)
    assert novelty_scores(np.array([observation]), CALIBRATION.novelty) == pytest.approx([max(score, 0.0)], abs=1e-6)


def test_a_quantile_between_two_kept_ones_is_on_the_line_between_them():
    assert CALIBRATION.value.at(0.255) == pytest.approx(-1.5)
    assert CALIBRATION.value.at(0.01) == -3.0


def test_what_is_usual_trips_nothing():
    assert guard().judge(USUAL, value=0.0) == ()


def test_the_bounds_are_the_usual_tails_of_the_calibration():
    (trip,) = guard().judge(NOVEL, value=-2.9)
    assert (trip.guard, trip.reaction) == ("novelty", "warn")
    assert (trip.score, trip.bound) == (pytest.approx(1.8), 1.2)
    assert str(trip) == "novelty: 1.8 with 1 at the edge of the training data, bound 1.2"
    (trip,) = guard().judge(USUAL, value=-3.1)
    assert str(trip) == "value: the critic gives -3.1, bound -3"


def test_the_contract_can_ask_for_other_tails():
    watch = guard(novelty={"tail": 0.5}, value={"tail": 0.001})
    assert [trip.guard for trip in watch.judge(np.float32([0.3, 0.0]), value=-4.9)] == ["novelty"]


def test_a_value_that_is_no_number_trips():
    assert [trip.guard for trip in guard().judge(USUAL, value=float("nan"))] == ["value"]


def test_a_guard_reacts_after_some_cycles_in_a_row_and_not_to_scattered_ones():
    watch = guard(novelty={"reaction": "hold", "cycles": 3})
    seen = [bool(watch.check(x, 0.0)) for x in (NOVEL, NOVEL, USUAL, NOVEL, NOVEL, NOVEL, NOVEL, USUAL)]
    assert seen == [False] * 5 + [True] * 2 + [False]
    watch.check(NOVEL, 0.0)
    watch.check(NOVEL, 0.0)
    watch.forget()
    assert watch.check(NOVEL, 0.0) == ()


def test_each_guard_counts_for_itself():
    watch = guard(novelty={"cycles": 2}, value={"cycles": 1, "reaction": "fault"})
    assert [str(trip.guard) for trip in watch.check(NOVEL, -4.0)] == ["value"]
    assert [str(trip.guard) for trip in watch.check(NOVEL, 0.0)] == ["novelty"]


def test_an_ignored_guard_is_silent():
    watch = guard(novelty={"reaction": "ignore"}, value={"reaction": "ignore"})
    assert watch.judge(NOVEL, -100.0) == ()


def test_without_calibration_nothing_trips():
    assert Guard(Safety(limits=())).check(NOVEL, -100.0) == ()


@pytest.mark.parametrize(
    ("field", "value", "text"),
    [
        ("mean", [0.0], "1 numbers"),
        ("scale", [0.5, 0.0], "scale above zero"),
        ("lower", [float("nan"), 0.0], "finite"),
        ("scores", {"shares": [0.0, 1.0], "values": [1.0, 0.0]}, "none of them falling"),
        ("scores", {"shares": [0.0], "values": [1.0]}, "two or more"),
    ],
)
def test_a_calibration_that_contradicts_itself_is_refused(field, value, text):
    data = msgspec.to_builtins(CALIBRATION)
    data["novelty"][field] = value
    with pytest.raises(ContractError, match=text):
        convert(data, Calibration, "manifest")


def test_a_bundle_without_calibration_opens_a_guard_that_never_objects(tmp_path, arm: Contract, write_tiny_bundle):
    with load_bundle(write_tiny_bundle(tmp_path, arm)) as bundle:
        assert open_guard(bundle).check(np.full(4, 1e6, np.float32), -1e6) == ()


def test_a_calibration_of_another_size_is_refused_with_the_bundle(tmp_path, arm: Contract, write_tiny_bundle):
    folder = write_tiny_bundle(tmp_path, arm)  # its observations have 4 numbers, the calibration's 2
    path = folder / f"{arm.name}.yaml"
    manifest = read_manifest(path)
    write_manifest(
        path,
        msgspec.structs.replace(manifest, x_divo=msgspec.structs.replace(manifest.x_divo, calibration=CALIBRATION)),
    )
    with pytest.raises(BundleError, match="calibration is not of the contract's size"):
        load_bundle(folder)
