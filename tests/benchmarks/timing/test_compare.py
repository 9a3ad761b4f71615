"""Settings of the node side by side: what a list of parameters stands for, and what is made of the rounds."""

from __future__ import annotations

import io

import numpy as np
import pytest
from rich.console import Console

pytest.importorskip("rclpy")

from benchmarks.timing.compare import comparison, conditions_of, numbers_of
from benchmarks.timing.trial import Conditions
from divo_runtime.errors import DivoError


def test_a_list_of_parameters_changes_what_it_names_and_nothing_else():
    assert conditions_of("") == Conditions()
    assert conditions_of("cpu=1,rehearse_us=0") == Conditions(cpu=1, rehearse_us=0)
    assert conditions_of("wake_us=0") == Conditions(more=("--wake-us", "0"))


@pytest.mark.parametrize("settings", ["cpu", "cpu=first", "rehearse_us=0,cpu="])
def test_what_is_no_setting_is_refused_with_where_the_settings_are_listed(settings):
    with pytest.raises(DivoError, match=r"(?s)name=value.*divo-controller --help"):
        conditions_of(settings)


def test_the_numbers_are_those_after_warm_up(tmp_path):
    timing = np.array([[9000.0, 9000.0, 1.0], [1000.0, 100.0, 1.0], [2000.0, 300.0, 3.0]])
    np.savez(tmp_path / "block.npz", fields="total_us,policy_us,missed", timing=timing)
    numbers = numbers_of(tmp_path / "block.npz", warm_cycles=1)
    assert numbers == pytest.approx([1.5, 1.99, 0.2, 0.298, 2.0])


def test_each_round_is_compared_with_the_first_setting_of_the_same_round():
    calm, busy = [0.5, 1.0, 0.1, 0.2, 0.0], [1.0, 2.0, 0.2, 0.4, 3.0]
    half = [[value / 2 for value in numbers] for numbers in (calm, busy)]
    console = Console(width=140, file=io.StringIO(), record=True)
    console.print(comparison({"": np.array([calm, busy]), "cpu=1": np.array(half)}, 200))
    text = console.export_text()
    assert "defaults" in text
    assert text.count("0.50 (0.50, 0.50)") == 2  # of p50 and of p99, although the rounds differ by two
