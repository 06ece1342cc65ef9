"""scripts/logs.py at the running local system: from the request id in a refusal to the whole story, by one command."""

import json

import pytest


def story(system, request_id):
    done = system.script("logs.py", "--local", "--request-id", request_id)
    assert done.returncode == 0, done.stderr
    assert not [part for part in system.token.split(".") if part in done.stdout]
    return done.stdout


def test_refusal_by_the_edge(system):
    """The step that said no, its code, and where to read on."""
    refused = system.curl("/api/logs-story?token=planted-secret", token=system.token[:-4] + "AAAA")
    told = story(system, refused.json["request_id"])
    assert "refuse: invalid_signature, answered with 401" in told
    assert "GET /api/logs-story" in told
    assert "Its way through the local system:" in told
    assert "Answer: 401 from edge" in told
    assert told.rstrip().endswith("python scripts/doctor.py --code invalid_signature")
    assert "planted-secret" not in told


def test_refusal_by_the_function_url(system):
    """AWS's bare 403 explained: the request id is in x-amz-cf-id."""
    headers = ("-X", "DELETE", "-H", "x-amz-content-sha256: " + "0" * 64)
    refused = system.curl("/api/logs-story", *headers, token=system.token, body=b"x")
    assert refused.status == 403
    told = story(system, refused.headers["x-amz-cf-id"][0])
    assert "signed and sent on to the function URL" in told
    assert "Why the function URL refused:" in told
    assert "first difference" in told
    assert "x-amz-security-token:[masked, " in told


def test_direct_call_of_the_function_url(system):
    """It never saw the edge; its id is the function URL's own."""
    refused = system.curl(next(iter(system.outputs["function_urls"].values())) + "x")
    told = story(system, refused.headers["x-amzn-requestid"][0])
    assert "the request is not signed" in told
    assert "403 from function URL, called directly" in told


@pytest.mark.parametrize("who", ["name", "sub"])
def test_lines_of_a_user(system, who):
    """By name or sub, in the form of the log."""
    me = system.curl("/api/whoami", token=system.token).json
    name = {"name": system.outputs["username"], "sub": me["sub"]}[who]
    done = system.script("logs.py", "--local", "--user", name, "--json", "--decision", "forward")
    assert done.returncode == 0, done.stderr
    lines = [json.loads(text) for text in done.stdout.splitlines()]
    assert {line["decision"] for line in lines} == {"forward"}
    assert len({line["sub_hash"] for line in lines}) == 1


def test_page_address_is_printed_for_whoever_missed_it(system):
    """The address of the start's output, secret included."""
    done = system.script("logs.py", "--local", "--page")
    assert done.stdout.strip() == json.loads((system.process.state_dir / "trace.json").read_bytes())["page"]
    assert done.stdout.strip() in system.process.printed()
