"""Every call of ours to CUDA and TensorRT, compared with the real libraries: does it exist, with that many arguments?

The names are read from our source, so that a new call is checked without anybody thinking of it. The libraries are
those of pip, which import on a machine without a GPU: cuda-bindings and TensorRT's lean runtime.
"""

from __future__ import annotations

import ast
import inspect
import re
from importlib import import_module
from pathlib import Path

import pytest

from divo_runtime.backends import cuda, tensorrt

real_cuda = pytest.importorskip("cuda.bindings.runtime", reason="cuda-bindings is for Linux: pip install 'divo[dev]'")
lean = pytest.importorskip("tensorrt_lean_bindings", reason="TensorRT's lean runtime on pip is for x86-64 Linux")
pretend = import_module("pretend_gpu")

SOURCES = [Path(module.__file__) for module in (cuda, tensorrt)]
INSTANCES = {"engine": lean.ICudaEngine, "context": lean.IExecutionContext, "properties": real_cuda.cudaDeviceProp}
INSTANCES |= {"runtime": lean.Runtime}


def dotted_names(source: Path) -> set[str]:
    """Every attribute that a file uses, such as `cuda.cudaMalloc` or `self._context.set_tensor_address`."""
    chains = {ast.unparse(node) for node in ast.walk(ast.parse(source.read_text())) if isinstance(node, ast.Attribute)}
    return {chain.replace("self._", "").replace("library.module", "trt") for chain in chains if "(" not in chain}


def used(*owners: str) -> list[tuple[str, str]]:
    names = {name for source in SOURCES for name in dotted_names(source)}
    return sorted(
        (owner, name.removeprefix(f"{owner}.")) for name in names for owner in owners if name.startswith(f"{owner}.")
    )


def resolve(root, dotted: str):
    for part in dotted.split("."):
        root = getattr(root, part)
    return root


def test_every_cuda_call_and_constant_that_we_use_exists():
    names = {name for _, name in used("cuda", "cudart") if name.startswith("cuda")}
    assert len(names) > 15
    for name in names:
        assert resolve(real_cuda, name) is not None


def test_every_tensorrt_class_and_constant_that_we_use_exists():
    names = [name for _, name in used("trt")]
    assert {"Runtime", "ILogger.ERROR", "TensorIOMode.INPUT", "DataType.FLOAT"} <= set(names)
    for name in names:
        assert resolve(lean, name) is not None


def test_every_method_that_we_call_on_their_objects_exists():
    names = {(owner, name.partition(".")[0]) for owner, name in used(*INSTANCES)}
    assert {("engine", "num_io_tensors"), ("engine", "create_execution_context")} <= names
    assert {("context", "execute_async_v3"), ("runtime", "engine_host_code_allowed"), ("properties", "major")} <= names
    for owner, name in names:
        assert hasattr(INSTANCES[owner], name), f"{owner}.{name}"


def parameters(function) -> int:
    """How many arguments a function wants without defaults; of an overloaded one, its first form."""
    first = re.search(rf"{function.__name__}\((?!\*args)(.*)\)", function.__doc__)
    given = [part for part in re.sub(r"\[[^]]*\]", "", first.group(1)).split(",") if part.strip()]
    return len([part for part in given if "=" not in part and not part.strip().startswith("self")])


PRETENDED = [
    *((real_cuda, pretend.PretendCuda, name) for name in vars(pretend.PretendCuda) if re.match(r"cuda[A-Z]\w+$", name)),
    *(
        (real, mine, name)
        for real, mine in (
            (lean.Runtime, pretend.PretendRuntime),
            (lean.ICudaEngine, pretend.PretendEngine),
            (lean.IExecutionContext, pretend.PretendContext),
        )
        for name in vars(mine)
        if not name.startswith("_")
    ),
]


@pytest.mark.parametrize(("real", "mine", "name"), PRETENDED, ids=[f"{mine.__name__}.{n}" for _, mine, n in PRETENDED])
def test_the_pretended_gpu_has_the_signatures_of_the_real_one(real, mine, name):
    if name == "dtype":  # an instruction to the pretender, not a part of TensorRT
        return
    theirs, ours = getattr(real, name), getattr(mine, name)
    if inspect.isfunction(ours):
        assert parameters(theirs) == len(inspect.signature(ours).parameters) - 1  # without self
