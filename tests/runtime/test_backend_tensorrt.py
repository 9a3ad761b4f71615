"""The TensorRT backend: its logic on a pretended GPU, its refusals without one.

Nothing here has run on a GPU; docs/gpu.md says what has.
"""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from divo_runtime.backends import available_kinds, cuda, find_obstacle, open_backend, tensorrt
from divo_runtime.backends.engine_files import EngineKey, Target, engine_path, sha256, write_engine
from divo_runtime.conformance import check_backend
from divo_runtime.errors import BackendError

real_cuda = pytest.importorskip("cuda.bindings.runtime", reason="cuda-bindings is for Linux: pip install 'divo[dev]'")
lean = pytest.importorskip("tensorrt_lean_bindings", reason="TensorRT's lean runtime on pip is for x86-64 Linux")
pretend = import_module("pretend_gpu")


@pytest.fixture
def graph(write_tiny_bundle, tmp_path, arm):
    return write_tiny_bundle(tmp_path, arm, 0.5, noise_gain=0.1) / "sampler.onnx"


@pytest.fixture
def gpu(monkeypatch):
    pretended = pretend.PretendCuda()
    monkeypatch.setattr("cuda.bindings.runtime", pretended)
    monkeypatch.setitem(sys.modules, "tensorrt", pretend.pretend_tensorrt(pretended))
    return pretended


def place_engine(graph: Path, engine: bytes | None = None, **change) -> Path:
    """Put an engine for the pretended GPU beside a graph."""
    here = Target(cuda.Gpu("NVIDIA Pretend 1", (8, 6)), pretend.VERSION)
    engine = graph.read_bytes() if engine is None else engine
    values = {
        "graph": graph.name,
        "graph_sha256": sha256(graph.read_bytes()),
        "engine_sha256": sha256(engine),
        "gpu": here.gpu.name,
        "compute_capability": here.gpu.capability,
        "tensorrt": here.tensorrt,
        "precision": "fp32",
    }
    path = engine_path(graph, "fp32", here)
    write_engine(path, engine, EngineKey(**(values | change)))
    return path


@pytest.mark.parametrize("name", ["actor", "sampler", "critic"])
def test_it_keeps_the_rules_on_every_network(gpu, graph, name):
    path = graph.with_name(f"{name}.onnx")
    place_engine(path)
    check_backend(open_backend(path, "tensorrt"), np.random.default_rng(0))


def test_it_computes_what_onnxruntime_computes(gpu, graph):
    place_engine(graph)
    rng = np.random.default_rng(0)
    ours, theirs = open_backend(graph, "tensorrt"), open_backend(graph)
    for _ in range(3):
        feeds = {spec.name: rng.standard_normal(spec.shape, dtype=np.float32) for spec in theirs.inputs}
        for name, expected in theirs.run(feeds).items():
            np.testing.assert_array_equal(ours.run(feeds)[name], expected)


def test_a_call_is_one_graph_launch_and_one_wait_and_reserves_nothing(gpu, graph):
    place_engine(graph)
    network = open_backend(graph, "tensorrt")
    feeds = {spec.name: np.zeros(spec.shape, np.float32) for spec in network.inputs}
    gpu.calls.clear()
    network.run(feeds)
    assert gpu.calls == ["cudaGraphLaunch", "cudaStreamSynchronize"]


def test_the_network_runs_once_before_it_is_recorded(gpu, graph):
    place_engine(graph)
    open_backend(graph, "tensorrt")
    recording = gpu.calls.index("cudaStreamBeginCapture")
    copies = [index for index, name in enumerate(gpu.calls) if name == "cudaMemcpyAsync"]
    assert len([index for index in copies if index < recording]) == 4  # two inputs, two outputs
    assert gpu.calls[recording - 1] == "cudaStreamSynchronize"


def test_closing_gives_everything_back_and_may_be_done_twice(gpu, graph):
    place_engine(graph)
    network = open_backend(graph, "tensorrt")
    assert len(gpu.memory) == 8  # two inputs and two outputs, each on the host and on the GPU
    network.close()
    network.close()
    assert not gpu.memory
    assert not gpu.living


@pytest.mark.parametrize(
    "failing",
    [
        "cudaStreamCreateWithFlags",
        "cudaMallocHost",
        "cudaMalloc",
        "cudaMemcpyAsync",
        "cudaStreamSynchronize",
        "cudaStreamBeginCapture",
        "cudaStreamEndCapture",
        "cudaGraphInstantiate",
    ],
)
def test_a_gpu_that_fails_while_opening_is_told_and_everything_is_given_back(gpu, graph, failing):
    place_engine(graph)
    gpu.fails = failing
    with pytest.raises(BackendError, match="cudaErrorIllegalAddress"):
        open_backend(graph, "tensorrt")
    assert not gpu.memory
    assert not gpu.living


def test_a_gpu_that_fails_while_running_is_told(gpu, graph):
    place_engine(graph)
    network = open_backend(graph, "tensorrt")
    gpu.fails = "cudaStreamSynchronize"
    with pytest.raises(BackendError, match="CUDA cannot finish the network"):
        network.run({spec.name: np.zeros(spec.shape, np.float32) for spec in network.inputs})


def test_bytes_that_are_no_engine_are_refused_with_tensorrts_own_words(gpu, graph):
    place_engine(graph, b"garbage")
    with pytest.raises(BackendError, match="TensorRT cannot open the engine") as caught:
        open_backend(graph, "tensorrt")
    assert "magic tag does not match" in caught.value.got
    assert "looking at it" not in caught.value.got
    assert caught.value.fix == f"divo-export tensorrt {graph.parent}"


def test_an_engine_with_other_tensors_than_the_graph_is_refused(gpu, graph):
    place_engine(graph, graph.with_name("actor.onnx").read_bytes())  # one candidate instead of four
    with pytest.raises(BackendError, match="tensors are not the graph's") as caught:
        open_backend(graph, "tensorrt")
    assert "noise float32[1, 2]" in caught.value.got
    assert "noise float32[4, 2]" in caught.value.expected


def test_an_engine_whose_tensors_are_not_float32_is_refused(gpu, graph, monkeypatch):
    place_engine(graph)
    monkeypatch.setattr(pretend.PretendEngine, "dtype", lean.DataType.HALF)
    with pytest.raises(BackendError, match="HALF"):
        open_backend(graph, "tensorrt")


def test_an_engine_of_another_gpu_is_refused_and_the_half_precision_kind_asks_for_its_own(gpu, graph):
    place_engine(graph, gpu="NVIDIA H200", compute_capability=(9, 0))
    with pytest.raises(BackendError, match=r"it is for NVIDIA H200 \(sm_90\), this is NVIDIA Pretend 1 \(sm_86\)"):
        open_backend(graph, "tensorrt")
    place_engine(graph)
    with pytest.raises(BackendError, match="it is fp32, wanted is fp16"):
        open_backend(graph, "tensorrt-fp16")


def test_only_a_version_compatible_engine_may_bring_code_of_its_own(gpu, graph, monkeypatch):
    allowed = []
    monkeypatch.setattr(
        pretend.PretendRuntime,
        "deserialize_cuda_engine",
        lambda runtime, engine: allowed.append(runtime.engine_host_code_allowed),
    )
    for compatible in (False, True):
        place_engine(graph, version_compatible=compatible)
        with pytest.raises(BackendError):
            open_backend(graph, "tensorrt")
    assert allowed == [False, True]


def test_the_lean_runtime_takes_version_compatible_engines_only(gpu, graph, monkeypatch):
    monkeypatch.delitem(sys.modules, "tensorrt")
    whole = pretend.pretend_tensorrt(gpu)
    monkeypatch.setitem(sys.modules, "tensorrt_lean_bindings", whole)
    if tensorrt.import_tensorrt().module is not whole:
        pytest.skip("the whole TensorRT is installed here, which comes first")
    place_engine(graph)
    with pytest.raises(BackendError, match="only the lean runtime is installed"):
        open_backend(graph, "tensorrt")
    place_engine(graph, version_compatible=True)
    check_backend(open_backend(graph, "tensorrt"), np.random.default_rng(0))


def test_a_missing_tensorrt_is_told_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setattr(tensorrt, "MODULES", ("tensorrt_that_is_not_there",))
    with pytest.raises(BackendError, match=r"pip install 'divo\[tensorrt\]'"):
        tensorrt.import_tensorrt()


def test_missing_cuda_bindings_are_told_with_the_command_that_installs_them(monkeypatch):
    monkeypatch.setitem(sys.modules, "cuda.bindings", None)
    with pytest.raises(BackendError, match=r"pip install 'divo\[cuda\]'"):
        cuda.import_cuda()


def test_no_device_is_no_gpu():
    pretended = pretend.PretendCuda()
    pretended.cudaGetDeviceCount = lambda: (real_cuda.cudaError_t.cudaSuccess, 0)
    with pytest.raises(BackendError, match="no device"):
        cuda.find_gpu(pretended)


def real_gpu() -> bool:
    return real_cuda.cudaGetDeviceCount()[0] == real_cuda.cudaError_t.cudaSuccess


@pytest.mark.skipif(real_gpu(), reason="this machine has a GPU")
@pytest.mark.parametrize("kind", ["tensorrt", "tensorrt-fp16"])
def test_without_a_gpu_the_real_libraries_lead_to_one_clear_error(graph, kind):
    assert kind not in available_kinds()
    assert "no GPU that CUDA can use" in find_obstacle(kind).what
    # In a process of its own: asked without a driver, TensorRT 11.4 would end the whole process.
    code = "import pathlib, sys, divo_runtime.backends as b; b.open_backend(pathlib.Path(sys.argv[1]), sys.argv[2])"
    ended = subprocess.run([sys.executable, "-c", code, graph, kind], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "BackendError: There is no GPU that CUDA can use." in ended.stderr


@pytest.mark.skipif(real_gpu(), reason="this machine has a GPU")
def test_what_the_real_runtime_says_reaches_our_message_list():
    code = """
import os, sys, tensorrt_lean_bindings as trt
from divo_runtime.backends.tensorrt import _message_log
messages = []
runtime = trt.Runtime(_message_log(trt, messages))
sys.stdout.write(messages[0]); sys.stdout.flush()
os._exit(0)  # a runtime made without a driver cannot be taken down
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "CUDA initialization failure" in said
