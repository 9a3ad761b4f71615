from __future__ import annotations

import json

import minari
import numpy as np
import pytest
from minari.namespace import list_local_namespaces

from divo_sim.behaviours import BEHAVIOURS
from divo_sim.chunks import read_chunk, write_chunk
from divo_sim.dataset import content_hash, describe_namespaces, write_dataset
from divo_sim.dataset_card import describe_dataset
from divo_sim.rollout import roll_out

DATASET_ID = "divo/arm_reach/tiny-v0"


@pytest.fixture(scope="module")
def episodes(environment):
    return [roll_out(environment, name, seed) for seed, name in enumerate(("inner", "random", "outer"))]


@pytest.fixture
def dataset(tmp_path, monkeypatch, episodes):
    describe_namespaces(tmp_path, DATASET_ID)
    write_dataset(tmp_path / DATASET_ID, episodes, describe_dataset(DATASET_ID, {"seed": 0}, episodes))
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    return minari.load_dataset(DATASET_ID)


def test_minari_reads_back_every_array(dataset, episodes):
    assert dataset.total_episodes == 3
    assert dataset.total_steps == sum(map(len, episodes))
    for read, written in zip(dataset.iterate_episodes(), episodes, strict=True):
        np.testing.assert_array_equal(read.observations, written.observations)
        np.testing.assert_array_equal(read.actions, written.actions)
        np.testing.assert_array_equal(read.rewards, written.rewards)
        np.testing.assert_array_equal(read.terminations, written.terminations)
        np.testing.assert_array_equal(read.truncations, written.truncations)
        for name, array in written.infos.items():
            np.testing.assert_array_equal(read.infos[name], array)
    assert [seed["seed"] for seed in dataset.storage.get_episode_metadata(range(3))] == [0, 1, 2]


def test_minari_knows_spaces_namespaces_and_the_environment(dataset):
    assert dataset.observation_space.shape == (23,)
    assert dataset.action_space.high.tolist() == [1.5] * 7
    assert {"divo", "divo/arm_reach"} <= set(list_local_namespaces())
    assert DATASET_ID in minari.list_local_datasets()
    environment = dataset.recover_environment()
    first, _ = environment.reset(seed=0)
    environment.close()
    np.testing.assert_array_equal(first, dataset[0].observations[0])


def test_the_episode_that_ran_out_of_time_is_truncated_and_the_others_terminated(dataset):
    ends = [(bool(episode.terminations[-1]), bool(episode.truncations[-1])) for episode in dataset.iterate_episodes()]
    assert ends == [(True, False), (False, True), (True, False)]


def test_provenance_is_in_the_infos_and_the_metadata_but_not_in_the_observations(tmp_path, dataset):
    names = json.loads((tmp_path / DATASET_ID / "data" / "metadata.json").read_text())["behaviours"]
    labels = [names[episode.infos["behaviour"][0]] for episode in dataset.iterate_episodes()]
    assert names == list(BEHAVIOURS)
    assert labels == ["inner", "random", "outer"]
    assert dataset[0].observations.shape[1] == 23


def test_the_content_hash_sees_every_array_and_the_order(episodes):
    before = content_hash(episodes)
    assert content_hash(list(episodes)) == before
    assert content_hash(episodes[::-1]) != before
    episodes[1].infos["route"][0] += 1
    changed = content_hash(episodes)
    episodes[1].infos["route"][0] -= 1
    assert changed != before


def test_a_chunk_gives_back_its_episodes(tmp_path, episodes):
    path = tmp_path / "inner-00000.npz"
    write_chunk(path, episodes)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]  # no temporary file stays
    assert content_hash(read_chunk(path)) == content_hash(episodes)
    assert [episode.seed for episode in read_chunk(path)] == [0, 1, 2]
