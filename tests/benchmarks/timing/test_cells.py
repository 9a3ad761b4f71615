"""What the timing benchmark measures: the cells, their order, and the node of each."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from benchmarks.timing.cells import Cell, blocks, chosen, matrix, shortened
from benchmarks.timing.trial import Conditions, node_arguments
from divo_controller.parameters import Parameters


def test_the_matrix_has_every_condition_once_and_takes_at_most_three_quarters_of_an_hour():
    cells = matrix()
    names = [cell.name for cell in cells]

    assert len(set(names)) == len(names) == 52  # 5 rates x 4 nodes x 2 loads, and 2 rates x 2 loads x 3 variants
    assert {"1000hz-actor-loaded-recording", "200hz-actor-idle-ordinary"} <= set(names)
    starts = sum(cell.blocks for cell in cells)
    assert sum(cell.seconds for cell in cells) + 6 * starts < 50 * 60


def test_the_headline_is_120000_cycles_idle_and_loaded_beside_the_floor():
    headline = chosen(matrix(), (), headline=True)

    totals = {cell.name: cell.blocks * cell.cycles for cell in headline}
    assert totals == {
        "200hz-actor-idle": 120_000,
        "200hz-noop-idle": 36_000,
        "200hz-actor-loaded": 120_000,
        "200hz-noop-loaded": 36_000,
    }


def test_blocks_of_cells_that_are_compared_alternate():
    actor = Cell("actor", 200, loaded=False, cycles=10, blocks=3)
    noop, loaded = replace(actor, subject="noop", blocks=2), replace(actor, loaded=True, blocks=1)

    order = [(cell.name, block) for cell, block in blocks([actor, noop, loaded])]

    idle = ["200hz-actor-idle", "200hz-noop-idle"]
    assert order == [*zip(idle, (0, 0), strict=True), *zip(idle, (1, 1), strict=True), (idle[0], 2), (loaded.name, 0)]


def test_a_cell_is_chosen_by_a_part_of_its_name_and_shortened_to_one_block():
    (cell,) = chosen(matrix(), ("200hz-actor-idle",), headline=True)

    assert shortened(cell, 3.0) == replace(cell, cycles=600, blocks=1)
    assert shortened(cell, 600.0) == cell
    assert replace(cell, rate_hz=50, cycles=1000).warm_cycles == 250  # five seconds
    assert cell.warm_cycles == 1000


def test_a_node_is_started_with_its_own_default_priority_unless_the_cell_is_about_priority():
    plain = Cell("actor", 200, loaded=True)

    def priority(cell, conditions):
        arguments = node_arguments(cell, Path("bundle"), conditions, Path("work"))
        return arguments[arguments.index("--realtime-priority") + 1]

    assert priority(plain, Conditions()) == str(Parameters().realtime_priority) == "40"
    assert priority(replace(plain, ordinary=True), Conditions()) == "0"
    assert priority(plain, Conditions(realtime_priority=70)) == "70"
    recorded = node_arguments(replace(plain, recording=True), Path("bundle"), Conditions(), Path("work"))
    assert recorded[-2:] == ["--record", "work/recording"]
    elsewhere = node_arguments(replace(plain, litert=True), Path("bundle"), Conditions(), Path("work"))
    assert elsewhere[-2:] == ["--backend", "litert"]
    assert node_arguments(replace(plain, subject="naive"), Path("bundle"), Conditions(), Path("work")) == [
        "benchmarks.timing.naive_node", "--bundle", "bundle", "--policy", "actor"
    ]  # fmt: skip
