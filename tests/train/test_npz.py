"""Flat npz, OGBench's, d4rl-pybullet's, and Minari datasets of others become the one dataset type."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import h5py
import msgspec
import numpy as np
import pytest

from divo_runtime.contract import Action
from divo_runtime.errors import DatasetError
from divo_train.data.d4rl import flat_rows
from divo_train.data.flat import Tally
from divo_train.data.flat_config import FlatConfig
from divo_train.data.foreign_minari import read_episodes
from divo_train.data.gym_contract import gym_contract
from divo_train.data.minari import load_minari
from divo_train.data.npz import read_npz
from divo_train.data.trajectories import CLOSING_ROW, SINGLE_ROW, split_trajectories
from divo_train.flat_import import import_flat
from divo_train.import_command import ImportConfig, run_import

OBSERVATIONS = np.arange(6, dtype=np.float32)[:, None] * [1, 10]
ACTIONS = np.arange(6, dtype=np.float32)[:, None]
ENDS = np.array([0, 0, 1, 0, 0, 1], bool)
REWARDS = np.arange(6, dtype=np.float32)


def arrive(terms, actions):
    """A reward function as a user writes it: the task ends where the first coordinate reaches 1."""
    arrived = terms["observation"][1:, 0] >= 1
    return arrived * 5.0, arrived


@pytest.fixture
def save(tmp_path):
    def save(**arrays):
        path = tmp_path / "data.npz"
        np.savez(path, **{"observations": OBSERVATIONS, "actions": ACTIONS, **arrays})
        return path

    return save


def imported(path, tmp_path, reward="", **settings):
    metadata = import_flat(path, tmp_path / "new" / "data-v0", None, reward, FlatConfig(**settings))
    return load_minari(tmp_path / "new" / "data-v0"), metadata


def test_gymnasium_s_names_are_understood(save, tmp_path):
    path = save(rewards=REWARDS, terminated=ENDS & False, truncated=ENDS)
    data, metadata = imported(path, tmp_path)
    assert data.rewards.tolist() == [0, 1, 3, 4]
    assert data.truncated.tolist() == [False, True, False, True]
    assert sum(metadata["dropped"].values()) == 2
    assert data.contract.rate_hz == 1


def test_actions_beyond_one_give_the_contract_their_own_range(save, tmp_path):
    data, _ = imported(save(rewards=REWARDS, terminals=ENDS), tmp_path)
    assert [side.tolist() for side in data.contract.action_range()] == [[0.0], [5.0]]
    assert data.scaled_actions()[0, 0] == -1.0


def test_dones_are_refused_because_they_say_too_little(save):
    with pytest.raises(DatasetError, match="ended by the task or by the time"):
        read_npz(save(rewards=REWARDS, dones=ENDS))


def test_ogbench_s_last_rows_are_observations_and_its_rewards_come_from_a_function(save, tmp_path, monkeypatch):
    with pytest.raises(DatasetError, match="where the reward comes from"):
        imported(save(terminals=ENDS), tmp_path)
    monkeypatch.setattr("divo_train.flat_import.load_function", lambda name: arrive)
    data, metadata = imported(save(terminals=ENDS), tmp_path, reward="task:arrive")
    # the first recording arrives with its first action, the second is there from its first action on
    assert data.rewards.tolist() == [5, 5]
    assert data.terminated.tolist() == [True, True]
    assert data.observations[:, 0].tolist() == [0, 1, 3, 4]
    assert metadata["dropped"]["step after the end of the task, by the reward function"] == 2
    assert metadata["dropped"][CLOSING_ROW] == 2


def test_ogbench_without_a_task_gets_zeros_and_truncations(save, tmp_path):
    data, _ = imported(save(terminals=ENDS), tmp_path, reward="none")
    assert data.rewards.tolist() == [0, 0, 0, 0]
    assert data.truncated.tolist() == [False, True, False, True]
    assert not data.terminated.any()


def test_d4rl_pybullet_s_rewards_come_one_row_later_and_its_time_limit_is_no_termination(tmp_path):
    rows = flat_rows(
        {"observations": OBSERVATIONS, "actions": ACTIONS, "rewards": REWARDS, "terminals": [0, 1, 0, 0, 1, 1]},
        tmp_path,
    )
    tally = Tally()
    first, second = split_trajectories(rows, "d4rl_pybullet", 2, tally)
    assert (first["rewards"].tolist(), first["terminations"].tolist()) == ([1], [True])
    assert (second["rewards"].tolist(), second["truncations"].tolist()) == ([3, 4], [False, True])
    assert tally.dropped == {CLOSING_ROW: 2, SINGLE_ROW: 1}


@pytest.fixture
def minari_of_others(tmp_path):
    """Two episodes with a dictionary observation, the second without its last observation."""
    folder = tmp_path / "maze" / "umaze-v1"
    (folder / "data").mkdir(parents=True)
    space = {"type": "Box", "dtype": "float32", "shape": [1], "low": [-2.0], "high": [2.0]}
    spec = {"id": "PointMaze_UMaze-v3", "max_episode_steps": 300}
    description = {"dataset_id": "maze/umaze-v1", "action_space": json.dumps(space), "env_spec": json.dumps(spec)}
    (folder / "data" / "metadata.json").write_text(json.dumps(description))
    with h5py.File(folder / "data" / "main_data.hdf5", "w") as file:
        for number, rows in enumerate((3, 2)):
            group = file.create_group(f"episode_{number}")
            group["observations/observation"] = np.arange(rows * 2.0).reshape(rows, 2)
            group["observations/achieved_goal"] = np.full((rows, 1), 7.0)
            group["actions"] = np.zeros((2, 1))
            for key in ("rewards", "terminations", "truncations"):
                group[key] = np.zeros(2)
    return folder


def test_a_minari_dataset_of_others_gets_a_contract_from_its_spaces(minari_of_others, tmp_path):
    data, metadata = imported(minari_of_others, tmp_path, observation_keys=("observation", "achieved_goal"))
    assert data.observations.tolist() == [[0, 1, 7], [2, 3, 7], [4, 5, 7]]
    assert data.truncated.tolist() == [False, True]  # it was recorded without an end
    assert data.contract.environment == "PointMaze_UMaze-v3"
    assert data.contract.action_range()[0].tolist() == [-2.0]
    assert metadata["dropped"] == {"episode that does not have one observation more than actions": 2}


def test_a_dictionary_s_arrays_are_joined_alphabetically_unless_told_otherwise(minari_of_others):
    (episode,) = read_episodes(minari_of_others, (), Tally())
    assert episode["observations"][0].tolist() == [7, 0, 1]
    with pytest.raises(DatasetError, match="lacks arrays"):
        list(read_episodes(minari_of_others, ("goal",), Tally()))


def test_a_dataset_that_is_there_is_not_overwritten(save, tmp_path):
    path = save(rewards=REWARDS, terminals=ENDS)
    imported(path, tmp_path)
    with pytest.raises(DatasetError, match="something at the new dataset's place"):
        imported(path, tmp_path)


def test_flat_data_refuse_what_only_topics_have(save, tmp_path):
    path = save(rewards=REWARDS, terminals=ENDS)
    for name, value in (("contract", Path("contract.yaml")), ("action", "measured"), ("reward_topic", "reward")):
        config = replace(ImportConfig((path,), tmp_path / "x"), **{name: value})
        with pytest.raises(DatasetError, match="contract of their own") as error:
            run_import(config, None)
        assert f"--{name.replace('_', '-')}" in str(error.value)
    assert not (tmp_path / "x").exists()


def test_an_action_without_unit_is_published_as_plain_numbers_only():
    contract = gym_contract("cheetah", 17, np.full(6, -1.0), np.full(6, 1.0), 20.0)
    assert contract.action.unit == "1"
    for change in ({"type": "trajectory_msgs/msg/JointTrajectory"}, {"unit": "rad"}):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(msgspec.to_builtins(contract.action) | change, Action)


def test_an_action_that_never_moves_still_has_a_range():
    lower, upper = gym_contract("still", 1, np.array([0.5]), np.array([0.5]), 1.0).action_range()
    assert (lower[0], upper[0]) == (0.499, 0.501)
