"""d3rlpy's side of the referee: runs in `.venv-referee`, where this project is not installed.

Reads one JSON line per job from standard input and answers with one JSON line:
`{"do": "make", ...}` builds an algorithm and its data, `{"do": "update", "count": N}` trains and answers with seconds,
`{"do": "save", "path": ...}` writes the policy as TorchScript.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

import d3rlpy
import numpy as np
import torch
from d3rlpy.algos import IQLConfig, ReBRACConfig, TD3PlusBCConfig
from d3rlpy.constants import ActionSpace
from d3rlpy.models import VectorEncoderFactory


def make(job: dict[str, Any]) -> tuple[Any, Any]:
    """Return an untrained algorithm and its replay buffer.

    Args:
        job: `algorithm` (td3bc, iql, rebrac), `data` (npz of `benchmarks.referee_process`), `seed`, `width`, `depth`,
            `batch_size`, `learning_rate`, `discount`, `target_rate`, and `extra`, further settings of the algorithm.
    """
    d3rlpy.seed(job["seed"])
    torch.set_num_threads(1)
    with np.load(job["data"]) as file:
        arrays = {name: file[name] for name in ("observations", "actions", "rewards", "terminals", "timeouts")}
    buffer = d3rlpy.dataset.MDPDataset(**arrays, action_space=ActionSpace.CONTINUOUS)
    encoder = VectorEncoderFactory(hidden_units=[job["width"]] * job["depth"])
    kinds = {"td3bc": TD3PlusBCConfig, "iql": IQLConfig, "rebrac": ReBRACConfig}
    encoders = {"actor_encoder_factory": encoder, "critic_encoder_factory": encoder}
    if job["algorithm"] == "iql":
        encoders["value_encoder_factory"] = encoder
    algorithm = kinds[job["algorithm"]](
        batch_size=job["batch_size"],
        gamma=job["discount"],
        tau=job["target_rate"],
        actor_learning_rate=job["learning_rate"],
        critic_learning_rate=job["learning_rate"],
        **encoders,
        **job["extra"],
    ).create(device="cpu:0")
    algorithm.build_with_dataset(buffer)
    return algorithm, buffer


def main() -> None:
    """Answer jobs until standard input ends."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)  # d3rlpy logs to standard output
    os.dup2(2, 1)
    algorithm: Any = None
    buffer: Any = None
    for line in sys.stdin:
        job = json.loads(line)
        answer: dict[str, Any] = {}
        if job["do"] == "make":
            algorithm, buffer = make(job)
            answer = {
                "transitions": int(buffer.transition_count),
                "d3rlpy": d3rlpy.__version__,
                "torch": torch.__version__,
            }
        elif job["do"] == "update":
            begun = time.perf_counter()
            for _ in range(job["count"]):
                algorithm.update(buffer.sample_transition_batch(algorithm.batch_size))
            answer = {"seconds": time.perf_counter() - begun}
        elif job["do"] == "save":
            algorithm.save_policy(job["path"])
        answers.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
