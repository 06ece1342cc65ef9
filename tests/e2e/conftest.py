"""The whole local system, started once for all end-to-end tests, and ways to call it as its users do."""

import base64
import json
import os
import subprocess
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest
import requests
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from tests.support import forked_scripts, programs, running_system
from tests.support.keys_and_tokens import compact


@dataclass
class Answer:
    """What curl printed: status, headers by lower-case name (values in a list), body."""

    status: int
    headers: dict[str, list[str]]
    body: bytes

    @property
    def json(self) -> dict:
        return json.loads(self.body)


@dataclass
class System:
    """A running local system."""

    process: running_system.LocalSystem

    @cached_property
    def outputs(self) -> dict:
        return self.process.outputs

    @property
    def url(self) -> str:
        return self.outputs["gateway_url"]

    def environment(self) -> dict[str, str]:
        """For scripts: which local system is meant."""
        return {**os.environ, "GATEWAY_STATE_DIR": str(self.process.state_dir)}

    def script(self, name: str, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess:
        """Run one of scripts/ as a person would."""
        script = str(running_system.PROJECT / "scripts" / name)
        return forked_scripts.run([script, *arguments], cwd=Path.cwd(), env=self.environment(), stdin=stdin)

    def turn(self, **changes: object) -> dict:
        """Turn knobs of the fault control, and return how they stand; without arguments only look."""
        control = json.loads((self.process.state_dir / "control.json").read_bytes())
        answer = requests.request(
            "POST" if changes else "GET",
            control["url"] + "/faults",
            json=changes or None,
            headers={"Authorization": f"Bearer {control['secret']}"},
            timeout=30,
        )
        assert answer.status_code == 200, answer.text
        return answer.json()

    @cached_property
    def token(self) -> str:
        """The demo user's ID token."""
        done = self.script("get_token.py", "--local")
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    @cached_property
    def access_token(self) -> str:
        """The demo user's access token."""
        done = self.script("get_token.py", "--local", "--access")
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def mint(self, claims: dict, *, use: str = "id", **header: object) -> str:
        """Sign any claims with the emulated pool's own key, so that nothing but the claims can be wrong."""
        pool_id = self.outputs["user_pool_id"]
        (pem,) = Path(self.process.state_dir).rglob(f"{pool_id}-{use}.pem")
        key = load_pem_private_key(pem.read_bytes(), None)
        return compact(key, {"kid": self._kid(use), "alg": "RS256", **header}, claims)

    def _kid(self, use: str) -> str:
        token = self.token if use == "id" else self.access_token
        header = token.partition(".")[0]
        return json.loads(base64.urlsafe_b64decode(header + "==="))["kid"]

    def curl(self, path: str, *arguments: str, token: str | None = None, body: bytes | None = None) -> Answer:
        """Call the gateway (or any URL) with curl."""
        url = path if path.startswith("http") else self.url + path
        command = [programs.curl(), "-s", "-i", "-g", "--path-as-is", "--max-time", "30", *arguments]
        # The token goes in by a file descriptor, as the README recommends: process lists do not show it.
        config = f'header = "Authorization: Bearer {token}"\n' if token else ""
        if body is not None:
            upload = self.process.state_dir / "upload"
            upload.write_bytes(body)
            command += ["--data-binary", f"@{upload}"]
        done = subprocess.run([*command, "-K", "-", url], input=config.encode(), capture_output=True, check=False)
        assert done.returncode == 0, f"curl ended with {done.returncode}: {done.stderr.decode()}"
        return _parse(done.stdout)


def _parse(output: bytes) -> Answer:
    head, _, body = output.partition(b"\r\n\r\n")
    while head.split(b" ", 2)[1] == b"100":
        head, _, body = body.partition(b"\r\n\r\n")
    status_line, *lines = head.decode("latin-1").split("\r\n")
    headers: dict[str, list[str]] = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers.setdefault(name.lower(), []).append(value.strip())
    return Answer(int(status_line.split()[1]), headers, body)


@pytest.fixture(scope="session")
def system(tmp_path_factory):
    """The running system; every end-to-end test shares it and leaves it as it was.

    GATEWAY_SIGNING=oac in the environment runs the same tests in the other signing mode.
    """
    options = ("--signing", os.environ.get("GATEWAY_SIGNING", "sigv4"))
    with running_system.running(tmp_path_factory.mktemp("system"), *options) as process:
        yield System(process)
        left = process.process.poll()
        assert left is None, f"the system ended with {left} while tests ran:\n{process.printed()}"
