"""`divo-sim`: the simulator's command line. Every command is a frozen dataclass with a `run` method."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import tyro

from divo_runtime.errors import DivoError

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""


def _collect() -> type[Any]:
    from divo_sim.collect_command import CollectCommand

    return CollectCommand


def _render() -> type[Any]:
    from divo_sim.render_command import RenderCommand

    return RenderCommand


def _robot() -> type[Any]:
    from divo_sim.robot_node import RobotCommand

    return RobotCommand


def _validate() -> type[Any]:
    from divo_sim.validate_command import ValidateCommand

    return ValidateCommand


COMMANDS: dict[str, Callable[[], type[Any]]] = {
    "collect": _collect,
    "render": _render,
    "robot": _robot,
    "validate": _validate,
}
"""Name -> loader of the command's dataclass. Only the command asked for is imported, all of them for `--help`."""


def main(arguments: list[str] | None = None) -> None:
    """Run `divo-sim`; mistakes of the user end in a message and exit code 2."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        tyro.extras.subcommand_cli_from_dict(
            _commands(arguments), prog="divo-sim", description="Simulated robots for DIVO.", args=arguments
        ).run()
    except DivoError as error:
        sys.stderr.write(f"error: {error}\n")
        raise SystemExit(2) from error
    except KeyboardInterrupt as interrupt:
        sys.stderr.write("interrupted; the same command goes on from here\n")
        raise SystemExit(INTERRUPTED) from interrupt


def _commands(arguments: list[str]) -> dict[str, Callable[..., Any]]:
    asked = arguments[0] if arguments else ""
    names = [asked] if asked in COMMANDS else list(COMMANDS)
    return {name: COMMANDS[name]() for name in names}
