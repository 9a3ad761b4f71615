"""What README and docs say is what was measured."""

from __future__ import annotations

import json
import re
from datetime import date, datetime, timezone

import pytest

from benchmarks import figures
from benchmarks.figures import (
    FIELDS,
    FigureError,
    changed,
    disagreements,
    documents,
    quoted,
    read_figures,
    record_all,
)

NOW = datetime(2026, 1, 2, 23, 59, tzinfo=timezone.utc)
KNOWN = {"arm.success": {"value": 0.9375, "unit": "1", "date": "2026-01-02"}}


def test_documents_agree_with_the_figures():
    assert disagreements(documents(), read_figures()) == []


@pytest.mark.parametrize(("name", "figure"), read_figures().items())
def test_every_figure_says_what_it_is_and_where_it_comes_from(name, figure):
    assert set(figure) == set(FIELDS)
    assert isinstance(figure["value"], int | float)
    assert date.fromisoformat(figure["date"])
    assert re.fullmatch(r"[0-9a-f]{40}(\+changes)?", figure["commit"])
    assert (figures.ROOT / figure["script"]).exists()
    assert figure["unit"]
    assert figure["machine"]


def test_recorded_figures_are_sorted_and_others_stay(tmp_path):
    path = tmp_path / "docs" / "figures.json"
    path.parent.mkdir()
    record_all({"b.time": (1.5, "ms"), "c": (3, "1")}, "benchmarks/one.py", path, NOW)
    record_all({"a": (0.25, "1"), "c": (4, "1")}, "benchmarks/two.py", path, NOW)
    written = json.loads(path.read_text())
    assert list(written) == ["a", "b.time", "c"]
    assert {name: (row["value"], row["script"]) for name, row in written.items()} == {
        "a": (0.25, "benchmarks/two.py"), "b.time": (1.5, "benchmarks/one.py"), "c": (4, "benchmarks/two.py")
    }  # fmt: skip
    assert tuple(written["a"]) == FIELDS
    assert written["a"]["date"] == "2026-01-02"
    assert "cores, Linux" in written["a"]["machine"]
    assert [entry.name for entry in path.parent.iterdir()] == ["figures.json"]
    before = path.read_bytes()
    record_all({"c": (4, "1")}, "benchmarks/two.py", path, NOW)
    assert path.read_bytes() == before


@pytest.mark.parametrize("value", [float("nan"), float("inf"), True])
def test_what_is_not_a_number_is_no_figure(tmp_path, value):
    with pytest.raises(FigureError, match="finite"):
        record_all({"a": (value, "1")}, "benchmarks/one.py", tmp_path / "figures.json", NOW)
    assert list(tmp_path.iterdir()) == []


def test_quotes_are_filled_by_format_or_field_and_the_rest_is_left_alone():
    text = (
        "Reaches <!-- figure arm.success .1% -->0.0%<!-- /figure -->\n"
        "(<!-- figure arm.success date -->?<!-- /figure -->).\n"
    )
    filled = quoted(text, KNOWN, "README.md")
    assert filled == (
        "Reaches <!-- figure arm.success .1% -->93.8%<!-- /figure -->\n"
        "(<!-- figure arm.success date -->2026-01-02<!-- /figure -->).\n"
    )
    assert quoted(filled, KNOWN, "README.md") == filled


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\n<!-- figure arm.luck .1% -->1<!-- /figure -->", r"does not exist[\s\S]*README.md:2[\s\S]*arm.luck"),
        ("<!-- figure arm.success .1w -->1<!-- /figure -->", r"format does not fit[\s\S]*\.1w"),
        ("<!-- figure arm.success .1% -->1", "other half"),
        ("<!-- figure arm.success -->1<!-- /figure -->", "other half or its format"),
        ("<!-- figure arm.success .1% -->1 <!-- figure arm.success .1% -->1<!-- /figure -->", "other half"),
    ],
)
def test_a_quote_that_cannot_be_filled_is_named(text, message):
    with pytest.raises(FigureError, match=message):
        quoted(text, KNOWN, "README.md")


def test_check_names_what_disagrees_and_fill_mends_it(tmp_path, monkeypatch, capsys):
    readme = tmp_path / "README.md"
    (tmp_path / "docs").mkdir()
    readme.write_text("<!-- figure arm.success .1% -->95.0%<!-- /figure -->\n")
    record_all({"arm.success": (0.9375, "1")}, "benchmarks/one.py", tmp_path / "docs" / "figures.json", NOW)
    monkeypatch.setattr(figures, "documents", lambda: documents(tmp_path))
    monkeypatch.setattr(figures, "read_figures", lambda: read_figures(tmp_path / "docs" / "figures.json"))
    assert figures.main(["check"]) == 1
    assert "README.md: arm.success is 93.8%, not 95.0%" in capsys.readouterr().err
    assert figures.main(["fill"]) == 0
    assert readme.read_text() == "<!-- figure arm.success .1% -->93.8%<!-- /figure -->\n"
    assert figures.main(["check"]) == 0
    assert figures.main([]) == 2
    readme.write_text("<!-- figure arm.luck .1% -->95.0%<!-- /figure -->\n")
    assert figures.main(["check"]) == 2
    assert "arm.luck" in capsys.readouterr().err


def test_what_is_computed_again_and_the_same_is_not_new():
    known = {"a": {"value": 1.5, "unit": "1"}, "b": {"value": 2.0, "unit": "1"}}
    assert changed({"a": (1.5, "1"), "b": (3.0, "1"), "c": (4, "1")}, known) == {"b": (3.0, "1"), "c": (4, "1")}
