"""The sign-in scripts against the emulator: its SRP, its hosted UI's form, its challenges, a real terminal."""

import base64
import compileall
import hashlib
import hmac
import json
import os
import pty
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from html.parser import HTMLParser
from urllib.parse import urljoin

import boto3
import pytest
import requests
from botocore.config import Config
from cognito_edge_cli.sign_in.token_cache import unverified_claims
from cognito_edge_cli.stack import CHECKOUT

from tests.support import forked_scripts

EMULATOR = CHECKOUT / ".venv-emulator" / "bin" / "python"
PASSWORD = "Correct-horse-1"
# The terminal on standard input becomes the one that /dev/tty names; then the command line runs.
TAKE_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
)


@pytest.fixture(scope="module")
def emulator(tmp_path_factory):
    """The URL of an emulator of this module's own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = tmp_path_factory.mktemp("emulator")
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "TMPDIR": str(folder)}
    environment |= {"BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(port), "AUTH": "true", "IOT_MTLS_ENABLED": "0"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [str(EMULATOR), "-m", "ministack"], cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_until_healthy(url, process)
            yield url
        finally:
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(5)


def _wait_until_healthy(url, process):
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        assert process.poll() is None, "the emulator ended; is .venv-emulator there (make install)?"
        try:
            if requests.get(f"{url}/_ministack/health", timeout=2).ok:
                return
        except requests.ConnectionError:
            time.sleep(0.05)
    raise AssertionError("the emulator did not come up within 30 s")


@pytest.fixture(scope="module")
def client(emulator):
    """Cognito's API with the emulator's root key."""
    session = boto3.Session("test", "test", region_name="us-east-1")
    return session.client("cognito-idp", endpoint_url=emulator, config=Config(proxies={}))


@pytest.fixture(scope="module")
def callback_ports():
    """Two ports that the app client registers, free on this machine."""
    ports = []
    for _ in range(2):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            ports.append(probe.getsockname()[1])
    return ports


@pytest.fixture(scope="module")
def scripts(tmp_path_factory):
    """The scripts, compiled: every test runs a copy of its own."""
    folder = tmp_path_factory.mktemp("project") / "scripts"
    shutil.copytree(CHECKOUT / "scripts", folder, ignore=shutil.ignore_patterns("__pycache__"))
    compileall.compile_dir(folder, quiet=1)
    return folder


@pytest.fixture
def system(emulator, client, callback_ports, scripts, tmp_path):
    """A pool of this test's own behind a copy of the scripts, as ``make run`` would leave them."""
    return System(emulator, client, callback_ports, scripts, tmp_path / "project")


class System:
    """Pool, client, user, and the project's folder that knows them."""

    def __init__(self, url, client, ports, scripts, folder, flows=("ALLOW_USER_SRP_AUTH", "ALLOW_REFRESH_TOKEN_AUTH")):
        self.client, self.folder, self.ports = client, folder, ports
        pool = client.create_user_pool(
            PoolName="test", AdminCreateUserConfig={"AllowAdminCreateUserOnly": True}, MfaConfiguration="OPTIONAL"
        )
        self.pool_id = pool["UserPool"]["Id"]
        app = client.create_user_pool_client(
            UserPoolId=self.pool_id,
            ClientName="test",
            ExplicitAuthFlows=list(flows),
            AllowedOAuthFlows=["code"],
            AllowedOAuthFlowsUserPoolClient=True,
            AllowedOAuthScopes=["openid", "email"],
            CallbackURLs=[f"http://localhost:{port}/callback" for port in ports],
            SupportedIdentityProviders=["COGNITO"],
        )
        self.client_id = app["UserPoolClient"]["ClientId"]
        client.admin_create_user(UserPoolId=self.pool_id, Username="demo", MessageAction="SUPPRESS")
        client.admin_set_user_password(UserPoolId=self.pool_id, Username="demo", Password=PASSWORD, Permanent=True)
        shutil.copytree(scripts, folder / "scripts")
        (folder / ".local").mkdir(mode=0o700)
        outputs = {
            "gateway_url": "http://127.0.0.1:8080",
            "login_url": url,
            "user_pool_id": self.pool_id,
            "client_id": self.client_id,
            "username": "demo",
            "password": PASSWORD,
            "function_urls": {},
            "aws_endpoint_url": url,
            "region": "us-east-1",
            "parameter_prefix": "/test",
        }
        (folder / ".local" / "outputs.json").write_text(json.dumps(outputs))

    def command(self, script, *argv):
        """Return the command line of *script* for this system."""
        return [sys.executable, f"scripts/{script}", *argv, "--local"]

    def run(self, script, *argv, stdin=None):
        """Run *script* with no terminal."""
        return forked_scripts.run(
            [*self.command(script, *argv)[1:]], cwd=self.folder, env=os.environ, stdin=stdin or ""
        )

    def subject_of(self, token):
        """Return whom *token* names, as the emulator sees it: it checks the signature."""
        return self.client.get_user(AccessToken=token)["Username"]


def test_demo_user_signs_in_over_srp(system):
    """The emulator verifies the proof, and takes the access token that came of it."""
    done = system.run("get_token.py", "--access")
    assert (done.returncode, done.stderr) == (0, "")
    assert system.subject_of(done.stdout.strip()) == "demo"


def test_wrong_password_is_refused(system):
    """The emulator's SRP says no, and so does the script."""
    done = system.run("get_token.py", "--username", "demo", "--password-stdin", stdin="Wrong-horse-1\n")
    assert (done.returncode, done.stdout) == (1, "")
    assert "Incorrect username or password" in done.stderr


def test_client_with_the_plain_flow_alone_is_signed_in(emulator, client, callback_ports, scripts, tmp_path):
    """The emulator's words for a client without SRP are understood."""
    system = System(emulator, client, callback_ports, scripts, tmp_path / "plain", flows=["ALLOW_USER_PASSWORD_AUTH"])
    done = system.run("get_token.py")
    assert done.returncode == 0
    assert "does not allow SRP" in done.stderr
    assert unverified_claims(done.stdout.strip())["cognito:username"] == "demo"


def test_refresh_keeps_the_groups(system):
    """A token that is due is refreshed, and says the groups of today."""
    assert system.run("get_token.py").returncode == 0
    system.client.create_group(UserPoolId=system.pool_id, GroupName="admins")
    system.client.admin_add_user_to_group(UserPoolId=system.pool_id, Username="demo", GroupName="admins")
    _let_the_cache_be_due(system)
    done = system.run("get_token.py")
    assert (done.returncode, done.stderr) == (0, "")
    assert unverified_claims(done.stdout.strip())["cognito:groups"] == ["admins"]


def test_new_user_chooses_a_password_and_gets_a_token(system):
    """user.py's temporary password works once, with a new one behind it."""
    created = system.run("user.py", "create", "alice", "--group", "readers", "--create-groups")
    assert created.returncode == 0, created.stderr
    lines = f"{created.stdout}Alices-horse-2\n"
    done = system.run("get_token.py", "--username", "alice", "--password-stdin", stdin=lines)
    assert done.returncode == 0, done.stderr
    assert unverified_claims(done.stdout.strip())["cognito:groups"] == ["readers"]
    again = system.run("get_token.py", "--username", "alice", "--password-stdin", "--force", stdin="Alices-horse-2\n")
    assert again.returncode == 0, again.stderr


def test_permanent_password_needs_no_change(system):
    """For a user that is a program."""
    done = system.run("user.py", "create", "robot", "--password-stdin", "--permanent", stdin="Robots-horse-3\n")
    assert (done.returncode, done.stdout) == (0, "")
    done = system.run("get_token.py", "--username", "robot", "--password-stdin", stdin="Robots-horse-3\n")
    assert done.returncode == 0, done.stderr


def test_authenticator_code_is_asked_for(system):
    """SOFTWARE_TOKEN_MFA of a user who has set it up."""
    access = system.run("get_token.py", "--access").stdout.strip()
    secret = system.client.associate_software_token(AccessToken=access)["SecretCode"]
    system.client.verify_software_token(AccessToken=access, UserCode=_totp(secret))
    system.client.admin_set_user_mfa_preference(
        UserPoolId=system.pool_id, Username="demo", SoftwareTokenMfaSettings={"Enabled": True, "PreferredMfa": True}
    )
    lines = f"{PASSWORD}\nnot-a-code\n{_totp(secret)}\n"
    done = system.run("get_token.py", "--username", "demo", "--password-stdin", "--force", stdin=lines)
    assert done.returncode == 0, done.stderr
    assert "Invalid code" in done.stderr
    assert unverified_claims(done.stdout.strip())["cognito:username"] == "demo"


def test_disabled_user_gets_no_token_and_no_refresh(system):
    """Disable ends the cached sign-in, too; enable gives it back to a new sign-in alone."""
    assert system.run("get_token.py").returncode == 0
    assert system.run("user.py", "disable", "demo").returncode == 0
    _let_the_cache_be_due(system)
    done = system.run("get_token.py")
    assert (done.returncode, done.stdout) == (1, "")
    assert "the cached sign-in has ended" in done.stderr
    assert "User is disabled" in done.stderr
    assert system.run("user.py", "enable", "demo").returncode == 0
    assert system.run("get_token.py").returncode == 0


def test_groups_and_list_show_what_the_pool_has(system):
    """The read-only commands, against the emulator's own answers."""
    assert system.run("user.py", "groups", "demo", "--set", "a", "b", "--create-groups").stdout == "a\nb\n"
    assert system.run("user.py", "groups", "demo", "--remove", "a").stdout == "b\n"
    assert system.run("user.py", "list").stdout == "demo\tCONFIRMED\tenabled\t\n"
    missing = system.run("user.py", "disable", "nobody")
    assert missing.returncode == 1
    assert "no user nobody" in missing.stderr
    assert system.run("user.py", "delete", "demo", "--yes").returncode == 0
    assert system.run("user.py", "list").stdout == ""


def test_hosted_uis_form_signs_in_with_pkce(system):
    """The link that --no-browser prints, its form filled in, the redirect followed to the waiting script."""
    port = str(system.ports[0])
    command = system.command("get_token.py", "--no-browser", "--callback-port", port, "--timeout", "50")
    with subprocess.Popen(
        command,
        cwd=system.folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        link = next(match[0] for line in process.stderr if (match := re.search(r"http\S+", line)))
        with requests.Session() as browser:
            browser.trust_env = False
            page = browser.get(link, timeout=10)
            refused = _submit(browser, page, username="demo", password="Wrong-horse-1")
            assert "Incorrect username or password" in refused.text
            page = _submit(browser, refused, username="demo", password=PASSWORD)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert page.url.startswith(f"http://localhost:{port}/callback?code=")
    assert "close this page" in page.text
    claims = unverified_claims(out.strip())
    assert claims["cognito:username"] == "demo"
    assert claims["nonce"]
    # Cached: the next run needs no browser.
    again = system.run("get_token.py", "--browser")
    assert again.stdout == out


def test_person_at_a_terminal_types_a_password_that_does_not_show(system):
    """A real terminal: prompts go there, the password is not echoed, stdout has the token alone."""
    assert system.run("user.py", "create", "alice", "--password-stdin", stdin="Temp-horse-1\n").returncode == 0
    typed = {
        b"Password of alice: ": b"Temp-horse-1\n",
        b"New password: ": b"Alices-horse-2\n",
        b"New password (again): ": b"Alices-horse-2\n",
    }
    status, out, screen = _at_a_terminal(system, "get_token.py", ["--username", "alice"], typed)
    assert status == 0, screen
    assert unverified_claims(out.decode().strip())["cognito:username"] == "alice"
    assert b"horse" not in screen
    for prompt in typed:
        assert prompt in screen


@pytest.mark.parametrize(("typed", "gone"), [(b"demo\n", True), (b"yes\n", False)])
def test_deleting_asks_at_the_terminal(system, typed, gone):
    """The question and its answer show on the screen, and stdout stays empty."""
    prompt = b"Type demo to delete them: "
    status, out, screen = _at_a_terminal(system, "user.py", ["delete", "demo"], {prompt: typed})
    assert (status, out) == (0 if gone else 1, b"")
    assert prompt + typed.strip() in screen
    assert (system.run("user.py", "list").stdout == "") is gone


def _at_a_terminal(system, script, argv, typed):
    """Run *script* at a terminal of its own: (exit status, its stdout, what the screen showed)."""
    master, slave = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", TAKE_TERMINAL, *system.command(script, *argv)],
        cwd=system.folder,
        stdin=slave,
        stdout=subprocess.PIPE,
        stderr=slave,
        start_new_session=True,
    ) as process:
        os.close(slave)
        out = []
        reader = threading.Thread(target=lambda: out.append(process.stdout.read()))
        reader.start()
        screen, waiting = b"", dict(typed)
        while True:
            try:
                piece = os.read(master, 4096)
            except OSError:  # EIO: the last program at this terminal ended
                break
            if not piece:
                break
            screen += piece
            for prompt in [prompt for prompt in waiting if screen.endswith(prompt)]:
                os.write(master, waiting.pop(prompt))
        reader.join(30)
    os.close(master)
    return process.returncode, out[0], screen


def _let_the_cache_be_due(system):
    """Make the cached tokens look as if they ended soon, and keep the refresh token."""
    (file,) = (system.folder / ".local" / "tokens").rglob("*.json")
    saved = json.loads(file.read_text())
    for name in ("id_token", "access_token"):
        header, _, signature = saved[name].split(".")
        claims = {**unverified_claims(saved[name]), "exp": int(time.time()) + 60}
        payload = _base64url(json.dumps(claims).encode())
        saved[name] = f"{header}.{payload}.{signature}"
    file.write_text(json.dumps(saved))


def _base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _totp(secret):
    """Return the code of now (RFC 6238, SHA-1, 30 s, six digits)."""
    key = base64.b32decode(secret + "=" * (-len(secret) % 8))
    digest = hmac.new(key, (int(time.time()) // 30).to_bytes(8, "big"), hashlib.sha1).digest()
    offset = digest[-1] & 15
    return f"{(int.from_bytes(digest[offset : offset + 4], 'big') & 0x7FFFFFFF) % 10**6:06}"


class _Form(HTMLParser):
    """The page's form: where it goes, and its hidden fields."""

    def __init__(self, page):
        super().__init__()
        self.action, self.fields = "", {}
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        if tag == "form":
            self.action = attributes["action"]
        elif tag == "input" and attributes.get("type") == "hidden":
            self.fields[attributes["name"]] = attributes["value"]


def _submit(browser, page, **fields):
    form = _Form(page.text)
    return browser.post(urljoin(page.url, form.action), data={**form.fields, **fields}, timeout=10)
