"""Which operator of a graph is the first that does not compute what torch computes.

Every tensor inside the graph is looked up among the tensors that torch passes through for the same observation, by its
values and regardless of their order, because exported graphs lay out and group the same numbers differently. Some
tensors of a right graph have no partner (folded constants, regrouped sums), but what follows from them has one again.
So the culprit is the first operator after which, on the way to the output, nothing has a partner any more.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from divo_export.graphs import Trained, critic_view, policy_view
from divo_export.reference import torch_critic, torch_reference
from divo_runtime.bundle.manifest import PolicySettings
from divo_runtime.bundle.ports import CRITIC, LEAPP_NODE, leapp_feeds
from divo_runtime.observation import FloatArray
from divo_runtime.parity.check import critic_actions
from divo_runtime.parity.judgement import TOLERANCES, Parity
from divo_runtime.parity.sample import ParitySample, draw_noise

SMALLEST = 8
"""Tensors of fewer numbers count as found only if what they are made of is found too."""

Known = dict[int, list[FloatArray]]
"""Size -> the sorted values of each tensor of that size."""


class _Recorder(TorchDispatchMode):
    """Keeps the sorted values of what torch computes: tensors, their parts (members of an ensemble), their rows."""

    def __init__(self) -> None:
        super().__init__()
        self.by_size: Known = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor) and tensor.is_floating_point():
                self._keep(np.array(tensor.detach().tolist(), np.float32))
        return result

    def _keep(self, values: FloatArray) -> None:
        parts = [values]
        if values.ndim > 1:
            parts += [*values, *values.reshape(-1, values.shape[-1])]
        for part in parts:
            self.by_size.setdefault(part.size, []).append(np.sort(part, axis=None))


def name_divergence(folder: Path, trained: Trained, policies: Mapping[str, PolicySettings], parity: Parity) -> str:
    """Say where the graph of a failed comparison leaves torch's computation.

    The graph is first compared with the module that it was exported from, which has the same operators, and then with
    the training code, which has others.

    Args:
        folder: Where the graphs are.
        trained: The trained networks.
        policies: Name -> settings of the bundle's policies.
        parity: The comparison that failed; its worst observation is computed again, with noise of its own.
    """
    contract, network = trained.networks.contract, parity.network
    sample = ParitySample(np.array([parity.worst_case.observation], np.float32), seed=0)
    tolerance = TOLERANCES[parity.precision].error / 10  # a fault may have little effect one operator further
    settings = None if network == CRITIC else policies["actor" if network == LEAPP_NODE else network]
    view = critic_view(trained) if settings is None else policy_view(trained, settings)
    if settings is None:
        second = critic_actions(sample, contract)
    else:
        second = draw_noise(sample.seed, 1, (settings.candidates, contract.action_size))[0]
    feeds = dict(zip(view.inputs, (sample.observations, second), strict=True))
    if network == LEAPP_NODE:
        feeds = leapp_feeds(contract, sample.observations[0], second)
    path = folder / f"{network}.onnx"
    with torch.no_grad(), _Recorder() as exported:
        view.module.eval()(torch.from_numpy(sample.observations), torch.from_numpy(second))
    if culprit := find_culprit(path, feeds, exported.by_size, tolerance):
        return culprit
    with _Recorder() as learnt:
        torch_critic(trained, sample) if settings is None else torch_reference(trained.networks, settings, sample)
    if culprit := find_culprit(path, feeds, learnt.by_size, tolerance):
        return f"{culprit}; the export is right, it is divo_export's view that is not what was trained"
    return f"none; one by one they are right in ONNX Runtime, so look at how {parity.backend} fuses them"


def find_culprit(path: Path, feeds: Mapping[str, FloatArray], known: Known, tolerance: float) -> str | None:
    """Run a graph operator by operator and return the first one after which no tensor is known any more.

    Args:
        path: ONNX file.
        feeds: Its inputs.
        known: The tensors that torch computed.
        tolerance: Largest difference of a known tensor, relative to its largest value.

    Returns:
        Operator, its place and what it reads; None if the outputs are known.
    """
    model = onnx.load(path)
    nodes, outputs = list(model.graph.node), [value.name for value in model.graph.output]
    computed = _run_with_all_tensors(model, feeds)
    found = {name: _is_known(values, known.get(values.size, []), tolerance) for name, values in computed.items()}
    if all(found[name] for name in outputs):
        return None
    moving = set(feeds)  # tensors that depend on the inputs
    found |= dict.fromkeys(feeds, True)
    for node in nodes:
        if moving.intersection(node.input):
            moving.update(node.output)
        supported = any(found.get(name) for name in node.input)
        for name in node.output:
            if name in computed and computed[name].size < SMALLEST and name not in outputs:
                found[name] &= supported  # a few numbers are easily found by chance
    lost = {name for name in outputs if not found[name]}  # tensors from which no known one follows
    for node in reversed(nodes):
        followers = {name for other in nodes if set(other.input) & set(node.output) for name in other.output}
        if followers and followers <= lost and moving.issuperset(node.output) and not any(map(found.get, node.output)):
            lost.update(node.output)
    for index, node in enumerate(nodes):
        if lost.intersection(node.output):
            reads = ", ".join(name for name in node.input if name)
            return f"{node.op_type} '{node.name or node.output[0]}' ({index + 1} of {len(nodes)}), which reads {reads}"
    return None


def _run_with_all_tensors(model: onnx.ModelProto, feeds: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
    """Return every floating tensor inside a graph, in ONNX Runtime without optimisations."""
    present = {value.name for value in model.graph.output}
    for node in model.graph.node:
        model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in node.output if name not in present)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_outputs()]
    results = dict(zip(names, session.run(names, dict(feeds)), strict=True))
    return {name: np.asarray(value, np.float32) for name, value in results.items() if value.dtype.kind == "f"}


def _is_known(values: FloatArray, known: list[FloatArray], tolerance: float) -> bool:
    ordered = np.sort(values, axis=None)
    return any(np.abs(ordered - other).max() <= tolerance * max(float(np.abs(other).max()), 1e-3) for other in known)
