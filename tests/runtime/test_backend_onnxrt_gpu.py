"""ONNX Runtime's GPU providers, as far as a machine without a GPU can tell: refusals, options, binding on the CPU."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnxruntime
import pytest

from divo_runtime.backends import available_kinds, find_obstacle, onnxrt_gpu, open_backend
from divo_runtime.backends.cuda import Gpu
from divo_runtime.backends.onnxrt_gpu import CUDA, TENSORRT, OnnxGpuBackend, cache_folder, provider_options
from divo_runtime.conformance import check_backend
from divo_runtime.errors import BackendError

A2000 = Gpu("NVIDIA RTX A2000", (8, 6))
WITHOUT_GPU = pytest.mark.skipif(
    "CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="onnxruntime-gpu is installed here"
)


@pytest.fixture
def graph(write_tiny_bundle, tmp_path, arm):
    return write_tiny_bundle(tmp_path, arm, 0.5, noise_gain=0.1) / "sampler.onnx"


@WITHOUT_GPU
@pytest.mark.parametrize(
    ("kind", "provider"), [("onnxruntime-cuda", CUDA), ("onnxruntime-tensorrt", TENSORRT)], ids=["cuda", "tensorrt"]
)
def test_an_onnxruntime_without_the_provider_says_which_package_has_it(graph, kind, provider):
    with pytest.raises(BackendError, match="onnxruntime-gpu") as caught:
        open_backend(graph, kind)
    assert caught.value.expected == provider
    assert "CPUExecutionProvider" in caught.value.got
    assert find_obstacle(kind).expected == provider
    assert kind not in available_kinds()


def test_providers_keep_full_float32_products_and_use_cuda_graphs(tmp_path):
    assert provider_options(CUDA, tmp_path) == {"device_id": "0", "enable_cuda_graph": "1", "use_tf32": "0"}
    options = provider_options(TENSORRT, tmp_path)
    assert options["trt_cuda_graph_enable"] == options["trt_engine_cache_enable"] == "1"
    assert options["trt_engine_cache_path"] == options["trt_timing_cache_path"] == str(tmp_path)
    assert options["trt_fp16_enable"] == "0"


def test_the_engine_cache_changes_with_graph_gpu_and_versions(tmp_path):
    path = tmp_path / "actor.onnx"
    path.write_bytes(b"a graph")
    first = cache_folder(path, A2000, "1.31.1", "10.3.0")
    assert first.parent == tmp_path / "engines" / "onnxruntime"
    assert first.name.endswith("-NVIDIA-RTX-A2000-sm_86-ort1.31.1-trt10.3.0")
    others = [
        cache_folder(path, Gpu("Orin", (8, 7)), "1.31.1", "10.3.0"),
        cache_folder(path, A2000, "1.32.0", "10.3.0"),
        cache_folder(path, A2000, "1.31.1", "10.3.1"),
    ]
    path.write_bytes(b"a newer graph")
    others.append(cache_folder(path, A2000, "1.31.1", "10.3.0"))
    assert len({first, *others}) == 5


@pytest.fixture
def pretend_cuda(monkeypatch):
    """The real onnxruntime, with its CPU under the name of the GPU."""
    opened = []

    class Session(onnxruntime.InferenceSession):
        def __init__(self, path, options, providers, enable_fallback):
            opened.append((options, providers, enable_fallback))
            super().__init__(path, onnxruntime.SessionOptions(), providers=["CPUExecutionProvider"])

        def get_providers(self):
            return [provider for provider, _ in opened[-1][1]]

    def on_cpu(shape, dtype, device, number):
        assert (device, number) == ("cuda", 0)
        return onnxruntime.OrtValue.ortvalue_from_shape_and_type(shape, dtype, "cpu", 0)

    module = SimpleNamespace(
        **{
            name: getattr(onnxruntime, name)
            for name in ("SessionOptions", "ExecutionMode", "preload_dlls", "__version__")
        },
        InferenceSession=Session,
        OrtValue=SimpleNamespace(ortvalue_from_shape_and_type=on_cpu),
    )
    monkeypatch.setattr(onnxrt_gpu, "require_provider", lambda provider: (module, A2000))
    return SimpleNamespace(module=module, opened=opened, session=Session)


@pytest.mark.parametrize("provider", [CUDA, TENSORRT])
@pytest.mark.parametrize("name", ["actor", "sampler", "critic"])
def test_its_binding_keeps_the_rules_on_every_network(pretend_cuda, graph, name, provider):
    check_backend(OnnxGpuBackend(graph.with_name(f"{name}.onnx"), 1, provider), np.random.default_rng(0))


def test_a_session_forbids_the_cpu_and_the_second_try(pretend_cuda, graph):
    OnnxGpuBackend(graph, 1, CUDA)
    options, providers, enable_fallback = pretend_cuda.opened[0]
    assert options.get_session_config_entry("session.disable_cpu_ep_fallback") == "1"
    assert [provider for provider, _ in providers] == [CUDA]
    assert enable_fallback == 0


def test_only_the_tensorrt_provider_gets_a_cache_folder(pretend_cuda, graph):
    OnnxGpuBackend(graph, 1, CUDA)
    assert not (graph.parent / "engines").exists()
    OnnxGpuBackend(graph, 1, TENSORRT)
    (_, providers, _) = pretend_cuda.opened[-1]
    assert Path(providers[0][1]["trt_engine_cache_path"]).is_dir()


def test_a_session_that_left_the_gpu_aside_is_refused(pretend_cuda, graph, monkeypatch):
    monkeypatch.setattr(pretend_cuda.session, "get_providers", lambda _: ["CPUExecutionProvider"])
    with pytest.raises(BackendError, match="left the GPU aside"):
        OnnxGpuBackend(graph, 1, CUDA)


def test_onnxruntime_itself_refuses_to_run_on_the_cpu_what_was_meant_for_the_gpu(graph):
    """The real session with our entry: no provider takes the network, so the CPU would have to."""
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    options.log_severity_level = 4
    with pytest.raises(Exception, match="fallback to CPU EP has been explicitly disabled"):
        onnxruntime.InferenceSession(str(graph), options, providers=[])


def test_a_file_that_is_no_graph_is_told_by_name(pretend_cuda, tmp_path):
    (tmp_path / "actor.onnx").write_bytes(b"not a graph")
    with pytest.raises(BackendError, match=r"actor\.onnx"):
        OnnxGpuBackend(tmp_path / "actor.onnx", 1, CUDA)
