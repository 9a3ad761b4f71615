"""Labels against the hidden behaviours, worked out by hand; and that only analysis can see these."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from benchmarks.label_curves import LabelCurves, LabelRow, label_rows, read_labels, write_labels
from benchmarks.label_quality import area_under_curve, good_transitions, label_quality, transitions_before_the_post
from divo_sim.collect import Recipe, collect
from divo_train.config import FitConfig, NetworkConfig, OptimizerConfig, ValueConfig
from divo_train.data.minari import load_minari
from divo_train.methods.divo import VALUE
from divo_train.run_folder import begin_run
from divo_train.stage_run import run_stage

GOOD = np.array([True, True, False, False, False])


def test_the_area_under_the_curve_counts_pairs_in_the_right_order():
    # Good 0.9 beats all three others, good 0.2 one of them: 4 of 6 pairs.
    assert area_under_curve(np.array([0.9, 0.2, 0.5, 0.4, 0.1]), GOOD) == pytest.approx(4 / 6)


def test_precision_and_recall_are_those_of_the_full_weight():
    # Three are above 0, of them one good; one of the two good ones is above 0.
    advantage = np.array([0.9, -0.2, 0.5, 0.4, -0.1], np.float32)
    found = label_quality(advantage, GOOD, (0.0, 1.0))
    assert (found.positive, found.precision, found.recall) == pytest.approx((3 / 5, 1 / 3, 1 / 2))


def test_labels_that_are_all_low_have_no_precision_rather_than_none():
    assert label_quality(np.zeros(5, np.float32), GOOD, (0.0, 1.0)).precision == 0


def test_the_dataset_says_which_behaviours_are_good(arm_dataset):
    dataset = load_minari(arm_dataset, hidden=True)
    good = good_transitions(dataset, arm_dataset)
    assert good.mean() == pytest.approx(0.25, abs=0.05)  # mixed-25; episodes are kept whole
    ahead = transitions_before_the_post(dataset)
    assert 0 < ahead.mean() < 1
    assert not load_minari(arm_dataset).hidden  # as learners load it


def test_label_rows_follow_the_critic_s_snapshots(arm_dataset, tmp_path):
    config = FitConfig(
        dataset=str(arm_dataset),
        out=str(tmp_path / "run"),
        network=NetworkConfig(width=8, depth=2),
        optimizer=dataclasses.replace(OptimizerConfig(), batch_size=16),
        value=dataclasses.replace(ValueConfig(), updates=20),
        replicas=2,
        snapshots=2,
    )
    begin_run(Path(config.out), config, load_minari(arm_dataset))
    run_stage(VALUE, config, lambda *_: None)
    rows = label_rows(config, "arm", seed=1)
    assert [(row.trial, row.seed, row.updates) for row in rows] == [("arm", 1, 10), ("arm", 1, 20)]
    fewest, most = config.labels.positive_fraction
    assert all(fewest - 1e-3 <= row.positive <= most + 1e-3 for row in rows)
    assert rows[0].auc != rows[1].auc
    assert rows != label_rows(config, "arm", seed=0)


def test_rows_come_back_from_csv_as_they_were(tmp_path):
    rows = [LabelRow("arm", 0, 10, 0.25, 0.8, 0.5, 0.4, 0.9), LabelRow("arm", 1, 20, 0.25, 0.75, 0.5, 0.45, 0.85)]
    assert read_labels(tmp_path / "labels.csv") == []
    write_labels(tmp_path / "labels.csv", rows)
    assert read_labels(tmp_path / "labels.csv") == rows


def test_data_that_are_all_good_have_no_label_rows(tmp_path):
    folder = collect(Recipe("expert", 200, seed=5), tmp_path, workers=1, report=lambda _: None)
    assert label_rows(FitConfig(dataset=str(folder)), "arm", seed=0) == []


def test_trials_whose_critic_was_not_trained_here_are_named_and_keep_their_rows(tmp_path):
    elsewhere = [LabelRow("arm_reach.mixed-25", 0, 10, 0.25, 0.8, 0.5, 0.4, 0.9)]
    write_labels(tmp_path / "mixed" / "labels.csv", elsewhere)
    console = Console(record=True)
    path = LabelCurves(runs=tmp_path, results=tmp_path, workers=1).run(console)
    assert read_labels(path) == elsewhere
    assert "arm_reach.mixed-25: no labelling critic was trained here" in console.export_text()
