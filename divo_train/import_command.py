"""`divo-train import`: recordings to a dataset, with a progress bar, a table, warnings and a report.

What kind of source is given is told from the files themselves; every kind has one importer.
"""

from __future__ import annotations

import dataclasses
import os
import shlex
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
import tyro
import yaml
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.table import Table

from divo_runtime.contract import Contract, Episodes, Reward, load_contract
from divo_runtime.errors import DatasetError
from divo_runtime.topic_names import parse_topic_names
from divo_train.data.flat_config import FlatConfig

if TYPE_CHECKING:
    from divo_train.data.bags.settings import ImportSettings

NO_REWARD = "none"
OF_EVERY_SOURCE = ("sources", "out", "reward", "workers", "flat")
"""Settings that are not about topics."""


@dataclass(frozen=True)
class ImportConfig:
    """Make a dataset of recordings: rosbag2 folders (MCAP or sqlite3, split or not) and lone .mcap or .db3 files.

    Observations are built on the control grid by the code that builds them on the robot, from what had arrived by
    then. docs/import.md explains the rules. D4RL's .hdf5, .npz and Minari datasets of others are read too, without
    contract (docs/d4rl.md).
    """

    sources: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Recordings; a folder that holds several bags stands for all of them."""
    out: Path
    """Folder of the new dataset, such as data/my_robot/bags-v0; Minari wants a name that ends in -v0, -v1, ..."""
    contract: Path | None = None
    """Contract of the robot task (contract.yaml); recordings need one, data without topics get one."""
    action: Literal["command", "measured"] = "command"
    """The action: the command published in each control period, or the motion measured in it."""
    reward: str = ""
    """Reward function `module:function` over the contract's terms, or `none` for zeros; by default the contract's."""
    reward_topic: str = ""
    """Topic with rewards (std_msgs Float64), instead of a function."""
    terminated_topic: str = ""
    """Topic (std_msgs Bool) that says when the task has ended."""
    episode_topic: str = ""
    """Topic that marks episodes (std_msgs Bool, String or Empty); by default the contract's, else only gaps split."""
    episode_service: str = ""
    """Service whose recorded calls mark episodes (std_srvs SetBool, Trigger or Empty), instead of a topic."""
    clock: Literal["contract", "header", "receive"] = "contract"
    """What tells the age of a message: its header stamp, or its arrival."""
    grid: Literal["auto", "cycles", "commands", "regular"] = "auto"
    """Control periods: the controller's recorded cycles, one per command, or a fixed rate; auto takes the first fit."""
    gap: float = 1.5
    """Periods further apart than this many control periods do not belong to one episode."""
    hold_command_ms: float = 0.0
    """On the regular grid, let a command stand in for so long where no new one comes [ms]."""
    simulated_time: bool = False
    """Let time run by /clock, or by the stamps, instead of the arrivals: for recordings of a simulation."""
    namespace: str = ""
    """Namespace of the contract's topics in the recordings, such as left_arm."""
    remap: tuple[str, ...] = ()
    """Other topic names in the recordings, as name:=name_there."""
    keep_going: bool = False
    """Import what can be read of damaged recordings, and leave out those that do not fit; all is reported."""
    workers: int = 0
    """Processes; 0 means one per core. Does not change the dataset."""
    flat: Annotated[FlatConfig, tyro.conf.arg(name="")] = field(default_factory=FlatConfig)
    """Data without topics."""


def _require_no_topics(config: ImportConfig) -> None:
    """Refuse settings that data without topics cannot follow, rather than leave them unheeded."""
    own = [one for one in dataclasses.fields(config) if one.name not in OF_EVERY_SOURCE]
    given = [one.name for one in own if getattr(config, one.name) != one.default]
    if given:
        raise DatasetError(
            "Data without topics have no use for these settings, and get a contract of their own.",
            where=", ".join(f"--{name.replace('_', '-')}" for name in given),
            got=", ".join(str(getattr(config, name)) for name in given),
            fix="Leave them out; --rate-hz and --environment say what the files do not.",
        )


def run_import(config: ImportConfig, console: Console) -> None:
    """Import, print what came of it, and write `import.html` into the dataset (or beside it, if there is none).

    Raises:
        DivoError: If a setting, the contract or a recording cannot be used, or if nothing was kept.
    """
    from divo_train.data.bags.assembly import bag_sizes, import_bags
    from divo_train.data.bags.nothing_kept import explain_nothing
    from divo_train.data.bags.report import drop_rows, render_report
    from divo_train.data.bags.suspicions import find_suspicions
    from divo_train.flat_import import flat_sources, run_flat_import

    if flat := flat_sources(config.sources):
        _require_no_topics(config)
        run_flat_import(flat, config.out, config.reward, config.flat, console)
        return
    bags = find_sources(config.sources)
    settings, text = import_settings(config)
    workers = config.workers or os.cpu_count() or 1
    with _bar(console) as bar:
        line = bar.add_task("import", total=sum(bag_sizes(bags)))
        result = import_bags(
            bags, settings, text, config.out, workers, lambda done: bar.update(line, completed=round(done))
        )
    report = config.out / "import.html" if result.metadata else config.out.with_name(config.out.name + ".import.html")
    report.write_text(render_report(result, settings, "divo-train " + shlex.join(sys.argv[1:])), encoding="utf-8")
    for each in find_suspicions(settings.contract, result.bags, result.sample):
        console.print(f"[bold yellow]warning[/] ({each.subject}): {each}", highlight=False, soft_wrap=True)
    for bag in result.bags:
        for note in bag.notes:
            console.print(f"[yellow]note[/] {bag.path.name}: {note}", highlight=False, soft_wrap=True)
    for path, why in result.left_out:
        console.print(f"[yellow]left out[/] {path.name}: {why}", highlight=False, soft_wrap=True)
    drops = drop_rows(result.bags)
    if not result.metadata:
        raise explain_nothing(result, config.sources, report)
    table = Table(
        title=f"{result.metadata['total_steps']:,} transitions, {result.metadata['total_episodes']:,} episodes"
    )
    for column in ("dropped periods", "count", "share"):
        table.add_column(column, justify="left" if column == "dropped periods" else "right")
    for cause, count, share in drops:
        table.add_row(cause, f"{count:,}", share)
    console.print(table)
    console.print(f"Dataset {config.out}, report {report}", soft_wrap=True, highlight=False)


def find_sources(sources: tuple[Path, ...]) -> list[Path]:
    """Return the bags that the sources stand for, each once, in a fixed order.

    Raises:
        DatasetError: If a source is of no known kind, or given twice.
    """
    from divo_train.data.bags.bag import STORAGE_SUFFIXES, find_bags

    found: list[Path] = []
    for source in sources:
        if not source.is_dir() and source.suffix in STORAGE_SUFFIXES:
            found.append(source)
        elif source.is_dir() and (bags := find_bags(source)):
            found += bags
        else:
            raise DatasetError(
                "This is no recording that can be imported.",
                where=str(source),
                got="nothing"
                if not source.exists()
                else "a folder without bags"
                if source.is_dir()
                else "another file",
                expected="a rosbag2 folder, a folder of such, a .mcap, .db3, .hdf5 or .npz file, or a Minari dataset",
                fix="Check the path.",
            )
    if not found:
        raise DatasetError("No recording is given.", fix="Name bags, or a folder of bags, after `divo-train import`.")
    if twice := [str(path) for path, count in Counter(path.resolve() for path in found).items() if count > 1]:
        raise DatasetError("A recording is given twice.", got=", ".join(twice), fix="Give each once.")
    return found


def import_settings(config: ImportConfig) -> tuple[ImportSettings, str]:
    """Return how the bags are imported, and the contract's text as the dataset keeps it.

    Raises:
        ContractError: If the contract does not fit its schema.
        DatasetError: If a setting is out of range, or nothing says where the reward comes from.
        DivoError: If a remap cannot be read, or names no topic of the contract.
    """
    from divo_train.data.bags.settings import ImportSettings

    if config.gap < 1 or config.hold_command_ms < 0 or config.workers < 0:
        got = f"gap {config.gap:g}, hold-command-ms {config.hold_command_ms:g}, workers {config.workers}"
        raise DatasetError("A setting is out of range.", got=got, expected="gap >= 1, the others >= 0")
    if config.contract is None:
        raise DatasetError(
            "Recordings need a contract.", where="--contract", fix="Give the robot task's contract.yaml."
        )
    written = load_contract(config.contract)
    contract = _overridden(written, config)
    text = config.contract.read_text(encoding="utf-8")
    if contract != written:
        text = yaml.safe_dump(msgspec.to_builtins(contract), sort_keys=False)
    settings = ImportSettings(
        contract=contract,
        names=parse_topic_names(config.namespace, config.remap, contract),
        action=config.action,
        grid=config.grid,
        gap_periods=config.gap,
        hold_s=config.hold_command_ms / 1e3,
        simulated_time=config.simulated_time,
        keep_going=config.keep_going,
    )
    return settings, text


def _overridden(contract: Contract, config: ImportConfig) -> Contract:
    """Return the contract with what the command line says otherwise."""
    changes: dict[str, object] = {}
    if config.clock != "contract":
        changes["clock"] = config.clock
    if config.episode_topic and config.episode_service:
        got = f"--episode-topic '{config.episode_topic}', --episode-service '{config.episode_service}'"
        raise DatasetError("Two things mark the episodes.", got=got, expected="one of them")
    if config.episode_topic or config.episode_service:
        changes["episodes"] = Episodes(topic=config.episode_topic, service=config.episode_service)
    if config.reward == NO_REWARD:
        changes["reward"] = None
    elif config.reward or config.reward_topic or config.terminated_topic:
        try:
            changes["reward"] = Reward(
                function=config.reward, topic=config.reward_topic, terminated_topic=config.terminated_topic
            )
        except ValueError as error:
            raise DatasetError(
                "The reward's source is not clear.",
                got=f"--reward '{config.reward}', topics '{config.reward_topic}', '{config.terminated_topic}'",
                expected="--reward module:function, or --reward-topic and --terminated-topic",
                fix=str(error),
            ) from error
    elif contract.reward is None:
        raise DatasetError(
            "Nothing says where the reward comes from.",
            where=str(config.contract),
            got="no section 'reward' and no --reward",
            fix="Give --reward module:function or --reward-topic, or --reward none to write zeros. See docs/import.md.",
        )
    return msgspec.structs.replace(contract, **changes)


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
