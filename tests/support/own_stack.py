"""A CDK app such as a user would write, with the construct in it, and ``python -m local --assembly`` on it.

Two functions behind one gateway, with CORS and protected resource metadata, which the project's own stack has not: the
example's API at ``/api/*``, and an MCP server (``tests/support/mcp_function.py``) at ``/api/mcp``.

``python -m tests.support.own_stack DIR`` synthesises it, which takes seconds; ``running`` keeps the result in the build cache.
"""

import asyncio
import contextlib
import hashlib
import json
import shutil
import socket
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

from cognito_edge_local.launcher import build, processes
from cognito_edge_local.launcher.places import CHECKOUT

from . import running_system

STACK_NAME = "CognitoEdgeGateway"  # the name under which scripts/policy.py looks for the distribution
PAGE_ORIGIN = "http://localhost:65535"
"""Stands in the cached template; ``running`` puts the origin of the test's own page there."""
RESOURCE_PATH = "/api/mcp"

LIFETIME_S = 1
TAKEN_UP_S = LIFETIME_S * 1.2 + 0.1
"""The lifetime, its 20 %, and a little for the clock's grain: every process that read before has to read again after this."""
_MCP_FUNCTION = Path(__file__).with_name("mcp_function.py")


@contextlib.contextmanager
def running(folder: Path, page_origin: str | None) -> Iterator[SimpleNamespace]:
    """Run the local system on this stack, with settings that name the ports it will have.

    Args:
        folder: For all that it writes.
        page_origin: Whose pages may read the backend's answers; None: the distribution has no CORS at all.

    Yields:
        ``process`` (a ``LocalSystem``) and ``resource`` (the MCP server's URL).
    """
    port, login_port = _free_ports(2)
    gateway = f"http://127.0.0.1:{port}"
    folder.mkdir(parents=True, exist_ok=True)
    settings = folder / "settings.json"
    settings.write_text(
        json.dumps(
            {
                "resource": gateway + RESOURCE_PATH,
                "authorization_servers": [f"http://127.0.0.1:{login_port}"],
                "settings_lifetime_s": LIFETIME_S,
                "cooldown_s": 0.1,
            }
        )
    )
    options = ("--settings", settings, "--assembly", _assembly(folder, page_origin))
    ports = ("--port", port, "--login-port", login_port)
    with running_system.running(folder / "system", *map(str, (*options, *ports))) as process:
        yield SimpleNamespace(process=process, resource=gateway + RESOURCE_PATH)


def _free_ports(count: int) -> list[int]:
    """Return ports that are free now: the settings have to name them before the system binds them."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for sock in sockets:
            sock.bind(("127.0.0.1", 0))
        return [sock.getsockname()[1] for sock in sockets]


def _assembly(folder: Path, page_origin: str | None) -> Path:
    """Return an assembly of this run's own: the cached one with the page's origin, or no CORS, in the template."""
    # A thread of its own: where Playwright is at work, the test's has a loop that runs already.
    with ThreadPoolExecutor(1) as thread:
        cached = thread.submit(asyncio.run, _synthesised()).result()
    own = folder / "assembly"
    own.mkdir()
    for entry in cached.iterdir():
        (own / entry.name).symlink_to(entry)
    template = own / f"{STACK_NAME}.template.json"
    text = template.read_text()
    assert PAGE_ORIGIN in text
    template.unlink()
    template.write_text(_without_cors(text) if page_origin is None else text.replace(PAGE_ORIGIN, page_origin))
    return own


def _without_cors(template: str) -> str:
    document = json.loads(template)
    for resource in document["Resources"].values():
        if resource["Type"] == "AWS::CloudFront::ResponseHeadersPolicy":
            del resource["Properties"]["ResponseHeadersPolicyConfig"]["CorsConfig"]
    return json.dumps(document)


async def _synthesised() -> Path:
    digest = hashlib.sha256(build.inputs_digest().encode())
    for file in (Path(__file__), _MCP_FUNCTION):
        digest.update(file.read_bytes())
    cache = CHECKOUT / ".local" / "cache"

    async def make(output: Path) -> None:
        argv = [sys.executable, "-m", "tests.support.own_stack", str(output)]
        log = cache / "own-stack.log"
        await processes.run("synth", argv, environment=build._environment(), log=log, cwd=CHECKOUT)

    return (await build._cached(cache, "own-stack", digest.hexdigest()[:32], make)).folder


def _synthesise(output: Path) -> None:
    from infra.deploy.node import use_bundled_node

    use_bundled_node()
    import aws_cdk as cdk
    from aws_cdk import aws_lambda as lambda_
    from cognito_edge_cdk.cors import Cors
    from cognito_edge_cdk.gateway import EdgeGateway

    from infra.example.backend import Backend

    app = cdk.App(
        outdir=str(output),
        analytics_reporting=False,
        stack_traces=False,
        tree_metadata=False,
        builtin_cloud_formation_validation=False,
    )
    stack = cdk.Stack(app, STACK_NAME, env=cdk.Environment(region="us-east-1"))
    with tempfile.TemporaryDirectory() as scratch:
        code = Path(scratch)
        shutil.copy(_MCP_FUNCTION, code)
        shutil.copytree(CHECKOUT / "backend", code / "backend", ignore=shutil.ignore_patterns("__pycache__"))
        mcp = lambda_.Function(
            stack,
            "Mcp",
            runtime=lambda_.Runtime.PYTHON_3_13,
            handler="mcp_function.handler",
            code=lambda_.Code.from_asset(scratch),
            timeout=cdk.Duration.seconds(30),
            # In place of a layer: the emulator runs functions with this interpreter, and the SDK is installed for it.
            environment={"PYTHONPATH": sysconfig.get_path("purelib")},
        )
        mcp_url = mcp.add_function_url(auth_type=lambda_.FunctionUrlAuthType.AWS_IAM)
        api = Backend(stack, "Api", bytecode="none")
        gateway = EdgeGateway(
            stack,
            "Gateway",
            functions={"/api/mcp": mcp_url, "/api/*": api.url},
            # Literals, as they would be for a domain of one's own; locally --settings puts others in their place.
            settings={
                "resource": "https://api.example.com" + RESOURCE_PATH,
                "authorization_servers": ["https://login.example.com"],
            },
            cors=Cors(allow_origins=[PAGE_ORIGIN], expose_headers=["www-authenticate", "etag"]),
            bytecode="none",
        )
        gateway.add_outputs(stack)
        cdk.CfnOutput(stack, "FunctionUrlApi", value=api.url.url)
        cdk.CfnOutput(stack, "FunctionUrlMcp", value=mcp_url.url)
        app.synth()


if __name__ == "__main__":
    _synthesise(Path(sys.argv[1]))
