"""Which candidates an update sees: kept, refreshed, or drawn for it."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from divo_train.candidates import STREAM, Candidates, draw_candidates
from divo_train.config import FitConfig, NetworkConfig
from divo_train.data.training_set import training_set
from divo_train.networks import Denoiser, QEnsemble, Value
from divo_train.randomness import stream

PICKED, OWN = torch.tensor([3, 0, 3, 20]), torch.tensor([2, 0, 1, 1])


@pytest.fixture(scope="module")
def data(bandit):
    return training_set(bandit.bandit_dataset(30), "cpu")


@pytest.fixture(scope="module")
def networks():
    torch.manual_seed(0)
    return Denoiser(2, 2, 8, 2, 0.5), QEnsemble(2, 2, 8, 2, 2), Value(2, 8, 2)


@pytest.fixture
def candidates(data, networks):
    def made(refresh_every):
        config = FitConfig(seed=4, network=NetworkConfig(8, 2))
        actor = dataclasses.replace(config.actor, cached_candidates=3, keep=2, refresh_every=refresh_every)
        return Candidates(data, dataclasses.replace(config, actor=actor), *networks)

    return made


@pytest.fixture
def drawn(data, networks):
    def made(rows, number):
        config = FitConfig()
        actor = dataclasses.replace(config.actor, cached_candidates=3, keep=2)
        settings = dataclasses.replace(config, actor=actor)
        return draw_candidates(data.observations, rows, settings, *networks, stream(4, STREAM, number))

    return made


def same(left, right):
    return all(torch.equal(one, other) for one, other in zip(left, right, strict=True))


def test_kept_candidates_are_the_same_at_every_update(data, candidates, drawn):
    kept, everything = candidates(0), drawn(data.rows, 0)
    for step in (1, 2, 5000):
        assert same(kept.of(PICKED, OWN, step), [one[PICKED, OWN] for one in everything])


def test_refreshed_candidates_change_after_so_many_updates_whenever_a_run_resumed(data, candidates, drawn):
    first, second = ([one[PICKED, OWN] for one in drawn(data.rows, number)] for number in (0, 1))
    assert not same(first, second)
    unbroken = candidates(10)
    assert same(unbroken.of(PICKED, OWN, 1), first)
    assert same(unbroken.of(PICKED, OWN, 10), first)
    assert same(unbroken.of(PICKED, OWN, 11), second)
    assert same(candidates(10).of(PICKED, OWN, 20), second)


def test_in_the_exact_mode_an_update_draws_those_of_its_own_batch(data, candidates, drawn):
    exact = candidates(1)
    for step in (1, 7):
        everything = drawn(data.rows[PICKED], step)
        assert same(exact.of(PICKED, OWN, step), [one[range(4), OWN] for one in everything])
    noise = exact.of(PICKED, OWN, 7).noise
    assert not torch.equal(noise[0], noise[2])  # twice the same state, each with its own


def test_candidates_drawn_in_parts_are_those_drawn_at_once(data, networks):
    whole, parts = (
        draw_candidates(data.observations, data.rows, FitConfig(), *networks, stream(0, STREAM), batch=batch)
        for batch in (30, 7)
    )
    for one, other in zip(whole, parts, strict=True):
        torch.testing.assert_close(one, other)
