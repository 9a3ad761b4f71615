"""What the referee and the speed benchmark compute; the training itself is theirs and ours."""

from __future__ import annotations

import numpy as np
import pytest

import bandit
from benchmarks.referee import RefereeConfig, interval, interval_of_difference, table_text
from benchmarks.referee_process import PINS, RefereeError, RefereeProcess, write_data
from benchmarks.train_speed import OURS, TORCHS, TrainSpeed, _side_by_side, measure
from divo_train.data.dataset import Dataset
from divo_train.data.training_set import training_set
from divo_train.methods import stages_of
from divo_train.value_learning import reward_scale


@pytest.fixture
def data():
    """Rewards 1, 2 up to a termination, then 10, 20, 30 up to a truncation."""
    return training_set(
        Dataset(
            name="two episodes",
            contract=bandit.bandit_contract(),
            observations=np.stack([np.arange(7), np.arange(7) ** 2], axis=1).astype(np.float32),
            actions=np.full((5, 2), 0.5, np.float32),
            rewards=np.array([1, 2, 10, 20, 30], np.float32),
            terminated=np.array([False, True, False, False, False]),
            truncated=np.array([False, False, False, False, True]),
            rows=np.array([0, 1, 3, 4, 5]),
            episodes=np.array([0, 0, 1, 1, 1]),
        ),
        "cpu",
    )


def test_d3rlpy_gets_one_row_more_for_each_time_out_and_none_for_a_termination(data, tmp_path):
    assert write_data(data, 0.9, tmp_path / "data.npz") == 5
    with np.load(tmp_path / "data.npz") as file:
        assert np.allclose(file["observations"], data.observations.numpy()[[0, 1, 3, 4, 5, 6]])
        assert file["terminals"].tolist() == [0, 1, 0, 0, 0, 0]
        assert file["timeouts"].tolist() == [0, 0, 0, 0, 0, 1]
        assert np.allclose(file["rewards"] / reward_scale(data, 0.9), [1, 2, 10, 20, 30, 0])
        assert file["actions"][:, 0].tolist() == [0.5] * 5 + [0]


def test_the_interval_over_seeds_is_student_s():
    mean, low, high = interval([1.0, 2.0, 3.0])
    # t(0.975, 2) = 4.3027, standard error 1 / sqrt 3
    assert (mean, low, high) == (2.0, pytest.approx(2 - 2.4841, abs=1e-3), pytest.approx(2 + 2.4841, abs=1e-3))
    assert interval([1.0])[1:] == (-np.inf, np.inf)


def test_the_interval_of_a_difference_is_welch_s():
    gap, low, high = interval_of_difference([1.0, 2.0, 3.0], [4.0, 6.0, 8.0])
    # variances 1 and 4 over 3: standard error sqrt(5/3), 25/9 / (1/18 + 16/18) = 2.941 degrees, t(0.975) = 3.2181
    assert (gap, low, high) == (-4.0, pytest.approx(-4 - 4.1546, abs=1e-3), pytest.approx(-4 + 4.1546, abs=1e-3))
    assert interval_of_difference([1.0], [2.0, 3.0])[1:] == (-np.inf, np.inf)


def test_the_table_says_whether_ours_lies_in_the_referee_s_interval():
    config = RefereeConfig(methods=("td3bc", "iql"))
    theirs = [[1.0], [2.0], [3.0]]
    cells = {
        ("td3bc", "ours"): [[4.0]],
        ("td3bc", "d3rlpy"): theirs,
        ("iql", "ours"): [[5.0]],
        ("iql", "d3rlpy"): theirs,
    }
    lines = table_text(config, cells, 5).splitlines()
    assert "| td3bc | 4.00 [-inf, inf] | 2.00 [-0.48, 4.48] | 2.00 [-inf, inf] | yes |" in lines
    assert [line.rsplit("|", 2)[1].strip() for line in lines if line.startswith(("| td3bc", "| iql"))] == ["yes", "no"]


def test_both_sides_of_the_referee_get_the_same_settings():
    config = RefereeConfig(width=64, depth=3, learning_rate=1e-3, discount=0.9, updates=7)
    ours, theirs = config.fit_config(), config.their_job("rebrac", 0)
    assert (ours.network.width, ours.network.depth) == (theirs["width"], theirs["depth"])
    assert ours.actor_critic.learning_rate == ours.value.learning_rate == theirs["learning_rate"]
    assert ours.optimizer.final_fraction == 1
    assert (ours.value.discount, ours.value.backup_s) == (theirs["discount"], 0)
    assert ours.value.target_rate == theirs["target_rate"]
    assert ours.actor_critic.target_rate * ours.actor_critic.policy_every == theirs["target_rate"]  # they wait for it
    assert ours.rebrac.actor_penalty == theirs["extra"]["actor_beta"]
    assert ours.td3bc.alpha == config.their_job("td3bc", 0)["extra"]["alpha"]
    assert not ours.actor_critic.layer_norm
    assert not ours.iql.layer_norm
    assert ours.methods == ("td3bc", "iql_joint", "rebrac")  # d3rlpy's IQL trains critic and policy together
    assert (ours.value.members, ours.value.aggregate, ours.value.expectile) == (2, "min", 0.7)  # its defaults


def test_a_referee_that_ends_says_what_it_printed_last(tmp_path):
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho out of memory >&2\n")
    python.chmod(0o755)
    with pytest.raises(RefereeError, match="out of memory"), RefereeProcess(python, tmp_path / "log") as referee:
        referee.ask(do="make")


def test_the_referee_is_pinned():
    pins = [line for line in PINS.read_text().splitlines() if not line.startswith("#")]
    assert "d3rlpy==2.8.1" in pins
    assert "torch==2.13.0" in pins
    assert not [pin for pin in pins if "nvidia" in pin or "==" not in pin]


def test_the_first_round_is_not_counted_and_contenders_take_turns():
    calls = []

    def contender(name):
        return lambda count: calls.append((name, count)) or float(len(calls))

    assert measure({"a": contender("a"), "b": contender("b")}, 10, 2) == {"a": [3, 5], "b": [4, 6]}
    assert calls == [("a", 10), ("b", 10)] * 3


def test_speed_ratios_count_every_stage_and_the_caches():
    seconds = {stage.name: np.array([1.0]) for stage in stages_of(("divo", "iql_joint", "td3bc"))}
    seconds |= {"td3bc": np.array([2.0])}
    for (seeds, threads), took in {(1, 1): 2.0, (1, 2): 20.0, (5, 1): 7.0, (5, 2): 5.0}.items():
        seconds[_side_by_side(seeds, threads)] = np.array([took])
    seconds |= {"d3rlpy td3bc": np.array([6.0]), "d3rlpy iql": np.array([8.0])}
    seconds |= {TORCHS: np.array([3.0]), OURS: np.array([2.0])}
    built = dict.fromkeys(seconds, 0.0)
    figures = {name: value for name, (value, _) in TrainSpeed().figures(seconds, built).items()}
    assert figures["train.product.speed_vs_torch"] == 1.5
    assert figures["train.td3bc.speed_vs_d3rlpy"] == 3
    assert figures["train.seeds5.cost_vs_1"] == 2.5
    assert figures["train.iql.speed_vs_d3rlpy"] == 8  # critic and policy in one stage of a second
    assert figures["train.divo.cost_vs_td3bc"] == 3 / 2  # critic, which is trained in two stages, denoiser and actor
    built["actor"] = 9000.0  # a second per update of the actor
    assert TrainSpeed().figures(seconds, built)["train.divo.cost_vs_td3bc"][0] == 4 / 2
