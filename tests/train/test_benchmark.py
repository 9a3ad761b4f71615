"""The benchmark: plans, statistics worked out by hand, and a tiny one from training to tables."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import yaml

from divo_runtime.errors import DivoError
from divo_train.benchmark.episodes import Cell, read_episodes, write_episodes
from divo_train.benchmark.plan import fit_config, read_plan
from divo_train.benchmark.run import cells_of, methods_of
from divo_train.benchmark.statistics import estimate_difference, estimate_iqm, interquartile_mean
from divo_train.benchmark.tables import overall, trial_rows, write_tables
from divo_train.evaluate import Episode

PLAN = {
    "name": "small",
    "policies": ["sampler", "bc"],
    "seeds": 2,
    "episodes": 3,
    "settings": {"value": {"updates": 7}},
    "trials": [
        {"name": "a", "dataset": "data/a", "random_return": -10, "expert_return": 10},
        {"name": "b", "dataset": "data/b", "random_return": 0, "expert_return": 1,
         "environments": {"far": "Far-v0", "near": "Near-v0"}, "settings": {"value": {"backup_s": 2}}},
    ],
}  # fmt: skip


def plan_file(folder: Path, **changes) -> Path:
    path = folder / "plan.yaml"
    path.write_text(yaml.safe_dump({**PLAN, **changes}))
    return path


def episode(seed, return_, success=True):
    return Episode(seed, success, success, 1, return_, 20)


def test_the_interquartile_mean_leaves_out_the_best_and_the_worst_quarter():
    assert interquartile_mean(np.array([[0.0, 1.0], [3.0, 100.0]])) == 2.0  # (1 + 3) / 2


def test_an_interval_resamples_seeds_within_each_trial():
    # Equal seeds: nothing to resample, however different the trials are.
    same = estimate_iqm(np.array([[1.0, 50.0], [1.0, 50.0]]), np.random.default_rng(0), resamples=50)
    assert (same.value, same.low, same.high) == (25.5, 25.5, 25.5)
    spread = estimate_iqm(np.array([[0.0], [10.0]]), np.random.default_rng(0), resamples=400)
    assert (spread.value, spread.low, spread.high) == (5.0, 0.0, 10.0)


def test_a_difference_pairs_the_seeds():
    first = np.array([[1.0], [11.0], [31.0]])
    gained = estimate_difference(first + 2.0, first, np.random.default_rng(0), resamples=100)
    assert (gained.value, gained.low, gained.high) == pytest.approx((2.0, 2.0, 2.0))


def test_episodes_come_back_from_csv_as_they_were(tmp_path):
    path = Cell("a", "bc", 1, "default").path(tmp_path)
    episodes = [episode(5, -1.25), dataclasses.replace(episode(6, 3.0, success=False), route=-1)]
    write_episodes(path, episodes)
    assert path == tmp_path / "a" / "bc-default-seed1.csv"
    assert read_episodes(path) == episodes


def test_a_plan_says_how_each_trial_is_trained(tmp_path):
    plan = read_plan(plan_file(tmp_path))
    first, second = (fit_config(plan, trial, tmp_path) for trial in plan.trials)
    assert (first.value.updates, first.value.backup_s, first.replicas) == (7, 0.1, 2)
    assert (second.value.updates, second.value.backup_s, second.dataset) == (7, 2.0, "data/b")
    assert methods_of(plan) == ("divo", "bc")
    assert len(list(cells_of(plan, plan.trials[1]))) == 2 * 2 * 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"worth": {}}, "no such setting"),
        ({"value": {"update": 3}}, "no such setting"),
        ({"value": {"updates": "many"}}, "another type"),
        ({"value": {"updates": True}}, "another type"),
    ],
)
def test_a_plan_with_a_wrong_setting_is_refused(tmp_path, settings, message):
    with pytest.raises(DivoError, match=message):
        read_plan(plan_file(tmp_path, settings=settings))


def test_tables_hold_what_was_played_everywhere_and_nothing_else(tmp_path):
    plan = read_plan(plan_file(tmp_path))
    for trial in plan.trials:
        for cell in cells_of(plan, trial):
            if (cell.trial, cell.policy, cell.seed) != ("b", "bc", 1):
                # a: seed 0 gains 0 and 10 (score 75), seed 1 gains -10 (score 0); b: return 1 (score 100).
                returns = {("a", 0): (0.0, 10.0), ("a", 1): (-10.0, -10.0)}.get((cell.trial, cell.seed), (1.0, 1.0))
                write_episodes(cell.path(tmp_path), [episode(n, value) for n, value in enumerate(returns)])
    (row, other) = trial_rows(plan, plan.trials[0], tmp_path)
    assert {row.policy, other.policy} == {"sampler", "bc"}
    assert row.seeds == (75.0, 0.0)
    assert row.score.value == 37.5
    assert [row.policy for row in trial_rows(plan, plan.trials[1], tmp_path)] == ["sampler"]
    assert set(overall(plan, tmp_path)) == {"sampler"}
    assert overall(plan, tmp_path)["sampler"].tolist() == [[75.0, 100.0, 100.0], [0.0, 100.0, 100.0]]
    text = write_tables(plan, tmp_path).read_text()
    assert "| DIVO | 37.5 [0.0, 75.0] |" in text
    assert (tmp_path / "scores.png").stat().st_size > 1000
