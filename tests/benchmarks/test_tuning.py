"""The tuning studies: which stages a variant trains, and what a row counts."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml

from benchmarks.tuning.document import fill
from benchmarks.tuning.play import act
from benchmarks.tuning.results import markdown_table, read_rows, row_of, write_rows
from benchmarks.tuning.study import Trial, read_study
from divo_runtime.errors import DivoError
from divo_train.evaluate import Episode
from divo_train.methods.method import Proposer
from divo_train.policies import TorchPolicy

STUDIES = sorted((Path(__file__).parents[2] / "benchmarks" / "tuning").glob("*.yaml"))
STUDY = {
    "name": "small",
    "question": "Which?",
    "dataset": "data/a",
    "environments": {"near": "Near-v0", "far": "Far-v0"},
    "settings": {"value": {"updates": 7}},
    "variants": [
        {"name": "base", "policies": ["sampler", "actor@4"]},
        {"name": "n", "like": "base", "takes": ["selector"], "policies": ["idql@8"],
         "settings": {"sampler": {"steps": 3}}},
    ],
}  # fmt: skip


class Networks:
    """Observations as they are, actions as they are."""

    normalizer = staticmethod(lambda observations: observations)
    robot_units = staticmethod(lambda actions: actions)


def study_file(folder: Path, **changes) -> Path:
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump({**STUDY, **changes}, sort_keys=False))
    return path


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_the_committed_studies_name_settings_that_exist_and_tuning_seeds_alone(path):
    study = read_study(path)
    assert set(study.seeds) == {100, 101}
    assert study.first_seed == 50_000
    assert len({variant.name for variant in study.variants}) == len(study.variants)


def test_a_variant_trains_the_methods_of_its_policies_with_its_own_settings(tmp_path):
    study = read_study(study_file(tmp_path))
    first, second = (Trial(study, variant, 100, tmp_path).config() for variant in study.variants)
    assert (first.methods, first.seed, first.value.updates, first.sampler.steps) == (("divo",), 100, 7, 5)
    assert (second.methods, second.value.updates, second.sampler.steps) == (("idql",), 7, 3)


def test_stages_can_only_be_taken_from_an_earlier_variant(tmp_path):
    with pytest.raises(DivoError, match="no such earlier variant"):
        read_study(study_file(tmp_path, variants=[{"name": "a", "like": "b"}, {"name": "b"}]))


def test_rows_count_and_come_back_from_csv_as_they_were(tmp_path):
    study = read_study(study_file(tmp_path))
    episodes = [
        Episode(1, True, True, 0, 1.0, 10),
        Episode(2, True, False, 0, 1.0, 20),
        Episode(3, False, False, 0, 0.0, 30),
    ]
    row = row_of(("base", "sampler", "far", 100), episodes)
    assert (row.episodes, row.reached, row.untouched, row.steps) == (3, 0.6667, 0.3333, 20.0)
    path = tmp_path / "rows.csv"
    assert read_rows(path) == []
    write_rows(path, [row])
    assert read_rows(path) == [row]
    assert "| base | sampler | - | 67 (33) |" in markdown_table(study, [row])


def test_in_lockstep_each_robot_gets_the_candidate_with_the_highest_value():
    def score(observations, candidates):
        return observations[:, 0] * candidates[:, 0]

    noise = torch.tensor([[[1.0], [3.0], [2.0]], [[1.0], [3.0], [2.0]]])
    observations = torch.tensor([[1.0], [-1.0]])
    best = TorchPolicy(Networks, Proposer(lambda _, noise: noise, 3, score))
    assert act(best, observations, noise).tolist() == [[3.0], [1.0]]
    alone = TorchPolicy(Networks, Proposer(lambda observation, noise: observation + noise, 1))
    assert act(alone, observations, noise[:, :1]).tolist() == [[2.0], [0.0]]


def test_a_document_gets_the_tables_it_has_a_place_for(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- tuning one -->\nold\n<!-- /tuning -->\nb\n<!-- tuning two -->\n<!-- /tuning -->\n")
    fill(page, {"one": "new\n", "three": "no\n"})
    assert page.read_text() == (
        "a\n<!-- tuning one -->\nnew\n<!-- /tuning -->\nb\n<!-- tuning two -->\n<!-- /tuning -->\n"
    )
