"""Reading datasets: what is whole comes in unchanged, what is not is refused with its place."""

from __future__ import annotations

import json

import h5py
import msgspec
import numpy as np
import pytest
import yaml

from divo_runtime.errors import DatasetError
from divo_train.data.minari import load_minari
from divo_train.data.training_set import STD_FLOOR, training_set


@pytest.fixture
def write(tmp_path, bandit):
    """Write a dataset of two episodes, 2 and 3 actions long, after `change` has had its way with them."""

    def write(change=lambda episodes, metadata: None):
        episodes = [episode(2, first=0, terminated=True), episode(3, first=10, terminated=False)]
        contract = yaml.safe_dump(msgspec.to_builtins(bandit.bandit_contract()))
        metadata = {"total_episodes": 2, "contract": contract, "content_sha256": "ab"}
        change(episodes, metadata)
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / "metadata.json").write_text(json.dumps(metadata))
        with h5py.File(tmp_path / "data" / "main_data.hdf5", "w") as file:
            for number, arrays in enumerate(episodes):
                for name, array in arrays.items():
                    file[f"episode_{number}/{name}"] = array
        return tmp_path

    return write


def episode(length, first, terminated):
    steps = np.arange(length, dtype=np.float32)
    last = steps == length - 1
    return {
        "observations": np.stack([first + np.arange(length + 1), np.ones(length + 1)], axis=1).astype(np.float32),
        "actions": np.stack([steps / 10, -steps / 10], axis=1),
        "rewards": first + steps,
        "terminations": last & terminated,
        "truncations": last & (not terminated),
        "infos/behaviour": np.arange(length + 1),
    }


def test_episodes_are_joined_with_their_last_observations(write):
    dataset = load_minari(write(), hidden=True)
    assert len(dataset) == 5
    np.testing.assert_array_equal(dataset.rows, [0, 1, 3, 4, 5])
    np.testing.assert_array_equal(dataset.observations[:, 0], [0, 1, 2, 10, 11, 12, 13])
    np.testing.assert_array_equal(dataset.episodes, [0, 0, 1, 1, 1])
    np.testing.assert_array_equal(dataset.terminated, [False, True, False, False, False])
    np.testing.assert_array_equal(dataset.truncated, [False, False, False, False, True])
    np.testing.assert_array_equal(dataset.rewards, [0, 1, 10, 11, 12])
    np.testing.assert_array_equal(dataset.hidden["behaviour"], [1, 2, 1, 2, 3])
    assert dataset.digest == "ab"


def test_hidden_labels_stay_hidden_from_learners(write):
    assert load_minari(write()).hidden == {}


def test_a_training_set_is_normalised_and_a_term_that_never_moves_is_not_blown_up(write):
    data = training_set(load_minari(write()), "cpu")
    moving, still = data.observations.T
    assert float(moving.mean()) == pytest.approx(0, abs=1e-6)
    assert float(moving.std(correction=0)) == pytest.approx(1, abs=1e-6)
    assert still.tolist() == [0.0] * 7
    assert float(data.normalizer.std[1]) == pytest.approx(STD_FLOOR)
    np.testing.assert_allclose(data.actions.numpy()[:, 0], [0, 0.1, 0, 0.1, 0.2], atol=1e-6)  # the range is [-1, 1]


def test_the_simulator_s_data_come_in_whole(arm_dataset):
    dataset = load_minari(arm_dataset)
    assert 1500 <= len(dataset) < 1500 + 4 * 60  # each of at most four behaviours brings at most one episode more
    assert len(dataset.observations) == len(dataset) + dataset.episodes.max() + 1
    assert np.abs(dataset.scaled_actions()).max() <= 1
    over = dataset.terminated | dataset.truncated
    assert over.sum() == dataset.episodes.max() + 1


def set_value(key, index, value):
    return lambda episodes, metadata: episodes[1][key].__setitem__(index, value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_value("observations", (2, 1), np.nan), r"not finite[\s\S]*observations\[5, 1\][\s\S]*nan"),
        (set_value("actions", (0, 1), np.inf), r"not finite[\s\S]*actions\[2, 1\][\s\S]*inf"),
        (set_value("rewards", 1, np.nan), r"not finite[\s\S]*rewards\[3\]"),
        (
            lambda e, m: [x.update(actions=x["actions"][:, :1]) for x in e],
            r"sizes do not fit[\s\S]*actions[\s\S]*\(5, 2\)",
        ),
        (
            lambda e, m: [x.update(observations=np.ones((len(x["observations"]), 3))) for x in e],
            r"sizes do not fit[\s\S]*observations[\s\S]*\(7, 2\)",
        ),
        (lambda e, m: e[0].update(rewards=np.zeros(3)), r"sizes do not fit[\s\S]*rewards[\s\S]*\(6,\)"),
        (lambda e, m: e[0].update(actions=np.zeros((2, 3))), "damaged"),  # episodes of different widths
        (lambda e, m: e[0].update(observations=np.zeros((2, 2))), r"one observation more[\s\S]*episode_0[\s\S]*3 obs"),
        (lambda e, m: e[1].pop("rewards"), r"damaged[\s\S]*rewards"),
        (lambda e, m: m.update(total_episodes=3), r"damaged[\s\S]*episode_2"),
        (lambda e, m: m.update(total_episodes=0), "empty"),
        (lambda e, m: m.pop("contract"), r"does not carry a contract[\s\S]*metadata\.json"),
    ],
)  # fmt: skip
def test_data_that_are_not_whole_are_refused_with_their_place(write, change, message):
    with pytest.raises(DatasetError, match=message):
        load_minari(write(change))


def test_data_of_another_contract_are_refused(arm_dataset, bandit):
    with pytest.raises(DatasetError, match=r"sizes do not fit the contract[\s\S]*'bandit'"):
        load_minari(arm_dataset, bandit.bandit_contract())


def test_a_missing_dataset_says_how_to_make_one(tmp_path):
    with pytest.raises(DatasetError, match=r"no readable dataset[\s\S]*divo-sim collect"):
        load_minari(tmp_path / "nothing")


@pytest.mark.parametrize("damage", [lambda content: content[:400], lambda content: b"not hdf5"])
def test_a_damaged_file_is_named(write, damage):
    path = write() / "data" / "main_data.hdf5"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DatasetError, match=r"damaged[\s\S]*main_data\.hdf5"):
        load_minari(path.parents[1])
