"""The analysis of the inference benchmark, on numbers worked out by hand; how fast anything is, is not tested."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import inference
from benchmarks.inference_contestants import Case, open_contestants, products_of
from benchmarks.inference_floor import floor_of
from benchmarks.inference_report import (
    BEGIN,
    END,
    eager_speed,
    figures_of,
    plot_results,
    summarize,
    write_json,
    write_page,
)
from divo_export.graphs import Trained
from divo_runtime.backends import available_kinds
from divo_runtime.contract import load_contract
from divo_runtime.timing.latency import Percentiles
from divo_sim.contracts import __file__ as contracts
from divo_train.config import ActorConfig, FitConfig, NetworkConfig, ValueConfig
from divo_train.networks import Denoiser, Normalizer, OneStepActor, QEnsemble, Value
from divo_train.trained import TrainedNetworks

CONTRACT = load_contract(Path(contracts).with_name("arm_reach.yaml"))
OBS, ACT = CONTRACT.observation_size, CONTRACT.action_size


@pytest.fixture(scope="module")
def trained():
    """Networks of 8 units, the actor's of 12, two critics."""
    torch.manual_seed(0)
    parts = {
        "diffusion": {"average": Denoiser(OBS, ACT, 8, 3, 0.5)},
        "actor": {"actor": OneStepActor(OBS, ACT, 12, 3)},
        "selector": {"q": QEnsemble(OBS, ACT, 8, 3, 2), "value": Value(OBS, 8, 3)},
    }
    stages = {stage: dict(torch.nn.ModuleDict(networks).state_dict()) for stage, networks in parts.items()}
    config = FitConfig(
        network=NetworkConfig(width=8),
        value=dataclasses.replace(ValueConfig(), members=2),
        actor=dataclasses.replace(ActorConfig(), width=12),
    )
    networks = TrainedNetworks(CONTRACT, config, Normalizer(torch.zeros(OBS), torch.ones(OBS)), stages)
    return Trained(networks, networks.denoiser, networks.actor, networks.q_networks, networks.value)


def flat(us: float, count: int = 10) -> Percentiles:
    return Percentiles(*(int(us * 1000 * factor) for factor in (1, 2, 3, 4)), count)


@pytest.fixture
def result():
    times = {
        "onnxruntime": flat(50), "torch eager": flat(300), "torch eager, folded": flat(200),
        "products": flat(30), "calls": flat(10),
    }  # fmt: skip
    return summarize("sampler_n1_k5", times, "products", "calls", 320_000)


def test_the_floor_is_the_products_without_the_price_of_calling_them(result):
    assert (result.floor_us, result.products_us) == (20.0, 30.0)
    assert [row.contestant for row in result.rows] == ["onnxruntime", "torch eager", "torch eager, folded"]
    graph = result.rows[0]
    assert (graph.p50_us, graph.p99_us, graph.p999_us, graph.max_us, graph.calls) == (50, 100, 150, 200, 10)
    assert graph.ratio_to_floor == 2.5  # 50 of 30 - 10
    assert graph.ratio_to_calls == pytest.approx(50 / 30, abs=1e-3)


def test_torch_s_faster_form_is_the_one_to_beat(result):
    assert eager_speed(result) == 4.0


def test_the_figures_bear_the_names_that_are_owed(result):
    actor = summarize(
        "actor_n4", {"onnxruntime": flat(40), "torch eager": flat(80), "p": flat(30), "c": flat(5)}, "p", "c", 1
    )
    figures = figures_of([result, actor], {"open_ms": 250.04, "rss_mb": 74.44}, deployed="actor_n4")
    assert figures["inference.actor.p50_us"] == (40.0, "us")
    assert figures["inference.sampler_n1_k5.ratio_to_floor"] == (2.5, "1")
    assert figures["inference.sampler_n1_k5.speed_vs_torch_eager"] == (4.0, "1")
    assert figures["inference.actor_n4.floor_us"] == (25.0, "us")
    assert (figures["bundle.open_ms"], figures["runtime.rss_mb"]) == ((250.0, "ms"), (74.4, "MB"))


def test_the_figures_are_those_of_the_fastest_backend_with_the_default_one_beside_them():
    times = {"onnxruntime": flat(50), "litert": flat(40), "torch eager": flat(20), "p": flat(30), "c": flat(10)}
    result = summarize("sampler_n1_k5", times, "p", "c", 1)
    assert result.fastest.contestant == "litert"  # torch is no backend
    figures = figures_of([result], {"open_ms": 1.0, "rss_mb": 1.0}, deployed="actor_alone")
    assert figures["inference.sampler_n1_k5.p50_us"] == (40.0, "us")
    assert figures["inference.sampler_n1_k5.ratio_to_floor"] == (2.0, "1")
    assert figures["inference.sampler_n1_k5.speed_vs_torch_eager"] == (0.5, "1")
    assert figures["inference.sampler_n1_k5.onnxruntime.p50_us"] == (50.0, "us")
    assert figures["inference.sampler_n1_k5.onnxruntime.ratio_to_floor"] == (2.5, "1")


def test_the_page_quotes_every_case_between_its_marks(result, tmp_path):
    page = tmp_path / "inference.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    write_page(page, [result])
    write_page(page, [result])
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "old" not in text
    assert text.count("<!-- figure inference.sampler_n1_k5.") == 10
    assert "| `sampler_n1_k5` | `onnxruntime` | " in text


def test_results_are_written_as_json_and_drawn(result, tmp_path):
    write_json(tmp_path / "results" / "inference.json", {"processor": "p"}, [result], {"open_ms": 1.0})
    read = json.loads((tmp_path / "results" / "inference.json").read_text())
    assert read["machine"] == {"processor": "p"}
    assert read["cases"][0]["rows"][0]["ratio_to_floor"] == 2.5
    plot_results(tmp_path / "inference.png", [result])
    assert (tmp_path / "inference.png").stat().st_size > 5000


def test_the_sampler_s_products_by_hand(trained):
    products = products_of(trained, Case("sampler", 3, steps=2))
    shapes = [(rows, *weight.shape) for rows, weight in products]
    step = [(3, ACT, 8), (3, 8, 8), (3, 8, 8), (3, 8, ACT)]
    critic = [(3, ACT, 16), *[(3, 8, 8), (3, 8, 8), (3, 8, 1)] * 2]
    assert shapes == [(1, OBS, 8 + 16), *step, *step, *critic]
    by_hand = OBS * 24 + 2 * 3 * (2 * ACT * 8 + 128) + 3 * (ACT * 16 + 2 * (128 + 8))
    assert floor_of(products).multiplications == by_hand


def test_the_actor_alone_has_no_critic(trained):
    products = products_of(trained, Case("actor", 1, critic=False))
    assert [(rows, *weight.shape) for rows, weight in products] == [
        (1, OBS, 12), (1, ACT, 12), (1, 12, 12), (1, 12, 12), (1, 12, ACT)
    ]  # fmt: skip


@pytest.mark.parametrize("case", [Case("actor", 1, critic=False), Case("actor", 3), Case("sampler", 2, steps=2)])
def test_all_contestants_compute_the_same_action(trained, case, tmp_path):
    observation = np.random.default_rng(1).standard_normal(OBS, dtype=np.float32)
    contestants, opened = open_contestants(trained, case, observation, tmp_path)
    with opened:
        action = contestants["onnxruntime"]()["action"][0]
        for kind in available_kinds():
            np.testing.assert_allclose(contestants[kind]()["action"][0], action, atol=1e-5)
        folded = contestants["torch eager, folded"]()
        folded = folded if case.critic is False else folded[0]
        np.testing.assert_allclose(folded[0].numpy(), action, atol=1e-5)
        if case.critic:
            np.testing.assert_allclose(contestants["torch eager"]().action, action, atol=1e-5)


def test_every_policy_that_the_targets_name_is_measured(trained):
    names = [case.name for case in inference.cases_of(trained, quick=False, compiled=False)]
    assert len(names) == len(set(names)) == 1 + 4 + 4 * 4
    quick = [case.name for case in inference.cases_of(trained, quick=True, compiled=False)]
    assert quick == ["actor_alone", *(f"sampler_n{n}_k5" for n in (1, 4, 16, 64))]
