"""`divo-export bundle` and `divo-export check`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.table import Table

from divo_runtime.errors import DivoError


@dataclass(frozen=True)
class BundleConfig:
    """Export a training run to a bundle: ONNX graphs, parity report, manifest."""

    run: Annotated[Path, tyro.conf.Positional] = Path("runs/arm_reach/mixed-25")
    """Run folder of `divo-train fit`."""
    out: Path = Path("bundles/arm_reach")
    """Bundle folder; replaced only when every check has passed."""
    parity_observations: int = 2000
    """Dataset observations on which torch and every backend are compared."""


@dataclass(frozen=True)
class CheckConfig:
    """Compare a bundle with the run it was made from, on this machine."""

    bundle: Annotated[Path, tyro.conf.Positional] = Path("bundles/arm_reach")
    """Bundle folder."""
    run: Path = Path("runs/arm_reach/mixed-25")
    """Run folder that it was exported from."""
    parity_observations: int = 2000
    """Dataset observations to compare on."""


def main() -> None:
    """Entry point."""
    commands: dict[str, Callable[..., BundleConfig | CheckConfig]] = {"bundle": BundleConfig, "check": CheckConfig}
    config = tyro.extras.subcommand_cli_from_dict(
        commands, description="From a training run to a bundle for the robot."
    )
    try:
        if isinstance(config, BundleConfig):
            _bundle(config, Console())
        else:
            _check(config, Console())
    except DivoError as error:
        Console(stderr=True).print(f"[bold red]error:[/] {error}", highlight=False, soft_wrap=True)
        sys.exit(2)


def _bundle(config: BundleConfig, console: Console) -> None:
    from divo_export.bundle import export_bundle

    with console.status("exporting"):
        created = datetime.now(timezone.utc)
        bundle = export_bundle(config.run, config.out, config.parity_observations, created, console.print)
    table = Table(title=f"Bundle {bundle.folder}")
    table.add_column("file")
    table.add_column("sha256")
    for name, digest in bundle.manifest.x_divo.files.items():
        table.add_row(name, digest[:16])
    console.print(table)


def _check(config: CheckConfig, console: Console) -> None:
    from divo_export.bundle import check_parity, load_trained, sample_observations
    from divo_runtime.bundle import load_bundle
    from divo_train.data.minari import load_minari

    bundle = load_bundle(config.bundle)
    networks = load_trained(config.run).networks
    dataset = load_minari(Path(networks.config.dataset), bundle.contract)
    check_parity(bundle.folder, networks, sample_observations(dataset, config.parity_observations), console.print)
    console.print(f"{bundle.folder} computes what {config.run} has learned.")


if __name__ == "__main__":
    main()
