"""Which engine may run where, and what a person is told when none may."""

import msgspec
import pytest

from divo_runtime.backends.cuda import Gpu
from divo_runtime.backends.engine_files import (
    EngineKey,
    Target,
    engine_path,
    find_engine,
    find_mismatches,
    key_path,
    load_engine,
    read_key,
    sha256,
    write_engine,
)
from divo_runtime.errors import BackendError

A2000 = Gpu("NVIDIA RTX A2000", (8, 6))
HERE = Target(A2000, "10.3.0")
GRAPH = b"a graph"
ENGINE = b"ftrt engine"
KEY = EngineKey(
    graph="actor.onnx",
    graph_sha256=sha256(GRAPH),
    engine_sha256=sha256(ENGINE),
    gpu=A2000.name,
    compute_capability=A2000.capability,
    tensorrt="10.3.0",
    precision="fp32",
)


@pytest.fixture
def graph(tmp_path):
    path = tmp_path / "actor.onnx"
    path.write_bytes(GRAPH)
    return path


def place(graph, key=KEY, engine=ENGINE, target=HERE):
    path = engine_path(graph, key.precision, target)
    write_engine(path, engine, key)
    return path


def test_an_engine_is_named_after_graph_precision_gpu_and_version(graph):
    path = engine_path(graph, "fp16", HERE)
    assert path == graph.parent / "engines" / "actor.fp16.nvidia-rtx-a2000-sm86.trt10.3.0.engine"


def test_an_engine_of_this_graph_gpu_and_version_is_found_and_read(graph):
    path = place(graph)
    assert find_engine(graph, "fp32", HERE) == (path, KEY)
    assert load_engine(path, KEY) == ENGINE
    assert [file.name for file in path.parent.iterdir() if file.suffix == ".partial"] == []


@pytest.mark.parametrize(
    ("change", "target", "reason"),
    [
        ({}, HERE, ""),
        ({"graph_sha256": "0" * 64}, HERE, "its graph has sha256 0000000000000000, the file here"),
        ({"precision": "fp16"}, HERE, "it is fp16, wanted is fp32"),
        ({}, Target(Gpu("NVIDIA RTX A4000", (8, 6)), "10.3.0"), "RTX A2000 (sm_86), this is NVIDIA RTX A4000 (sm_86)"),
        ({}, Target(A2000, "10.3.1"), "it is for TensorRT 10.3.0, this is 10.3.1"),
        ({"hardware": "same_compute_capability"}, Target(Gpu("NVIDIA RTX A4000", (8, 6)), "10.3.0"), ""),
        ({"hardware": "same_compute_capability"}, Target(Gpu("Orin", (8, 7)), "10.3.0"), "and its kind, this is Orin"),
        ({"hardware": "ampere_plus"}, Target(Gpu("NVIDIA H200", (9, 0)), "10.3.0"), ""),
        ({"hardware": "ampere_plus"}, Target(Gpu("NVIDIA T4", (7, 5)), "10.3.0"), "sm_80 or newer"),
        ({"version_compatible": True}, Target(A2000, "10.16.1.11"), ""),
        ({"version_compatible": True}, Target(A2000, "11.4.0.106"), ""),
        ({"version_compatible": True}, Target(A2000, "10.1.0"), "TensorRT 10.3.0 and later, this is 10.1.0"),
        ({}, Target(A2000, "10.3.0", lean=True), "only the lean runtime is installed"),
        ({"version_compatible": True}, Target(A2000, "10.3.0", lean=True), ""),
    ],
)
def test_an_engine_runs_only_where_nvidias_rules_allow_it(change, target, reason):
    key = msgspec.structs.replace(KEY, **change)
    reasons = "; ".join(find_mismatches(key, sha256(GRAPH), "fp32", target))
    assert bool(reasons) == bool(reason)
    assert reason in reasons


def test_version_ten_sixteen_counts_as_later_than_ten_three():
    key = msgspec.structs.replace(KEY, tensorrt="10.16.0", version_compatible=True)
    assert find_mismatches(key, sha256(GRAPH), "fp32", HERE) != ()


def test_a_refusal_names_every_engine_its_reason_and_the_command_that_builds_a_fitting_one(graph):
    place(graph, msgspec.structs.replace(KEY, gpu="NVIDIA H200", compute_capability=(9, 0)))
    with pytest.raises(BackendError) as caught:
        find_engine(graph, "fp32", HERE)
    assert "it is for NVIDIA H200 (sm_90), this is NVIDIA RTX A2000 (sm_86)" in caught.value.got
    assert caught.value.fix == f"divo-export tensorrt {graph.parent}"


def test_a_graph_that_was_exported_again_no_longer_has_an_engine(graph):
    place(graph)
    graph.write_bytes(GRAPH + b"!")
    with pytest.raises(BackendError, match="its graph has sha256"):
        find_engine(graph, "fp32", HERE)


def test_without_any_engine_the_command_that_builds_one_is_told(graph):
    with pytest.raises(BackendError) as caught:
        find_engine(graph, "fp16", HERE)
    assert caught.value.got == "no engine of this graph"
    assert caught.value.fix.endswith("--precision fp16")


def test_an_engine_of_another_network_whose_name_begins_alike_is_not_taken(graph):
    place(graph)
    other = graph.with_name("act.onnx")
    other.write_bytes(GRAPH)
    with pytest.raises(BackendError, match="no engine of this graph"):
        find_engine(other, "fp32", HERE)


def test_an_engine_with_one_byte_changed_is_refused(graph):
    path = place(graph)
    path.write_bytes(ENGINE[:-1] + b"X")
    with pytest.raises(BackendError, match="changed since it was built"):
        load_engine(path, KEY)


def test_an_engine_that_was_not_written_to_its_end_is_refused(graph):
    path = place(graph)
    key = msgspec.structs.replace(KEY, engine_sha256=sha256(b"a newer engine"))
    key_path(path).write_bytes(msgspec.json.encode(key))  # what a build leaves that was cut off before the engine
    with pytest.raises(BackendError, match="changed since it was built"):
        load_engine(*find_engine(graph, "fp32", HERE))


def test_an_engine_whose_file_is_gone_is_told_so(graph):
    place(graph).unlink()
    with pytest.raises(BackendError, match="the key is there, the engine is not"):
        find_engine(graph, "fp32", HERE)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"no json", "malformed"),
        (b"{}", "missing required field"),
        (msgspec.json.encode({**msgspec.structs.asdict(KEY), "schema_version": 2}), "schema_version"),
    ],
)
def test_a_key_that_is_no_key_is_refused_by_name(graph, text, message):
    path = key_path(place(graph))
    path.write_bytes(text)
    with pytest.raises(BackendError, match=message) as caught:
        read_key(path)
    assert caught.value.where == str(path)
    with pytest.raises(BackendError, match=message):
        find_engine(graph, "fp32", HERE)


def test_an_engine_built_here_is_preferred_to_one_that_is_only_compatible(graph):
    elsewhere = Target(Gpu("NVIDIA H200", (9, 0)), "10.3.0")
    place(graph, msgspec.structs.replace(KEY, gpu="NVIDIA H200", hardware="ampere_plus"), target=elsewhere)
    assert find_engine(graph, "fp32", HERE)[1].gpu == "NVIDIA H200"
    own = place(graph)
    assert find_engine(graph, "fp32", HERE) == (own, KEY)


def test_a_broken_key_does_not_hide_a_good_engine(graph):
    good = place(graph)
    key_path(good.with_name("actor.fp32.another-gpu.engine")).write_bytes(b"no json")
    assert find_engine(graph, "fp32", HERE)[0] == good


def test_a_folder_that_cannot_be_written_to_is_one_clear_error(graph):
    (graph.parent / "engines").write_text("a file where the folder should be")
    with pytest.raises(BackendError, match="cannot be written"):
        place(graph)


def test_a_gpu_reads_as_name_and_architecture():
    assert str(A2000) == "NVIDIA RTX A2000 (sm_86)"
    assert str(Gpu("NVIDIA RTX 5090", (12, 0))) == "NVIDIA RTX 5090 (sm_120)"
