"""A bundle whose policy moves the joints about, and breaks when a range of the scan asks for it.

The traps are in the ONNX graph itself, so that what breaks is the network that the node really runs:
`scan[0]` above `TRAP` gives NaN, `scan[1]` above it takes a millisecond longer for each metre, `scan[2]` fails at run
time (an index out of range).
"""

from __future__ import annotations

from pathlib import Path
from time import perf_counter_ns

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from divo_runtime.bundle.manifest import (
    Moments,
    PolicySettings,
    Provenance,
    Statistics,
)
from divo_runtime.bundle.manifest_writing import compose_manifest, write_manifest
from divo_runtime.contract import Contract

TRAP = 5.0
"""Range above which a trap shuts [m]; the scan is 1 m otherwise."""

GAIN = 2.0
OPSET = 17
STATE = 64
"""Size of the recurrent state that the slow trap keeps busy with."""

TIMED_PASSES = 300
TIMED_TRIES = 300
"""Each takes a millisecond, short enough that some are not interrupted even on a busy machine."""

Array = NDArray[np.float32]


def write_fault_bundle(folder: Path, contract: Contract, gain: float = GAIN) -> Path:
    """Write `folder/<contract.name>` and return it.

    Joints `a` and `b` follow the goal's offset from the tool; `c` moves with it and does not look where it is.

    Args:
        folder: Parent folder.
        contract: That of `benchmarks.faults.contract`.
        gain: Velocity for a deviation of 1 rad [1/s].
    """
    bundle = folder / contract.name
    bundle.mkdir(parents=True)
    weights = np.zeros((3, contract.observation_size), np.float32)
    weights[0, 0] = weights[1, 1] = -gain
    weights[0, 9] = weights[1, 10] = weights[2, 9] = gain
    onnx.save(_policy_graph(weights, _passes_per_ms(weights)), bundle / "actor.onnx")
    size, rows = contract.observation_size, contract.action_size
    manifest = compose_manifest(
        bundle,
        contract,
        {"actor": PolicySettings(kind="actor", candidates=1, steps=1)},
        Statistics(observation=_moments(size), action=_moments(rows)),
        Provenance(
            dataset="none",
            dataset_sha256="0" * 64,
            transitions=1,
            git_commit="0" * 40,
            divo_version="0",
            created="2000-01-01T00:00:00Z",
            config={"made_for": "the fault table"},
        ),
        {"exporter": "benchmarks.faults"},
    )
    write_manifest(bundle / f"{contract.name}.yaml", manifest)
    return bundle


def _passes_per_ms(weights: Array) -> float:
    """Measure how often the slow trap's body runs in a millisecond on this machine."""
    network = onnxruntime.InferenceSession(
        _policy_graph(weights, 1.0).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    observation = np.zeros((1, weights.shape[1]), np.float32)
    observation[0, 13] = TRAP + TIMED_PASSES
    feeds = {"observation": observation, "noise": np.zeros((1, 3), np.float32)}
    durations_ns = []
    for _ in range(TIMED_TRIES):
        begun_ns = perf_counter_ns()
        network.run(None, feeds)
        durations_ns.append(perf_counter_ns() - begun_ns)
    return TIMED_PASSES / (min(durations_ns) / 1e6)


def _policy_graph(weights: Array, passes_per_ms: float) -> onnx.ModelProto:
    """Make action = W observation + (NaN, 0 after a while, or nothing at all), value = -|noise|^2."""
    numbers = {
        "weight": weights,
        "trap": np.array([TRAP]),
        "zero": np.array([0.0]),
        "rate": np.array([passes_per_ms]),
        "far": np.array([100.0]),
        "table": np.array([0.0]),
        "state": np.full((1, STATE), 0.5),
    }
    integers = {"at0": [12], "at1": [13], "at2": [14], "one_axis": [1], "scalar": [], "first": [0], "last": [1]}
    node = helper.make_node
    nodes = [
        node("Gemm", ["observation", "weight"], ["linear"], transB=1),
        node("Gather", ["observation", "at0"], ["range0"], axis=1),
        node("Gather", ["observation", "at1"], ["range1"], axis=1),
        node("Gather", ["observation", "at2"], ["range2"], axis=1),
        # sqrt of a negative number is NaN, and 0 * NaN is NaN
        node("Sub", ["trap", "range0"], ["margin"]),
        node("Sqrt", ["margin"], ["root"]),
        node("Mul", ["root", "zero"], ["nothing0"]),
        # a loop as long as the range says
        node("Sub", ["range1", "trap"], ["excess"]),
        node("Relu", ["excess"], ["lasting_ms"]),
        node("Mul", ["lasting_ms", "rate"], ["passes"]),
        node("Cast", ["passes"], ["count_11"], to=TensorProto.INT64),
        node("Reshape", ["count_11", "scalar"], ["count"]),
        node("Loop", ["count", "", "state"], ["ended"], body=_loop_body()),
        node("Slice", ["ended", "first", "last", "one_axis"], ["tail"]),
        node("Mul", ["tail", "zero"], ["nothing1"]),
        # an index that is not there
        node("Greater", ["range2", "trap"], ["is_far"]),
        node("Cast", ["is_far"], ["flag"], to=TensorProto.FLOAT),
        node("Mul", ["flag", "far"], ["place"]),
        node("Cast", ["place"], ["index"], to=TensorProto.INT64),
        node("Gather", ["table", "index"], ["nothing2"], axis=0),
        node("Sum", ["linear", "nothing0", "nothing1", "nothing2"], ["action"]),
        node("Mul", ["noise", "noise"], ["squares"]),
        node("ReduceSum", ["squares", "one_axis"], ["length"], keepdims=0),
        node("Neg", ["length"], ["value"]),
    ]
    tensors = [numpy_helper.from_array(np.asarray(value, np.float32), name) for name, value in numbers.items()]
    tensors += [numpy_helper.from_array(np.array(value, np.int64), name) for name, value in integers.items()]
    rows, size = weights.shape
    inputs = [_tensor("observation", [1, size]), _tensor("noise", [1, rows])]
    outputs = [_tensor("action", [1, rows]), _tensor("value", [1])]
    model = helper.make_model(
        helper.make_graph(nodes, "trapped", inputs, outputs, tensors),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=9,
    )
    onnx.checker.check_model(model)
    return model


def _loop_body() -> onnx.GraphProto:
    rng = np.random.default_rng(0)
    weight = rng.normal(0.0, 1.0 / np.sqrt(STATE), (STATE, STATE)).astype(np.float32)
    nodes = [
        helper.make_node("MatMul", ["before", "recurrent"], ["mixed"]),
        helper.make_node("Tanh", ["mixed"], ["after"]),
        helper.make_node("Identity", ["going"], ["going_on"]),
    ]
    inputs = [
        helper.make_tensor_value_info("pass", TensorProto.INT64, []),
        helper.make_tensor_value_info("going", TensorProto.BOOL, []),
        _tensor("before", [1, STATE]),
    ]
    outputs = [helper.make_tensor_value_info("going_on", TensorProto.BOOL, []), _tensor("after", [1, STATE])]
    return helper.make_graph(nodes, "body", inputs, outputs, [numpy_helper.from_array(weight, "recurrent")])


def _tensor(name: str, shape: list[int]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def _moments(size: int) -> Moments:
    return Moments(mean=(0.0,) * size, std=(1.0,) * size, minimum=(-1.0,) * size, maximum=(1.0,) * size)
