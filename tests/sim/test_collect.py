from __future__ import annotations

import json

import pytest

from divo_runtime.errors import DatasetError
from divo_sim.chunks import episode_seed
from divo_sim.collect import Progress, Recipe, collect

RECIPE = Recipe(mixture="expert", transitions=1400, seed=3)


def ignore(progress: Progress) -> None:
    """Report to nobody."""


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def collected(tmp_path_factory):
    """A dataset that one worker collected in one go."""
    return collect(RECIPE, tmp_path_factory.mktemp("one"), workers=1, report=ignore)


def test_two_workers_collect_the_same_bytes_as_one(collected, tmp_path):
    assert contents(collect(RECIPE, tmp_path, workers=2, report=ignore)) == contents(collected)


class KilledError(Exception):
    """Stands for whatever ends a collection in its middle."""


def test_a_killed_collection_leaves_no_dataset_and_goes_on_where_it_stopped(collected, tmp_path):
    def die(progress: Progress) -> None:
        raise KilledError

    with pytest.raises(KilledError):
        collect(RECIPE, tmp_path, workers=1, report=die)
    folder = tmp_path / RECIPE.dataset_id
    partial = folder.with_name(folder.name + ".partial")
    left = {path: path.stat().st_mtime_ns for path in partial.glob("*.npz")}
    assert left
    assert not folder.exists()

    kept: list[bool] = []

    def compare(progress: Progress) -> None:
        kept.append(all(path.stat().st_mtime_ns == time_ns for path, time_ns in left.items()))

    assert contents(collect(RECIPE, tmp_path, workers=1, report=compare)) == contents(collected)
    assert all(kept)
    assert not partial.exists()


def test_chunks_of_another_seed_are_not_used(collected, tmp_path):
    other = Recipe("expert", 1400, seed=4)
    partial = (tmp_path / RECIPE.dataset_id).with_name("expert-v0.partial")
    partial.mkdir(parents=True)
    (partial / "recipe.json").write_text(json.dumps({"seed": 3}))
    (partial / "inner-00000.npz").write_bytes(b"not a chunk of seed 4")
    assert contents(collect(other, tmp_path, workers=1, report=ignore)) != contents(collected)


def test_each_behaviour_brings_its_share_and_at_most_one_episode_more(collected):
    metadata = json.loads((collected / "data" / "metadata.json").read_text())
    assert metadata["recipe"]["shares"] == {"inner": 0.5, "outer": 0.5}
    for row in metadata["statistics"].values():
        assert 700 <= row["transitions"] < 700 + 60
    assert metadata["total_steps"] == sum(row["transitions"] for row in metadata["statistics"].values())


def test_a_dataset_that_is_there_is_kept_and_another_of_its_name_is_refused(collected):
    root = collected.parents[2]
    before = contents(collected)
    assert collect(RECIPE, root, workers=1, report=ignore) == collected
    with pytest.raises(DatasetError, match="--overwrite"):
        collect(Recipe("expert", 1400, seed=9), root, workers=1, report=ignore)
    assert contents(collected) == before


def test_episodes_have_seeds_of_their_own():
    seeds = {episode_seed(seed, name, index) for seed in (0, 1) for name in ("inner", "outer") for index in range(200)}
    assert len(seeds) == 800
