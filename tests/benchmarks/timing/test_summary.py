"""From blocks to percentiles, figures and the page."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.figures import MARKER, quoted
from benchmarks.timing.cells import Cell
from benchmarks.timing.page import BEGIN, END, headline_figures, results_text, table_figures, write_results
from benchmarks.timing.results import block_file, is_measured, mark_measured, write_summaries
from benchmarks.timing.summary import EDGES_US, percentile, ratio, spread
from divo_runtime.errors import DivoError


@pytest.mark.parametrize(
    ("percent", "value"), [(50.0, 500.0), (90.0, 900.0), (99.0, 990.0), (99.9, 999.0), (99.99, 1000.0), (100.0, 1000.0)]
)
def test_a_percentile_is_the_smallest_value_that_so_many_do_not_exceed(percent, value):
    assert percentile(np.arange(1000.0, 0.0, -1.0), percent) == value


def test_a_percentile_of_one_sample_is_that_sample():
    assert percentile(np.array([7.0]), 50.0) == percentile(np.array([7.0]), 99.99) == 7.0


def test_a_spread_keeps_every_sample_in_its_histogram_and_each_block_apart():
    one, two = np.array([0.5, 1.05, 2.0, 3e6]), np.array([10.0])

    result = spread([one, two])

    assert (result.count, result.minimum, result.p50, result.maximum) == (5, 0.5, 2.0, 3e6)
    assert result.block_p99 == (3e6, 10.0)
    assert sum(result.histogram) == 5
    assert result.histogram[0] == 1  # below 1 us
    assert result.histogram[1] == 1  # 1 to 1.059 us, the first of forty bins per decade
    assert result.histogram[-1] == 1  # beyond a second
    assert len(result.histogram) == len(EDGES_US) - 1


def test_a_summary_tells_cold_starts_apart(summaries):
    summary = summaries["200hz-noop-idle"]

    assert summary.cold["compute"] == (100.0, 900.0)
    assert summary.spreads["compute"].maximum == 300.0
    assert summary.missed_share == pytest.approx(1 / 5)
    assert ratio(summary, summary, "end_to_end", "p99") == 1.0


def test_headline_figures_are_counts_and_ratios_to_the_floor(summaries):
    figures = headline_figures(summaries)

    values = {name: value for name, (value, _) in figures.items()}
    assert values == {
        "timing.200hz.actor.cycles": 8,
        "timing.200hz.actor.missed": 6,
        "timing.200hz.actor.missed_stolen": 2,
        "timing.200hz.actor.missed_under_load": 2,
        "timing.200hz.actor.missed_stolen_under_load": 1,
        "timing.200hz.actor.e2e_p50_vs_noop": pytest.approx(1.25),
        "timing.200hz.actor.e2e_p99_vs_noop": pytest.approx(1.25),
        "timing.200hz.actor.reaction_p50_vs_noop": pytest.approx(2.0),
        "timing.200hz.actor.reaction_p99_vs_noop": pytest.approx(2.0),
        "timing.1000hz.actor.period_error_p99_ms": 0.4,
    }
    assert headline_figures({}) == {}


def test_the_headline_node_p99_is_a_column_of_the_table(summaries):
    figures = table_figures(summaries)

    assert figures["timing.200hz.actor.node_p99_ms"] == (0.3, "ms")
    assert figures["timing.200hz.actor.missed_share"] == (round(6 / 14, 7), "1")
    assert "timing.200hz.actor.node_p99_ms_under_load" in figures


def test_the_page_quotes_only_figures_that_were_recorded(tmp_path, summaries):
    page = tmp_path / "timing.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    measured = summaries
    recorded = {
        name: {"value": value} for name, (value, _) in (table_figures(measured) | headline_figures(measured)).items()
    }

    write_results(page, results_text(measured, {"processor": "abacus"}))
    text = quoted(page.read_text(), recorded, "timing.md")

    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "\nold\n" not in text
    assert "processor: abacus" in text
    assert "200 Hz, no-operation node" in text
    assert "200 Hz the actor missed" in text
    assert len(MARKER.findall(text)) == 2 * (9 * 4 + 10 + 1)  # nine of each of four cells, and those of the headline
    page.write_text("a page without a place for results")
    with pytest.raises(DivoError, match="no place"):
        write_results(page, "")


def test_the_published_summary_is_json_with_a_line_per_cell(tmp_path, summaries):
    write_summaries(tmp_path / "results" / "timing.json", summaries, {"machine": {"cores": "2"}})

    text = (tmp_path / "results" / "timing.json").read_text()
    data = json.loads(text)

    assert data["machine"] == {"cores": "2"}
    assert data["cells"]["200hz-actor-idle"]["missed"] == 6
    assert sum(data["cells"]["200hz-noop-idle"]["spreads"]["age"]["histogram"]) == 3
    assert len(data["edges_us"]) == 242
    assert sum(line.startswith('"200hz-') for line in text.splitlines()) == 3


def test_only_a_block_of_the_same_length_and_code_is_not_measured_again(tmp_path):
    cell = Cell("actor", 200, loaded=False, cycles=10)
    block_file(tmp_path, cell, 0).parent.mkdir()
    assert not is_measured(tmp_path, cell, 0, "abc")

    mark_measured(tmp_path, cell, 0, "abc")

    assert is_measured(tmp_path, cell, 0, "abc")
    assert not is_measured(tmp_path, cell, 0, "another")
    assert not is_measured(tmp_path, replace(cell, cycles=11), 0, "abc")
    assert not is_measured(tmp_path, cell, 1, "abc")
