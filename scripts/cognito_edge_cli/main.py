"""The command ``cognito-edge``: a group whose commands are imported when they are asked for."""

import importlib
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import click

from .console import Group, run

_COMMANDS = {
    "token": ("cognito_edge_cli.sign_in.command", "sign a person in and print their token"),
    "policy": ("cognito_edge_cli.policy.command", "read, check, try and change who may do what"),
    "doctor": ("cognito_edge_cli.doctor.command", "find out why a request was refused, and what to do"),
    "logs": ("cognito_edge_cli.logs.command", "show what the edge function logged, in all regions"),
    "user": ("cognito_edge_cli.user", "manage the people who may sign in"),
    "site": ("cognito_edge_cli.site", "put the static site into its bucket, or take it away"),
    "fault": ("cognito_edge_cli.fault", "break the local system on purpose, and mend it again"),
    "local": ("cognito_edge_local.command", "run the whole gateway on this machine"),
}


class _LazyGroup(Group):
    """Imports the module of one command: the AWS SDK takes half a second, which the help of another need not wait for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = getattr(importlib.import_module(_COMMANDS[cmd_name][0]), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, purpose) for name, (_, purpose) in _COMMANDS.items()])


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="cognito-edge-gateway", message="%(version)s")
def cli() -> None:
    """Sign in, decide who may do what, and find out why a request was refused.

    Each command takes --help, and has examples there.
    """


def main(argv: Sequence[str] | None = None, *, clock: Callable[[], float] = time.time) -> int:
    """Do what *argv* says and return the exit status.

    Args:
        argv: The command and its arguments; None: this process's own.
        clock: Seconds since the epoch; commands get it by ``click.pass_obj``.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    settings: dict[str, Any] = {"prog_name": "cognito-edge", "standalone_mode": False, "obj": clock}
    return run(lambda: cli.main(arguments, **settings))
