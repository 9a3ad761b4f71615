"""What a person with a new machine wants to know: does every engine on it compute what was trained, and how fast?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

import msgspec
import numpy as np

from divo_runtime.backends import find_obstacle
from divo_runtime.backends.cuda import find_gpu, import_cuda
from divo_runtime.backends.onnxrt import import_onnxruntime
from divo_runtime.backends.tensorrt import import_tensorrt
from divo_runtime.bench import measure_policy
from divo_runtime.bundle.loading import Bundle
from divo_runtime.conformance import check_backend
from divo_runtime.errors import BackendError, DivoError
from divo_runtime.parity.check import check_bundle
from divo_runtime.recording.identity import describe_machine
from divo_runtime.schema import Record
from divo_runtime.timing.latency import Percentiles

REPORT = "report.json"
Announce = Callable[[str], None]


class Agreement(Record, frozen=True, kw_only=True):
    """How far one network in one backend is from the trained one."""

    backend: str
    network: str
    precision: str
    observations: int
    worst_fraction: float
    """Largest error of an action as a fraction of its range, of the critic as a fraction of the values' spread."""
    agreement: float
    """Share of observations where the same candidate was chosen."""


class Speed(Record, frozen=True, kw_only=True):
    """How long one policy takes in one backend, from host memory to host memory [us]."""

    backend: str
    policy: str
    calls: int
    p50_us: float
    p99_us: float
    p999_us: float
    max_us: float


class TargetReport(Record, frozen=True, kw_only=True):
    """`engines/report.json`: what was found on this machine."""

    created: str
    machine: dict[str, str]
    agreements: tuple[Agreement, ...]
    speeds: tuple[Speed, ...]
    obstacles: dict[str, str]
    """Backend -> why this machine cannot run it."""
    failures: dict[str, str]
    """Backend -> why it must not be used: it broke a rule or its numbers are off."""


def examine(
    bundle: Bundle,
    kinds: Sequence[str],
    required: str,
    calls: int,
    timer: Callable[[], int],
    now: datetime,
    announce: Announce,
) -> TargetReport:
    """Check and time a bundle in several backends.

    A backend fails by itself: the others are examined all the same, and the report names it.

    Args:
        bundle: The bundle.
        kinds: Backends, of `divo_runtime.backends.OPENERS`.
        required: The one of them that must open the networks; any other that cannot is reported as not there.
        calls: Timed calls per policy and backend; 0 leaves the timing out.
        timer: Monotonic clock [ns].
        now: Time that the report states.
        announce: Told what happens, a line each.
    """
    agreements, speeds = [], []
    obstacles, failures = {}, {}
    for kind in kinds:
        obstacle = find_obstacle(kind) or (None if kind == required else _find_trouble(bundle, kind))
        if obstacle is not None:
            obstacles[kind] = obstacle.got or obstacle.what
            announce(f"{kind}: not on this machine ({obstacles[kind]})")
            continue
        try:
            agreements += _check(bundle, kind)
            announce(f"{kind}: keeps the rules and computes what was trained")
            speeds += _measure(bundle, kind, calls, timer) if calls else []
        except DivoError as error:
            failures[kind] = str(error)
            announce(f"{kind}: FAILED. {error}")
    return TargetReport(
        created=now.isoformat(timespec="seconds"),
        machine=describe_target(),
        agreements=tuple(agreements),
        speeds=tuple(speeds),
        obstacles=obstacles,
        failures=failures,
    )


def describe_target() -> dict[str, str]:
    """Return processor, GPU and versions, as far as they are there."""
    parts: dict[str, Callable[[], str]] = {
        "onnxruntime": lambda: str(import_onnxruntime().__version__),
        "gpu": lambda: str(find_gpu(import_cuda())),
        "tensorrt": lambda: import_tensorrt().version,
    }
    return describe_machine() | {name: _or_none(part) for name, part in parts.items()}


def _or_none(part: Callable[[], str]) -> str:
    try:
        return part()
    except DivoError as error:
        return f"none ({error.got or error.what})"


def write_report(path: Path, report: TargetReport) -> None:
    """Write the report as JSON."""
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n")


def _find_trouble(bundle: Bundle, kind: str) -> BackendError | None:
    """Return why a backend cannot open the networks, for example because its libraries are of another version."""
    try:
        for name in bundle.manifest.x_divo.networks:
            bundle.open_network(name, kind).close()
    except BackendError as error:
        return error
    return None


def _check(bundle: Bundle, kind: str) -> list[Agreement]:
    rng = np.random.default_rng(0)
    for name in bundle.manifest.x_divo.networks:
        check_backend(bundle.open_network(name, kind), rng)
    return [
        Agreement(
            backend=kind,
            network=parity.network,
            precision=parity.precision,
            observations=parity.observations,
            worst_fraction=parity.worst_fraction,
            agreement=parity.agreement,
        )
        for parity in check_bundle(bundle, kind)
    ]


def _measure(bundle: Bundle, kind: str, calls: int, timer: Callable[[], int]) -> list[Speed]:
    rng = np.random.default_rng(0)
    speeds = []
    for name in bundle.manifest.x_divo.policies:
        policy = bundle.open_policy(name, kind)
        taken = measure_policy(policy, bundle.typical_observation, rng, timer, calls, warmup=max(100, calls // 10))
        policy.close()
        speeds.append(_speed(kind, name, taken))
    return speeds


def _speed(kind: str, name: str, taken: Percentiles) -> Speed:
    p50, p99, p999, top = (ns / 1e3 for ns in (taken.p50, taken.p99, taken.p999, taken.max))
    return Speed(backend=kind, policy=name, calls=taken.count, p50_us=p50, p99_us=p99, p999_us=p999, max_us=top)
