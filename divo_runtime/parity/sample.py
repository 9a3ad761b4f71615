"""Real observations with what the trained networks answered, stored in the bundle: to check a machine without torch.

The noise is not stored but drawn again from its seed. numpy promises the raw bits of a bit generator for ever, but not
what its distributions make of them, so the normal numbers are made here.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from divo_runtime.bundle.ports import CRITIC
from divo_runtime.errors import BundleError
from divo_runtime.fields import JointArray
from divo_runtime.observation import FloatArray

SAMPLE_FILE = "parity.npz"


@dataclass(frozen=True, slots=True)
class Reference:
    """What the trained networks answer to a sample."""

    action: FloatArray
    """(count, act_dim) the chosen action, in robot units."""
    value: FloatArray
    """(count, N) the critic's value of each candidate."""
    candidates: FloatArray | None = None
    """(count, N, act_dim) every candidate in robot units; not stored in a bundle."""


@dataclass(frozen=True, slots=True)
class ParitySample:
    """Observations, and the reference's answers to them."""

    observations: FloatArray
    """(count, obs_dim) in contract units."""
    seed: int
    """Seed of noise and of the critic's actions, see `draw_noise` and `draw_actions`."""
    policies: Mapping[str, Reference] = field(default_factory=dict)
    """Name of the policy -> answers."""
    critic: FloatArray | None = None
    """(count, members + 1) every member's Q, then V, of the actions of `draw_actions`; None without a critic."""


def draw_noise(seed: int, count: int, shape: tuple[int, int]) -> FloatArray:
    """Return (count, *shape) standard normal float32, the same on every machine up to the last digit.

    Source: Box and Muller 1958, "A note on the generation of random normal deviates", eq. 2.
    """
    size = count * shape[0] * shape[1]
    first, second = _uniform(seed, 2 * size).reshape(2, size)
    normal = np.sqrt(-2 * np.log(first)) * np.cos(2 * np.pi * second)
    return np.asarray(normal.reshape(count, *shape), dtype=np.float32)


def draw_actions(seed: int, count: int, lower: FloatArray, upper: FloatArray) -> FloatArray:
    """Return (count, act_dim) float32 uniform in [lower, upper], the same on every machine."""
    share = _uniform(seed, count * len(lower)).reshape(count, len(lower))
    return (lower + share * (upper - lower)).astype(np.float32)


def _uniform(seed: int, size: int) -> JointArray:
    """Return (size,) float64 in (0, 1], from the upper 53 bits of each raw number."""
    raw = np.random.PCG64(seed).random_raw(size)
    return np.asarray(((raw >> np.uint64(11)) + np.uint64(1)) * 2.0**-53)


def write_sample(path: Path, sample: ParitySample) -> None:
    """Write a sample as .npz.

    Raises:
        OSError: If the file cannot be written.
    """
    arrays = {"observations": sample.observations, "seed": np.array(sample.seed)}
    for name, reference in sample.policies.items():
        arrays |= {f"action.{name}": reference.action, f"value.{name}": reference.value}
    if sample.critic is not None:
        arrays[CRITIC] = sample.critic
    with path.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def read_sample(path: Path) -> ParitySample:
    """Read what `write_sample` wrote.

    Raises:
        BundleError: If the file is missing or damaged.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            data = {name: arrays[name] for name in arrays.files}
        names = [name.removeprefix("action.") for name in data if name.startswith("action.")]
        policies = {name: Reference(data[f"action.{name}"], data[f"value.{name}"]) for name in names}
        return ParitySample(data["observations"], int(data["seed"]), policies, data.get(CRITIC))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise BundleError(
            "The bundle has no readable parity sample.",
            where=str(path),
            got=str(error) or type(error).__name__,
            expected=f"{SAMPLE_FILE} with observations and the trained networks' answers",
            fix="Export the bundle again with this version of divo.",
        ) from error
