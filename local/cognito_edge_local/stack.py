"""Start the whole local system in order, say how to use it, wait, and stop it in reverse.

What there is, in the order in which it starts (``System.start``)::

    ports          bound first: a taken one is named before anything is started
    emulator       ministack, a child process                     ┐
    assembly       the CDK app, synthesised or from the cache     ├ at the same time
    page           web/dist, built or as it is                    │
    API clients    boto3 reads its models                         ┘
    deployment     the synthesised template, in the emulator      ┐ at the same time
    bundle         the edge function for this machine, or cached  ┘
    edge runtime   the bundle in processes of its own, under the edge role's credentials
    servers        doors, sign-in front, AWS as the edge sees it, faults, trace page; then CloudFront
    outputs.json   last: a reader who finds it finds a system that serves
"""

import asyncio
import contextlib
import functools
import signal
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import boto3.exceptions
import uvicorn
from botocore.exceptions import BotoCoreError, ClientError

from . import peer, servers
from .cloudfront.behaviors import DistributionError, DistributionView, read_distribution
from .emulator import deploy, process, static_site
from .emulator.deploy import ClientFactory, DeployError, Deployment
from .emulator.faults import AwsProxy, Faults
from .emulator.faults_endpoint import ControlEndpoint
from .emulator.invoker import EmulatorInvoker
from .emulator.process import PUBLIC_KEY, REGION, Emulator, EmulatorError, endpoint_url, new_key, root_client
from .lambda_runtime.credentials import EdgeCredentials
from .lambda_runtime.environments import EdgeRuntime
from .lambda_runtime.runtime_api import EdgeFunctionError
from .launcher import build, places, ports, processes, serving, signals
from .launcher.build import BuildError
from .launcher.console import Console, EdgeLog, how_to_use, short
from .launcher.ports import HIGHEST_PORT, PortError, PortRequest
from .launcher.state_folder import AlreadyRunningError, Outputs, StateFolder
from .launcher.tasks import cancel, first_of, together
from .origins.principals import IamPolicies, StaticCredentials
from .servers import Aws
from .trace.book import TraceBook
from .trace.server import TraceEndpoint

_AFTER_A_KILL_PATIENCE_S = 3.0
"""How long to wait for ports when the last run was killed: its guards may still be at work."""
_SERVICES = ("ssm", "s3", "cloudformation", "lambda", "iam", "sts", "cognito-idp", "cloudfront")


@dataclass(frozen=True)
class Options:
    """What the command line chooses.

    Attributes:
        port: The gateway's port.
        login_port: The sign-in front's.
        emulator_port: The emulator's.
        function_url_port: The first function URL's; more count up. 0 anywhere takes any free port.
        state_dir: Where everything that a run writes goes.
        cache_dir: Where build results go, which runs share.
        quiet: Print errors only.
        signing: Who signs for the function URLs: ``sigv4``, the edge function; ``oac``, CloudFront.
        settings: File with settings that the local edge function gets beyond the synthesised ones.
        assembly: Cloud assembly to deploy instead of the project's own.
        parent_pid: Stop when this process is no longer our parent; None: never look at the parent.
        trace_port: The trace page's port.
        allow_hosts: Host names that gateway and sign-in front answer to as well.
        by_key: Keep other users out by a random key of this start, not by their uid; None: where the system does not tell
            whose a connection is.
    """

    port: int
    login_port: int
    emulator_port: int
    function_url_port: int
    state_dir: Path
    cache_dir: Path
    quiet: bool
    signing: str = "sigv4"
    settings: Path | None = None
    assembly: Path | None = None
    parent_pid: int | None = None
    trace_port: int = 0
    allow_hosts: tuple[str, ...] = ()
    by_key: bool | None = None


class StoppedEarlyError(Exception):
    """Something that has to run for as long as the system does has ended by itself."""


class EdgeStartError(Exception):
    """The edge function cannot be loaded; the message has the end of its log."""


EXPECTED_ERRORS = (
    AlreadyRunningError,
    BuildError,
    DeployError,
    DistributionError,
    EdgeStartError,
    EmulatorError,
    PortError,
    StoppedEarlyError,
    BotoCoreError,
    ClientError,
    boto3.exceptions.Boto3Error,
    OSError,
)
"""What can go wrong on a user's machine: one message tells it. Anything else is a bug and shows its traceback."""


async def run(options: Options) -> int:
    """Run the local system until SIGINT, SIGTERM or SIGHUP.

    Returns:
        The exit status: 0 when it served and was asked to stop, 128 + n when signal n came during the start, 1 when it
        could not start or broke down.
    """
    console = Console(quiet=options.quiet)
    folder = StateFolder(options.state_dir)

    def end_at_once() -> None:
        console.error("Ending at once.")
        folder.withdraw()

    stop: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    signals.listen(stop, end_at_once)
    watch = asyncio.create_task(signals.watch_parent(options.parent_pid, stop))
    try:
        with folder.held():
            system = System(options, folder, console)
            try:
                started = asyncio.create_task(system.start())
                await first_of(started, stop)
                if not started.done():
                    console.line(f"\nStopping before the start was over ({signal.Signals(stop.result()).name}).")
                    await cancel(started)
                    return 128 + stop.result()
                await _serve_until(stop, started.result())
                console.line("\nStopping.")
            finally:
                await system.stop()
        console.line("Stopped; nothing is left running.")
    except EXPECTED_ERRORS as error:
        console.error(f"local: {error}")
        return 1
    finally:
        watch.cancel()
    return 0


async def _serve_until(stop: asyncio.Future[int], emulator: Emulator) -> None:
    """Wait for *stop*.

    Raises:
        StoppedEarlyError: The emulator ended first.
    """
    ended = asyncio.create_task(emulator.child.wait())
    try:
        await first_of(ended, stop)
        if not stop.done():
            raise StoppedEarlyError(
                f"The emulator has ended by itself, with status {ended.result()}; everything else stops as well. "
                f"See {short(emulator.child.log)}."
            )
    finally:
        ended.cancel()


class _Sockets(NamedTuple):
    """The sockets that listen from the start."""

    gateway: socket.socket
    login: socket.socket
    first_door: socket.socket
    aws: socket.socket
    control: socket.socket
    trace: socket.socket


class System:
    """The running parts. ``stop`` ends all that ``start`` has begun, however far it got."""

    def __init__(self, options: Options, folder: StateFolder, console: Console) -> None:
        """Start nothing yet.

        Args:
            options: The command line's.
            folder: The state folder, held by the caller.
            console: For progress and requests.
        """
        self._options = options
        self._folder = folder
        self._console = console
        self._parts = contextlib.AsyncExitStack()
        self._by_key = not peer.can_tell() if options.by_key is None else options.by_key
        self._key = new_key() if self._by_key else PUBLIC_KEY
        self._trace = TraceBook()

    async def start(self) -> Emulator:
        """Start everything, in the order of the module's table, and publish ``outputs.json``.

        Returns:
            The emulator, without which nothing else can run.
        """
        self._console.line(f"Starting the local system in {short(self._folder.path)} (Ctrl-C stops it).")
        sockets, emulator_port = self._bind()
        url = endpoint_url(emulator_port)
        clients = functools.cache(functools.partial(root_client, url=url, key=self._key))
        async with together() as group:
            emulator = group.create_task(self._start_emulator(emulator_port))
            synthesised = group.create_task(self._synthesise())
            group.create_task(self._build_page())
            group.create_task(asyncio.to_thread(lambda: [clients(service) for service in _SERVICES]))
        assembly, digest = synthesised.result()
        async with together() as group:
            deployed = group.create_task(self._deploy(clients, assembly))
            bundled = group.create_task(self._bundle(assembly, digest))
        deployment = deployed.result()
        aws = Aws(url, clients, deployment, StaticCredentials(), self._console.line)
        faults = Faults(
            ssm=clients("ssm"),
            emulator_url=url,
            user_pool_id=deployment.output("UserPoolId"),
            parameter_prefix=deployment.output("ParameterPrefix"),
            console=self._console.line,
            key=self._key,
        )
        async with together() as group:
            user = group.create_task(
                asyncio.to_thread(deploy.create_demo_user, clients("cognito-idp"), deployment.output("UserPoolId"))
            )
            edge = group.create_task(self._start_edge(bundled.result(), aws, faults, _url(sockets.aws)))
            view = group.create_task(
                asyncio.to_thread(read_distribution, clients("cloudfront"), deployment.output("DistributionId"))
            )
            if "SiteBucket" in deployment.outputs:
                group.create_task(self._put_site(aws, _url(sockets.gateway), _url(sockets.login)))
        faults.edge = edge.result()
        with self._console.step("servers") as note:
            urls, trace_page = await self._serve_all(aws, faults, view.result(), edge.result(), sockets)
            site = ", site" if servers.bucket_hosts(view.result()) else ""
            note.text = f"gateway, sign-in front, {len(urls)} function URL{'s' if len(urls) != 1 else ''}{site}"
        self._publish(aws, sockets, user.result(), urls, trace_page)
        return emulator.result()

    async def stop(self) -> None:
        """Stop all that has started, the last first."""
        await self._parts.aclose()

    # --- ports -------------------------------------------------------------------------------------------------------

    def _bind(self) -> tuple[_Sockets, int]:
        """Bind the servers' ports and find the emulator's."""
        options = self._options
        patience_s = _AFTER_A_KILL_PATIENCE_S if self._folder.after_a_kill else 0.0
        with self._console.step("ports") as note:
            listen = functools.partial(self._listen, patience_s=patience_s)
            sockets = _Sockets(
                gateway=listen(options.port, "the gateway", "--port", any_user=True),
                login=listen(options.login_port, "the sign-in front", "--login-port", any_user=True),
                first_door=listen(options.function_url_port, "the first function URL", "--function-url-port"),
                aws=listen(0, "AWS as the edge sees it"),
                control=listen(0, "faults"),
                trace=listen(options.trace_port, "the trace page", "--trace-port"),
            )
            emulator_port = ports.reserve(
                PortRequest(options.emulator_port, "the emulator", "--emulator-port"), patience_s=patience_s
            )
            note.text = (
                f"127.0.0.1: gateway {_port(sockets.gateway)}, sign-in {_port(sockets.login)}, emulator {emulator_port}"
            )
        return sockets, emulator_port

    def _listen(
        self, port: int, purpose: str, option: str = "", *, any_user: bool = False, patience_s: float = 0.0
    ) -> socket.socket:
        """Return a socket that listens until the system stops; other users are kept out by their uid, or by the key."""
        request = PortRequest(port, purpose, option, any_user=any_user or self._by_key)
        sock = ports.listen(request, patience_s=patience_s)
        self._parts.callback(sock.close)
        return sock

    # --- emulator and builds -----------------------------------------------------------------------------------------

    async def _start_emulator(self, port: int) -> Emulator:
        with self._console.step("emulator") as note:
            running = await process.start(places.EMULATOR_PYTHON, self._folder.path, port, self._key)
            self._parts.push_async_callback(running.stop)
            note.text = f"ministack on {running.url}"
        return running

    async def _synthesise(self) -> tuple[Path, str]:
        """Return the cloud assembly to deploy, and the digest of what a bundle is made from."""
        with self._console.step("synth") as note:
            digest = await asyncio.to_thread(build.inputs_digest)
            if self._options.assembly is not None:
                note.text = f"skipped: the assembly is {short(self._options.assembly)}"
                return self._options.assembly, digest
            context = {"signing": "oac"} if self._options.signing == "oac" else {}
            assembly = await build.synthesise(self._options.cache_dir, digest, self._folder.path / "synth.log", context)
            note.text = "unchanged since the last run" if assembly.cached else "CDK app synthesised"
        return assembly.folder, digest

    async def _build_page(self) -> None:
        if self._options.assembly is None:
            with self._console.step("page") as note:
                note.text = await build.web_page(self._folder.path / "web.log")

    async def _deploy(self, clients: ClientFactory, assembly: Path) -> Deployment:
        with self._console.step("deploy") as note:
            stack_name = deploy.stack_in(assembly)
            deployment = await asyncio.to_thread(deploy.deploy, clients, assembly, stack_name)
            left_out = ", ".join(sorted(set(deployment.left_out.values()))) or "nothing"
            note.text = f"{stack_name} in the emulator; left out: {left_out}"
        return deployment

    async def _bundle(self, assembly: Path, digest: str) -> Path:
        with self._console.step("bundle") as note:
            settings = build.synthesised_settings(assembly, deploy.stack_in(assembly))
            if self._options.settings is not None:
                settings = build.with_settings(settings, self._options.settings)
            log = self._folder.path / "bundle.log"
            bundle = await build.edge_bundle(self._options.cache_dir, digest, settings, log)
            note.text = "unchanged since the last run" if bundle.cached else "edge function built for this machine"
        return bundle.folder

    async def _put_site(self, aws: Aws, gateway_url: str, login_url: str) -> None:
        """Put the site's files, and let its pages sign in from the gateway's address."""
        deployment = aws.deployment
        with self._console.step("site") as note:
            pool_id, client_id = deployment.output("UserPoolId"), deployment.output("ClientId")
            config = {
                "region": REGION,
                "user_pool_id": pool_id,
                "client_id": client_id,
                "login_url": login_url,
                "issuer": None,
                "api": "/api",
            }
            async with together() as group:
                files = group.create_task(
                    asyncio.to_thread(static_site.put, aws.clients("s3"), deployment.output("SiteBucket"), config)
                )
                group.create_task(
                    asyncio.to_thread(
                        static_site.admit_pages,
                        aws.clients("cognito-idp"),
                        user_pool_id=pool_id,
                        client_id=client_id,
                        gateway_url=gateway_url,
                    )
                )
            note.text = f"{files.result()} in bucket {deployment.output('SiteBucket')}"

    # --- the edge function -------------------------------------------------------------------------------------------

    async def _start_edge(self, bundle: Path, aws: Aws, faults: Faults, aws_url: str) -> EdgeRuntime:
        """Start the edge function under its role's credentials.

        Args:
            bundle: Its code.
            aws: The deployed stack.
            faults: May spoil the credentials.
            aws_url: AWS as the edge sees it.
        """
        edge = aws.deployment.edge
        with self._console.step("edge") as note:
            credentials = EdgeCredentials(
                sts=aws.clients("sts"),
                role_arn=aws.deployment.output("EdgeRoleArn"),
                function_name=edge["FunctionName"],
                directory=aws.callers,
                console=self._console.line,
            )
            await credentials.renew()
            renewal = asyncio.create_task(credentials.keep_fresh(), name="renew the edge role's credentials")
            self._parts.push_async_callback(cancel, renewal)
            log = EdgeLog(self._folder.path / "edge.log", self._console)
            self._parts.callback(log.close)

            def on_log_line(line: str) -> None:
                log.write(line)
                self._trace.take_line(line)

            endpoints = {"AWS_ENDPOINT_URL_SSM": aws_url, "AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER": aws_url}
            runtime = EdgeRuntime(
                bundle=bundle,
                runtime_client=places.RUNTIME_CLIENT,
                python=sys.executable,
                environment=lambda: {**faults.edge_credentials(credentials.environment()), **endpoints},
                function_arn=aws.deployment.output("EdgeFunctionVersionArn"),
                handler=edge["Handler"],
                timeout_s=edge["Timeout"],
                memory_mb=edge["MemorySize"],
                log=on_log_line,
            )
            self._parts.push_async_callback(runtime.stop)
            try:
                await runtime.start()
            except EdgeFunctionError as error:
                raise EdgeStartError(
                    f"The edge function does not start: {error}. The end of its log:\n{processes.tail(log.path)}"
                ) from error
            note.text = f"edge function under awslambdaric; its log is {short(log.path)}"
        return runtime

    # --- servers -----------------------------------------------------------------------------------------------------

    async def _serve_all(
        self, aws: Aws, faults: Faults, view: DistributionView, edge: EdgeRuntime, sockets: _Sockets
    ) -> tuple[dict[str, str], str]:
        """Serve; return the address of each function URL by its name, and the trace page's."""
        origins = self._function_url_doors(aws, sockets.first_door)
        urls = {function.name: f"{_url(origins[function.host][1])}/" for function in aws.deployment.function_urls}
        for host in servers.bucket_hosts(view):
            origins[host] = servers.bucket_door(aws, host), self._listen(0, "a bucket")
        names = self._options.allow_hosts
        login = servers.login_front(
            aws, port=_port(sockets.login), outputs_file=short(self._folder.outputs), names=names
        )
        gateway = servers.cloudfront(
            aws,
            view,
            origins={host: (ports.HOST, _port(sock)) for host, (_, sock) in origins.items()},
            invoke=edge.invoke,
            login_url=login.url,
            names=names,
            observe=self._trace.take_exchange,
        )
        proxy = AwsProxy(emulator_url=aws.emulator_url, faults=faults)
        control = ControlEndpoint(port=_port(sockets.control), faults=faults)
        trace = TraceEndpoint(port=_port(sockets.trace), book=self._trace)
        await self._serve(
            *((config, sock, f"origin {host}") for host, (config, sock) in origins.items()),
            (serving.plain_config(login), sockets.login, "sign-in front"),
            (serving.plain_config(proxy), sockets.aws, "AWS as the edge sees it"),
            (serving.plain_config(control), sockets.control, "faults"),
            (serving.plain_config(trace), sockets.trace, "trace page"),
        )
        # Stops before the others: what is under way may still need them.
        await self._serve((gateway, sockets.gateway, "gateway"))
        self._parts.push_async_callback(trace.close)
        self._parts.enter_context(control.published(self._folder.path))
        self._parts.enter_context(trace.published(self._folder.path))
        return urls, trace.page

    def _function_url_doors(self, aws: Aws, first: socket.socket) -> dict[str, tuple[uvicorn.Config, socket.socket]]:
        """Return the server of each function URL, by the URL's host."""
        invoker = EmulatorInvoker(aws.emulator_url, self._key)
        self._parts.callback(invoker.close)
        policies = IamPolicies(aws.clients("iam"), aws.clients("lambda"))
        doors = {}
        for index, function in enumerate(aws.deployment.function_urls):
            config = servers.function_url_door(
                aws, function, invoker=invoker, policies=policies, observe=self._trace.take_visit
            )
            doors[function.host] = config, self._further_door(index, function.name) if index else first
        return doors

    def _further_door(self, index: int, name: str) -> socket.socket:
        first = self._options.function_url_port
        number = min(first + index, HIGHEST_PORT) if first else 0
        return self._listen(number, f"the function URL {name!r}", "--function-url-port")

    async def _serve(self, *group: tuple[uvicorn.Config, socket.socket, str]) -> None:
        """Serve, until all of them are stopped together."""
        started = [serving.Serving(config, sock, name) for config, sock, name in group]
        self._parts.push_async_callback(serving.stop_all, started)
        for server in started:
            await server.start()

    def _publish(
        self, aws: Aws, sockets: _Sockets, user: tuple[str, str], function_urls: dict[str, str], trace_page: str
    ) -> None:
        """Write ``outputs.json``, and say how to use the system."""
        username, password = user
        outputs: Outputs = {
            "gateway_url": _url(sockets.gateway),
            "login_url": _url(sockets.login),
            "user_pool_id": aws.deployment.output("UserPoolId"),
            "client_id": aws.deployment.output("ClientId"),
            "username": username,
            "password": password,
            "function_urls": function_urls,
            "aws_endpoint_url": aws.emulator_url,
            "region": REGION,
            "parameter_prefix": aws.deployment.output("ParameterPrefix"),
        }
        if self._key.is_secret:
            outputs["aws_access_key_id"] = self._key.access_key_id
            outputs["aws_secret_access_key"] = self._key.secret_access_key
        self._folder.publish(outputs)
        with_page = "SiteBucket" in aws.deployment.outputs
        console = self._console
        console.line(how_to_use(outputs, self._folder, console.elapsed_s, trace_page, with_page=with_page))


def _port(sock: socket.socket) -> int:
    number: int = sock.getsockname()[1]
    return number


def _url(sock: socket.socket) -> str:
    return f"http://{ports.HOST}:{_port(sock)}"
