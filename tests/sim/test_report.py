"""The files of a validation from results made by hand: no process, no ROS."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from divo_runtime.errors import DivoError
from divo_sim.episode_store import EpisodeStore
from divo_sim.evaluation import read_evaluation
from divo_sim.loop_episode import LoopEpisode, measure_latency
from divo_sim.outcomes import Outcome
from divo_sim.replay_film import choose_episodes, tile
from divo_sim.report import render_report, write_headline, write_verdict
from divo_sim.report_files import write_report
from divo_sim.validate_command import ValidateCommand
from divo_sim.validation import Layout, PolicyResult, Validation, differences, summarize, write_validation

HOME = (0.0, 0.2, 0.0, -2.0, 0.0, 2.2, 0.8)
KEY = {"manifest_sha256": "a" * 64, "divo_version": "0"}


def outcome(seed: int, success: bool = True, clean: bool = True, route: int = 1, joints: int = 2) -> Outcome:
    path = ((0.5, -0.28, 0.13), (0.62, 0.0, 0.13), (0.53, 0.28, 0.13))
    return Outcome(seed, success, success and clean, route, 8.0 if success else -6.0, 3, path, (HOME,) * joints)


def looped(one: Outcome, totals_us: tuple[float, ...] = (500.0, 1000.0), missed: float = 0.0) -> LoopEpisode:
    timings = tuple({"total_us": total, "cycle": n + 1.0, "missed": missed} for n, total in enumerate(totals_us))
    return LoopEpisode(one, 0, 3, 0.055, 0, 0, 0, timings)


def validation(success: bool = True, cloning: tuple[Outcome, ...] = ()) -> Validation:
    outcomes = tuple(outcome(seed, success) for seed in (10, 11))
    results = tuple(
        PolicyResult(policy, {"candidates": 4, "steps": 5}, outcomes, tuple(map(looped, outcomes)))
        for policy in ("actor", "sampler")
    )
    return Validation(
        key=KEY,
        bundle="bundles/<arm>",
        contract="arm_reach",
        period_ms=50.0,
        created="2000-01-01 00:00 UTC",
        machine={"processor": "a test's"},
        command="divo-sim validate",
        layouts={seed: Layout((0.53, 0.28, 0.13), (0.53, 0.0, 0.0)) for seed in (10, 11)},
        results=results,
        cloning=cloning,
    )


def test_the_report_is_one_file_that_needs_no_network(tmp_path):
    cloned = (outcome(10, clean=False), outcome(11, success=False, joints=0))
    report = write_report(tmp_path, validation(cloning=cloned)).read_text()
    assert "http://" not in report
    assert "https://" not in report
    assert "<script" not in report
    assert report.count("data:image/png;base64,") == 5  # three pictures of paths, two histograms
    assert report.count("data:image/gif;base64,") == 1
    assert "behaviour cloning" in report
    assert "bundles/&lt;arm&gt;" in report
    assert (tmp_path / "episodes.gif").stat().st_size < 2_500_000


@pytest.mark.parametrize("success", [True, False])
def test_without_behaviour_cloning_and_without_any_success_the_report_is_still_whole(tmp_path, success):
    result = validation(success)
    report = render_report(result, {}, {}, None, "")
    assert "cloning" not in report.lower()
    assert ("2 of 2 (100 %)" if success else "0 of 2 (0 %)") in report
    assert ("100 % [16, 100]" if success else "0 % [0, 84]") in report  # 0.025^(1/2) = 0.158
    write_validation(tmp_path, result)
    numbers = json.loads((tmp_path / "validation.json").read_text())
    assert numbers["policies"]["actor"]["loop"]["steps"] == (3.0 if success else None)
    assert len((tmp_path / "episodes.csv").read_text().splitlines()) == 1 + 2 * 2 * 2


def test_the_sentences_say_what_the_numbers_say():
    (actor, _) = validation().results
    worse = replace(actor, loop=(actor.loop[0], looped(outcome(11, success=False), (250_000.0,), missed=4.0)))
    assert write_headline(replace(validation(), results=(worse,))).endswith("the one-step actor in 1 of 2 (50 %).")
    text = write_verdict(worse, 50.0)
    assert "50 % over ROS 2 and 100 % in process" in text
    assert "(-50 points; 1 reached only in process, 0 only over ROS 2)" in text
    assert "4 deadlines were missed in 3 cycles" in text


def test_latency_is_the_nearest_rank_over_all_episodes_and_missed_deadlines_add_up():
    episodes = [
        looped(outcome(0), tuple(range(1000, 51_000, 1000)), 2.0),
        looped(outcome(1), tuple(range(51_000, 101_000, 1000)), 1.0),
    ]
    found = measure_latency(episodes)  # 1 to 100 ms
    assert (found.p50_ms, found.p99_ms, found.p999_ms, found.max_ms) == (50.0, 99.0, 100.0, 100.0)
    assert (found.cycles, found.missed, found.longest_gap_ms) == (100, 3, 55.0)


def test_differences_are_counted_on_the_seeds_that_both_have():
    first = [outcome(0), outcome(1), outcome(2, success=False), outcome(3)]
    second = [outcome(1, success=False), outcome(0), outcome(2), outcome(9)]
    assert differences(first, second) == (1, 1)


def test_a_stored_episode_comes_back_as_it_was_and_others_are_dropped(tmp_path):
    store = EpisodeStore(tmp_path, "actor", KEY)
    assert store.begin([10, 11]) == {}
    store.add(looped(outcome(10)))
    store.add(looped(outcome(11), (700.0,), missed=1.0))
    with (tmp_path / "episodes-actor.jsonl").open("a") as file:
        file.write('{"outcome": {"seed": 12, "succ')  # a kill in the middle of a line
    with (tmp_path / "timing-actor.csv").open("a") as file:
        file.write("12,500.0,")
    assert EpisodeStore(tmp_path, "actor", KEY).begin([11, 12]) == {11: looped(outcome(11), (700.0,), missed=1.0)}
    assert EpisodeStore(tmp_path, "actor", KEY).begin([10, 11]).keys() == {11}
    assert EpisodeStore(tmp_path, "actor", {**KEY, "manifest_sha256": "b" * 64}).begin([11]) == {}


def test_the_film_shows_the_first_episode_of_each_route_whatever_came_of_it():
    inner, outer = outcome(3, success=False, route=-1), outcome(1, route=1)
    lost, unrecorded = outcome(0, route=0, success=False), outcome(2, route=-1, joints=0)
    assert choose_episodes([lost, outer, unrecorded, inner, outcome(4)]) == [inner, outer]
    assert choose_episodes([lost, outer]) == [outer, lost]


def test_films_of_different_lengths_end_on_their_last_pictures():
    first, second, third = (np.full((2, 3, 3), value, dtype=np.uint8) for value in (1, 2, 3))
    pictures = tile([[first, second], [third], [first]], columns=2)
    assert [picture.shape for picture in pictures] == [(4, 6, 3)] * 2
    assert pictures[1][::2, ::3, 0].tolist() == [[2, 3], [1, 255]]


def test_an_evaluation_is_read_and_a_foreign_file_refused(tmp_path):
    file = tmp_path / "bc.json"
    episode = {"seed": 5, "success": True, "collision_free": False, "route": 1, "return_": 2.5, "steps": 1}
    file.write_text(json.dumps({"summary": {}, "episodes": [{**episode, "path": [[0.5, 0.1, 0.2]]}]}))
    assert read_evaluation(file) == [Outcome(5, True, False, 1, 2.5, 1, ((0.5, 0.1, 0.2),))]
    file.write_text(json.dumps({"episodes": [episode]}))
    with pytest.raises(DivoError, match=r"bc\.json(.|\n)*'path'"):
        read_evaluation(file)


@pytest.mark.parametrize(
    "settings", [{"episodes": 0}, {"domain": 102}, {"workers": 0}, {"policies": ("actor", "actor")}]
)
def test_settings_out_of_range_are_refused_before_anything_runs(tmp_path, settings):
    with pytest.raises(DivoError, match="expected"):
        ValidateCommand(bundle=tmp_path, out=tmp_path / "out", **settings).run()
    assert not (tmp_path / "out").exists()


def test_the_summary_can_be_read_by_any_json_reader():
    numbers = json.loads(json.dumps(summarize(validation()), allow_nan=False))
    assert numbers["policies"]["sampler"]["loop_minus_in_process"]["success"] == 0.0
    assert numbers["seeds"] == [10, 11]
