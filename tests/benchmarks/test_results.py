"""docs/results.md and its figures: made of the committed episodes, whole or in part."""

from __future__ import annotations

import dataclasses
import math

import msgspec
import pytest
import yaml

from benchmarks.figures import ROOT
from benchmarks.label_curves import LabelRow, read_labels, write_labels
from benchmarks.results import ResultsCommand
from benchmarks.results_page import PageError, fill_page, page_blocks
from benchmarks.results_summary import figures_of, last_labels, mode_rows, overall_figures, summarize_results, way_rows
from divo_train.benchmark.cells import cells_of
from divo_train.benchmark.episodes import write_results
from divo_train.benchmark.plan import read_plan
from divo_train.evaluate import Episode

POLICIES = ["sampler", "actor", "divo_w1", "divo_exp", "bc", "idql"]
SCORES = {
    "sampler": 90, "actor": 88, "actor@1": 88, "divo_w1": 70, "divo_exp": 60, "bc": 10, "idql": 71, "idql@16": 80,
}  # fmt: skip
PLAN = {
    "name": "mixed", "policies": POLICIES, "seeds": 2, "episodes": 2, "probe_episodes": 4, "tuning": "None.",
    "curves": {"snapshots": 2, "episodes": 1, "policies": ["bc"]},
    "trials": [
        {"name": "arm.mixed-5", "dataset": "data/a", "random_return": 0, "expert_return": 100,
         "probes": {"no-inner": "A-v0", "no-outer": "B-v0"}},
        {"name": "maze.mixed-5", "dataset": "data/b", "random_return": 0, "expert_return": 100,
         "environments": {"far": "Far-v0", "random": "Random-v0"}},
        {"name": "maze.mixed-20", "dataset": "data/c", "random_return": 0, "expert_return": 100, "counted": False,
         "policies": ["sampler"]},
    ],
}  # fmt: skip
PAGE = "".join(
    f"# {name}\n<!-- results {name} -->\nold\n<!-- /results -->\n"
    for name in (
        *("protocol", "differences", "overall", "picture", "trials", "modes", "ways", "curves", "labels"),
        *("again.differences", "again.overall", "again.changes", "again.trials"),
        *("several.scores", "several.differences"),
    )
)
LABELS = [
    LabelRow("arm.mixed-5", 0, 10, 0.05, 0.6, 0.4, 0.1, 0.2), LabelRow("arm.mixed-5", 0, 20, 0.05, 0.8, 0.4, 0.3, 0.9),
    LabelRow("arm.mixed-5", 1, 20, 0.05, 0.9, 0.5, 0.5, 0.7),
]  # fmt: skip


@pytest.fixture
def plan(tmp_path):
    path = tmp_path / "plan.yaml"
    path.write_text(yaml.safe_dump(PLAN))
    return read_plan(path)


def episode(number, score, route=1):
    return Episode(number, score > 50, score > 50, route, float(score), 30)


def played(cell, more=0):
    """Return what a cell gains: in a closed route BC, which goes outside, is stopped or arrives; DIVO does both."""
    if cell.environment in ("no-inner", "no-outer"):
        arrives = (
            {"no-inner": 4, "no-outer": 0} if cell.policy == "bc" else dict.fromkeys(PLAN["trials"][0]["probes"], 3)
        )
        return [episode(n, 100 if n < arrives[cell.environment] else 0) for n in range(4)]
    routes = (1, -1) if cell.policy == "sampler" else (1, 1)
    return [episode(n, SCORES[cell.policy] + more, routes[n]) for n in range(1 if cell.point else 2)]


@pytest.fixture
def again(tmp_path):
    path = tmp_path / "again.yaml"
    trials = [{**trial, "probes": {}, "policies": []} for trial in PLAN["trials"][:2]]
    few = {"name": "again", "policies": ["sampler", "idql"], "curves": None, "trials": trials}
    path.write_text(yaml.safe_dump({**PLAN, **few}))
    return read_plan(path)


@pytest.fixture
def several(tmp_path):
    path = tmp_path / "several.yaml"
    trials = [{**trial, "probes": {}, "policies": []} for trial in PLAN["trials"][:2]]
    few = {"name": "several", "policies": ["sampler", "actor@1", "idql", "idql@16"], "curves": None, "trials": trials}
    path.write_text(yaml.safe_dump({**PLAN, **few, "settings": {"sampler": {"candidates": 8}}, "networks": "again"}))
    return read_plan(path)


def publish(plan, folder, leave_out=lambda cell: False, more=0):
    for trial in plan.trials:
        cells = [cell for cell in cells_of(plan, trial) if not leave_out(cell)]
        write_results(folder / plan.name / f"{trial.name}.csv", {cell: played(cell, more) for cell in cells})


def test_the_figures_have_the_names_that_are_owed_and_the_numbers_of_the_episodes(plan, tmp_path):
    publish(plan, tmp_path)
    figures = figures_of(plan, summarize_results(plan, tmp_path / "mixed"), LABELS)
    values = {name: value for name, (value, _) in figures.items()}
    assert values["benchmark.arm.mixed-5.divo.iqm"] == 90
    assert values["benchmark.arm.mixed-5.bc.iqm.low"] == values["benchmark.arm.mixed-5.bc.iqm.high"] == 10
    assert values["benchmark.mixed.divo.iqm"] == 90
    assert values["benchmark.mixed.divo_w1.iqm"] == 70
    assert values["benchmark.mixed.divo_exp.iqm"] == 60
    assert values["benchmark.mixed.best_baseline.iqm"] == 71  # IDQL; neither DIVO's actor nor DIVO with weight 1 is one
    assert values["benchmark.mixed.divo_minus_best_baseline"] == 19
    assert values["benchmark.mixed.divo_minus_w1.low"] == values["benchmark.mixed.divo_minus_w1.high"] == 20
    assert values["benchmark.mixed.divo_minus_actor"] == 2
    assert values["benchmark.maze.mixed-5.divo.far.reached"] == 1
    assert values["benchmark.maze.mixed-20.divo.reached"] == 1
    assert (values["filter.arm.mixed-5.precision"], values["filter.arm.mixed-5.recall"]) == (0.4, 0.8)
    assert {unit for _, unit in figures.values()} == {"points", "1"}


def test_what_was_not_run_whole_gives_no_figure_and_is_named(plan, tmp_path):
    publish(plan, tmp_path, lambda cell: (cell.policy, cell.seed, cell.environment) == ("divo_w1", 1, "far"))
    (tmp_path / "mixed" / "maze.mixed-20.csv").unlink()
    summary = summarize_results(plan, tmp_path / "mixed")
    names = set(figures_of(plan, summary, []))
    assert "benchmark.arm.mixed-5.divo_w1.iqm" in names
    assert (
        not {"benchmark.maze.mixed-5.divo_w1.iqm", "benchmark.mixed.divo_w1.iqm", "benchmark.mixed.divo_minus_w1"}
        & names
    )
    assert not any(name.startswith(("filter", "benchmark.maze.mixed-20")) for name in names)
    blocks = page_blocks(plan, summary, [])
    assert "Not run on every dataset yet: DIVO, weight 1." in blocks["overall"]
    assert "(1 of 2)" in blocks["trials"]
    assert "Nothing of this has been run yet." in blocks["trials"]
    assert "the binary weight" not in blocks["differences"]
    assert "Not run yet" in blocks["labels"]


def test_who_keeps_both_ways_is_told_by_what_is_sure_when_either_is_closed(plan, tmp_path):
    publish(plan, tmp_path)
    rows = {row.policy: row for row in mode_rows(summarize_results(plan, tmp_path / "mixed").trials["arm.mixed-5"])}
    sampler, bc = rows["sampler"], rows["bc"]
    assert (sampler.inner, sampler.outer, sampler.inner_closed, sampler.outer_closed) == (0.5, 0.5, 0.75, 0.75)
    assert (bc.inner, bc.outer, bc.inner_closed, bc.outer_closed, bc.worse) == (0, 0, 1, 0, 0)
    assert list(rows)[-1] == "bc"


def test_which_way_and_how_long_is_told_of_every_task_that_has_ways(plan, tmp_path):
    publish(plan, tmp_path)
    trials = summarize_results(plan, tmp_path / "mixed").trials
    rows = {row.policy: row for row in way_rows(trials["arm.mixed-5"])}
    assert next(iter(rows)) == "sampler"
    assert (rows["sampler"].minus, rows["sampler"].plus, rows["sampler"].steps) == (0.5, 0.5, 30)
    assert (rows["bc"].minus, rows["bc"].plus) == (0, 1)
    assert math.isnan(rows["bc"].steps)  # it never arrives
    table = page_blocks(plan, summarize_results(plan, tmp_path / "mixed"), [])["ways"]
    assert "| DIVO | 50% | 50% | 30.0 |" in table
    assert "| BC | 0% | 100% | - |" in table


def test_the_labels_in_use_are_those_of_the_last_snapshot_averaged_over_seeds():
    row = last_labels(LABELS)["arm.mixed-5"]
    assert (row.updates, row.auc, row.precision, row.recall) == (20, *map(pytest.approx, (0.85, 0.4, 0.8)))


def test_the_page_is_filled_with_pictures_beside_it_and_checked(plan, again, several, tmp_path, capsys):
    publish(plan, tmp_path / "results")
    publish(again, tmp_path / "results", more=5)
    publish(several, tmp_path / "results")
    write_labels(tmp_path / "results" / "mixed" / "labels.csv", LABELS)
    assert read_labels(tmp_path / "results" / "mixed" / "labels.csv") == LABELS
    page = tmp_path / "results.md"
    page.write_text(PAGE)
    plans = (tmp_path / f"{name}.yaml" for name in ("plan", "again", "several"))
    command = ResultsCommand("fill", *plans, tmp_path / "results", page)
    check = dataclasses.replace(command, act="check")
    assert check.run() == 1
    assert "not what" in capsys.readouterr().err
    assert command.run() == 0
    assert check.run() == 0
    text = page.read_text()
    four = "19.0 [19.0, 19.0] | " * 4
    assert f"| IDQL, the best baseline | all of it | {four.strip()}" in text
    further = text[text.index("# again.differences") :]
    assert "| IDQL, the best baseline | all of it | 19.0 [19.0, 19.0] |" in further
    assert "| DIVO | 5.0 [5.0, 5.0] | 5.0 [5.0, 5.0] | 5.0 [5.0, 5.0] |" in further
    by_candidates = text[text.index("# several.scores") :]
    assert "| DIVO, sampler, best of 8 | 90.0 [90.0, 90.0] | 90.0 [90.0, 90.0] |" in by_candidates
    assert "| DIVO, actor, a single answer | 88.0 [88.0, 88.0] | 88.0 [88.0, 88.0] |" in by_candidates
    assert "| IDQL, best of 16 (the best of them over all) | 10.0 [10.0, 10.0] | 10.0 [10.0, 10.0] |" in by_candidates
    assert "| IDQL, best of 8 | 19.0 [19.0, 19.0] | 19.0 [19.0, 19.0] |" in by_candidates
    assert "| DIVO | 50% | 50% | 75% | 75% | 75% |" in text
    assert "| arm.mixed-5 | 5.0% | 45.0% | 40.0% | 80.0% | 0.850 |" in text
    assert "old" not in text
    for name in ("results.png", "results-curves.png", "results-labels.png"):
        assert f"({name})" in text
        assert (tmp_path / name).stat().st_size > 1000
    before = {name: (tmp_path / name).read_bytes() for name in ("results.png", "results-curves.png")}
    command.run()
    assert {name: (tmp_path / name).read_bytes() for name in before} == before


def test_a_second_comparison_has_figures_over_all_under_its_own_name(again, tmp_path):
    publish(again, tmp_path)
    figures = overall_figures(again, summarize_results(again, tmp_path / "again"))
    assert figures["benchmark.again.divo_minus_best_baseline"] == (19, "points")
    assert {name.split(".")[1] for name in figures} == {"again"}


def test_the_second_published_comparison_differs_from_the_first_by_one_critic_alone():
    first, second = (read_plan(ROOT / "benchmarks" / f"{name}.yaml") for name in ("mixed", "one_critic"))
    assert second.settings["value"] == first.settings["value"] | {"selector": "continued"}
    assert {**second.settings, "value": None} == {**first.settings, "value": None}
    assert (second.seeds, second.episodes, second.first_seed) == (first.seeds, first.episodes, first.first_seed)
    counted = [msgspec.structs.replace(trial, probes={}) for trial in first.trials if trial.counted]
    assert list(second.trials) == counted


def test_the_numbers_of_candidates_are_compared_on_the_networks_and_episodes_of_the_second_comparison():
    second, third = (read_plan(ROOT / "benchmarks" / f"{name}.yaml") for name in ("one_critic", "candidates"))
    assert third.networks == second.name
    same = ("seeds", "episodes", "first_seed", "settings", "method_settings", "trials")
    assert {name: getattr(third, name) for name in same} == {name: getattr(second, name) for name in same}


def test_a_page_with_other_blocks_is_refused():
    with pytest.raises(PageError, match="blocks are others"):
        fill_page("<!-- results a -->\n<!-- /results -->", {"b": "x\n"}, "page")


def test_the_published_page_says_what_the_committed_episodes_say():
    assert ResultsCommand("check").run() == 0
