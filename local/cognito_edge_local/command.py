"""``cognito-edge local`` and ``python -m local``: run the whole gateway on this machine (what ``make run`` calls)."""

import asyncio
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from .hosts import is_host_name
from .launcher import places
from .launcher.ports import HIGHEST_PORT

_OTHERS_MAY_NOTHING = 0o077
_INTERRUPTED = 130


class _Place(click.Path):
    """A path; the name of an option is none, though click takes it where a value was forgotten."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Refuse what begins like an option."""
        if isinstance(value, str) and value.startswith("-"):
            self.fail(f"expected a path before {value}.", param, ctx)
        return super().convert(value, param, ctx)


def _port(name: str, default: int, whose: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return click.option(
        name,
        type=click.IntRange(0, HIGHEST_PORT),
        metavar="PORT",
        default=default,
        show_default=True,
        help=f"Port of {whose}.",
    )


def _host_names(_context: click.Context, _option: click.Parameter, given: tuple[str, ...]) -> tuple[str, ...]:
    names = tuple(name.lower() for name in given)
    for name in names:
        if not is_host_name(name):
            raise click.BadParameter(
                f"expected a host name such as my.test, without scheme, port, path or final dot, not {name!r}."
            )
    return names


@click.command(
    "local",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example: python -m local --port 9000 --login-port 9001 --signing oac",
)
@_port("--port", 8080, "the gateway; 0 takes any free port, here and below")
@_port("--login-port", 8081, "the sign-in front (the hosted UI)")
@_port("--emulator-port", 4566, "the AWS emulator")
@_port("--function-url-port", 8090, "the first function URL; further ones count up")
@_port("--trace-port", 0, "the trace page")
@click.option(
    "--allow-host",
    "allow_hosts",
    metavar="NAME",
    multiple=True,
    callback=_host_names,
    help="Name under which the gateway and the sign-in front may be called as well, such as my.test; may be repeated. "
    "Their own names are 127.0.0.1 and localhost, the distribution's domain name and its aliases.",
)
@click.option(
    "--state-dir",
    type=_Place(path_type=Path),
    metavar="DIR",
    default=places.state_dir,
    show_default=".local in the project's folder",
    help="outputs.json and logs; one running system per folder.",
)
@click.option(
    "--cache-dir",
    type=_Place(path_type=Path),
    metavar="DIR",
    default=places.cache_dir,
    show_default=".local/cache in the project's folder",
    help="Results of synthesis and bundling; any number of systems may share it.",
)
@click.option(
    "--signing",
    type=click.Choice(["sigv4", "oac"]),
    default="sigv4",
    show_default=True,
    help="Who signs for the function URLs: the edge function, or CloudFront after it.",
)
@click.option(
    "--settings",
    type=_Place(path_type=Path),
    metavar="FILE",
    help="JSON object of settings for the local edge function, such as a short settings_lifetime_s.",
)
@click.option(
    "--assembly",
    type=_Place(path_type=Path, resolve_path=True),
    metavar="DIR",
    help="Deploy this cloud assembly (cdk synth --output DIR) instead of the project's own: one stack of yours with an "
    "EdgeGateway in it, the outputs of its add_outputs(), and an output FunctionUrl<Name> for each function URL.",
)
@click.option("--quiet", is_flag=True, help="Print errors only.")
@click.option("--parent-pid", type=int, metavar="PID", hidden=True)  # ``make run`` passes make's
def local(**chosen: Any) -> int:
    """Run the whole gateway on this machine. Everything listens on 127.0.0.1 only."""
    if problem := places.what_is_missing():
        click.echo(f"local: {problem}", err=True)
        return 1
    # Only now: the help needs no AWS SDK, and an installed package may lack the servers.
    from .stack import Options, run  # noqa: PLC0415

    # For this process and all that it starts.
    os.umask(_OTHERS_MAY_NOTHING)
    return asyncio.run(run(Options(**chosen)))


def main(argv: Sequence[str] | None = None) -> int:
    """Do what *argv* says, or this process's own arguments, and return the exit status."""
    try:
        status: int = local.main(argv, prog_name="python -m local", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        return _INTERRUPTED
    return status
