"""The critic that selects: the one that labelled, trained on, or another one."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from divo_train.config import FitConfig, NetworkConfig, OptimizerConfig, ValueConfig
from divo_train.data.minari import load_minari
from divo_train.data.training_set import training_set
from divo_train.methods.divo import SELECTOR, VALUE
from divo_train.run_folder import begin_run
from divo_train.stage_run import run_stage
from divo_train.training import finished_tensors
from divo_train.value_learning import ValueLearner


@pytest.fixture(scope="module")
def data(bandit):
    return training_set(bandit.bandit_dataset(30), "cpu")


def config(**value):
    return FitConfig(
        network=NetworkConfig(8, 2),
        optimizer=dataclasses.replace(OptimizerConfig(), batch_size=16),
        value=dataclasses.replace(ValueConfig(), members=2, **value),
    )


@pytest.mark.parametrize(
    ("value", "updates"),
    [
        ({"updates": 40}, 40),
        ({"updates": 40, "selector_updates": 100}, 60),
        ({"updates": 40, "selector_updates": 30}, 0),
        ({"updates": 40, "selector": "apart"}, 80),
        ({"updates": 40, "selector_updates": 100, "selector": "apart"}, 100),
    ],
)
def test_updates_that_are_left_to_the_critic_which_selects(value, updates):
    assert SELECTOR.updates(config(**value)) == updates


@pytest.mark.parametrize(("selector", "same"), [("continued", True), ("apart", False)])
def test_it_begins_where_the_critic_that_labels_has_ended_or_anew(data, selector, same):
    settings = config(selector=selector)
    labeller = ValueLearner(data, settings, "value").networks.state_dict()
    own = SELECTOR.build(data, settings, {"value": labeller}).networks.state_dict()
    assert own.keys() == labeller.keys()
    assert all(torch.equal(own[name], labeller[name]) for name in own) is same


def test_without_updates_of_its_own_it_is_the_critic_that_labelled(arm_dataset, tmp_path):
    settings = dataclasses.replace(config(updates=3, selector_updates=3), dataset=str(arm_dataset), out=str(tmp_path))
    begin_run(tmp_path, settings, load_minari(arm_dataset))
    for stage in (VALUE, SELECTOR):
        run_stage(stage, settings, lambda *_: None)
    labeller, selector = (finished_tensors(tmp_path, name, 0) for name in ("value", "selector"))
    assert all(torch.equal(selector[name], labeller[name]) for name in labeller)
