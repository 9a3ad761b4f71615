"""The benchmark: plans, statistics worked out by hand, and a tiny one from training to tables."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import yaml

from divo_runtime.errors import DivoError
from divo_train.benchmark.cells import cells_of, episodes_of, is_played
from divo_train.benchmark.episodes import Cell, gather_cells, read_results, write_results
from divo_train.benchmark.plan import fit_configs, methods_of, policies_of, read_plan, run_folder, split_policy
from divo_train.benchmark.scores import best_baseline, overall, read_played, titles, trial_rows
from divo_train.benchmark.statistics import estimate_difference, estimate_iqm, interquartile_mean
from divo_train.benchmark.tables import write_tables
from divo_train.evaluate import Episode

PLAN = {
    "name": "small",
    "policies": ["sampler", "bc"],
    "seeds": 2,
    "episodes": 3,
    "settings": {"value": {"updates": 7}},
    "trials": [
        {"name": "a", "dataset": "data/a", "random_return": -10, "expert_return": 10},
        {"name": "b", "dataset": "data/b", "random_return": {"far": 0, "near": 0.5}, "expert_return": 1,
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
    apart = estimate_difference(first + 2.0, first, np.random.default_rng(0), resamples=400, paired=False)
    assert apart.value == pytest.approx(2.0)
    assert apart.low < -10 < 10 < apart.high  # 1, 11, 31: the draws of either side move the means for themselves


def test_an_interval_is_the_spread_of_resampled_seeds_of_every_trial_by_itself():
    # Two seeds, two trials: a trial's resampled pair is (0, 0), (0, 10), (10, 0) or (10, 10); with the middle half of
    # four numbers the mean is 0, 5 or 10 with probabilities 5/16, 6/16 and 5/16.
    scores = np.array([[0.0, 0.0], [10.0, 10.0]])
    spread = estimate_iqm(scores, np.random.default_rng(0), resamples=4000)
    assert (spread.value, spread.low, spread.high) == (5.0, 0.0, 10.0)


def test_episodes_come_back_from_csv_as_they_were(tmp_path):
    first, second = Cell("a", "bc", 1, "default"), Cell("a", "bc", 1, "default", point=2)
    episodes = [episode(5, -1.25), dataclasses.replace(episode(6, 3.0, success=False), route=-1)]
    touched = [dataclasses.replace(episode(7, 8.15), collision_free=False)]
    path = tmp_path / "a.csv"
    write_results(path, {first: episodes, second: touched})
    assert read_results(path, "a") == {first: episodes, second: touched}
    assert path.read_text().splitlines()[1:] == [
        "bc,default,1,0,5,2,1,-1.25,20", "bc,default,1,0,6,0,-1,3,20", "bc,default,1,2,7,1,1,8.15,20"
    ]  # fmt: skip
    assert second.path(tmp_path) == tmp_path / "episodes" / "bc-default-seed1-point2.csv"


def test_a_plan_says_how_each_trial_is_trained(tmp_path):
    plan = read_plan(plan_file(tmp_path))
    first, second = (fit_configs(plan, trial, tmp_path)["divo"] for trial in plan.trials)
    assert (first.value.updates, first.value.backup_s, first.replicas) == (7, 0.1, 2)
    assert (second.value.updates, second.value.backup_s, second.dataset) == (7, 2.0, "data/b")
    assert methods_of(plan.policies) == first.methods == ("divo", "bc")
    assert len(list(cells_of(plan, plan.trials[1]))) == 2 * 2 * 2


def test_a_policy_with_a_number_of_candidates_has_the_networks_of_the_one_without(tmp_path):
    plan = read_plan(plan_file(tmp_path, policies=["sampler", "sampler@16", "actor@1"], networks="other"))
    assert split_policy("sampler@16") == ("sampler", 16)
    assert split_policy("sampler") == ("sampler", None)
    assert methods_of(plan.policies) == ("divo",)
    assert run_folder(plan, plan.trials[0], Path("runs")) == Path("runs/other/a")
    assert run_folder(read_plan(plan_file(tmp_path)), plan.trials[0], Path("runs")) == Path("runs/small/a")


def test_a_name_says_among_how_many_answers_an_actor_or_a_policy_with_a_number_chooses(tmp_path):
    policies = ["sampler", "actor", "actor@4", "idql@16"]
    two = {"actor": {"candidates": 2}}
    names = titles(read_plan(plan_file(tmp_path, policies=policies, settings=two)))
    assert [names[policy] for policy in (*policies, "divo_w1_actor")] == [
        "DIVO", "DIVO, actor, best of 2", "DIVO, actor, best of 4", "IDQL, best of 16",
        "DIVO, weight 1, actor, best of 2",
    ]  # fmt: skip
    assert titles(read_plan(plan_file(tmp_path)))["actor"] == "DIVO, actor, a single answer"
    trials = [{**PLAN["trials"][0], "settings": two}, PLAN["trials"][1]]
    assert titles(read_plan(plan_file(tmp_path, trials=trials)))["actor"] == "DIVO, actor, best of 1 or 2"


def test_a_method_with_settings_of_its_own_is_trained_apart_and_the_others_share(tmp_path):
    own = {"iql": {"value": {"expectile": 0.7}}, "td3bc": {}}
    plan = read_plan(plan_file(tmp_path, policies=["sampler", "idql", "iql", "td3bc"], method_settings=own))
    runs = fit_configs(plan, plan.trials[0], Path("runs/a"))
    assert runs["divo"] is runs["idql"] is runs["td3bc"]
    assert (runs["divo"].out, runs["divo"].methods) == ("runs/a", ("divo", "td3bc", "idql"))
    assert (runs["iql"].out, runs["iql"].methods) == ("runs/a/iql", ("iql",))
    assert (runs["divo"].value.expectile, runs["iql"].value.expectile) == (0.9, 0.7)


def test_a_trial_may_have_fewer_policies_probes_and_curves_with_episodes_of_their_own(tmp_path):
    trials = [{**PLAN["trials"][0], "policies": ["bc"], "probes": {"closed": "Closed-v0"}}]
    curves = {"snapshots": 5, "every": 2, "episodes": 2, "policies": ["sampler", "bc"]}
    plan = read_plan(plan_file(tmp_path, seeds=1, trials=trials, curves=curves, probe_episodes=5, first_seed=70))
    trial = plan.trials[0]
    assert policies_of(plan, trial) == ("bc",)
    cells = {(cell.environment, cell.point): episodes_of(plan, trial, cell) for cell in cells_of(plan, trial)}
    assert cells == {
        ("default", 0): range(70, 73), ("closed", 0): range(70, 75), ("default", 2): range(70, 72),
        ("default", 4): range(70, 72),
    }  # fmt: skip
    assert fit_configs(plan, trial, tmp_path)["bc"].snapshots == 5


def test_a_cell_counts_as_played_with_the_episodes_that_the_plan_asks_for_and_no_others(tmp_path):
    plan = read_plan(plan_file(tmp_path))
    trial = plan.trials[0]
    cell = next(iter(cells_of(plan, trial)))
    assert not is_played(plan, trial, cell, tmp_path)
    write_results(cell.path(tmp_path), {cell: [episode(30_000 + n, 1.0) for n in range(3)]})
    assert is_played(plan, trial, cell, tmp_path)
    assert list(gather_cells(cells_of(plan, trial), tmp_path)) == [cell]
    assert not is_played(read_plan(plan_file(tmp_path, first_seed=1)), trial, cell, tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"settings": {"worth": {}}}, "no such setting"),
        ({"settings": {"value": {"update": 3}}}, "no such setting"),
        ({"settings": {"value": {"updates": "many"}}}, "another type"),
        ({"settings": {"value": {"updates": True}}}, "another type"),
        ({"method_settings": {"bc": {"cloning": {"update": 1}}}}, "no such setting"),
        ({"method_settings": {"sampler": {}}}, "no such method"),
        ({"policies": ["divo"]}, "no such policy"),
        ({"policies": ["divo@4"]}, "no such policy"),
        ({"policies": ["sampler@0"]}, "no number of candidates"),
        ({"policies": ["sampler@"]}, "no number of candidates"),
        ({"trials": [{**PLAN["trials"][1], "expert_return": {"far": 1}}]}, "constants for each environment"),
        ({"trials": [{**PLAN["trials"][0], "policies": ["td3bc"]}]}, "no such policy of the plan"),
    ],
)
def test_a_plan_with_a_wrong_name_or_setting_is_refused(tmp_path, changes, message):
    with pytest.raises(DivoError, match=message):
        read_plan(plan_file(tmp_path, **changes))


def write_trial(plan, trial, folder, returns):
    """Write a trial's CSV; `returns` says what each (policy, seed, environment) gained, and None that it is missing."""
    played = {}
    for cell in cells_of(plan, trial):
        gained = returns(cell.policy, cell.seed, cell.environment)
        if gained is not None:
            played[cell] = [episode(n, value) for n, value in enumerate(gained)]
    write_results(folder / f"{trial.name}.csv", played)
    return read_played(plan, trial, folder)


def test_tables_show_what_was_played_and_say_what_was_not(tmp_path):
    plan = read_plan(plan_file(tmp_path))
    # a: seed 0 gains 0 and 10 (score 75), seed 1 gains -10 (score 0). b: 1 on the far (100), 0 on the near where
    # random gains 0.5 (-100); bc has played one of its two seeds there.
    a = write_trial(plan, plan.trials[0], tmp_path, lambda policy, seed, _: ((0.0, 10.0), (-10.0, -10.0))[seed])
    b = write_trial(
        plan, plan.trials[1], tmp_path,
        lambda policy, seed, place: None if (policy, seed) == ("bc", 1) else (float(place == "far"),),
    )  # fmt: skip
    assert [(row.policy, row.seeds, row.score.value) for row in trial_rows(plan, a)] == [
        ("sampler", (75.0, 0.0), 37.5), ("bc", (75.0, 0.0), 37.5)
    ]  # fmt: skip
    assert [(row.policy, row.seeds, row.whole) for row in trial_rows(plan, b)] == [
        ("sampler", (0.0, 0.0), True), ("bc", (0.0,), False)
    ]  # fmt: skip
    assert {name: one.tolist() for name, one in overall(plan, {"a": a, "b": b}).items()} == {
        "sampler": [[75.0, 0.0], [0.0, 0.0]]
    }
    text = write_tables(plan, tmp_path).read_text()
    assert "| DIVO | 37.5 [0.0, 75.0] | 100.0% | 100.0% | 75.0, 0.0 |" in text
    assert "| BC | 0.0 [0.0, 0.0] | 100.0% | 100.0% | 100.0% | 100.0% | 0.0 (1 of 2) |" in text
    assert "Not run on every dataset yet: BC." in text
    assert (tmp_path / "scores.png").stat().st_size > 1000
    (tmp_path / "b.csv").unlink()
    assert "Nothing of this has been run yet." in write_tables(plan, tmp_path).read_text()


def test_what_is_not_counted_is_no_part_of_the_score_over_all_trials(tmp_path):
    trials = [PLAN["trials"][0], {**PLAN["trials"][0], "name": "c", "counted": False}]
    plan = read_plan(plan_file(tmp_path, trials=trials))
    a = write_trial(plan, plan.trials[0], tmp_path, lambda policy, *_: (10.0 if policy == "bc" else 0.0,))
    c = write_trial(plan, plan.trials[1], tmp_path, lambda *_: None)
    scores = overall(plan, {"a": a, "c": c})
    assert {policy: one.tolist() for policy, one in scores.items()} == {"sampler": [[50], [50]], "bc": [[100], [100]]}


def test_the_best_baseline_is_the_best_of_those_that_are_not_divo():
    scores = {"sampler": np.full((2, 2), 9.0), "divo_w1": np.full((2, 2), 8.0), "divo_exp_actor": np.full((2, 2), 8.5)}
    assert best_baseline(scores) is None
    assert best_baseline({**scores, "bc": np.full((2, 2), 3.0), "idql": np.full((2, 2), 7.0)}) == "idql"
    assert best_baseline({"idql": np.full((2, 2), 7.0), "sampler@16": np.full((2, 2), 9.5)}) == "idql"
