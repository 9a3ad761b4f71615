"""Reward and termination of a recorded stretch: from a named Python function over the contract's terms.

It sees a whole stretch at once, so the same bag can be labelled for another goal without being recorded again.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from divo_runtime.contract import Contract
from divo_runtime.errors import DatasetError
from divo_runtime.observation import FloatArray

RewardFunction = Callable[[Mapping[str, FloatArray], FloatArray], tuple[Any, Any]]
"""(terms, actions) -> (rewards, terminated), for a stretch of T actions.

`terms` holds (T + 1, width) float32 for every term of the contract, as in the observation; `actions` is (T, act_dim) in
robot units. `rewards` is (T,), finite; `terminated` is (T,) true where the task ended with that action.
"""


def load_function(name: str) -> RewardFunction:
    """Import `module:function`; modules in the current folder are found too.

    Raises:
        DatasetError: If there is no such function.
    """
    module, _, function = name.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    fix = "Give it as module:function, with the module's folder on PYTHONPATH or as the current folder."
    try:
        found = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise DatasetError("The reward function cannot be imported.", where=name, got=str(error), fix=fix) from error
    if not callable(found):
        raise DatasetError("The reward function cannot be called.", where=name, got=type(found).__name__, fix=fix)
    return found


def label(
    function: RewardFunction, name: str, contract: Contract, observations: FloatArray, actions: FloatArray
) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Call a reward function on one stretch.

    Args:
        function: What `load_function` returned.
        name: Its name, for errors.
        contract: Says where the terms stand.
        observations: (T + 1, obs_dim)
        actions: (T, act_dim)

    Returns:
        (T,) rewards and (T,) terminated.

    Raises:
        DatasetError: If it raises, or answers with other shapes or with numbers that are not finite.
    """
    ends = np.cumsum([term.width for term in contract.observation])
    terms = {
        term.name: observations[:, end - term.width : end] for term, end in zip(contract.observation, ends, strict=True)
    }
    count = len(actions)
    try:
        rewards, terminated = function(terms, actions)
        answer = np.asarray(rewards, dtype=np.float32), np.asarray(terminated, dtype=bool)
    except Exception as error:  # it is the user's code; whatever it raises is told with its place
        raise DatasetError(
            "The reward function failed.", where=name, got=f"{type(error).__name__}: {error}", fix="Mend the function."
        ) from error
    if answer[0].shape != (count,) or answer[1].shape != (count,) or not np.isfinite(answer[0]).all():
        raise DatasetError(
            "The reward function's answer cannot be used.",
            where=name,
            got=f"rewards of shape {answer[0].shape}, terminated of shape {answer[1].shape}",
            expected=f"two arrays of shape ({count},), the rewards finite",
            fix="Return one reward and one flag per action.",
        )
    return answer
