"""The command line as a whole: one command, its exit statuses, and no words of others that steer the terminal."""

import base64
import io
import json
import re
import shutil
import subprocess
import sys
import unicodedata

import click
import pytest
from botocore.exceptions import ClientError, NoCredentialsError
from cognito_edge_cli import main as command_line
from cognito_edge_cli import stack as stacks
from cognito_edge_cli.console import (
    ScriptError,
    answer,
    answer_json,
    as_typed,
    printable,
    printable_json,
    run,
    say,
)
from cognito_edge_cli.main import main
from hypothesis import given
from hypothesis import strategies as st

from tests.support.fake_cognito import AwsRefusalError, User
from tests.support.fake_stack import POLICY, FakeStack
from tests.support.keys_and_tokens import NOW

STEERING = "\x1b]0;pwned\x07\x1b[2J\x9b31m\x7f\r\u202eevil"
SHOWN = r"\x1b]0;pwned\x07\x1b[2J\x9b31m\x7f\r\u202eevil"
COMMANDS = ["token", "policy", "doctor", "logs", "user", "site", "fault", "local"]


def steers(text: str) -> list[str]:
    """What of a text a terminal obeys, or shows in another order; line ends and tabs are ours."""
    return [c for c in text if unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp", "Cs") and c not in "\n\t"]


# --- what reaches the terminal ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31m", r"\x1b[31m"),
        ("\0\b\a\r\n\t", r"\x00\x08\x07\r\n\t"),
        ("\x7f", r"\x7f"),
        ("\x9b2J", r"\x9b2J"),
        ("\u202eexe.png", r"\u202eexe.png"),
        ("\u2066\u2069\u200b\ufeff\u2028", r"\u2066\u2069\u200b\ufeff\u2028"),
        ("\U000e0041", r"\U000e0041"),
        ("\udc80", r"\udc80"),
        ("é 日本 😀 ~", "é 日本 😀 ~"),
    ],
)
def test_what_steers_a_terminal_is_written_out(text, shown):
    """So that nothing is lost; letters of every language stay as they are."""
    assert printable(text) == shown


@given(st.text())
def test_no_text_steers_a_terminal(text):
    """Whatever characters Unicode has."""
    assert not steers(printable(text, keep="\n\t"))
    assert "\n" not in printable(text)


@given(
    st.recursive(
        st.text() | st.integers() | st.none(), lambda items: st.lists(items) | st.dictionaries(st.text(), items)
    )
)
def test_json_says_the_same_and_steers_no_terminal(value):
    """Programs read it as before."""
    text = json.dumps(value, ensure_ascii=False, indent=1)
    assert json.loads(printable_json(text)) == value
    assert not steers(printable_json(text))


def test_json_that_a_person_wrote_keeps_its_lines():
    """Also with the line ends of another system."""
    assert printable_json('{"a":\r\n "é"}') == '{"a":\n "é"}'


@pytest.mark.parametrize("write", [say, answer, answer_json])
def test_every_way_out_is_safe(write, capsys):
    """Messages, answers, and JSON; lines and tabs stay."""
    write(f"a\n\tb{STEERING}")
    captured = capsys.readouterr()
    printed = captured.out + captured.err
    assert not steers(printed)
    assert printed.startswith("a\n\tb")
    assert printed.endswith("\n")


def test_colours_of_ours_pass_and_no_others(capsys):
    """A colour is said to be ours; what else begins with an escape is not."""
    answer(click.style("good", fg="green") + "\x1b[2J\x1b[8mhidden", coloured=True)
    assert capsys.readouterr().out == "\x1b[32mgood\x1b[0m\\x1b[2J\\x1b[8mhidden\n"
    answer(click.style("good", fg="green"))
    assert capsys.readouterr().out == "\\x1b[32mgood\\x1b[0m\n"


@pytest.fixture
def system(monkeypatch, tmp_path):
    """A local system with a user pool, SSM and a distribution, all of whose words steer terminals."""
    with FakeStack() as fake:
        (tmp_path / "outputs.json").write_text(json.dumps(fake.outputs))
        monkeypatch.setattr(stacks, "LOCAL_FOLDER", tmp_path)
        fake.users = {
            "demo": User(groups=[f"group{STEERING}"], attributes={"email": f"a{STEERING}\tb\n"}, sub=STEERING)
        }
        fake.groups.append(f"group{STEERING}")
        fake.write(
            POLICY, json.dumps({"version": 1, "cut_off": {"sub": [STEERING + "\n"]}}, ensure_ascii=False), by=STEERING
        )
        yield fake


def unsigned(**claims: object) -> str:
    header = {"alg": "RS256", "kid": "k"}
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in (header, claims)]
    return ".".join([*parts, "AAAA"])


def test_claims_of_an_unchecked_token_cannot_hide_that_it_is_unchecked(monkeypatch, tmp_path, capsys):
    """Whoever asks "why does my token not work?" could otherwise move the cursor over it, or write a decision of their own."""
    token = unsigned(
        iss="https://cognito-idp.us-east-1.amazonaws.com/us-east-1_AbCdEfGhI",
        aud="c1",
        token_use="id",
        sub=f"{STEERING}\ndecision  allowed",
        scope=STEERING,
        exp=9_999_999_999,
        iat=1,
        **{"cognito:groups": [STEERING]},
    )
    (tmp_path / "p.json").write_text('{"version": 1}')
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(token.encode())))
    main(["policy", "test", "GET", "/x", "--file", str(tmp_path / "p.json"), "--token-file", "-"], clock=lambda: NOW)
    printed = capsys.readouterr().out
    assert not steers(printed)
    assert printed.count(SHOWN) >= 3
    assert len(re.findall("^decision ", printed, re.MULTILINE)) == 1
    assert "SIGNATURE NOT CHECKED" in printed


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["policy", "history"], SHOWN),
        (["policy", "show"], r"\u001b]0;pwned"),
        (["policy", "cut-off", "--sub", "x"], "Nothing was written"),
        (["policy", "revert"], SHOWN),
        (["user", "list"], SHOWN),
        (["user", "groups", "demo"], f"group{SHOWN}"),
        (["user", "disable", "demo"], SHOWN),
        (["user", "groups", "demo\u202e\x9b"], "There is no user"),
    ],
    ids=lambda value: " ".join(value[:3]) if isinstance(value, list) else "",
)
def test_no_command_passes_on_what_steers_the_terminal(system, arguments, shown, capsys):
    """Names, addresses and documents are other people's words, whoever stores them."""
    main([*arguments, "--local"], clock=lambda: NOW)
    captured = capsys.readouterr()
    assert not steers(captured.out + captured.err)
    assert shown in captured.out + captured.err


def test_a_document_that_would_lift_cut_offs_names_them_safely(system, tmp_path, capsys):
    """The cut-offs come from whoever wrote the policy."""
    (tmp_path / "new.json").write_text('{"version": 1}')
    assert main(["policy", "put", str(tmp_path / "new.json"), "--local", "--yes"], clock=lambda: NOW) == 1
    printed = capsys.readouterr().err
    assert f"sub {SHOWN}\\n" in printed
    assert not steers(printed)


@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        ("InitiateAuth", ["token", "--local"]),
        ("AdminCreateUser", ["user", "create", "alice", "--local"]),
        ("GetParameterHistory", ["policy", "show", "--local"]),
    ],
)
def test_what_aws_says_cannot_steer_the_terminal(system, call, arguments, capsys):
    """Its messages repeat what others sent, and an impostor's endpoint says what it likes."""
    system.refusals[call] = AwsRefusalError("InternalErrorException", f"{STEERING}\nerror: another line")
    assert main(arguments) == 1
    printed = capsys.readouterr().err
    assert not steers(printed)
    assert SHOWN in printed
    assert "\nerror: another line" not in printed


def test_what_a_person_types_wrongly_is_shown_safely(capsys):
    """An argument may have been pasted."""
    assert main(["doctor", f"--{STEERING}"]) == 2
    assert not steers(capsys.readouterr().err)


# --- one command --------------------------------------------------------------------------------------------------------


def test_help_names_every_command(capsys):
    """And the help of each says how it is used."""
    assert main(["--help"]) == 0
    printed = capsys.readouterr().out
    for name in COMMANDS:
        assert f"\n  {name} " in printed
        assert main([name, "-h"]) == 0
        assert capsys.readouterr().out.startswith(f"Usage: cognito-edge {name} ")


def test_help_imports_no_sdk():
    """The AWS SDK takes half a second, which somebody who looks around need not wait for."""
    program = (
        "import sys; from cognito_edge_cli.main import main; status = main(['--help'])\n"
        "sys.exit(status or [name for name in ('boto3', 'jose', 'uvicorn', 'cryptography') if name in sys.modules] or 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_version_is_the_packages(capsys):
    """A report of a bug begins with it."""
    assert main(["--version"]) == 0
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ([], "Commands:"),
        (["polcy"], "cognito-edge --help"),
        (["policy"], "revert"),
        (["policy", "put"], "cognito-edge policy put --help"),
        (["doctor", "--local", "--stack", "X"], "cognito-edge doctor --help"),
        (["user", "list", "--local", "--region", "eu-west-1"], "cognito-edge user list --help"),
        (["logs", "--since"], "cognito-edge logs --help"),
        (["user", "groups", "alice", "--nonsense"], "cognito-edge user groups --help"),
        (["fault", "clock", "noon"], "cognito-edge fault clock --help"),
        (["fault", "ssm", "brocken"], "cognito-edge fault ssm --help"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_usage_names_the_subcommand(arguments, named, capsys):
    """Status 2, on standard error, before anything is done."""
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert named in captured.err
    assert captured.out == ""


@pytest.mark.parametrize(
    ("raised", "status", "words"),
    [
        (ScriptError("what came"), 1, "error: what came\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
        (click.UsageError("which"), 2, "Error: which\n"),
        (NoCredentialsError(), 1, "aws sso login"),
        (
            ClientError({"Error": {"Code": "Throttling", "Message": "slow"}}, "GetX"),
            1,
            "AWS refused GetX: Throttling: slow",
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_failure_has_its_status_and_its_reason(raised, status, words, capsys):
    """One place decides for all commands."""

    def work():
        raise raised

    assert run(work) == status
    assert words in capsys.readouterr().err


def test_an_interrupted_command_ends_with_130(system, monkeypatch, capsys):
    """Ctrl-C anywhere in a command."""

    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(stacks.Choice, "find", interrupt)
    assert main(["user", "list"]) == 130
    assert capsys.readouterr().err.endswith("interrupted\n")


def test_a_reader_that_goes_away_ends_the_command_quietly(system, tmp_path):
    """``cognito-edge user list | head -1`` is no error to read about."""
    program = "import sys; from cognito_edge_cli.main import main; sys.exit(main(['user', 'list', '--local']))"
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={"GATEWAY_STATE_DIR": str(tmp_path), "PATH": ""},
    )
    process.stdout.close()
    assert (process.stderr.read(), process.wait(60)) == (b"", 1)
    process.stderr.close()


@pytest.mark.parametrize(
    ("program", "shown"),
    [
        ("/usr/bin/cognito-edge", "see `cognito-edge user list`, `cognito-edge local`"),
        ("scripts/doctor.py", "see `python scripts/user.py list`, `python -m local`"),
    ],
)
def test_commands_are_named_as_the_person_types_them(monkeypatch, program, shown):
    """A hint can be pasted, in a checkout and where the package is installed."""
    monkeypatch.setattr(sys, "argv", [program])
    assert as_typed("see `cognito-edge user list`, `cognito-edge local`") == shown


@pytest.mark.parametrize(("command", "script"), [("token", "get_token"), ("site", "website"), ("logs", "logs")])
def test_every_script_has_its_name_in_hints(monkeypatch, command, script):
    """And the file is there."""
    monkeypatch.setattr(sys, "argv", ["scripts/x.py"])
    assert as_typed(f"cognito-edge {command}") == f"python scripts/{script}.py"
    assert (stacks.CHECKOUT / "scripts" / f"{script}.py").read_text().count(f'start("{command}")') == 1


def test_without_a_checkout_the_state_is_in_the_current_folder_and_the_codes_are_packaged(tmp_path):
    """As pip installs it: no repository around the package."""
    package = tmp_path / "site-packages" / "cognito_edge_cli"
    shutil.copytree(stacks.CHECKOUT / "scripts" / "cognito_edge_cli", package)
    shutil.copy(stacks.CHECKOUT / "docs" / "refusals.md", package / "doctor")
    program = (
        "from cognito_edge_cli import stack; from cognito_edge_cli.doctor import refusals\n"
        "print(stack.CHECKOUT, stack.LOCAL_FOLDER, refusals.PAGE, len(refusals.refusals()) > 20)"
    )
    environment = {"PYTHONPATH": str(package.parent), "PATH": ""}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, env=environment)
    assert done.stdout == f"None .local {package / 'doctor' / 'refusals.md'} True\n", done.stderr


def test_the_entry_point_is_the_same_command():
    """What pip installs, and what the launchers start."""
    assert command_line.cli.list_commands(None) == COMMANDS


# --- options ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["token", "--scope", "--no-cache", "--browser"], "--scope: expected a value before --no-cache."),
        (["token", "--username", "--local"], "--username: expected a value before --local."),
        (["policy", "cut-off", "--sub", "--yes", "--local"], "--sub: expected a value before --yes."),
        (
            ["policy", "test", "GET", "/", "--token-file", "--claims=x"],
            "--token-file: expected a value before --claims.",
        ),
        (["logs", "--code", "-f"], "--code: expected a value before -f."),
    ],
    ids=" ".join,
)
def test_the_name_of_an_option_is_no_value_of_the_one_before(argv, said, capsys):
    """Click would take it; a user named ``--local`` would be asked for on AWS, and ``--no-cache`` be without effect."""
    assert main(argv) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("value", ["-kV3rQ" + "x" * 48 + "==", "--", "-"], ids=["request-id", "dashes", "dash"])
def test_any_other_value_may_begin_with_a_dash(value, monkeypatch, tmp_path, capsys):
    """One of CloudFront's request ids in 64 does."""
    monkeypatch.setattr(stacks, "LOCAL_FOLDER", tmp_path)
    assert main(["logs", "--local", "--request-id", value]) == 1
    assert "no local system has run there" in capsys.readouterr().err


@pytest.mark.parametrize("seconds", ["nan", "inf", "-inf"])
def test_a_clock_takes_seconds_that_exist(seconds, capsys):
    """JSON has no word for the others."""
    assert main(["fault", "clock", seconds]) == 2
    assert "expected a number of seconds" in capsys.readouterr().err
