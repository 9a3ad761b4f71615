"""`divo-export tensorrt`: engines for this machine, checked and timed. Needs neither torch nor the dataset."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.table import Table

from divo_export.tensorrt_check import REPORT, TargetReport, examine, write_report
from divo_export.tensorrt_engine import BuildOptions, ensure_engine
from divo_runtime.backends import OPENERS
from divo_runtime.backends.engine_files import FOLDER, Hardware, Precision
from divo_runtime.bundle.loading import Bundle, load_bundle
from divo_runtime.errors import BackendError


@dataclass(frozen=True)
class TensorrtConfig:
    """Build TensorRT engines of a bundle for this machine's GPU; check what they compute and how fast."""

    bundle: Annotated[Path, tyro.conf.Positional] = Path("bundles/arm_reach")
    """Bundle folder; the engines go to `engines/` in it."""
    precision: Precision = "fp32"
    """What the engines compute in; inputs and outputs are float32 always."""
    version_compatible: bool = False
    """Make engines that later TensorRT versions and the lean runtime run too; can be slower."""
    hardware: Hardware = "this_gpu"
    """Which GPUs shall run them: this model, all of its compute capability, or all from sm_80 on; can be slower."""
    optimization_level: int = 3
    """How long the builder searches, 0 to 5."""
    force: bool = False
    """Build again even where a fitting engine is there."""
    build: bool = True
    """With --no-build nothing is built; for --check and --bench of what is there."""
    check: bool = False
    """Check every backend of this machine: runtime rules, and answers against those that the bundle carries."""
    bench: bool = False
    """Check, then time every backend of this machine, ONNX Runtime on the CPU among them."""
    calls: int = 20_000
    """Timed calls per policy and backend."""

    def run(self, console: Console) -> None:
        """Do it.

        Raises:
            BundleError: If the bundle does not verify.
            BackendError: If there is no GPU or no builder, a network cannot be built, or a backend failed its check.
        """
        if not 0 <= self.optimization_level <= 5 or self.calls < 1:
            got = f"--optimization-level {self.optimization_level} --calls {self.calls}"
            raise BackendError("There is no such build.", got=got, expected="a level of 0 to 5, and --calls >= 1")
        with load_bundle(self.bundle) as bundle:
            if self.build:
                self._build(bundle, console)
            if self.check or self.bench:
                self._examine(bundle, console)

    def _build(self, bundle: Bundle, console: Console) -> None:
        options = BuildOptions(self.precision, self.version_compatible, self.hardware, self.optimization_level)
        for name, network in bundle.manifest.x_divo.networks.items():
            with console.status(f"building the engine of {name}"):
                built = ensure_engine(bundle.folder / network.parameters.model_path, options, self.force)
            console.print(f"{name}: {'built' if built.new else 'kept'} {built.path.name}", highlight=False)

    def _examine(self, bundle: Bundle, console: Console) -> None:
        calls = self.calls if self.bench else 0
        own = "tensorrt" if self.precision == "fp32" else "tensorrt-fp16"
        now = datetime.now(timezone.utc)
        report = examine(
            bundle, list(OPENERS), own, calls, time.perf_counter_ns, now, lambda line: console.print(line, markup=False)
        )
        path = bundle.folder / FOLDER / REPORT
        write_report(path, report)
        for table in report_tables(report):
            console.print(table)
        console.print(f"Written to {path}", highlight=False)
        if report.failures:
            raise BackendError(
                "A backend of this machine must not be used with this bundle.",
                where=", ".join(report.failures),
                got=" ".join(next(iter(report.failures.values())).split()),
                fix="Use another backend. Engines are built again with --force.",
            )


def report_tables(report: TargetReport) -> list[Table]:
    """Return what the report says, for a terminal."""
    agreement = Table(title="Against the answers of the trained networks")
    for heading in ("backend", "network", "precision", "observations", "worst error of range", "same choice"):
        agreement.add_column(heading)
    for a in report.agreements:
        numbers = f"{a.observations}", f"{a.worst_fraction:.1e}", f"{a.agreement:.2%}"
        agreement.add_row(a.backend, a.network, a.precision, *numbers)
    speed = Table(title="One action, from host memory to host memory [us]")
    for heading in ("backend", "policy", "p50", "p99", "p99.9", "max", "calls"):
        speed.add_column(heading)
    for s in report.speeds:
        speed.add_row(
            s.backend, s.policy, *(f"{us:.1f}" for us in (s.p50_us, s.p99_us, s.p999_us, s.max_us)), f"{s.calls}"
        )
    return [table for table in (agreement, speed) if table.row_count]
