"""What every backend and every policy owes, as checks that anyone who writes one can run."""

from __future__ import annotations

import numpy as np

from divo_runtime.errors import BackendError
from divo_runtime.interfaces import Backend, Policy, TensorSpec
from divo_runtime.observation import FloatArray

Feeds = dict[str, FloatArray]


def check_backend(backend: Backend, rng: np.random.Generator) -> None:
    """Check a backend and close it.

    It must have fixed float32 tensors with different names; give exactly its outputs, the same for the same feeds, in
    arrays of their own, also for feeds that are not contiguous; leave the feeds alone; refuse wrong feeds, and any
    feeds once closed, with a `BackendError`.

    Args:
        backend: A freshly opened network whose inputs may be any standard normal numbers.
        rng: Source of the feeds.

    Raises:
        BackendError: Saying what it does and what it should do.
    """
    specs = (*backend.inputs, *backend.outputs)
    for side in (backend.inputs, backend.outputs):
        names = [spec.name for spec in side]
        _demand(bool(names) and len(set(names)) == len(names), "name its tensors, each once", f"{names}")
    for spec in specs:
        fixed = all(size > 0 for size in spec.shape) and spec.dtype == "float32"
        _demand(fixed, "have float32 tensors of fixed shape", str(spec))

    feeds = {spec.name: rng.standard_normal(spec.shape, dtype=np.float32) for spec in backend.inputs}
    before = {name: array.copy() for name, array in feeds.items()}
    first = backend.run(feeds)
    _demand_outputs(first, backend.outputs)
    kept = {name: array.copy() for name, array in first.items()}
    second = {name: array.copy() for name, array in backend.run(feeds).items()}
    backend.run({name: array + 1 for name, array in feeds.items()})
    for name, array in kept.items():
        same = np.array_equal(array, second[name], equal_nan=True)
        _demand(same, "give the same outputs for the same feeds", f"'{name}' {array} then {second[name]}")
        own = np.array_equal(array, first[name], equal_nan=True)
        _demand(own, "leave returned arrays alone in later runs", f"'{name}' overwritten")
    untouched = all(np.array_equal(before[name], array) for name, array in feeds.items())
    _demand(untouched, "leave the feeds alone", "changed feeds")
    spread_out = {name: np.repeat(array, 2, axis=-1)[..., ::2] for name, array in feeds.items()}
    for name, array in backend.run(spread_out).items():
        same = np.array_equal(array, kept[name], equal_nan=True)
        _demand(same, "read feeds that are not contiguous", f"'{name}' {array} instead of {kept[name]}")

    name, array = next(iter(feeds.items()))
    wrong: dict[str, Feeds] = {
        "no feeds": {},
        "an unknown tensor": {**feeds, "no such tensor": array},
        "another shape": {**feeds, name: np.zeros((*array.shape, 2), np.float32)},
        "float64": {**feeds, name: array.astype(np.float64)},
    }
    for what, bad in wrong.items():
        _demand(_refuses(backend, bad), f"refuse {what} with a BackendError", "accepted it")
    backend.close()
    backend.close()
    _demand(_refuses(backend, feeds), "refuse to run once closed with a BackendError", "accepted it")


def check_policy(policy: Policy, observation: FloatArray, rng: np.random.Generator) -> None:
    """Check a policy.

    It must want noise of (N, act_dim); answer (act_dim,) finite float32 for a typical observation, the same for the
    same noise, in an array of its own; and leave its arguments alone.

    Args:
        policy: The policy.
        observation: (obs_dim,) float32, a typical one.
        rng: Source of the noise.

    Raises:
        BackendError: Saying what it does and what it should do.
    """
    shape = policy.noise_shape
    _demand(len(shape) == 2 and min(shape) > 0, "want noise of shape (candidates, act_dim)", f"{shape}")
    noise = rng.standard_normal(shape, dtype=np.float32)
    seen, drawn = observation.copy(), noise.copy()
    first = policy.act(observation, noise)
    kept = first.action.copy()
    again = policy.act(observation, noise)
    policy.act(observation, noise + 1)
    right = kept.shape == shape[1:] and kept.dtype == np.float32 and bool(np.isfinite(kept).all())
    _demand(right, f"answer {shape[1]} finite float32 numbers", f"{kept.dtype}{list(kept.shape)} {kept}")
    _demand(np.array_equal(kept, again.action), "act the same on the same noise", f"{kept} then {again.action}")
    _demand(np.array_equal(kept, first.action), "leave returned actions alone later", f"{kept} became {first.action}")
    untouched = np.array_equal(seen, observation) and np.array_equal(drawn, noise)
    _demand(untouched, "leave observation and noise alone", "changed them")


def _demand_outputs(outputs: Feeds, specs: tuple[TensorSpec, ...]) -> None:
    got = {TensorSpec(name, array.shape, str(array.dtype)) for name, array in outputs.items()}
    _demand(got == set(specs), f"give {', '.join(map(str, specs))}", ", ".join(sorted(map(str, got))))


def _refuses(backend: Backend, feeds: Feeds) -> bool:
    try:
        backend.run(feeds)
    except BackendError:
        return True
    return False


def _demand(fulfilled: bool, duty: str, got: str) -> None:
    if not fulfilled:
        raise BackendError("It does not keep the runtime's rules.", got=got, expected=f"it must {duty}")
