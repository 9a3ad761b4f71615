"""Pauses of a recording, and clocks that jump ahead."""

from __future__ import annotations

import numpy as np
import pytest

import bag_maker as make
from bag_maker import BEGIN_NS, MS, S, Tape, imported
from divo_train.data.bags.grids import PAUSE
from divo_train.data.bags.tally import BINS, KEPT, Tally

YEAR_S = 365 * 24 * 3600


def jumping(jump_s):
    """One second of states and commands every 10 ms, a jump of the clock, another second."""
    tape = Tape()
    for number in range(200):
        at_ns = number * 10 * MS + (jump_s * S if number >= 100 else 0)
        tape.add(at_ns, "/joint_states", make.joint_state(BEGIN_NS + at_ns, [number / 100, 0], [0, 0]))
        tape.add(at_ns, "/goal", make.point(BEGIN_NS + at_ns, 0, 0)).add(at_ns + MS, "/commands", make.array([0, 0]))
    return tape


@pytest.mark.parametrize("jump_s", [2, 50, 5 * YEAR_S])
def test_a_jump_ahead_is_counted_and_not_gone_through(tmp_path, jump_s):
    result, dataset = imported(tmp_path, jumping(jump_s).write_mcap(tmp_path / "bag.mcap"))
    assert result.bags[0].grid == "regular"
    counts = result.bags[0].tally.counts
    # Until 990 ms the states came, up to 1090 ms they are fresh; the second part begins at 1000 ms + the jump.
    assert sum(counts.values()) == 20 + 20 * jump_s + 20
    assert counts[PAUSE] == 20 * jump_s - 6  # 1000, 1050, ... 1250 ms were looked at
    assert set(dataset.episodes.tolist()) == {0, 1}
    assert counts[KEPT] == len(dataset) >= 38
    first = dataset.observations[:, 0].max()
    assert first == pytest.approx(1.95, abs=0.05)


def test_a_pause_shorter_than_the_ages_changes_nothing(tmp_path):
    tape = jumping(0)
    tape.entries = [entry for entry in tape.entries if not 500 * MS < entry[0] - BEGIN_NS < 590 * MS]
    result, _ = imported(tmp_path, tape.write_mcap(tmp_path / "bag.mcap"))
    assert PAUSE not in result.bags[0].tally.counts


def test_a_span_is_spread_over_the_time_line():
    tally = Tally(0, BINS * 10)
    tally.add_span("gap", 5, 45, 12)
    assert tally.counts["gap"] == 12
    assert tally.bins["gap"][:6] == [2, 2, 3, 2, 3, 0]
    assert np.sum(tally.bins["gap"]) == 12
