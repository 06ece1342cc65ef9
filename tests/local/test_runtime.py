"""The edge runtime: what Lambda@Edge would refuse, lose or kill is refused, lost or killed here."""

import asyncio
import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from cognito_edge_local import peer
from cognito_edge_local.lambda_runtime.environments import EdgeRuntime
from cognito_edge_local.lambda_runtime.runtime_api import EdgeFunctionError

from tests.local import stranger

ROOT = Path(__file__).resolve().parents[2]
RUNTIME_CLIENT = ROOT / ".venv-runtime"

ECHO = """
def handler(event, context):
    return event
"""


@pytest.fixture
def bundle(tmp_path):
    """A folder with cognito_edge/handler.py, written from the text it is called with."""

    def write(code):
        package = tmp_path / "bundle" / "cognito_edge"
        package.mkdir(parents=True, exist_ok=True)
        (package / "__init__.py").touch()
        (package / "handler.py").write_text(textwrap.dedent(code), encoding="utf-8")
        return package.parent

    return write


def run(folder, scenario, **options):
    """Run ``scenario(runtime)`` against a runtime on *folder*; gives its result and the logged lines."""
    log = []
    options = {"environment": {}, "timeout_s": 20} | options

    async def main():
        runtime = EdgeRuntime(
            bundle=folder, runtime_client=RUNTIME_CLIENT, python=sys.executable, log=log.append, **options
        )
        try:
            return await scenario(runtime)
        finally:
            await runtime.stop()

    return asyncio.run(main()), log


def invoke(folder, event=None, **options):
    return run(folder, lambda runtime: runtime.invoke(event or {}), **options)


def test_event_and_answer_survive_as_they_are(bundle):
    """One megabyte of body and every kind of character come back unchanged."""
    event = {"data": "QUFB" * 262_144, "text": "é \u2028 \U0001f510 \x00", "list": [1, None, True]}
    answer, _ = invoke(bundle(ECHO), event)
    assert answer == event


def test_only_reserved_variables_are_there(bundle, monkeypatch):
    """The launcher's own environment stays outside; Lambda's reserved variables say an edge Region."""
    monkeypatch.setenv("LAUNCHER_SECRET", "x")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    code = """
    import os

    def handler(event, context):
        return dict(os.environ)
    """
    given = {"AWS_ENDPOINT_URL_SSM": "http://127.0.0.1:4566", "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE"}
    seen, _ = invoke(bundle(code), environment=given)
    own = {name for name in seen if not name.startswith(("AWS_", "LAMBDA_"))}
    assert own <= {"LANG", "LC_CTYPE", "PATH", "TZ", "_HANDLER", "_X_AMZN_TRACE_ID"}
    assert given.items() <= seen.items()
    assert seen["AWS_REGION"] == seen["AWS_DEFAULT_REGION"] == "eu-central-1"
    assert seen["AWS_LAMBDA_FUNCTION_NAME"] == "us-east-1.edge"
    assert seen["AWS_LAMBDA_FUNCTION_VERSION"] == "1"
    assert seen["TZ"] == ":UTC"
    assert Path(seen["LAMBDA_TASK_ROOT"]).name == "bundle"


def test_variable_that_cannot_exist_at_the_edge_is_refused(bundle):
    """Lambda@Edge has no environment variables of one's own."""
    with pytest.raises(ValueError, match=r"STAGE cannot be set for an edge function"):
        invoke(bundle(ECHO), environment={"STAGE": "dev"})


def test_nothing_but_the_bundle_can_be_imported(bundle):
    """A dependency that is only in the developer's environment is missing here, as it would be on AWS."""
    code = """
    import importlib.util, sys

    def handler(event, context):
        return {name: importlib.util.find_spec(name) is not None for name in event["names"]}, sys.path
    """
    names = [
        "boto3",
        "botocore",
        "requests",
        "uvicorn",
        "pip",
        "local",
        "tests",
        "cognito_edge",
        "awslambdaric",
        "json",
    ]
    (found, path), _ = invoke(bundle(code), {"names": names})
    assert {name for name, there in found.items() if there} == {"cognito_edge", "awslambdaric", "json"}
    assert not [entry for entry in path if "site-packages" in entry]


def test_missing_import_is_reported_at_start(bundle):
    """A bundle that lacks a package fails before the first request, with the package's name."""
    with pytest.raises(EdgeFunctionError) as failure:
        run(bundle("import boto3"), lambda runtime: runtime.start())
    assert failure.value.error_type == "Runtime.ImportModuleError"
    assert "No module named 'boto3'" in failure.value.message


def test_exception_is_reported_and_the_environment_goes_on(bundle):
    """A function that raised keeps its process and its state, as on Lambda."""
    code = """
    calls = 0

    def handler(event, context):
        global calls
        calls += 1
        if event.get("fail"):
            raise KeyError("nope")
        return calls
    """

    async def scenario(runtime):
        with pytest.raises(EdgeFunctionError) as failure:
            await runtime.invoke({"fail": True})
        return failure.value, await runtime.invoke({})

    (error, calls), log = run(bundle(code), scenario)
    assert (error.error_type, error.message) == ("KeyError", "'nope'")
    assert calls == 2
    assert any("[ERROR] KeyError: 'nope'" in line for line in log)


@pytest.mark.parametrize(
    ("statement", "expected"),
    [("os._exit(3)", "exit status 3"), ("os.kill(os.getpid(), 9)", "signal: SIGKILL")],
)
def test_crash_is_reported_and_replaced(bundle, statement, expected):
    """A process that ends during a request fails that request; the next one gets a new process."""
    code = f"""
    import os

    def handler(event, context):
        if event.get("crash"):
            {statement}
        return "alive"
    """

    async def scenario(runtime):
        with pytest.raises(EdgeFunctionError) as failure:
            await runtime.invoke({"crash": True})
        return failure.value, await runtime.invoke({})

    (error, answer), _ = run(bundle(code), scenario)
    assert error.error_type == "Runtime.ExitError"
    assert error.message == f"Runtime exited with error: {expected}"
    assert answer == "alive"


def test_timeout_kills_the_process(bundle):
    """What takes longer than the function's timeout is killed, and says so in Lambda's words."""
    code = """
    import os, time

    def handler(event, context):
        if event.get("hang"):
            print("pid", os.getpid(), flush=True)
            time.sleep(60)
        return "alive"
    """

    async def scenario(runtime):
        await runtime.start()
        with pytest.raises(EdgeFunctionError) as failure:
            await runtime.invoke({"hang": True})
        return failure.value

    error, log = run(bundle(code), scenario, timeout_s=1)
    assert error.error_type == "Sandbox.Timedout"
    assert error.message.endswith("Task timed out after 1.00 seconds")
    assert not alive(int(log[-1].split()[1]))


def test_deadline_is_told_to_the_function(bundle):
    """``get_remaining_time_in_millis`` counts down from the function's timeout."""
    code = """
    def handler(event, context):
        return context.get_remaining_time_in_millis(), context.invoked_function_arn, context.function_name
    """
    (remaining_ms, arn, name), _ = invoke(bundle(code), timeout_s=20)
    assert 0 < remaining_ms <= 20_000
    assert arn == "arn:aws:lambda:us-east-1:000000000000:function:edge:1"
    assert name == "us-east-1.edge"


def test_answer_of_six_megabytes_passes_and_more_does_not(bundle):
    """Lambda's own limit on what a synchronous invocation may answer."""
    code = """
    def handler(event, context):
        return "x" * event["size"]
    """
    largest = 6 * 1024 * 1024 + 1024 - 2  # the quotation marks of a JSON string

    async def scenario(runtime):
        passed = await runtime.invoke({"size": largest})
        with pytest.raises(EdgeFunctionError) as failure:
            await runtime.invoke({"size": largest + 1})
        return len(passed), failure.value, await runtime.invoke({"size": 1})

    (passed, error, afterwards), _ = run(bundle(code), scenario)
    assert passed == largest
    assert error.error_type == "Function.ResponseSizeTooLarge"
    assert afterwards == "x"


def test_requests_at_once_get_environments_of_their_own_up_to_the_maximum(bundle):
    """One environment serves one request at a time; the maximum makes the rest wait, and processes are kept."""
    code = """
    import os, time

    def handler(event, context):
        time.sleep(0.3)
        return os.getpid()
    """

    async def scenario(runtime):
        first = await asyncio.gather(*(runtime.invoke({}) for _ in range(3)))
        return first, await runtime.invoke({})

    (first, again), _ = run(bundle(code), scenario, max_environments=2)
    assert len(set(first)) == 2
    assert again in first


def test_new_credentials_mean_new_environments(bundle):
    """A process keeps the credentials it was started with; changed ones come with a new process."""
    code = """
    import os

    def handler(event, context):
        return os.environ["AWS_ACCESS_KEY_ID"], os.getpid()
    """
    current = {"AWS_ACCESS_KEY_ID": "FIRST"}

    async def scenario(runtime):
        before = [await runtime.invoke({}), await runtime.invoke({})]
        current["AWS_ACCESS_KEY_ID"] = "SECOND"
        return before, await runtime.invoke({})

    (before, after), _ = run(bundle(code), scenario, environment=lambda: dict(current))
    assert before[0] == before[1]
    assert after[0] == "SECOND"
    assert after[1] != before[0][1]


def test_memory_over_the_configured_size_is_an_error(bundle):
    """A function that needs more memory than configured fails here and not first on AWS."""
    code = """
    def handler(event, context):
        return len(bytearray(event["mb"] * 1024 * 1024))
    """

    async def scenario(runtime):
        small = await runtime.invoke({"mb": 1})
        with pytest.raises(EdgeFunctionError) as failure:
            await runtime.invoke({"mb": 200})
        return small, failure.value

    (small, error), _ = run(bundle(code), scenario, memory_mb=128)
    assert small == 1024 * 1024
    assert error.error_type == "Runtime.OutOfMemory"
    assert "128 MB are configured" in error.message


def test_printed_lines_reach_the_log(bundle):
    """stdout, stderr and the logging module end up on the launcher's console, line by line."""
    code = """
    import logging, sys

    def handler(event, context):
        print("to stdout\\nsecond line")
        print("to stderr", file=sys.stderr)
        logging.getLogger().warning("logged")
    """
    answer, log = invoke(bundle(code))
    assert answer is None
    assert log[:3] == ["to stdout", "second line", "to stderr"]
    assert log[3].endswith("logged")


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Host": "evil.example"}],
    ids=lambda headers: next(iter(headers)),
)
def test_web_page_cannot_take_an_event(bundle, headers):
    """The Runtime API's port hands no event, and so no token, to a browser or to a rebound name."""
    code = """
    import os

    def handler(event, context):
        return os.environ["AWS_LAMBDA_RUNTIME_API"]
    """

    async def scenario(runtime):
        address = await runtime.invoke({})

        def attack():
            connection = http.client.HTTPConnection(address, timeout=5)
            connection.request("GET", "/2018-06-01/runtime/invocation/next", headers=headers)
            with contextlib.closing(connection):
                return connection.getresponse().status

        return await asyncio.to_thread(attack), await runtime.invoke({}), address

    (status, afterwards, address), _ = run(bundle(code), scenario)
    assert status == 403
    assert afterwards == address


ASK_RUNTIME_API = """
import http.client, os

def handler(event, context):
    initial = dict(item.split("=", 1) for item in open("/proc/self/environ").read().split("\\0") if item)
    return {"seen": os.environ["AWS_LAMBDA_RUNTIME_API"], "secret": initial["AWS_LAMBDA_RUNTIME_API"]}
"""


def call_runtime_api(host, path, method="GET"):
    connection = http.client.HTTPConnection(host, timeout=5)
    with contextlib.closing(connection):
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())["errorType"]


@pytest.mark.parametrize(
    ("path", "method", "answer"),
    [
        # The accept half: who has the secret is answered as Lambda answers a runtime.
        ("{secret}/2018-06-01/runtime/invocation/x/response", "POST", (400, "InvalidRequestID")),
        ("{secret}/2018-06-01/runtime/nothing", "GET", (404, "UnknownPath")),
        ("/2018-06-01/runtime/invocation/next", "GET", (403, "InvalidClient")),
        ("/2018-06-01/runtime/nothing", "GET", (403, "InvalidClient")),
        ("/wrong/2018-06-01/runtime/invocation/next", "GET", (403, "InvalidClient")),
        ("{secret}x/2018-06-01/runtime/invocation/next", "GET", (404, "UnknownPath")),
        ("{cut}/2018-06-01/runtime/invocation/next", "GET", (403, "InvalidClient")),
        ("//{secret}/2018-06-01/runtime/invocation/next", "GET", (403, "InvalidClient")),
        ("/2018-06-01/runtime{secret}/invocation/next", "GET", (403, "InvalidClient")),
        ("/2018-06-01/runtime/init/error", "POST", (403, "InvalidClient")),
    ],
)
def test_events_are_for_the_environments_own_process(bundle, path, method, answer):
    """The secret is in that process's first environment alone; the function sees host and port, as on AWS."""

    async def scenario(runtime):
        told = await runtime.invoke({})
        host, _, secret = told["secret"].partition("/")
        assert told["seen"] == host
        assert len(secret) == 32
        asked = path.format(secret=f"/{secret}", cut=f"/{secret[:-1]}")
        return await asyncio.to_thread(call_runtime_api, host, asked, method), await runtime.invoke({}), told

    (found, afterwards, told), _ = run(bundle(ASK_RUNTIME_API), scenario)
    assert found == answer
    assert afterwards == told


def test_other_users_program_gets_no_event(bundle, monkeypatch):
    """It is refused before it can say what it wants, with the secret or without."""

    async def scenario(runtime):
        host, _, secret = (await runtime.invoke({}))["secret"].partition("/")
        stranger.pretend(monkeypatch)
        connection = http.client.HTTPConnection(host, timeout=5)
        with contextlib.closing(connection):
            await asyncio.to_thread(connection.request, "GET", f"/{secret}/2018-06-01/runtime/nothing")
            answer = await asyncio.to_thread(connection.getresponse)
            return answer.status, answer.read()

    (status, body), _ = run(bundle(ASK_RUNTIME_API), scenario)
    assert (status, body) == (403, peer._REFUSAL_TEXT)


def test_stop_is_quiet(bundle, caplog):
    """Ending a connection that waits for an event shows no error."""
    invoke(bundle(ECHO))
    assert caplog.text == ""


def test_stop_leaves_no_process(bundle):
    """After stop() neither the environments nor what the function started are alive."""
    code = """
    import os, subprocess

    def handler(event, context):
        return os.getpid(), subprocess.Popen(["sleep", "60"]).pid
    """
    pids, _ = invoke(bundle(code))
    assert not [pid for pid in pids if alive(pid)]


def test_no_orphan_after_the_launcher_was_killed(bundle):
    """SIGKILL of the launcher, which it cannot answer, ends the environments too, even amid a request."""
    code = """
    import os, time

    def handler(event, context):
        print("pid", os.getpid(), flush=True)
        time.sleep(60)
    """
    launcher = f"""
import asyncio, sys
from pathlib import Path
from cognito_edge_local.lambda_runtime.environments import EdgeRuntime

async def main():
    runtime = EdgeRuntime(bundle=Path({str(bundle(code))!r}), runtime_client=Path({str(RUNTIME_CLIENT)!r}),
        python=sys.executable, environment={{}}, log=lambda line: print(line, flush=True))
    await runtime.invoke({{}})

asyncio.run(main())
"""
    parent = subprocess.Popen([sys.executable, "-c", launcher], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        match = re.match(r"pid (\d+)", parent.stdout.readline())
        child = int(match[1])
        assert alive(child)
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        parent.stdout.close()
    deadline = time.monotonic() + 10
    while alive(child) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not alive(child)


def alive(pid):
    """Whether a process exists and is not a zombie that only waits for init."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"


def test_event_is_json_as_lambda_sends_it(bundle):
    """What has no JSON form cannot be an event; what json.dumps writes arrives as one document."""
    answer, _ = invoke(bundle(ECHO), json.loads('{"Records": [{"cf": {"request": {"uri": "/\\u00e9"}}}]}'))
    assert answer["Records"][0]["cf"]["request"]["uri"] == "/é"
