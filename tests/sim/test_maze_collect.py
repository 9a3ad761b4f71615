from __future__ import annotations

import json

import gymnasium
import minari
import numpy as np
import pytest

from divo_runtime.contract import Contract
from divo_runtime.errors import DivoError
from divo_runtime.schema import parse_yaml
from divo_sim.cli import main
from divo_sim.collect import Recipe, collect
from divo_sim.environments import base_maze_id
from divo_sim.maze_map import MAPS
from divo_sim.normalization import Level, ReferenceScores, normalized_score, reference_scores
from divo_sim.tasks import TASKS, find_task

RECIPE = Recipe("mixed-20", 1500, seed=3, task="base_maze/umaze-play")


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def metadata_of(folder):
    return json.loads((folder / "data" / "metadata.json").read_text())


@pytest.fixture(scope="module")
def collected(tmp_path_factory):
    """A small dataset that one worker collected."""
    return collect(RECIPE, tmp_path_factory.mktemp("one"), workers=1, report=lambda _: None)


def test_two_workers_collect_the_same_bytes_as_one(collected, tmp_path):
    assert contents(collect(RECIPE, tmp_path, workers=2, report=lambda _: None)) == contents(collected)


def test_minari_opens_the_dataset_and_makes_its_environment(collected, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(collected.parents[2]))
    name = "divo/base_maze/umaze-play-mixed-20-v0"
    assert name in minari.list_local_datasets()
    dataset = minari.load_dataset(name)
    assert dataset.observation_space.shape == (32,)
    assert dataset.action_space.high.tolist() == [1.0, 2.0]
    assert dataset.total_steps == metadata_of(collected)["total_steps"] >= 1500
    environment = dataset.recover_environment()
    assert environment.reset(seed=0)[0].shape == (32,)
    environment.close()


def test_an_episode_ends_by_arriving_or_by_the_maps_limit_of_150_steps(collected, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(collected.parents[2]))
    episodes = list(minari.load_dataset("divo/base_maze/umaze-play-mixed-20-v0").iterate_episodes())
    for episode in episodes:
        arrived, late = episode.terminations[-1], episode.truncations[-1]
        assert arrived != late
        assert episode.rewards.sum() == (1.0 if arrived else 0.0)
        assert len(episode.rewards) == 150 or arrived
    assert {bool(episode.terminations[-1]) for episode in episodes} == {True, False}


def test_each_behaviour_brings_its_share(collected):
    metadata = metadata_of(collected)
    assert metadata["behaviours"] == ["expert", "purposeful", "wrong", "random"]
    assert metadata["good_behaviours"] == ["expert", "purposeful"]
    for name, target in {"purposeful": 300, "wrong": 750, "random": 450}.items():
        assert target <= metadata["statistics"][name]["transitions"] < target + 150  # less than one episode more


def test_the_contract_in_the_dataset_names_the_environment_of_its_own_map(collected):
    contract = parse_yaml(metadata_of(collected)["contract"], Contract, "contract")
    assert contract.environment == "divo_sim.environments:divo/BaseMazeUmazeFar-v0"
    environment = gymnasium.make(contract.environment)
    assert environment.observation_space.shape == (contract.observation_size,)
    environment.close()


def test_the_card_says_how_to_make_the_dataset_again_and_what_is_in_it(collected):
    card = (collected / "card.md").read_text()
    metadata = metadata_of(collected)
    assert (
        "divo-sim collect --task base_maze --map umaze --data play --mixture mixed-20 --transitions 1500 --seed 3"
        in card
    )
    assert metadata["content_sha256"] in card
    assert "| purposeful |" in card
    assert "must not be given to a learner" in card


def test_datasets_carry_the_ends_of_the_normalised_score(collected):
    metadata = metadata_of(collected)
    scores = metadata["normalization"]
    assert scores["episodes"] == 500
    assert (metadata["ref_min_score"], metadata["ref_max_score"]) == (
        scores["random"]["return_"],
        scores["expert"]["return_"],
    )
    assert scores["expert"]["success"] > 0.98 > 0.2 > scores["random"]["success"]


def test_a_mixture_that_a_task_does_not_have_is_refused_with_those_it_has(tmp_path):
    with pytest.raises(DivoError, match="arm_reach: random, medium, expert, mixed-25, mixed-5"):
        find_task("arm_reach", "mixed-20")
    with pytest.raises(SystemExit):
        main(["collect", "--task", "base_maze", "--mixture", "medium", "--out", str(tmp_path)])
    assert not list(tmp_path.iterdir())


def test_tasks_share_a_folder_only_where_their_mixtures_differ():
    names = [task.dataset_id(mixture) for task in TASKS.values() for mixture in task.mixtures]
    assert len(set(names)) == len(names)
    assert {"divo/arm_reach/biased-v0", "divo/base_maze/large-diverse-mixed-5-v0"} <= set(names)


def test_biased_data_of_the_arm_take_the_better_way_in_a_fifth(tmp_path):
    folder = collect(Recipe("biased", 1500, 0, "arm_reach_biased"), tmp_path, workers=1, report=lambda _: None)
    metadata = metadata_of(folder)
    inner, outer = metadata["statistics"]["inner"], metadata["statistics"]["outer"]
    assert inner["share"] == pytest.approx(0.2, abs=0.03)
    # 0.05 per step, and about 6 steps longer: 0.3; what grazes the post on the common way adds to it
    assert inner["mean_return"] - outer["mean_return"] > 0.2
    assert inner["collision_free"] >= 0.9
    contract = parse_yaml(metadata["contract"], Contract, "contract")
    assert contract.environment == "divo_sim.environments:divo/ArmReachBiased-v0"
    assert np.isclose(metadata["recipe"]["shares"]["outer"], 0.8)


def test_the_normalised_score_is_zero_for_random_and_a_hundred_for_the_expert():
    random, expert = (Level(("x",), value, value, value, None) for value in (0.1, 0.9))
    scores = ReferenceScores("divo/Any-v0", 500, 0, random, expert)
    assert [normalized_score(value, scores) for value in (0.1, 0.5, 0.9, 1.0)] == pytest.approx([0, 50, 100, 112.5])


def test_every_registered_environment_has_measured_ends_of_its_score_and_others_have_none():
    ids = {task.environment for task in TASKS.values()} | {base_maze_id(maze, "random") for maze in MAPS}
    assert len(ids) == 8  # two of the arm, two of each map
    for environment in ids:
        scores = reference_scores(environment)
        assert scores is not None, environment
        assert scores.random.return_ < scores.expert.return_
    assert reference_scores("divo/Unknown-v0") is None
