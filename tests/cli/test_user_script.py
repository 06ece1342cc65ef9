"""scripts/user.py: who may sign in, and with which rights."""

import io
import json
import os
import stat
import sys

import pytest
from cognito_edge_cli import stack
from cognito_edge_cli.console import Questions
from cognito_edge_cli.main import main
from cognito_edge_cli.user import temporary_password

from tests.support.fake_cognito import AwsRefusalError, FakeCognito, User


@pytest.fixture
def cognito():
    """Amazon Cognito, on a loopback port."""
    with FakeCognito() as fake:
        yield fake


@pytest.fixture
def run(cognito, monkeypatch, tmp_path, capsys):
    """Run the script against a local system: (exit status, stdout, stderr)."""
    (tmp_path / "outputs.json").write_text(json.dumps(cognito.outputs))
    monkeypatch.setattr(stack, "LOCAL_FOLDER", tmp_path)

    def run(*argv, stdin="", local=True):
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        status = main(["user", *argv, *(["--local"] if local else [])])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


def changes(cognito):
    """Return the calls that changed something, in order."""
    return [call for call, _ in cognito.log if not call.startswith(("List", "AdminList", "AdminGet"))]


# -- create --


def test_create_prints_the_temporary_password_alone(run, cognito):
    """Stdout is the password; it works, and has to be changed."""
    status, out, err = run("create", "alice")
    assert status == 0
    assert out == f"{cognito.users['alice'].password}\n"
    assert cognito.users["alice"].status == "FORCE_CHANGE_PASSWORD"
    assert cognito.users["alice"].password not in err
    assert "shown this once" in err


def test_create_sends_no_invitation(run, cognito):
    """Whoever creates the user hands the password over; no e-mail leaves."""
    run("create", "alice", "--email", "alice@example.com")
    assert cognito.log[-1][1]["MessageAction"] == "SUPPRESS"


@pytest.mark.parametrize(("option", "verified"), [([], "true"), (["--email-unverified"], "false")])
def test_email_counts_as_verified_unless_said_otherwise(run, cognito, option, verified):
    """Only a verified address reaches the backend."""
    run("create", "alice", "--email", "alice@example.com", *option)
    assert cognito.users["alice"].attributes == {"email": "alice@example.com", "email_verified": verified}


def test_create_with_a_given_password_prints_nothing(run, cognito):
    """The person has it already."""
    status, out, err = run("create", "alice", "--password-stdin", stdin="Given-horse-1\n")
    assert (status, out) == (0, "")
    assert cognito.users["alice"].password == "Given-horse-1"
    assert cognito.users["alice"].status == "FORCE_CHANGE_PASSWORD"
    assert "Given-horse-1" not in err


def test_permanent_password_need_not_be_changed(run, cognito):
    """For users that are programs."""
    assert run("create", "robot", "--password-stdin", "--permanent", stdin="Given-horse-1\n")[0] == 0
    assert (cognito.users["robot"].password, cognito.users["robot"].status) == ("Given-horse-1", "CONFIRMED")


def test_password_against_the_pools_rules_creates_no_user(run, cognito):
    """Cognito's words, and no half-made user."""
    status, _, err = run("create", "alice", "--password-stdin", "--permanent", stdin="short\n")
    assert status == 1
    assert "Password not long enough" in err
    assert "alice" not in cognito.users


def test_create_puts_the_user_into_groups(run, cognito):
    """--group may be given several times."""
    assert run("create", "alice", "--group", "admins", "--group", "readers")[0] == 0
    assert cognito.users["alice"].groups == ["admins", "readers"]


def test_missing_group_creates_no_user(run, cognito):
    """A misspelt group is found before anything is changed; the groups there are get named."""
    status, out, err = run("create", "alice", "--group", "admin")
    assert (status, out) == (1, "")
    assert "no group admin (it has: admins, readers)" in err
    assert "--create-groups" in err
    assert changes(cognito) == []


def test_create_groups_creates_what_is_missing_alone(run, cognito):
    """Every page of the pool's groups is read before one counts as missing."""
    cognito.groups = ["a", "b", "c", "d", "e"]
    assert run("create", "alice", "--group", "e", "--group", "new", "--create-groups")[0] == 0
    assert cognito.calls["CreateGroup"] == 1
    assert cognito.groups[-1] == "new"


def test_existing_user_is_left_alone(run, cognito):
    """The message says what to do; groups are not touched."""
    status, out, err = run("create", "demo", "--group", "admins")
    assert (status, out) == (1, "")
    assert "demo already" in err
    assert cognito.users["demo"].groups == ["readers"]


def test_temporary_password_is_not_lost_when_groups_fail(run, cognito):
    """The user exists then, so their password must have been shown."""
    cognito.refusals["AdminAddUserToGroup"] = AwsRefusalError("InternalErrorException")
    status, out, _ = run("create", "alice", "--group", "admins")
    assert status == 1
    assert out == f"{cognito.users['alice'].password}\n"


def test_temporary_passwords_please_every_policy_and_differ():
    """One of each kind, no look-alikes, no two the same."""
    passwords = {temporary_password() for _ in range(200)}
    assert len(passwords) == 200
    for password in passwords:
        assert len(password) == 24
        assert any(c.islower() for c in password)
        assert any(c.isupper() for c in password)
        assert any(c.isdigit() for c in password)
        assert set(password) & set("-_.+=")
        assert not set(password) & set("0O1lI")


# -- groups --


def test_groups_prints_them_one_a_line(run, cognito):
    """All pages, sorted, and nothing is changed."""
    cognito.users["demo"].groups = ["e", "d", "c", "b", "a"]
    assert run("groups", "demo") == (0, "a\nb\nc\nd\ne\n", "")
    assert changes(cognito) == []


def test_groups_adds_and_removes(run, cognito):
    """Rights go before rights come."""
    status, out, err = run("groups", "demo", "--add", "admins", "--remove", "readers")
    assert (status, out) == (0, "admins\n")
    assert changes(cognito) == ["AdminRemoveUserFromGroup", "AdminAddUserToGroup"]
    assert cognito.users["demo"].groups == ["admins"]
    assert "until they expire" in err


def test_groups_set_replaces(run, cognito):
    """These and no others; what is there already is not touched."""
    cognito.groups = ["admins", "readers", "editors"]
    cognito.users["demo"].groups = ["readers", "editors"]
    assert run("groups", "demo", "--set", "admins", "editors")[1] == "admins\neditors\n"
    assert sorted(cognito.users["demo"].groups) == ["admins", "editors"]


def test_groups_set_of_nothing_removes_all(run, cognito):
    """``--set`` alone is the empty set."""
    assert run("groups", "demo", "--set")[:2] == (0, "")
    assert cognito.users["demo"].groups == []


def test_adding_a_group_twice_changes_nothing(run, cognito):
    """Idempotent, and without a request."""
    assert run("groups", "demo", "--add", "readers") == (0, "readers\n", "")
    assert changes(cognito) == []


@pytest.mark.parametrize("option", ["--add", "--set"])
def test_unknown_group_changes_nothing(run, cognito, option):
    """Checked before the first change."""
    status, out, err = run("groups", "demo", option, "nope")
    assert (status, out) == (1, "")
    assert "no group nope" in err
    assert changes(cognito) == []


def test_removing_a_group_that_the_user_has_not_is_an_error(run, cognito):
    """A misspelt group would leave rights that the operator believes gone."""
    status, _, err = run("groups", "demo", "--remove", "reader")
    assert status == 1
    assert "not in reader" in err
    assert changes(cognito) == []


# -- disable, enable, delete, list --


def test_disable_stops_sign_in_and_refresh(run, cognito):
    """Disabled first, then signed out; the message says what stays valid and how to end that."""
    cognito.refresh_tokens["token"] = "demo"
    status, out, err = run("disable", "demo")
    assert (status, out) == (0, "")
    assert changes(cognito) == ["AdminDisableUser", "AdminUserGlobalSignOut"]
    assert not cognito.users["demo"].enabled
    assert cognito.refresh_tokens == {}
    assert "stay valid" in err
    assert f'"{cognito.users["demo"].sub}" to cut_off.sub' in err
    assert "/cognito-edge-gateway/policy" in err


def test_disable_without_sign_out_is_not_called_done(run, cognito):
    """Half of it is an error, and says which half."""
    cognito.refusals["AdminUserGlobalSignOut"] = AwsRefusalError("InternalErrorException")
    status, _, err = run("disable", "demo")
    assert status == 1
    assert "is disabled, but" in err


def test_enable_lets_the_user_in_again(run, cognito):
    """The way back."""
    cognito.users["demo"].enabled = False
    assert run("enable", "demo")[0] == 0
    assert cognito.users["demo"].enabled


def test_delete_with_yes_ends_tokens_and_user(run, cognito):
    """Refresh tokens end first."""
    assert run("delete", "demo", "--yes")[0] == 0
    assert changes(cognito) == ["AdminDisableUser", "AdminUserGlobalSignOut", "AdminDeleteUser"]
    assert "demo" not in cognito.users


@pytest.mark.parametrize(("typed", "gone"), [("demo", True), ("Demo", False), ("y", False)])
def test_delete_asks_for_the_name(run, cognito, monkeypatch, typed, gone):
    """Nothing less than the name itself deletes."""
    monkeypatch.setattr(Questions, "text", lambda _self, _prompt: typed)
    status, _, _ = run("delete", "demo")
    assert status == (0 if gone else 1)
    assert ("demo" not in cognito.users) is gone


def test_list_shows_every_page(run, cognito):
    """Name, status, state, e-mail; one line each."""
    for number in range(5):
        cognito.users[f"user{number}"] = User(attributes={"email": f"u{number}@example.com"}, enabled=number != 3)
    status, out, _ = run("list")
    lines = [line.split("\t") for line in out.splitlines()]
    assert status == 0
    assert len(lines) == 6
    assert lines[4] == ["user3", "CONFIRMED", "disabled", "u3@example.com"]


@pytest.mark.parametrize("command", ["groups", "disable", "enable", "delete"])
def test_unknown_user_is_named(run, cognito, command):
    """And nothing is changed."""
    status, out, err = run(command, "stranger", *(["--yes"] if command == "delete" else []))
    assert (status, out) == (1, "")
    assert "no user stranger" in err


# -- which system, usage --


def test_local_calls_are_signed_with_the_emulators_root_key(run, cognito, monkeypatch):
    """Whatever credentials the environment has, they stay out of the local system."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDREAL")
    monkeypatch.setenv("AWS_PROFILE", "no-such-profile")
    run("groups", "demo")
    authorization = cognito.headers[0][1]["authorization"]
    assert "Credential=test/" in authorization
    assert "/us-east-1/cognito-idp/aws4_request" in authorization


def test_deployed_pool_is_managed_with_the_callers_credentials(run, cognito, monkeypatch):
    """--stack reads the outputs, then calls Cognito, both signed."""
    for service in ("CLOUDFORMATION", "COGNITO_IDENTITY_PROVIDER"):
        monkeypatch.setenv(f"AWS_ENDPOINT_URL_{service}", cognito.url)
    for name in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
    cognito.stack_outputs["Mine"] = {
        "LoginUrl": "https://mine.auth.us-east-1.amazoncognito.com",
        "UserPoolId": cognito.user_pool_id,
        "ClientId": cognito.client_id,
        "ParameterPrefix": "/mine",
    }
    status, out, _ = run("groups", "demo", "--stack", "Mine", local=False)
    assert (status, out) == (0, "readers\n")
    assert all("Credential=AKIDEXAMPLE/" in headers["authorization"] for _, headers in cognito.headers)


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["create"],
        ["create", ""],
        ["create", "a b"],
        ["create", "x" * 129],
        ["create", "alice", "--permanent"],
        ["create", "alice", "--password", "secret"],
        ["groups", "demo", "--set", "a", "--add", "b"],
        ["groups", "demo", "--add", "a", "--remove", "a"],
        ["list", "--local", "--stack", "X"],
        ["list", "--local", "--profile", "X"],
    ],
)
def test_contradictions_are_usage_errors(cognito, argv):
    """Exit status 2, before anything is done."""
    assert main(["user", *argv]) == 2
    assert not cognito.calls


@pytest.mark.parametrize("command", [[], ["create"], ["groups"], ["disable"], ["enable"], ["delete"], ["list"]])
def test_help_of_every_command(capsys, command):
    """Each command explains itself; the first page has examples."""
    assert main(["user", *command, "--help"]) == 0
    out = capsys.readouterr().out
    assert "--local" in out
    assert command or "Examples:" in out


@pytest.mark.parametrize("script", ["get_token.py", "user.py"])
def test_scripts_are_executable(script):
    """``scripts/user.py`` works as a command, too."""
    path = stack.CHECKOUT / "scripts" / script
    assert path.stat().st_mode & stat.S_IXUSR
    assert path.read_text().startswith("#!/usr/bin/env python3\n")
