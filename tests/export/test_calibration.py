"""What the guards compare with, fitted on numbers made for it and on a real export."""

from pathlib import Path

import numpy as np
import pytest

from divo_export.calibration import HELD_OUT, fit_novelty, held_out_episodes, quantiles
from divo_runtime.contract import load_contract
from divo_runtime.errors import DatasetError
from divo_runtime.safety.calibration import NoveltyScore
from divo_runtime.safety.guards import open_guard
from divo_train.data.dataset import Dataset


@pytest.fixture
def arm():
    return load_contract(Path(__file__).parents[2] / "sim/divo_sim/contracts/arm_reach.yaml")


@pytest.fixture
def line():
    """Two inputs that always agree, uniform in [-1, 1]: training and held-out observations."""
    rng = np.random.default_rng(0)
    values = rng.uniform(-1, 1, size=(6000, 1))
    both = np.concatenate([values, values], axis=1)
    return both[:5000], both[5000:]


def test_a_relation_that_always_held_is_missed_when_it_breaks(line):
    novelty = fit_novelty(*line)
    score = NoveltyScore(novelty)
    assert score(np.array([0.3, 0.3])) < 1.0
    # the spread of an element is 0.58; a direction without variance is given 0.3 % of it, that is 0.0018
    assert score(np.array([0.3, 0.3 + 0.005])) == pytest.approx(0.005 / 2**0.5 / (1e-5**0.5 / 3**0.5), rel=0.05)
    assert score(np.array([0.3, -0.3])) > 100.0


def test_held_out_observations_of_the_same_kind_are_hardly_ever_novel(line):
    scores = fit_novelty(*line).scores
    assert 0.9 < scores.at(0.999) < 1.1
    assert scores.at(0.0) < 0.1


def test_outside_of_the_range_is_novel_by_standard_deviations(line):
    score = NoveltyScore(fit_novelty(*line))
    # two standard deviations of a uniform distribution on [-1, 1] are 2 / sqrt(3)
    assert score(np.full(2, 1.0 + 2 / 3**0.5)) == pytest.approx(3.0, abs=0.01)


def test_an_input_that_never_changed_is_novel_when_it_does(line):
    frozen = [np.concatenate([part, np.full((len(part), 1), 7.0)], axis=1) for part in line]
    score = NoveltyScore(fit_novelty(*frozen))
    assert score(np.array([0.3, 0.3, 7.0])) < 1.1
    assert score(np.array([0.3, 0.3, 7.5])) > 1.4


def test_whole_episodes_are_held_out(arm):
    episodes = np.repeat(np.arange(50), 4)
    held = held_out_episodes(_dataset(arm, episodes))
    assert held.sum() == HELD_OUT * 200
    assert all(len(set(held[episodes == episode])) == 1 for episode in range(50))


def test_one_episode_cannot_be_both_learnt_from_and_held_out(arm):
    with pytest.raises(DatasetError, match="too small to calibrate"):
        held_out_episodes(_dataset(arm, np.zeros(9, int)))


def test_quantiles_keep_the_tails():
    kept = quantiles(np.arange(1001.0))
    assert kept.at(0.001) == pytest.approx(1.0)
    assert kept.at(0.01) == pytest.approx(10.0)
    assert kept.at(0.999) == pytest.approx(999.0)


def test_an_exported_bundle_knows_its_data_from_degrees(exported):
    _, bundle = exported
    calibration = bundle.manifest.x_divo.calibration
    guard = open_guard(bundle)
    usual = bundle.typical_observation
    assert [trip.guard for trip in guard.judge(usual, calibration.value.at(0.5))] == []
    degrees = usual.copy()
    degrees[:7] = np.rad2deg(degrees[:7])
    assert [trip.guard for trip in guard.judge(degrees, calibration.value.at(0.5))] == ["novelty"]
    assert [trip.guard for trip in guard.judge(usual, calibration.value.at(0.0) - 1.0)] == ["value"]


def _dataset(contract, episodes):
    size = len(episodes)
    return Dataset(
        name="made up",
        contract=contract,
        observations=np.zeros((size, contract.observation_size), np.float32),
        actions=np.zeros((size, contract.action_size), np.float32),
        rewards=np.zeros(size, np.float32),
        terminated=np.zeros(size, bool),
        truncated=np.zeros(size, bool),
        rows=np.arange(size),
        episodes=episodes,
    )
