"""D4RL's HDF5 becomes the transitions that D4RL's own `qlearning_dataset` makes of it."""

from __future__ import annotations

import dataclasses
from itertools import pairwise

import h5py
import numpy as np
import pytest

from divo_runtime.errors import DatasetError
from divo_train import cli
from divo_train.data.d4rl import read_d4rl
from divo_train.data.flat import (
    LAST_ROW,
    TIME_LIMIT,
    FlatRows,
    Tally,
    final_steps,
    qlearning_dataset,
    split_episodes,
    unmarked_boundaries,
)
from divo_train.data.minari import load_minari
from divo_train.data.nstep import multi_step_backups

# rows 0-2 end by a termination, 3-5 by the time, 6-8 by the end of the file; observation and reward of row i are i
TERMINALS = np.array([0, 0, 1, 0, 0, 0, 0, 0, 0], bool)
TIMEOUTS = np.array([0, 0, 0, 0, 0, 1, 0, 0, 0], bool)


def some_rows(**changes) -> FlatRows:
    count = np.arange(9, dtype=np.float32)
    rows = FlatRows(count[:, None], -count[:, None] / 10, count, TERMINALS, TIMEOUTS)
    return dataclasses.replace(rows, **changes)


def split(rows, max_episode_steps=1000, keep_last=False):
    tally = Tally()
    return list(split_episodes(rows, max_episode_steps, keep_last, tally)), tally


@pytest.fixture
def write(tmp_path):
    def write(name="halfcheetah_medium-v2.hdf5", folder=tmp_path, **changes):
        folder.mkdir(exist_ok=True)
        rng = np.random.default_rng(0)
        arrays = {
            "observations": np.arange(9 * 17, dtype=np.float32).reshape(9, 17),
            "actions": rng.uniform(-1, 1, (9, 6)).astype(np.float32),
            "rewards": np.arange(9, dtype=np.float32)[:, None],
            "terminals": TERMINALS[:, None],
            "timeouts": TIMEOUTS,
            "infos/qpos": np.zeros((9, 9)),
            "metadata/algorithm": np.bytes_("SAC"),
            **changes,
        }
        with h5py.File(folder / name, "w") as file:
            for key, array in arrays.items():
                if array is not None:
                    file[key] = array
        return folder / name

    return write


@pytest.fixture
def run(monkeypatch, capsys):
    def run(*arguments):
        monkeypatch.setenv("COLUMNS", "200")
        monkeypatch.setattr("sys.argv", ["divo-train", *map(str, arguments)])
        try:
            cli.main()
        except SystemExit as stop:
            status = stop.code
        else:
            status = 0
        streams = capsys.readouterr()
        return status, streams.out + streams.err

    return run


def test_the_transitions_are_those_of_qlearning_dataset():
    expected = qlearning_dataset(some_rows(), 1000)
    assert expected["observations"][:, 0].tolist() == [0, 1, 2, 3, 4, 6, 7]
    assert expected["next_observations"][:, 0].tolist() == [1, 2, 3, 4, 5, 7, 8]  # 3 follows 2 across the border
    assert expected["terminals"].tolist() == [False, False, True, False, False, False, False]
    episodes, tally = split(some_rows())
    for key, own in (("rewards", "rewards"), ("actions", "actions"), ("terminals", "terminations")):
        assert np.array_equal(np.concatenate([episode[own] for episode in episodes]), expected[key])
    following = np.concatenate([episode["observations"][1:, 0] for episode in episodes])
    going_on = ~expected["terminals"]
    assert np.array_equal(following[going_on], expected["next_observations"][going_on, 0])
    assert (tally.kept, tally.episodes) == (7, 3)
    assert tally.dropped == {TIME_LIMIT: 1, LAST_ROW: 1}


def by_hand(rows, limit):
    """(observation, next observation, ended) of what D4RL's function keeps, read off row by row."""
    kept, steps = [], 0
    for now, after in pairwise(range(len(rows))):
        over = steps == limit - 1 if rows.timeouts is None else rows.timeouts[now]
        steps = 0 if over else 1 if rows.terminals[now] else steps + 1
        if not over:
            kept.append((rows.observations[now, 0], rows.observations[after, 0], bool(rows.terminals[now])))
    return kept


def test_random_files_give_the_same_transitions_as_d4rl_row_by_row():
    rng = np.random.default_rng(0)
    for number in range(300):
        count, limit = int(rng.integers(1, 30)), int(rng.integers(1, 8))
        names = rng.permutation(count).astype(np.float32)
        ends, cuts = rng.random((2, count)) < rng.uniform(0, 0.4, (2, 1))
        rows = FlatRows(names[:, None], names[:, None], names, ends, cuts if number % 2 else None)
        episodes, tally = split(rows, limit)
        own = [
            (episode["observations"][i, 0], episode["observations"][i + 1, 0], bool(episode["terminations"][i]))
            for episode in episodes
            for i in range(len(episode["actions"]))
        ]
        masked = [(now, None if ended else after, ended) for now, after, ended in own]
        assert masked == [(now, None if ended else after, ended) for now, after, ended in by_hand(rows, limit)]
        assert tally.kept + sum(tally.dropped.values()) == count


def test_a_time_out_is_a_truncation_and_keeps_the_observation_that_was_seen_last():
    first, second, third = split(some_rows())[0]
    assert first["terminations"].tolist() == [False, False, True]
    assert first["truncations"].tolist() == [False, False, False]
    assert first["observations"][:, 0].tolist() == [0, 1, 2, 2]  # nobody saw what followed the termination
    assert second["observations"][:, 0].tolist() == [3, 4, 5]
    assert second["truncations"].tolist() == [False, True]
    assert third["observations"][:, 0].tolist() == [6, 7, 8]


def test_last_steps_are_kept_on_request_where_the_file_knows_what_followed():
    following = np.arange(9, dtype=np.float32)[:, None] + 1
    following[2], following[5], following[8] = 102, 105, 108
    episodes, tally = split(some_rows(next_observations=following), keep_last=True)
    assert [episode["observations"][-1, 0] for episode in episodes] == [102, 105, 108]
    assert (tally.kept, dict(tally.dropped)) == (9, {})
    episodes, tally = split(some_rows(), keep_last=True)
    assert (tally.kept, sum(tally.dropped.values())) == (7, 2)


def test_a_termination_at_the_time_limit_is_dropped_as_in_d4rl_unless_last_steps_are_kept():
    timeouts = TIMEOUTS.copy()
    timeouts[2] = True
    rows = some_rows(timeouts=timeouts)
    assert 2 not in qlearning_dataset(rows, 1000)["rewards"]
    dropped, kept = split(rows)[0][0], split(rows, keep_last=True)[0][0]
    assert dropped["truncations"].tolist() == [False, True]
    assert kept["terminations"].tolist() == [False, False, True]


def test_an_episode_of_one_dropped_step_leaves_nothing():
    timeouts = TIMEOUTS.copy()
    timeouts[3] = True
    episodes, tally = split(some_rows(timeouts=timeouts))
    assert [episode["rewards"].tolist() for episode in episodes] == [[0, 1, 2], [4], [6, 7]]
    assert tally.dropped[TIME_LIMIT] == 2


def test_without_timeouts_steps_are_counted_with_d4rl_s_quirk():
    # limit 3: after the termination in row 1 D4RL counts from 1, so row 3 is the last in time and not row 4
    rows = some_rows(timeouts=None, terminals=np.array([0, 1, 0, 0, 0, 0, 0, 0, 0], bool))
    assert np.flatnonzero(final_steps(rows, 3)).tolist() == [3, 6]
    rows = some_rows(timeouts=None, terminals=np.zeros(9, bool))
    assert np.flatnonzero(final_steps(rows, 3)).tolist() == [2, 5, 8]


def test_borders_that_nothing_marks_are_counted():
    following = np.arange(9, dtype=np.float32)[:, None] + 1
    assert unmarked_boundaries(some_rows(next_observations=following), 1000) == 0
    following[[2, 7]] = 99  # row 2 is marked, row 7 is not
    assert unmarked_boundaries(some_rows(next_observations=following), 1000) == 1


def test_nothing_is_bootstrapped_across_an_episode_s_end(write, run, tmp_path):
    status, output = run("import", write(), "--out", tmp_path / "d" / "cheetah-v0")
    assert status == 0, output
    assert "7 transitions, 3 episodes kept" in output
    assert "last step of an episode that ran out of time" in output
    data = load_minari(tmp_path / "d" / "cheetah-v0")
    backups = multi_step_backups(data, 10, 1.0)
    assert backups.returns.tolist() == [3, 3, 2, 7, 4, 13, 7]  # 0+1+2, 3+4, 6+7
    assert backups.discounts.tolist() == [0, 0, 0, 1, 1, 1, 1]
    assert data.observations[backups.rows[3]][0] == 5 * 17


def test_the_contract_tells_size_range_rate_and_environment(write, run, tmp_path):
    run("import", write(), "--out", tmp_path / "cheetah-v0")
    contract = load_minari(tmp_path / "cheetah-v0").contract
    assert (contract.observation_size, contract.action_size, contract.rate_hz) == (17, 6, 20)
    assert contract.action.kind == "dimensionless"
    assert contract.action_range()[1].tolist() == [1.0] * 6
    assert contract.environment == "divo_train.d4rl.environments:d4rl-v4/halfcheetah"


def test_antmaze_rewards_are_shifted_and_others_on_request(write, run, tmp_path):
    name = "Ant_maze_u-maze_noisy_multistart_False_multigoal_False_sparse_fixed.hdf5"
    run("import", write(name, rewards=TERMINALS.astype(np.float32)), "--out", tmp_path / "maze-v2")
    assert load_minari(tmp_path / "maze-v2").rewards.tolist() == [-1, -1, 0, -1, -1, -1, -1]
    run("import", write(), "--out", tmp_path / "other-v2", "--reward-shift", 1, "--reward-scale", 2)
    assert load_minari(tmp_path / "other-v2").rewards.tolist() == [2, 4, 6, 8, 10, 14, 16]


def test_a_folder_of_d4rl_s_files_becomes_datasets_of_d4rl_s_names_and_can_be_imported_again(write, run, tmp_path):
    folder = tmp_path / "files"
    write("hopper_medium_replay-v2.hdf5", folder=folder)
    write(folder=folder)
    write("somebody_elses.hdf5", folder=folder)
    status, output = run("import", folder, "--out", tmp_path / "d4rl")
    assert status == 0, output
    assert {path.name for path in (tmp_path / "d4rl").glob("*-v2")} == {
        "hopper-medium-replay-v2",
        "halfcheetah-medium-v2",
    }
    status, output = run("import", folder, "--out", tmp_path / "d4rl")
    assert status == 0
    assert output.count("is there already") == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"terminals": None}, "Add terminals"),
        ({"rewards": np.full(9, np.nan)}, "rewards, row 0"),
        ({"actions": np.zeros((8, 6))}, "one row per step"),
    ],
)
def test_a_file_that_cannot_be_used_says_why_and_leaves_nothing(write, run, tmp_path, changes, message):
    status, output = run("import", write(**changes), "--out", tmp_path / "cheetah-v0")
    assert status == 2
    assert message in output
    assert not (tmp_path / "cheetah-v0").exists()


def test_a_file_that_is_no_hdf5_is_refused(tmp_path):
    (tmp_path / "x.hdf5").write_text("no")
    with pytest.raises(DatasetError, match="cannot be read"):
        read_d4rl(tmp_path / "x.hdf5")
