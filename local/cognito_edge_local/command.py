"""`python -m local`: run the whole gateway on this machine (what `make run` calls)."""

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from .hosts import is_host_name
from .launcher import build
from .stack import EMULATOR_PYTHON, RUNTIME_CLIENT, Options, run

_HIGHEST_PORT = 65_535
_OTHERS_MAY_NOTHING = 0o077


def main(argv: Sequence[str] | None = None) -> int:
    """Read the command line and run until a signal comes."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    for part in (EMULATOR_PYTHON, RUNTIME_CLIENT):
        if not part.exists():
            print(f"local: {part} does not exist. `make install` makes it; `make run` does both.", file=sys.stderr)
            return 1
    # For this process and all that it starts.
    os.umask(_OTHERS_MAY_NOTHING)
    return asyncio.run(
        run(
            Options(
                port=arguments.port,
                login_port=arguments.login_port,
                emulator_port=arguments.emulator_port,
                function_url_port=arguments.function_url_port,
                state_dir=arguments.state_dir,
                cache_dir=arguments.cache_dir,
                quiet=arguments.quiet,
                signing=arguments.signing,
                settings=arguments.settings,
                assembly=arguments.assembly.resolve() if arguments.assembly else None,
                parent_pid=arguments.parent_pid,
                trace_port=arguments.trace_port,
                allow_hosts=tuple(arguments.allow_host or ()),
            )
        )
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m local",
        description="Run the whole gateway on this machine. Everything listens on 127.0.0.1 only.",
        epilog="example: python -m local --port 9000 --login-port 9001 --signing oac",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    ports = parser.add_argument_group("ports (0 takes any free one)")
    for option, default, purpose in (
        ("--port", 8080, "of the gateway"),
        ("--login-port", 8081, "of the sign-in front (the hosted UI)"),
        ("--emulator-port", 4566, "of the AWS emulator"),
        ("--function-url-port", 8090, "of the first function URL; further ones count up"),
        ("--trace-port", 0, "of the trace page"),
    ):
        ports.add_argument(option, type=_port_number, default=default, metavar="PORT", help=purpose)
    parser.add_argument(
        "--allow-host",
        type=_host_name,
        action="append",
        metavar="NAME",
        help="name under which the gateway and the sign-in front may be called as well, such as my.test; may be repeated. "
        "Their own names are 127.0.0.1 and localhost, the distribution's domain name and its aliases",
    )
    parser.add_argument(
        "--state-dir",
        type=Path,
        default=build.PROJECT / ".local",
        metavar="DIR",
        help="outputs.json and logs; one running system per folder",
    )
    parser.add_argument(
        "--cache-dir",
        type=Path,
        default=build.PROJECT / ".local" / "cache",
        metavar="DIR",
        help="results of synthesis and bundling; any number of systems may share it",
    )
    parser.add_argument(
        "--signing",
        choices=("sigv4", "oac"),
        default="sigv4",
        help="who signs for the function URLs: the edge function, or CloudFront after it",
    )
    parser.add_argument(
        "--settings",
        type=Path,
        metavar="FILE",
        help="JSON object of settings for the local edge function, such as a short settings_lifetime_s",
    )
    parser.add_argument(
        "--assembly",
        type=Path,
        metavar="DIR",
        help="deploy this cloud assembly (cdk synth --output DIR) instead of the project's own: one stack of yours with an "
        "EdgeGateway in it, the outputs of its add_outputs(), and an output FunctionUrl<Name> for each function URL",
    )
    parser.add_argument("--quiet", action="store_true", help="print errors only")
    parser.add_argument(
        "--parent-pid",
        type=int,
        metavar="PID",
        help="stop when this process is no longer the parent (`make run` passes make's)",
    )
    return parser


def _port_number(text: str) -> int:
    number = int(text) if text.isascii() and text.isdigit() else -1
    if not 0 <= number <= _HIGHEST_PORT:
        raise argparse.ArgumentTypeError(f"a port is a number from 0 to {_HIGHEST_PORT}, not {text!r}")
    return number


def _host_name(text: str) -> str:
    name = text.lower()
    if not is_host_name(name):
        raise argparse.ArgumentTypeError(
            f"expected a host name such as my.test, without scheme, port, path or final dot, not {text!r}"
        )
    return name
