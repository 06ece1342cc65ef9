"""Start the whole local system in order, say how to use it, wait, and stop it in reverse.

What there is, in the order in which it starts (design, section 10)::

    ports          bound first: a taken one is named before anything is started
    emulator       ministack, a child process                     ┐
    assembly       the CDK app, synthesised or from the cache     ├ at the same time
    page           web/dist, built or as it is                    │
    API clients    boto3 reads its models                         ┘
    deployment     the synthesised template, in the emulator      ┐ at the same time
    bundle         the edge function for this machine, or cached  ┘
    edge runtime   the bundle in processes of its own, under the edge role's credentials
    doors, twin, sign-in front, AWS as the edge sees it, faults   servers in this process
    outputs.json   last: whoever finds it finds a system that serves
"""

import asyncio
import contextlib
import os
import shlex
import shutil
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sized
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3.exceptions
import uvicorn
from botocore.exceptions import BotoCoreError, ClientError

from cognito_edge_local.cloudfront.behaviors import DistributionError, DistributionView, read_distribution
from cognito_edge_local.cloudfront.distribution import EdgeTwin, uvicorn_settings
from cognito_edge_local.cloudfront.oac import OriginAccessSigner, bucket_region
from cognito_edge_local.emulator.deploy import DeployError, Deployment, FunctionUrl
from cognito_edge_local.emulator.faults import AwsProxy, Faults
from cognito_edge_local.emulator.faults_endpoint import ControlEndpoint
from cognito_edge_local.emulator.hosted_ui import LoginFront
from cognito_edge_local.emulator.invoker import EmulatorInvoker
from cognito_edge_local.emulator.process import Emulator, EmulatorError, RootKey
from cognito_edge_local.lambda_runtime.credentials import EdgeCredentials
from cognito_edge_local.lambda_runtime.environments import EdgeFunctionError, EdgeRuntime
from cognito_edge_local.launcher.build import BuildError
from cognito_edge_local.launcher.console import Console, EdgeLog
from cognito_edge_local.launcher.ports import PortError, PortRequest
from cognito_edge_local.launcher.state_folder import AlreadyRunningError, StateFolder
from cognito_edge_local.origins.bucket import BucketDoor
from cognito_edge_local.origins.function_url import FunctionUrlDoor, InvokeResult
from cognito_edge_local.origins.function_url import server_config as door_server_config
from cognito_edge_local.origins.principals import IamPolicies, StaticCredentials
from cognito_edge_local.trace.book import TraceBook
from cognito_edge_local.trace.server import TraceEndpoint

from . import peer
from .emulator import deploy, static_site
from .emulator import process as emulator
from .launcher import build, ports, processes, serving

EMULATOR_PYTHON = build.PROJECT / ".venv-emulator" / "bin" / "python"
RUNTIME_CLIENT = build.PROJECT / ".venv-runtime"
_AFTER_A_KILL_PATIENCE_S = 3.0
"""How long to wait for ports when the last run was killed: its guards may still be at work."""
_SERVICES = ("ssm", "s3", "cloudformation", "lambda", "iam", "sts", "cognito-idp", "cloudfront")
_HIGHEST_PORT = 65_535
_LOOK_AT_PARENT_EVERY_S = 0.25
_ECHO_S = 1.0


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
        signing: Who signs for the function URLs: `sigv4`, the edge function; `oac`, CloudFront.
        settings: File with settings that the local edge function gets beyond the synthesised ones; None: none.
        assembly: Cloud assembly to deploy instead of the project's own; None: the project's.
        parent_pid: Stop when this process is no longer our parent; None: whatever becomes of the parent.
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
"""What can go wrong on somebody's machine: told in one message. Anything else is a bug and shows its traceback."""


async def run(options: Options) -> int:
    """Run the local system until SIGINT, SIGTERM or SIGHUP.

    Returns:
        The exit status: 0 when it served and was asked to stop, 128 + n when signal n came during the start, 1 when it
        could not start or broke down.
    """
    console = Console(quiet=options.quiet)
    folder = StateFolder(options.state_dir)
    stop: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    _listen_to_signals(stop, folder, console)
    watch = asyncio.create_task(_watch_parent(options.parent_pid, stop))
    try:
        with folder.held():
            system = System(options, folder, console)
            try:
                ready = asyncio.create_task(system.start())
                await _first_of(ready, stop)
                if not ready.done():
                    console.line(f"\nStopping before the start was over ({signal.Signals(stop.result()).name}).")
                    ready.cancel()
                    await asyncio.gather(ready, return_exceptions=True)
                    return 128 + stop.result()
                await ready
                await system.serve_until(stop)
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


async def _first_of(*futures: "asyncio.Future[Any]") -> None:
    await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)


async def _watch_parent(pid: int | None, stop: asyncio.Future[int]) -> None:
    """Ask for a stop when *pid* is not our parent any more.

    `make run` wants this: SIGKILL to make reaches nobody else, and the system would run on with nobody to stop it.
    """
    while pid is not None and not stop.done():
        if os.getppid() != pid:
            stop.set_result(signal.SIGHUP)
        elif _is_handling_interrupt(pid):
            stop.set_result(signal.SIGINT)
        await asyncio.sleep(_LOOK_AT_PARENT_EVERY_S)


def _is_handling_interrupt(pid: int) -> bool:
    """Say whether a make got a SIGINT of its own, which it does not hand on: it waits for its children to have got one too.

    A terminal's Ctrl-C reaches both, `kill -INT` of make only make. While make's handler waits, the signal is blocked, which
    Linux shows. Source: GNU make, `fatal_error_signal`; proc_pid_status(5), SigBlk.
    """
    with contextlib.suppress(OSError, ValueError):
        for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("SigBlk:"):
                return bool(int(line.split()[1], 16) & 1 << (signal.SIGINT - 1))
    return False


def _listen_to_signals(stop: asyncio.Future[int], folder: StateFolder, console: Console) -> None:
    """Ask for a stop at the first signal; end at once at a second one that is no echo of it."""
    loop = asyncio.get_running_loop()
    first_at = 0.0

    def on_signal(number: int) -> None:
        nonlocal first_at
        if not stop.done():
            first_at = loop.time()
            stop.set_result(number)
        # One SIGTERM to the process group of `make run` arrives twice: make hands on its own.
        elif loop.time() - first_at > _ECHO_S:
            console.error("Ending at once.")
            folder.withdraw()
            # The kernel closes the lifelines; the guards do the rest.
            os._exit(128 + number)

    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # nohup
        numbers.append(signal.SIGHUP)
    for number in numbers:
        loop.add_signal_handler(number, on_signal, number)


class _Clients:
    """boto3 clients of the emulator's services, each made once."""

    def __init__(self, url: str, key: RootKey) -> None:
        self._url = url
        self._key = key
        self._made: dict[str, Any] = {}

    def __call__(self, service: str) -> Any:
        if service not in self._made:
            self._made[service] = emulator.root_client(service, self._url, key=self._key)
        return self._made[service]

    def make_all(self) -> None:
        for service in _SERVICES:
            self(service)


class System:
    """The running parts. A class because it owns them all, and what has started has to be stopped, however far it got."""

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
        self._key = emulator.new_key() if self._by_key else emulator.PUBLIC_KEY
        self._emulator: Emulator | None = None
        self._trace = TraceBook()

    async def start(self) -> None:
        """Start everything, in the order of the module's table, and publish `outputs.json`."""
        console = self._console
        console.line(f"Starting the local system in {_short(self._folder.path)} (Ctrl-C stops it).")
        with console.step("ports") as note:
            gateway_socket, login_socket, door_sockets, emulator_port = self._bind()
            aws_socket, control_socket = self._bind_unlisted("AWS as the edge sees it"), self._bind_unlisted("faults")
            trace, trace_socket = self._bind_trace()
            note.text = (
                f"127.0.0.1: gateway {_port(gateway_socket)}, sign-in {_port(login_socket)}, emulator {emulator_port}"
            )
        clients = _Clients(emulator.endpoint_url(emulator_port), self._key)
        async with _together() as group:
            started = group.create_task(self._start_emulator(emulator_port))
            synthesised = group.create_task(self._build())
            group.create_task(asyncio.to_thread(clients.make_all))
        self._emulator = started.result()
        assembly, digest = synthesised.result()

        async with _together() as group:
            deployed = group.create_task(self._deploy(clients, assembly))
            bundled = group.create_task(self._bundle(assembly, digest))
        deployment = deployed.result()

        directory = StaticCredentials()
        credentials = EdgeCredentials(
            sts=clients("sts"),
            role_arn=deployment.output("EdgeRoleArn"),
            function_name=deployment.edge["FunctionName"],
            directory=directory,
            console=console.line,
        )
        faults = Faults(
            ssm=clients("ssm"),
            emulator_url=self._emulator.url,
            user_pool_id=deployment.output("UserPoolId"),
            parameter_prefix=deployment.output("ParameterPrefix"),
            console=console.line,
            key=self._key,
        )
        proxy = AwsProxy(emulator_url=self._emulator.url, faults=faults)
        control = ControlEndpoint(port=_port(control_socket), faults=faults)
        edge_environment = _edge_environment(credentials, faults, _url(aws_socket))
        async with _together() as group:
            demo = group.create_task(
                asyncio.to_thread(deploy.create_demo_user, clients("cognito-idp"), deployment.output("UserPoolId"))
            )
            edge = group.create_task(self._start_edge(bundled.result(), deployment, credentials, edge_environment))
            view = group.create_task(
                asyncio.to_thread(read_distribution, clients("cloudfront"), deployment.output("DistributionId"))
            )
            if "SiteBucket" in deployment.outputs:
                group.create_task(self._put_site(clients, deployment, _url(gateway_socket), _url(login_socket)))
        username, password = demo.result()
        faults.edge = edge.result()

        with console.step("servers") as note:
            doors = self._doors(clients, deployment, directory, door_sockets)
            buckets = self._bucket_doors(clients, view.result(), directory)
            addresses = {host: (ports.HOST, _port(sock)) for host, (_, sock) in (doors | buckets).items()}
            signer = OriginAccessSigner(distribution_id=view.result().distribution_id, account_id=emulator.ACCOUNT_ID)
            directory.add(signer.credential)
            twin = EdgeTwin(
                config=static_site.with_local_login(
                    view.result(), deployed=deployment.outputs.get("LoginUrl", ""), local=_url(login_socket)
                ),
                invoke=edge.result().invoke,
                resolve=addresses.__getitem__,
                console=console.line,
                sign=signer,
                observe=self._trace.take_exchange,
                names=self._options.allow_hosts,
            )
            login = self._login_front(clients, deployment, login_socket)
            await self._serve(
                *((config, sock, f"origin {host}") for host, (config, sock) in (doors | buckets).items()),
                (serving.plain_config(login), login_socket, "sign-in front"),
                (serving.plain_config(proxy), aws_socket, "AWS as the edge sees it"),
                (serving.plain_config(control), control_socket, "faults"),
                (serving.plain_config(trace), trace_socket, "trace page"),
            )
            # Stops before the others: what is under way may still need them.
            await self._serve((uvicorn.Config(twin, **uvicorn_settings()), gateway_socket, "gateway"))
            note.text = f"gateway, sign-in front, {_counted(deployment.function_urls, buckets)}"

        outputs = {
            "gateway_url": _url(gateway_socket),
            "login_url": login.url,
            "user_pool_id": deployment.output("UserPoolId"),
            "client_id": deployment.output("ClientId"),
            "username": username,
            "password": password,
            "function_urls": {
                function.name: f"{_url(doors[function.host][1])}/" for function in deployment.function_urls
            },
            "aws_endpoint_url": self._emulator.url,
            "region": emulator.REGION,
            "parameter_prefix": deployment.output("ParameterPrefix"),
            **self._key.outputs,
        }
        self._parts.push_async_callback(trace.close)
        self._parts.enter_context(control.published(self._folder.path))
        self._parts.enter_context(trace.published(self._folder.path))
        self._folder.publish(outputs)
        console.line(
            _how_to_use(
                outputs, self._folder, console.elapsed_s, trace.page, with_page="SiteBucket" in deployment.outputs
            )
        )

    async def _serve(self, *servers: tuple[uvicorn.Config, socket.socket, str]) -> None:
        """Serve, until all of them are stopped together."""
        group = [serving.Serving(config, sock, name) for config, sock, name in servers]
        self._parts.push_async_callback(serving.stop_all, group)
        for server in group:
            await server.start()

    async def serve_until(self, stop: asyncio.Future[int]) -> None:
        """Wait for *stop*.

        Raises:
            StoppedEarlyError: The emulator ended first.
        """
        assert self._emulator is not None  # noqa: S101 - called after `start`
        ended = asyncio.create_task(self._emulator.child.wait())
        try:
            await _first_of(ended, stop)
            if not stop.done():
                raise StoppedEarlyError(
                    f"The emulator has ended by itself, with status {ended.result()}; everything else stops as well. "
                    f"See {_short(self._emulator.child.log)}."
                )
        finally:
            ended.cancel()

    async def stop(self) -> None:
        """Stop whatever has started, the last first."""
        await self._parts.aclose()

    # --- parts, in the order of their start ----------------------------------------------------------------------------

    def _bind(self) -> tuple[socket.socket, socket.socket, list[socket.socket], int]:
        """Bind the servers' ports and find the emulator's."""
        options = self._options
        patience_s = _AFTER_A_KILL_PATIENCE_S if self._folder.after_a_kill else 0.0

        def bind(port: int, purpose: str, option: str, *, any_user: bool) -> socket.socket:
            sock = ports.listen(PortRequest(port, purpose, option, any_user), patience_s=patience_s)
            self._parts.callback(sock.close)
            return sock

        gateway = bind(options.port, "the gateway", "--port", any_user=True)
        login = bind(options.login_port, "the sign-in front", "--login-port", any_user=True)
        first_door = bind(
            options.function_url_port, "the first function URL", "--function-url-port", any_user=self._by_key
        )
        request = PortRequest(options.emulator_port, "the emulator", "--emulator-port")
        return gateway, login, [first_door], ports.reserve(request, patience_s=patience_s)

    def _bind_unlisted(self, purpose: str, port: int = 0, option: str = "") -> socket.socket:
        """Bind any free port, for what nobody types the address of; or the one that an option chose."""
        sock = ports.listen(PortRequest(port, purpose, option, self._by_key))
        self._parts.callback(sock.close)
        return sock

    def _bind_trace(self) -> tuple[TraceEndpoint, socket.socket]:
        """Bind the trace page's port, and make the page's server."""
        sock = self._bind_unlisted("the trace page", self._options.trace_port, "--trace-port")
        return TraceEndpoint(port=_port(sock), book=self._trace), sock

    async def _start_emulator(self, port: int) -> Emulator:
        with self._console.step("emulator") as note:
            running = await emulator.start(EMULATOR_PYTHON, self._folder.path, port, self._key)
            self._parts.push_async_callback(running.stop)
            note.text = f"ministack on {running.url}"
        return running

    async def _synthesise(self) -> tuple[Path, str]:
        with self._console.step("synth") as note:
            digest = await asyncio.to_thread(build.inputs_digest)
            if self._options.assembly is not None:
                note.text = f"none: the assembly is {_short(self._options.assembly)}"
                return self._options.assembly, digest
            context = {"signing": "oac"} if self._options.signing == "oac" else {}
            assembly = await build.synthesise(self._options.cache_dir, digest, self._folder.path / "synth.log", context)
            note.text = "unchanged since the last run" if assembly.cached else "CDK app synthesised"
        return assembly.folder, digest

    async def _build(self) -> tuple[Path, str]:
        """Synthesise the app and build the page, at the same time."""
        async with _together() as group:
            synthesised = group.create_task(self._synthesise())
            group.create_task(self._build_page())
        return synthesised.result()

    async def _build_page(self) -> None:
        if self._options.assembly is None:
            with self._console.step("page") as note:
                note.text = await build.web_page(self._folder.path / "web.log")

    async def _deploy(self, clients: _Clients, assembly: Path) -> Deployment:
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

    async def _start_edge(
        self,
        bundle: Path,
        deployment: Deployment,
        credentials: EdgeCredentials,
        environment: Callable[[], dict[str, str]],
    ) -> EdgeRuntime:
        with self._console.step("edge") as note:
            await credentials.renew()
            renewal = asyncio.create_task(credentials.keep_fresh(), name="renew the edge role's credentials")
            self._parts.push_async_callback(_cancel, renewal)
            log = EdgeLog(self._folder.path / "edge.log", self._console)
            self._parts.callback(log.close)

            def on_log_line(line: str) -> None:
                log.write(line)
                self._trace.take_line(line)

            runtime = EdgeRuntime(
                bundle=bundle,
                runtime_client=RUNTIME_CLIENT,
                python=sys.executable,
                environment=environment,
                function_arn=deployment.output("EdgeFunctionVersionArn"),
                handler=deployment.edge["Handler"],
                timeout_s=deployment.edge["Timeout"],
                memory_mb=deployment.edge["MemorySize"],
                log=on_log_line,
            )
            self._parts.push_async_callback(runtime.stop)
            try:
                await runtime.start()
            except EdgeFunctionError as error:
                raise EdgeStartError(
                    f"The edge function does not start: {error}. The end of its log:\n{processes.tail(log.path)}"
                ) from error
            note.text = f"edge function under awslambdaric; its log is {_short(self._folder.path / 'edge.log')}"
        return runtime

    def _doors(
        self,
        clients: _Clients,
        deployment: Deployment,
        directory: StaticCredentials,
        sockets: list[socket.socket],
    ) -> dict[str, tuple[uvicorn.Config, socket.socket]]:
        """Return a server for each function URL, by the URL's host."""
        assert self._emulator is not None  # noqa: S101 - it was started before
        invoker = EmulatorInvoker(self._emulator.url, self._key)
        self._parts.callback(invoker.close)

        async def invoke(function_name: str, event: Mapping[str, Any]) -> InvokeResult:
            return InvokeResult(*await invoker.invoke(function_name, event))

        policies = IamPolicies(clients("iam"), clients("lambda"))
        doors: dict[str, tuple[uvicorn.Config, socket.socket]] = {}
        for index, function in enumerate(deployment.function_urls):
            sock = sockets[index] if index < len(sockets) else self._further_door(index, function)
            door = FunctionUrlDoor(
                function_name=function.function_name,
                function_arn=function.function_arn,
                region=emulator.REGION,
                account_id=emulator.ACCOUNT_ID,
                url_host=function.host,
                credentials=directory,
                policies=policies,
                invoke=invoke,
                console=self._console.line,
                observe=self._trace.take_visit,
            )
            doors[function.host] = (door_server_config(door), sock)
        return doors

    def _login_front(self, clients: _Clients, deployment: Deployment, sock: socket.socket) -> LoginFront:
        assert self._emulator is not None  # noqa: S101 - it was started before
        login = LoginFront(
            port=_port(sock),
            emulator_url=self._emulator.url,
            cognito=clients("cognito-idp"),
            user_pool_id=deployment.output("UserPoolId"),
            outputs_file=_short(self._folder.outputs),
            console=self._console.line,
            names=self._options.allow_hosts,
        )
        self._parts.callback(login.close)
        return login

    def _bucket_doors(
        self, clients: _Clients, view: DistributionView, directory: StaticCredentials
    ) -> dict[str, tuple[uvicorn.Config, socket.socket]]:
        """Return a server for each bucket that CloudFront signs for, by the bucket's host."""
        hosts = {behavior.origin.domain_name for behavior in view.behaviors if behavior.origin.kind == "s3"}
        doors: dict[str, tuple[uvicorn.Config, socket.socket]] = {}
        for host in sorted(hosts):
            door = BucketDoor(
                bucket=host.rpartition(".s3.")[0],
                host=host,
                region=bucket_region(host),
                account_id=emulator.ACCOUNT_ID,
                s3=clients("s3"),
                credentials=directory,
                console=self._console.line,
            )
            doors[host] = (serving.plain_config(door), self._bind_unlisted("a bucket"))
        return doors

    async def _put_site(self, clients: _Clients, deployment: Deployment, gateway_url: str, login_url: str) -> None:
        """Put the site's files, and let its pages sign in from the gateway's address."""
        with self._console.step("site") as note:
            pool_id, client_id = deployment.output("UserPoolId"), deployment.output("ClientId")
            config = {
                "region": emulator.REGION,
                "user_pool_id": pool_id,
                "client_id": client_id,
                "login_url": login_url,
                "issuer": None,
                "api": "/api",
            }
            async with _together() as group:
                files = group.create_task(
                    asyncio.to_thread(static_site.put, clients("s3"), deployment.output("SiteBucket"), config)
                )
                group.create_task(
                    asyncio.to_thread(
                        static_site.admit_pages,
                        clients("cognito-idp"),
                        user_pool_id=pool_id,
                        client_id=client_id,
                        gateway_url=gateway_url,
                    )
                )
            note.text = f"{files.result()} in bucket {deployment.output('SiteBucket')}"

    def _further_door(self, index: int, function: FunctionUrl) -> socket.socket:
        first = self._options.function_url_port
        number = min(first + index, _HIGHEST_PORT) if first else 0
        purpose = f"the function URL {function.name!r}"
        sock = ports.listen(PortRequest(number, purpose, "--function-url-port", self._by_key))
        self._parts.callback(sock.close)
        return sock


@contextlib.asynccontextmanager
async def _together() -> AsyncIterator[asyncio.TaskGroup]:
    """Run tasks together; when one fails, cancel the others and raise its own error, not a group around it."""
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except BaseExceptionGroup as failed:
        error: BaseException = failed
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        raise error from None


def _edge_environment(credentials: EdgeCredentials, faults: Faults, aws_url: str) -> Callable[[], dict[str, str]]:
    """Return what gives the variables of the edge's processes: the role's credentials, and where AWS is."""
    endpoints = {"AWS_ENDPOINT_URL_SSM": aws_url, "AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER": aws_url}
    return lambda: {**faults.edge_credentials(credentials.environment()), **endpoints}


async def _cancel(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _port(sock: socket.socket) -> int:
    number: int = sock.getsockname()[1]
    return number


def _url(sock: socket.socket) -> str:
    return f"http://{ports.HOST}:{_port(sock)}"


def _counted(urls: Sized, buckets: Sized) -> str:
    return f"{len(urls)} function URL{'s' if len(urls) != 1 else ''}{', site' if buckets else ''}"


def _short(path: Path) -> str:
    """Return *path* as a person would type it here."""
    with contextlib.suppress(ValueError):
        return str(path.relative_to(Path.cwd()))
    return str(path)


def _how_to_use(
    outputs: Mapping[str, Any], folder: StateFolder, elapsed_s: float, trace: str, *, with_page: bool
) -> str:
    """Return the text that tells what runs and what to type next."""
    python = "python" if shutil.which("python") else "python3"
    if folder.path != build.PROJECT / ".local":  # where the scripts look unless they are told otherwise
        python = f"GATEWAY_STATE_DIR={shlex.quote(str(folder.path))} {python}"
    whoami = f"{outputs['gateway_url']}/api/whoami"
    urls = "\n".join(
        f"  function URL  {url}  ({name}; takes signed requests only)" for name, url in outputs["function_urls"].items()
    )
    file = shlex.quote(_short(folder.outputs))
    page = f"""
Open {outputs["gateway_url"]}/ in a browser and sign in as {outputs["username"]}. The password: grep password {file}
"""
    return f"""
Ready after {elapsed_s:.1f} s.

  gateway       {outputs["gateway_url"]}
  sign-in       {outputs["login_url"]}
{urls}
  AWS emulator  {outputs["aws_endpoint_url"]}{f"  (access key in {file})" if "aws_access_key_id" in outputs else ""}
  demo user     {outputs["username"]}  (password in {file})
  trace         {trace}
                (every request on its way, live; the address is this run's secret)
{page if with_page else ""}
Type in another terminal, in the project's folder:

  curl -i {whoami}
      # 401: no token

  TOKEN=$({python} scripts/get_token.py --local)
  curl -i -H "Authorization: Bearer $TOKEN" {whoami}
      # 200, and who you are

  {python} scripts/get_token.py --local --header | curl -i -H @- {whoami}
      # the same, with the token kept out of the process list

Outages to try out, a wrong clock, new keys: {python} scripts/fault.py --help

Ctrl-C stops everything.
"""
