"""`divo-export bundle`, `divo-export check` and `divo-export tensorrt`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.table import Table

from divo_export.options import ExportOptions
from divo_export.tensorrt_command import TensorrtConfig
from divo_runtime.errors import DivoError


@dataclass(frozen=True)
class BundleConfig:
    """Export a training run to a bundle: ONNX graphs, parity report, manifest."""

    run: Annotated[Path, tyro.conf.Positional] = Path("runs/arm_reach/mixed-25")
    """Run folder of `divo-train fit`."""
    out: Path = Path("bundles/arm_reach")
    """Bundle folder; replaced only when every check has passed."""
    options: tyro.conf.OmitArgPrefixes[ExportOptions] = field(default_factory=ExportOptions)
    """What goes into it, and how thoroughly it is checked."""


@dataclass(frozen=True)
class CheckConfig:
    """Compare a bundle with the run it was made from, on this machine (`divo-runtime check` needs neither)."""

    bundle: Annotated[Path, tyro.conf.Positional] = Path("bundles/arm_reach")
    """Bundle folder."""
    run: Path = Path("runs/arm_reach/mixed-25")
    """Run folder that it was exported from."""
    backends: tuple[str, ...] = ()
    """Engines to compare; by default every one that runs here without building anything."""
    parity_observations: int = 10_000
    """Dataset observations to compare on."""
    episodes: int = 30
    """Seeded episodes per policy and engine, played with torch and with the exported network; 0 to leave this out."""


def main() -> None:
    """Entry point."""
    commands: dict[str, Callable[..., BundleConfig | CheckConfig | TensorrtConfig]] = {
        "bundle": BundleConfig,
        "check": CheckConfig,
        "tensorrt": TensorrtConfig,
    }
    config = tyro.extras.subcommand_cli_from_dict(
        commands, description="From a training run to a bundle for the robot."
    )
    try:
        if isinstance(config, BundleConfig):
            _bundle(config, Console())
        elif isinstance(config, TensorrtConfig):
            config.run(Console())
        else:
            _check(config, Console())
    except DivoError as error:
        Console(stderr=True).print(f"[bold red]error:[/] {error}", highlight=False, soft_wrap=True)
        sys.exit(2)


def _bundle(config: BundleConfig, console: Console) -> None:
    import torch

    from divo_export.bundle import export_bundle

    torch.set_num_threads(1)  # single observations: more threads only wait for each other
    with console.status("exporting"):
        created = datetime.now(timezone.utc)
        bundle = export_bundle(config.run, config.out, config.options, created, partial(console.print, soft_wrap=True))
    table = Table(title=f"Bundle {bundle.folder}")
    table.add_column("file")
    table.add_column("sha256")
    for name, digest in bundle.manifest.x_divo.files.items():
        table.add_row(name, digest[:16])
    console.print(table)


def _check(config: CheckConfig, console: Console) -> None:
    import torch

    from divo_export.check import check_against_run

    torch.set_num_threads(1)
    bundle = check_against_run(
        config.bundle,
        config.run,
        config.backends,
        config.parity_observations,
        config.episodes,
        partial(console.print, soft_wrap=True),
    )
    console.print(f"{bundle.folder} computes what {config.run} has learned.")


if __name__ == "__main__":
    main()
