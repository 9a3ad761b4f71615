"""`divo-export tensorrt` on a pretended GPU: the real Polygraphy and our real backend, with ONNX Runtime behind them.

What no test here can show is that a real TensorRT builds these graphs; docs/gpu.md says what has run on which hardware.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest

from divo_export.cli import main
from divo_export.tensorrt_check import examine
from divo_export.tensorrt_engine import BuildOptions, ensure_engine, open_or_build
from divo_runtime.backends import available_kinds, open_backend
from divo_runtime.backends.engine_files import key_path, read_key, sha256
from divo_runtime.backends.tensorrt import import_tensorrt
from divo_runtime.bundle.loading import load_bundle
from divo_runtime.contract import load_contract
from divo_runtime.errors import BackendError

pytest.importorskip("tensorrt_lean_bindings", reason="TensorRT's lean runtime on pip is for x86-64 Linux")

import pretend_builder
import pretend_gpu

TESTS = Path(__file__).parents[1]
ON_CPU = {"onnxruntime", "litert"} & set(available_kinds())
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)


@pytest.fixture
def bundle(write_tiny_bundle, tmp_path):
    contract = load_contract(TESTS.parent / "sim" / "divo_sim" / "contracts" / "arm_reach.yaml")
    return write_tiny_bundle(tmp_path, contract, 0.1, noise_gain=0.01)


@pytest.fixture
def machine(monkeypatch):
    """A machine with a pretended GPU, TensorRT and builder."""
    cuda = pretend_gpu.PretendCuda()
    trt = pretend_gpu.pretend_tensorrt(cuda)
    builders = pretend_builder.add_builder(trt)
    for name in [name for name in sys.modules if name.partition(".")[0] == "polygraphy"]:
        monkeypatch.delitem(sys.modules, name)  # it keeps the TensorRT that it saw first
    monkeypatch.setattr("cuda.bindings.runtime", cuda)
    monkeypatch.setitem(sys.modules, "tensorrt", trt)
    return SimpleNamespace(cuda=cuda, trt=trt, builders=builders)


@pytest.mark.skipif(
    "tensorrt" not in available_kinds() or import_tensorrt().lean,
    reason="no GPU with the whole TensorRT here; `make gpu` does the same on a machine that has them",
)
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_real_gpu_builds_and_runs_every_network(bundle, run_cli, precision):
    code, text, _ = run_cli(bundle, "--precision", precision, "--check")
    assert code == 0
    assert f"tensorrt{'' if precision == 'fp32' else '-fp16'}: keeps the rules" in text


def test_an_engine_is_built_with_its_key_and_then_kept(machine, bundle):
    graph = bundle / "actor.onnx"
    built = ensure_engine(graph, BuildOptions())
    assert built.new
    assert built.path.name == "actor.fp32.nvidia-pretend-1-sm86.trt10.3.0.engine"
    key = read_key(key_path(built.path))
    assert (key.graph, key.gpu, key.compute_capability, key.tensorrt) == (
        "actor.onnx",
        "NVIDIA Pretend 1",
        (8, 6),
        "10.3.0",
    )
    assert key.graph_sha256 == sha256(graph.read_bytes())
    assert key.engine_sha256 == sha256(built.path.read_bytes())
    assert not ensure_engine(graph, BuildOptions()).new
    assert len(machine.builders) == 1
    assert ensure_engine(graph, BuildOptions(), force=True).new


def test_an_engine_that_no_longer_fits_is_built_again(machine, bundle):
    graph = bundle / "actor.onnx"
    first = ensure_engine(graph, BuildOptions())
    first.path.write_bytes(b"cut off")
    assert ensure_engine(graph, BuildOptions()).new
    assert ensure_engine(graph, BuildOptions(version_compatible=True)).new
    assert ensure_engine(graph, BuildOptions(version_compatible=True, hardware="ampere_plus")).new
    graph.write_bytes((bundle / "sampler.onnx").read_bytes())
    assert ensure_engine(graph, BuildOptions(version_compatible=True, hardware="ampere_plus")).new
    machine.trt.__version__ = "10.3.1"
    assert ensure_engine(graph, BuildOptions()).new
    machine.cuda.gpu.name = b"NVIDIA Pretend 2"
    assert ensure_engine(graph, BuildOptions()).new
    assert not ensure_engine(graph, BuildOptions()).new


def test_polygraphy_is_asked_for_strong_types_full_float32_and_the_options(machine, bundle):
    ensure_engine(bundle / "actor.onnx", BuildOptions())
    plain = machine.builders[0]
    assert plain.creation_flags == 0b10  # STRONGLY_TYPED
    assert [str(call.args[0]) for call in plain.configs[0].clear_flag.mock_calls] == ["BuilderFlag.TF32"]
    assert plain.configs[0].set_flag.mock_calls == []
    ensure_engine(bundle / "actor.onnx", BuildOptions("fp32", True, "same_compute_capability", 5))
    asked = machine.builders[1].configs[0]
    assert [str(call.args[0]) for call in asked.set_flag.mock_calls] == ["BuilderFlag.VERSION_COMPATIBLE"]
    assert str(asked.hardware_compatibility_level) == "HardwareCompatibilityLevel.SAME_COMPUTE_CAPABILITY"
    assert asked.builder_optimization_level == 5


def test_a_tensorrt_that_cannot_build_for_other_gpus_says_so(machine, bundle):
    """TensorRT 10.3, which JetPack 6.1 has, knows AMPERE_PLUS only."""
    level = SimpleNamespace(__members__={"NONE": 0, "AMPERE_PLUS": 1})
    machine.trt.HardwareCompatibilityLevel = level
    with pytest.raises(BackendError, match="cannot build such engines") as caught:
        ensure_engine(bundle / "actor.onnx", BuildOptions(hardware="same_compute_capability"))
    assert caught.value.expected == "one of NONE, AMPERE_PLUS"


def test_timings_of_one_build_are_read_by_the_next(machine, bundle):
    ensure_engine(bundle / "actor.onnx", BuildOptions())
    assert (bundle / "engines" / "timings-nvidia-pretend-1-sm86.trt10.3.0.cache").read_bytes() == b"timings"
    ensure_engine(bundle / "sampler.onnx", BuildOptions())
    assert machine.builders[1].configs[0].create_timing_cache.mock_calls[0].args == (b"timings",)


def test_a_caller_may_open_a_network_and_have_its_engine_built_first(machine, bundle):
    feeds = {"observation": np.zeros((1, 23), np.float32), "noise": np.ones((4, 7), np.float32)}
    network = open_or_build(bundle / "sampler.onnx", BuildOptions())
    expected = open_backend(bundle / "sampler.onnx").run(feeds)
    np.testing.assert_array_equal(network.run(feeds)["action"], expected["action"])


def test_a_network_that_cannot_be_built_is_one_clear_error_and_leaves_no_engine(machine, bundle):
    graph = bundle / "unbuildable.onnx"
    graph.write_bytes((bundle / "actor.onnx").read_bytes())
    with pytest.raises(BackendError, match="TensorRT cannot build an engine") as caught:
        ensure_engine(graph, BuildOptions())
    assert caught.value.where == str(graph)
    assert not list((bundle / "engines").glob("*.engine*"))


def test_the_lean_runtime_cannot_build_and_says_what_can(machine, bundle, monkeypatch):
    monkeypatch.setattr("divo_runtime.backends.tensorrt.MODULES", ("tensorrt_lean_bindings",))
    with pytest.raises(BackendError, match="cannot build") as caught:
        ensure_engine(bundle / "actor.onnx", BuildOptions())
    assert "--version-compatible" in caught.value.fix


def test_a_missing_polygraphy_is_told_with_the_command_that_installs_it(machine, bundle, monkeypatch):
    monkeypatch.setitem(sys.modules, "polygraphy", None)
    monkeypatch.setitem(sys.modules, "polygraphy.backend.trt", None)
    monkeypatch.setitem(sys.modules, "polygraphy.logger", None)
    with pytest.raises(BackendError, match=r"pip install 'divo\[tensorrt\]'"):
        ensure_engine(bundle / "actor.onnx", BuildOptions())


@pytest.fixture
def run_cli(monkeypatch, capsys):
    def run_cli(*arguments):
        monkeypatch.setattr(sys, "argv", ["divo-export", "tensorrt", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as end:
            code = end.code
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run_cli


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_one_command_builds_checks_times_and_writes_a_report(machine, bundle, run_cli, precision):
    code, text, error = run_cli(bundle, "--precision", precision, "--bench", "--calls", 20)
    assert (code, error) == (0, "")
    kind = "tensorrt" if precision == "fp32" else "tensorrt-fp16"
    assert f"{kind}: keeps the rules and computes what was trained" in text
    report = json.loads((bundle / "engines" / "report.json").read_text())
    assert report["machine"]["gpu"] == "NVIDIA Pretend 1 (sm_86)"
    assert {speed["backend"] for speed in report["speeds"]} == {*ON_CPU, kind}
    assert {speed["policy"] for speed in report["speeds"]} >= {"actor", "sampler"}
    assert all(speed["calls"] == 20 and 0 < speed["p50_us"] <= speed["max_us"] for speed in report["speeds"])
    worst = {a["network"]: a["worst_fraction"] for a in report["agreements"] if a["backend"] == kind}
    assert {"actor", "sampler", "critic"} <= set(worst)
    assert max(worst.values()) < (1e-6 if precision == "fp32" else 5e-3)
    assert "onnxruntime-cuda" in report["obstacles"]
    other = "tensorrt-fp16" if precision == "fp32" else "tensorrt"
    assert "wanted is" in report["obstacles"][other]  # no engine of the other precision was built
    assert report["failures"] == {}
    load_bundle(bundle)  # what lies in engines/ is not in the manifest, and must not make the bundle invalid


def test_the_same_bundle_with_engines_for_two_precisions_verifies_and_opens_both(machine, bundle, run_cli):
    assert run_cli(bundle)[0] == run_cli(bundle, "--precision", "fp16")[0] == 0
    for kind in ("tensorrt", "tensorrt-fp16"):
        with load_bundle(bundle) as opened:
            opened.open_policy("sampler", kind)


def test_a_backend_that_was_built_and_then_cannot_be_opened_fails_the_command(machine, bundle, run_cli):
    assert run_cli(bundle)[0] == 0
    for engine in (bundle / "engines").glob("*.engine"):
        engine.write_bytes(b"garbage")
    code, _, error = run_cli(bundle, "--no-build", "--check")
    assert code == 2
    assert "changed since it was built" in error


def test_a_backend_whose_numbers_are_off_fails_the_command_and_stands_in_the_report(
    machine, bundle, run_cli, monkeypatch
):
    assert run_cli(bundle)[0] == 0
    right = pretend_gpu.PretendContext._compute

    def wrong(context):
        right(context)
        for name in set(context.engine.tensors) & {"action"}:
            context._tensor(name)[...] += 0.01

    monkeypatch.setattr(pretend_gpu.PretendContext, "_compute", wrong)
    code, text, error = run_cli(bundle, "--no-build", "--check")
    assert code == 2
    assert "tensorrt: FAILED" in text
    assert "must not be used" in error
    report = json.loads((bundle / "engines" / "report.json").read_text())
    assert list(report["failures"]) == ["tensorrt"]
    assert {agreement["backend"] for agreement in report["agreements"]} == ON_CPU


@pytest.mark.parametrize("arguments", [("--optimization-level", 6), ("--calls", 0)])
def test_settings_that_make_no_sense_are_refused(machine, bundle, run_cli, arguments):
    code, _, error = run_cli(bundle, *arguments)
    assert code == 2
    assert "There is no such build." in error


def test_without_a_gpu_the_command_is_one_clear_error_and_checks_of_the_cpu_still_work(bundle, run_cli, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr("cuda.bindings.runtime.cudaGetDeviceCount", lambda: (importlib.import_module(
        "cuda.bindings.runtime").cudaError_t.cudaErrorNoDevice, None))  # fmt: skip
    code, _, error = run_cli(bundle)
    assert code == 2
    assert error.startswith("error: There is no GPU that CUDA can use.")
    assert not (bundle / "engines").exists()
    code, text, error = run_cli(bundle, "--no-build", "--check")
    assert (code, error) == (0, "")
    assert "onnxruntime: keeps the rules and computes what was trained" in text


def test_an_examination_without_calls_checks_but_does_not_time(bundle):
    with load_bundle(bundle) as opened:
        report = examine(opened, ["onnxruntime"], "onnxruntime", 0, lambda: 0, NOW, lambda _: None)
    assert report.created == "2026-01-02T03:04:05+00:00"
    assert report.speeds == ()
    assert {agreement.network for agreement in report.agreements} >= {"actor", "sampler", "critic"}


def test_a_half_precision_engine_is_built_from_a_graph_of_half_precision_with_float32_borders(machine, bundle):
    built = ensure_engine(bundle / "actor.onnx", BuildOptions("fp16"))
    graph = onnx.load_model_from_string(
        built.path.read_bytes()
    ).graph  # this builder's engine is the graph it was given
    assert onnx.TensorProto.FLOAT16 in {weight.data_type for weight in graph.initializer}
    borders = {value.type.tensor_type.elem_type for value in (*graph.input, *graph.output)}
    assert borders == {onnx.TensorProto.FLOAT}
    assert built.key.graph_sha256 == sha256((bundle / "actor.onnx").read_bytes())  # of the bundle's own graph


def test_a_graph_that_is_of_half_precision_already_is_taken_as_it_is(machine, bundle):
    half = ensure_engine(bundle / "actor.onnx", BuildOptions("fp16")).path.read_bytes()
    graph = bundle / "actor_half.onnx"
    graph.write_bytes(half)
    again = ensure_engine(graph, BuildOptions("fp16")).path.read_bytes()
    assert onnx.load_model_from_string(again) == onnx.load_model_from_string(half)
