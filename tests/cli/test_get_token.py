"""scripts/get_token.py without a browser: what it prints, keeps, refreshes, refuses, and says."""

import io
import json
import os
import shutil
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cognito_edge_cli import stack
from cognito_edge_cli.main import main
from cognito_edge_cli.sign_in import password, token_cache
from cognito_edge_cli.sign_in.token_cache import unverified_claims

from tests.support.fake_cognito import PASSWORD, USERNAME, AwsRefusalError, FakeCognito, User
from tests.support.keys_and_tokens import Pool

ROOT = Path(__file__).parents[2]


@pytest.fixture
def cognito():
    """Amazon Cognito, on a loopback port."""
    with FakeCognito() as fake:
        yield fake


@pytest.fixture
def folder(cognito, monkeypatch, tmp_path):
    """The ``.local`` of a running system whose Cognito is the fake one."""
    folder = tmp_path / ".local"
    folder.mkdir(mode=0o700)
    (folder / "outputs.json").write_text(json.dumps(cognito.outputs))
    monkeypatch.setattr(stack, "LOCAL_FOLDER", folder)
    monkeypatch.setattr(token_cache, "LOCAL_FOLDER", folder)
    # A quarter of the secret's size, and of the time that a sign-in takes; test_get_token_srp.py has the full one.
    monkeypatch.setattr(password, "EXPONENT_BYTES", 32)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return folder


@pytest.fixture
def run(folder, capsys, monkeypatch):
    """Run the script with arguments and lines of standard input: (exit status, stdout, stderr)."""

    def run(*argv, stdin="", clock=time.time):
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        status = main(["token", *argv], clock=clock)
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


def cache_files(folder):
    """Return the token files under *folder*."""
    return sorted(folder.rglob("*.json"), key=str)


def cached(folder):
    """Return the one cached file of the local system."""
    (file,) = (file for file in cache_files(folder) if file.name != "outputs.json")
    return file


# -- what it prints --


def test_local_alone_prints_the_demo_users_id_token_and_nothing_else(run):
    """``$(…)`` gets one line on stdout, and no question was asked."""
    status, out, err = run("--local")
    assert status == 0
    assert out.count("\n") == 1
    claims = unverified_claims(out.strip())
    assert (claims["token_use"], claims["cognito:username"]) == ("id", USERNAME)
    assert err == ""


def test_access_prints_the_access_token(run):
    """--access is the other kind."""
    _, out, _ = run("--local", "--access")
    assert unverified_claims(out.strip())["token_use"] == "access"


def test_refresh_prints_the_refresh_token(run, cognito):
    """--refresh prints what Cognito gave."""
    _, out, _ = run("--local", "--refresh")
    assert out.strip() in cognito.refresh_tokens


def test_header_prints_a_line_for_curl(run):
    """``curl -H @-`` takes the line as it is."""
    _, out, _ = run("--local", "--header")
    name, _, value = out.removesuffix("\n").partition(": ")
    assert name == "Authorization"
    assert value.startswith("Bearer ey")
    assert "\n" not in value


def test_header_goes_with_access(run):
    """--access --header is the access token's line."""
    _, out, _ = run("--local", "--access", "--header")
    assert unverified_claims(out.split()[-1])["token_use"] == "access"


def test_json_prints_all_tokens_and_their_expiry(run, cognito):
    """--json is for programs: every token, seconds left, and the time in ISO 8601."""
    cognito.clock = lambda: 1_800_000_000.0
    _, out, _ = run("--local", "--json", clock=cognito.clock)
    fields = json.loads(out)
    assert unverified_claims(fields["id_token"])["token_use"] == "id"
    assert unverified_claims(fields["access_token"])["token_use"] == "access"
    assert fields["refresh_token"] in cognito.refresh_tokens
    assert (fields["token_type"], fields["expires_in"]) == ("Bearer", 3600)
    assert fields["expires_at"] == "2027-01-15T09:00:00Z"


# -- the cache --


def test_second_run_needs_no_request(run, cognito):
    """A fresh cached token is printed without a request."""
    first = run("--local")[1]
    calls = cognito.calls.total()
    assert run("--local")[1] == first
    assert cognito.calls.total() == calls


def test_cache_is_readable_by_its_owner_alone(run, folder):
    """Files are 0600 and folders 0700, whatever the umask."""
    before = os.umask(0)
    try:
        run("--local")
    finally:
        os.umask(before)
    file = cached(folder)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(file.parent.parent.stat().st_mode) == 0o700
    assert [path for path in file.parent.iterdir() if path.name.startswith(".new-")] == []


def test_token_with_five_minutes_left_is_used(run, cognito):
    """300 s left is enough."""
    now = time.time()
    cognito.clock = lambda: int(now)
    first = run("--local", clock=lambda: int(now))[1]
    assert run("--local", clock=lambda: int(now) + 3300)[1] == first


def test_token_with_less_than_five_minutes_left_is_refreshed(run, cognito):
    """299 s left is not: the refresh token brings a new one, without the password."""
    now = int(time.time())
    cognito.clock = lambda: now
    first = run("--local", clock=lambda: now)[1]
    cognito.clock = lambda: now + 3301
    status, second, _ = run("--local", clock=cognito.clock)
    assert status == 0
    assert second != first
    assert cognito.calls["GetTokensFromRefreshToken"] == 1
    assert cognito.calls["InitiateAuth"] == 1


def test_rotated_refresh_token_replaces_the_old_one(run, cognito):
    """Where refresh tokens rotate, the second refresh sends the token that the first one brought."""
    cognito.rotation = True
    now = int(time.time())
    for step in range(3):
        cognito.clock = lambda at=now + 3600 * step: at
        assert run("--local", clock=cognito.clock)[0] == 0
    assert cognito.calls["GetTokensFromRefreshToken"] == 2
    assert cognito.calls["InitiateAuth"] == 1


def test_refresh_token_is_kept_where_none_rotates(run, cognito):
    """A refresh that brings no new refresh token leaves the old one in use."""
    now = int(time.time())
    first = run("--local", "--refresh", clock=lambda: now)[1]
    cognito.clock = lambda: now + 3600
    assert run("--local", "--refresh", clock=cognito.clock)[1] == first


def test_refused_refresh_falls_back_to_signing_in(run, cognito):
    """A revoked refresh token costs a new sign-in, not an error."""
    now = int(time.time())
    run("--local", clock=lambda: now)
    cognito.refresh_tokens.clear()
    cognito.clock = lambda: now + 3600
    status, out, err = run("--local", clock=cognito.clock)
    assert status == 0
    assert unverified_claims(out.strip())["iat"] == now + 3600
    assert cognito.calls["InitiateAuth"] == 2
    assert "Signing in anew" in err


def test_refreshed_token_of_another_user_is_refused(run, cognito):
    """OpenID Connect Core §12.2: a refresh must not change the subject."""
    now = int(time.time())
    run("--local", clock=lambda: now)
    cognito.clock = lambda: now + 3600
    cognito.claims = {"sub": "mallory"}
    status, out, err = run("--local", clock=cognito.clock)
    assert (status, out) == (1, "")
    assert "another user's" in err


def test_force_signs_in_anew_and_keeps_the_result(run, cognito):
    """--force replaces what is cached."""
    first = run("--local")[1]
    second = run("--local", "--force")[1]
    assert second != first
    assert run("--local")[1] == second
    assert cognito.calls["InitiateAuth"] == 2


def test_no_cache_reads_and_writes_nothing(run, cognito, folder):
    """--no-cache leaves the disk alone."""
    run("--local", "--no-cache")
    assert [file.name for file in cache_files(folder)] == ["outputs.json"]
    run("--local")
    run("--local", "--no-cache")
    assert cognito.calls["InitiateAuth"] == 3


def test_cache_is_kept_apart_by_user(run, cognito):
    """One user's token is never printed for another."""
    cognito.users["alice"] = User(password="Alices-pass-1")
    run("--local")
    _, out, _ = run("--local", "--username", "alice", "--password-stdin", stdin="Alices-pass-1\n")
    assert unverified_claims(out.strip())["cognito:username"] == "alice"


@pytest.mark.parametrize("path", ["user_pool_id", "client_id"])
def test_cache_is_kept_apart_by_pool_and_client(run, cognito, folder, path):
    """A restarted system has other ids; the old tokens are not for it."""
    run("--local")
    setattr(cognito, path, {"user_pool_id": "us-east-1_Other", "client_id": "otherclient"}[path])
    (folder / "outputs.json").write_text(json.dumps(cognito.outputs))
    assert run("--local")[0] == 0
    assert cognito.calls["InitiateAuth"] == 2


NAMES = {
    "ends as the files do": "x.json",
    "parent": "../x",
    "parent's file": "../../x.json",
    "absolute": "/tmp/x",
    "absolute file": "/tmp/x.json",
    "folder": "a/b",
    "this folder": ".",
    "home": "~",
    "pattern": "*.json",
    "lock": ".lock",
    "NUL": "a\0b.json",
    "newline": "a\nb",
    "unicode": "Zoë\u202e.json",
    "no Unicode": "\udcff.json",
    "long": "x" * 300,
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_no_name_is_a_path(folder, cognito, tmp_path, monkeypatch, name):
    """A user name is anything, and its refresh token lies in the cache's folder all the same, for its owner alone."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    before = set(tmp_path.rglob("*"))
    cache = token_cache.TokenCache(stack.Choice(local=True, stack=None, region=None, profile=None).find())
    tokens = token_cache.Tokens(
        id_token=cognito.tokens_for(USERNAME)["id"],
        access_token=cognito.tokens_for(USERNAME)["access"],
        refresh_token="refresh",
        via="api",
        label=name,
    )
    for sign_in in (name, f"user {name}"):
        cache.save(cache.file_of(sign_in), tokens)
        assert cache.load(cache.file_of(sign_in)) == tokens
    inside = folder / "tokens" / f"{cognito.user_pool_id}.{cognito.client_id}"
    made = set(tmp_path.rglob("*")) - before - {folder / "tokens", inside}
    assert made == set(cache.files())
    assert len(made) == 2
    assert {file.parent for file in made} == {inside}
    assert {stat.S_IMODE(file.stat().st_mode) for file in made} == {0o600}
    assert {stat.S_IMODE(path.stat().st_mode) for path in (folder / "tokens", inside)} == {0o700}


@pytest.mark.parametrize("name", ["x.json", "../x.json"])
def test_sign_in_and_logout_of_a_user_whose_name_looks_like_a_path(run, cognito, folder, tmp_path, monkeypatch, name):
    """Security finding: ``--username x.json`` once wrote the refresh token into the working folder."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    cognito.users[name] = User()
    assert run("--local", "--username", name, "--password-stdin", stdin=f"{PASSWORD}\n")[0] == 0
    assert cached(folder).parent.parent == folder / "tokens"
    assert {path.name for path in tmp_path.rglob("x*")} == set()
    assert run("--local", "--logout", "--username", name)[0] == 0
    assert len(cognito.revoked) == 1
    assert [file.name for file in cache_files(folder)] == ["outputs.json"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_cache_file_that_others_can_open_is_refused(run, folder, mode):
    """Tokens that others may have read are not used; --force replaces them with a file of mode 0600."""
    run("--local")
    cached(folder).chmod(mode)
    status, out, err = run("--local")
    assert (status, out) == (1, "")
    assert f"{mode:04o}" in err
    assert "--force" in err
    assert run("--local", "--force")[0] == 0
    assert run("--local")[0] == 0


def test_cache_file_of_another_user_is_refused(run, monkeypatch):
    """A planted file may hold another user's token, to be used as if it were ours."""
    run("--local")
    real = os.fstat

    def planted(descriptor):
        fields = list(real(descriptor))
        fields[stat.ST_UID] += 1
        return os.stat_result(fields)

    monkeypatch.setattr(token_cache.os, "fstat", planted)
    status, out, err = run("--local")
    assert (status, out) == (1, "")
    assert "user id" in err


def test_cache_file_that_is_a_link_is_refused(run, folder, tmp_path):
    """A planted link would make us read a file of another's choice."""
    run("--local")
    file = cached(folder)
    file.rename(tmp_path / "elsewhere.json")
    file.symlink_to(tmp_path / "elsewhere.json")
    status, out, err = run("--local")
    assert (status, out) == (1, "")
    assert str(file) in err


def test_cache_folder_open_to_others_is_closed(run, folder):
    """A folder that others can write to would let them replace files; it is closed, and the person is told."""
    run("--local")
    cached(folder).parent.chmod(0o775)
    status, _, err = run("--local")
    assert status == 0
    assert "0775" in err
    assert stat.S_IMODE(cached(folder).parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": 99}', '{"format": 1, "id_token": 5}'])
def test_damaged_cache_file_is_replaced(run, folder, cognito, content):
    """A half-written or foreign file costs a sign-in, nothing more."""
    run("--local")
    cached(folder).write_text(content)
    assert run("--local")[0] == 0
    assert cognito.calls["InitiateAuth"] == 2


# -- signing out --


def test_logout_revokes_and_forgets_every_sign_in(run, cognito, folder):
    """--logout ends what this cache could continue, and prints nothing on stdout."""
    cognito.users["alice"] = User()
    run("--local")
    run("--local", "--username", "alice", "--password-stdin", stdin=f"{PASSWORD}\n")
    before = set(cognito.refresh_tokens)
    status, out, err = run("--local", "--logout")
    assert (status, out) == (0, "")
    assert set(cognito.revoked) == before
    assert [file.name for file in cache_files(folder)] == ["outputs.json"]
    assert "until they expire" in err


def test_logout_of_one_user_leaves_the_others(run, cognito):
    """--logout --username ends that user's sign-in alone."""
    cognito.users["alice"] = User()
    run("--local")
    run("--local", "--username", "alice", "--password-stdin", stdin=f"{PASSWORD}\n")
    run("--local", "--logout", "--username", "alice")
    assert [cognito.refresh_tokens[token] for token in cognito.refresh_tokens] == [USERNAME]


def test_logout_without_a_sign_in_says_so(run, cognito):
    """Nothing to do is not an error."""
    status, _, err = run("--local", "--logout")
    assert status == 0
    assert "No sign-in to local" in err
    assert not cognito.calls


def test_logout_without_an_answer_keeps_the_tokens_for_another_try(run, cognito, folder):
    """Deleting without revoking would leave a live refresh token that cannot be revoked any more."""
    run("--local")
    cognito.close()
    status, _, err = run("--local", "--logout")
    assert status == 1
    assert "no answer" in err
    assert cached(folder).exists()


def test_logout_forgets_what_the_server_no_longer_knows(run, cognito, folder):
    """A refresh token that is worthless already is deleted all the same."""
    run("--local")
    cognito.revoke_status = 400
    assert run("--local", "--logout")[0] == 0
    assert [file.name for file in cache_files(folder)] == ["outputs.json"]


def test_logout_revokes_tokens_that_others_could_have_read(run, cognito, folder):
    """Those above all."""
    run("--local")
    cached(folder).chmod(0o644)
    assert run("--local", "--logout")[0] == 0
    assert len(cognito.revoked) == 1


# -- name and password --


def test_password_from_standard_input_signs_in_over_srp(run, cognito):
    """The password is proven, never sent."""
    cognito.users["alice"] = User(password="Alices pass word-1")
    status, out, _ = run("--local", "--username", "alice", "--password-stdin", stdin="Alices pass word-1\n")
    assert status == 0
    assert unverified_claims(out.strip())["cognito:username"] == "alice"
    assert "Alices pass word-1" not in json.dumps(cognito.log)


@pytest.mark.parametrize("ending", ["\n", "\r\n", ""])
def test_line_ending_is_not_part_of_the_password(run, cognito, ending):
    """``printf``, ``echo`` and files from Windows give the same password."""
    assert run("--local", "--username", USERNAME, "--password-stdin", stdin=f"{PASSWORD}{ending}")[0] == 0


def test_wrong_password_is_refused_with_cognitos_words(run, cognito):
    """Exit status 1, nothing on stdout, nothing cached, and the password is not repeated."""
    status, out, err = run("--local", "--username", USERNAME, "--password-stdin", stdin="Wrong-horse-1\n")
    assert (status, out) == (1, "")
    assert "Incorrect username or password" in err
    assert "Wrong-horse-1" not in err
    assert run("--local", "--logout")[2].startswith("No sign-in")


def test_empty_standard_input_is_refused(run, cognito):
    """An empty password is a mistake; no request is made with it."""
    status, _, err = run("--local", "--username", "alice", "--password-stdin")
    assert status == 1
    assert "standard input" in err
    assert not cognito.calls


def test_sign_in_sends_no_aws_signature(run, cognito):
    """These calls are public; credentials of the environment do not belong in them."""
    run("--local")
    keys = f"GET /{cognito.user_pool_id}/.well-known/jwks.json"
    assert {call for call, _ in cognito.headers} == {"InitiateAuth", "RespondToAuthChallenge", keys}
    assert all("authorization" not in headers for _, headers in cognito.headers)


def test_client_without_srp_gets_the_password_itself(run, cognito):
    """USER_PASSWORD_AUTH is the fallback, and the person is told."""
    cognito.flows = {"USER_PASSWORD_AUTH"}
    status, out, err = run("--local")
    assert status == 0
    assert unverified_claims(out.strip())["token_use"] == "id"
    assert "does not allow SRP" in err


def test_client_with_srp_never_gets_the_password_itself(run, cognito):
    """A wrong password under SRP does not lead to sending it in clear."""
    cognito.flows = {"USER_SRP_AUTH", "USER_PASSWORD_AUTH"}
    run("--local", "--username", USERNAME, "--password-stdin", stdin="Wrong-horse-1\n")
    assert [data["AuthFlow"] for call, data in cognito.log if call == "InitiateAuth"] == ["USER_SRP_AUTH"]


def test_other_complaint_about_parameters_does_not_send_the_password(run, cognito):
    """Only "not enabled" leads to the plain flow: any other refusal must not talk the script out of SRP."""
    cognito.flows = {"USER_SRP_AUTH", "USER_PASSWORD_AUTH"}
    cognito.refusals["InitiateAuth"] = AwsRefusalError("InvalidParameterException", "Missing required parameter SRP_A")
    status, out, err = run("--local")
    assert (status, out) == (1, "")
    assert "Missing required parameter SRP_A" in err
    assert PASSWORD not in json.dumps(cognito.log)


def test_client_without_any_password_flow_says_use_the_browser(run, cognito):
    """The message names both flows and the way out."""
    cognito.flows = set()
    status, _, err = run("--local")
    assert status == 1
    assert "neither USER_SRP_AUTH nor USER_PASSWORD_AUTH" in err
    assert "browser" in err


def test_server_that_sends_a_worthless_public_value_gets_no_proof(run, cognito):
    """RFC 5054 §2.5.3: B = 0 mod N would let a server without the verifier pass."""
    cognito.srp_b = "0"
    status, _, err = run("--local")
    assert status == 1
    assert "No proof was sent" in err
    assert cognito.calls["RespondToAuthChallenge"] == 0


# -- challenges --


def test_temporary_password_is_replaced(run, cognito):
    """The next line of standard input is the new password, and it is Cognito's from then on."""
    cognito.users["alice"] = User(challenges=[("NEW_PASSWORD_REQUIRED", {"requiredAttributes": "[]"})])
    status, out, _ = run("--local", "--username", "alice", "--password-stdin", stdin=f"{PASSWORD}\nA-new-horse-2\n")
    assert status == 0
    assert unverified_claims(out.strip())["cognito:username"] == "alice"
    assert cognito.users["alice"].password == "A-new-horse-2"


def test_attributes_that_the_pool_requires_are_asked_for(run, cognito):
    """They go back under the names that Cognito wants."""
    challenge = ("NEW_PASSWORD_REQUIRED", {"requiredAttributes": '["userAttributes.given_name"]'})
    cognito.users["alice"] = User(challenges=[challenge])
    lines = f"{PASSWORD}\nAlice\nA-new-horse-2\n"
    assert run("--local", "--username", "alice", "--password-stdin", stdin=lines)[0] == 0
    responses = [data["ChallengeResponses"] for call, data in cognito.log if call == "RespondToAuthChallenge"]
    assert responses[-1]["userAttributes.given_name"] == "Alice"


def test_new_password_that_the_pool_refuses_may_be_given_again(run, cognito):
    """The policy's words are shown; the session goes on."""
    cognito.users["alice"] = User(challenges=[("NEW_PASSWORD_REQUIRED", {})])
    lines = f"{PASSWORD}\nshort\nA-new-horse-2\n"
    status, _, err = run("--local", "--username", "alice", "--password-stdin", stdin=lines)
    assert status == 0
    assert "Password not long enough" in err


@pytest.mark.parametrize("name", ["SMS_MFA", "SOFTWARE_TOKEN_MFA", "EMAIL_OTP", "SMS_OTP"])
def test_code_challenges_are_answered(run, cognito, name):
    """Each kind of second factor is one typed code; a wrong one may be typed again."""
    cognito.users["alice"] = User(challenges=[(name, {"CODE_DELIVERY_DESTINATION": "+********99"})])
    lines = f"{PASSWORD}\n000000\n{cognito.code}\n"
    status, _, err = run("--local", "--username", "alice", "--password-stdin", stdin=lines)
    assert status == 0
    assert "Invalid code" in err


def test_third_wrong_code_ends_it(run, cognito):
    """Three tries: the script does not help to guess codes."""
    cognito.users["alice"] = User(challenges=[("SMS_MFA", {})])
    lines = f"{PASSWORD}\n000000\n000001\n000002\n{cognito.code}\n"
    status, out, _ = run("--local", "--username", "alice", "--password-stdin", stdin=lines)
    assert (status, out) == (1, "")


def test_choice_of_factor_comes_before_its_code(run, cognito):
    """SELECT_MFA_TYPE, then the factor that was chosen."""
    choices = {"MFAS_CAN_CHOOSE": '["SMS_MFA","SOFTWARE_TOKEN_MFA"]'}
    cognito.users["alice"] = User(challenges=[("SELECT_MFA_TYPE", choices), ("SOFTWARE_TOKEN_MFA", {})])
    lines = f"{PASSWORD}\nsoftware_token_mfa\n{cognito.code}\n"
    assert run("--local", "--username", "alice", "--password-stdin", stdin=lines)[0] == 0
    assert ("RespondToAuthChallenge", "SOFTWARE_TOKEN_MFA") in [
        (call, data.get("ChallengeResponses", {}).get("ANSWER")) for call, data in cognito.log
    ]


@pytest.mark.parametrize("name", ["MFA_SETUP", "CUSTOM_CHALLENGE", "WEB_AUTHN"])
def test_challenges_for_the_browser_are_explained(run, cognito, name):
    """What cannot be answered here says where it can."""
    cognito.users["alice"] = User(challenges=[(name, {"MFAS_CAN_SETUP": '["SOFTWARE_TOKEN_MFA"]'})])
    status, out, err = run("--local", "--username", "alice", "--password-stdin", stdin=f"{PASSWORD}\n")
    assert (status, out) == (1, "")
    assert "without --username" in err or "leave --username out" in err


def test_answers_that_run_out_are_an_error(run, cognito):
    """A script that did not expect a code is told which answer was missing."""
    cognito.users["alice"] = User(challenges=[("SOFTWARE_TOKEN_MFA", {})])
    status, _, err = run("--local", "--username", "alice", "--password-stdin", stdin=f"{PASSWORD}\n")
    assert status == 1
    assert "authenticator app" in err


def test_pool_that_never_stops_asking_is_left(run, cognito):
    """A bounded number of challenges."""
    cognito.users["alice"] = User(challenges=[("SMS_MFA", {})] * 20)
    status, _, err = run("--local", "--username", "alice", "--password-stdin", stdin=f"{PASSWORD}\n" + "123456\n" * 30)
    assert status == 1
    assert "giving up" in err


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("PasswordResetRequiredException", "hosted UI"),
        ("UserNotConfirmedException", "administrator"),
        ("ResourceNotFoundException", "ResourceNotFoundException"),
    ],
)
def test_other_refusals_say_what_to_do(run, cognito, code, words):
    """Cognito's words, and ours where its own do not help."""
    cognito.refusals["InitiateAuth"] = AwsRefusalError(code)
    status, _, err = run("--local")
    assert status == 1
    assert words in err


# -- the ID token --


@pytest.mark.parametrize(
    ("claims", "words"),
    [
        ({"iss": "https://cognito-idp.us-east-1.amazonaws.com/us-east-1_Evil"}, "us-east-1_Evil"),
        ({"aud": "another-client"}, "another-client"),
        ({"token_use": "access"}, "token_use"),
        ({"exp": 1_700_000_000}, "clock"),
        ({"exp": "soon"}, "expiry"),
    ],
)
def test_id_token_that_is_not_for_us_is_refused(run, cognito, folder, claims, words):
    """OpenID Connect Core §3.1.3.7: issuer, audience and expiry are the client's to check; nothing is kept."""
    cognito.claims = claims
    status, out, err = run("--local")
    assert (status, out) == (1, "")
    assert words in err
    assert [file.name for file in cache_files(folder)] == ["outputs.json"]


def test_id_token_that_the_pool_did_not_sign_is_refused(run, cognito, folder):
    """Step 6 of the same list: a key of that name is published, and it is not the one that signed."""
    cognito.keys_answer = (200, json.dumps(Pool("us-east-1_Another").jwks()).encode())
    status, out, err = run("--local")
    assert (status, out) == (1, "")
    assert "Signature verification failed" in err
    assert [file.name for file in cache_files(folder)] == ["outputs.json"]


def test_refreshed_token_that_the_pool_did_not_sign_is_refused(run, cognito):
    """A refresh is validated as a sign-in is."""
    now = int(time.time())
    cognito.clock = lambda: now
    run("--local", clock=cognito.clock)
    cognito.clock = lambda: now + 3600
    cognito.keys_answer = (200, json.dumps(Pool("us-east-1_Another").jwks()).encode())
    status, out, err = run("--local", clock=cognito.clock)
    assert (status, out) == (1, "")
    assert "Signature verification failed" in err


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((404,), "{url}: expected status 200 and a JSON Web Key Set, got status 404"),
        (
            (500, json.dumps(Pool("us-east-1_FakePool1").jwks()).encode()),
            "{url}: expected status 200 and a JSON Web Key Set, got status 500",
        ),
        ((302, b"", {"Location": "/elsewhere"}), "{url}: expected status 200 and a JSON Web Key Set, got status 302"),
        ((200, b"<html>"), "{url}: expected status 200 and a JSON Web Key Set"),
        ((200, b"[]"), "{url}: expected status 200 and a JSON Web Key Set"),
        ((200, b'{"keys": {}}'), "{url}: expected status 200 and a JSON Web Key Set"),
        ((200, b'{"keys": []}'), "0 published keys"),
        ((200, b"[" * 100_000), "{url}: expected status 200 and a JSON Web Key Set"),
        ((200, b" " * 300_000), "{url}: expected at most 262,144 bytes"),
        ((200, b"{", {"Content-Length": "100"}), "no answer from {url}"),
    ],
)
def test_keys_that_cannot_be_read_end_the_sign_in(run, cognito, folder, answer, words):
    """Without the pool's keys no ID token is taken; a redirect names them no more than anything else does."""
    cognito.keys_answer = answer
    status, out, err = run("--local")
    assert (status, out) == (1, "")
    assert words.format(url=f"{cognito.url}/{cognito.user_pool_id}/.well-known/jwks.json") in err
    assert cognito.calls["GET /elsewhere"] == 0
    assert [file.name for file in cache_files(folder)] == ["outputs.json"]


def test_keys_that_cannot_be_read_cost_no_rotating_refresh_token(run, cognito):
    """They are read first: a refresh token that was used is worthless where they rotate."""
    cognito.rotation = True
    now = int(time.time())
    cognito.clock = lambda: now
    run("--local", clock=cognito.clock)
    cognito.clock = lambda: now + 3600
    cognito.keys_answer = (500,)
    assert run("--local", clock=cognito.clock)[0] == 1
    cognito.keys_answer = None
    assert run("--local", clock=cognito.clock)[0] == 0
    assert cognito.calls["GetTokensFromRefreshToken"] == 1
    assert cognito.calls["InitiateAuth"] == 1


def test_second_form_of_the_issuer_is_accepted(run, cognito):
    """Pools with the UPDATED issuer sign in, too."""
    cognito.claims = {"iss": f"https://issuer-cognito-idp.us-east-1.amazonaws.com/{cognito.user_pool_id}"}
    assert run("--local")[0] == 0


# -- which system --


def test_without_a_running_local_system_make_run_is_named(run, folder):
    """The most common mistake has the clearest message."""
    (folder / "outputs.json").unlink()
    status, out, err = run("--local")
    assert (status, out) == (1, "")
    assert "not running" in err
    assert "make run" in err


@pytest.mark.parametrize("content", ["{", "[]", "\xff"])
def test_damaged_outputs_are_refused(run, folder, content):
    """A file that is not a JSON object is named."""
    (folder / "outputs.json").write_bytes(content.encode("latin-1"))
    status, _, err = run("--local")
    assert status == 1
    assert "outputs.json" in err


def test_missing_outputs_are_named(run, cognito, folder):
    """Each missing key is in the message."""
    outputs = cognito.outputs
    del outputs["client_id"]
    outputs["login_url"] = ""
    (folder / "outputs.json").write_text(json.dumps(outputs))
    status, _, err = run("--local")
    assert status == 1
    assert "missing or empty: client_id, login_url" in err


@pytest.mark.parametrize("key", ["login_url", "aws_endpoint_url"])
@pytest.mark.parametrize(
    "url", ["http://example.com", "http://127.0.0.1.example.com", "ftp://127.0.0.1", "https://a@b"]
)
def test_urls_that_would_leak_are_refused(run, cognito, folder, key, url):
    """Plain http leads to this machine or nowhere."""
    (folder / "outputs.json").write_text(json.dumps({**cognito.outputs, key: url}))
    status, _, err = run("--local")
    assert status == 1
    assert url in err
    assert not cognito.calls


@pytest.mark.parametrize("pool", ["../../etc", "us-east-1", "us-east-1_a/b"])
def test_malformed_ids_are_refused(run, cognito, folder, pool):
    """They name the cache's folder."""
    (folder / "outputs.json").write_text(json.dumps({**cognito.outputs, "user_pool_id": pool}))
    assert run("--local")[0] == 1


def test_local_system_that_stopped_answering_is_named(run, cognito):
    """A stale outputs.json, after a SIGKILL, leads to advice."""
    cognito.close()
    status, out, err = run("--local")
    assert (status, out) == (1, "")
    assert "make run" in err


def test_environment_of_aws_does_not_disturb_the_local_system(run, monkeypatch):
    """A profile that does not exist, a proxy that is not there: --local does not care."""
    monkeypatch.setenv("AWS_PROFILE", "no-such-profile")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    assert run("--local")[0] == 0
    assert run("--local", "--logout")[0] == 0


@pytest.fixture
def aws(cognito, monkeypatch, folder):
    """AWS with one deployed stack, by the SDK's own endpoint variables."""
    for service in ("CLOUDFORMATION", "COGNITO_IDENTITY_PROVIDER"):
        monkeypatch.setenv(f"AWS_ENDPOINT_URL_{service}", cognito.url)
    for name in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
    cognito.stack_outputs["CognitoEdgeGateway"] = {
        "GatewayUrl": "https://d111111abcdef8.cloudfront.net",
        "LoginUrl": cognito.url + "/",
        "UserPoolId": cognito.user_pool_id,
        "ClientId": cognito.client_id,
        "ParameterPrefix": "/cognito-edge-gateway",
        "Region": "us-east-1",
    }
    return cognito


def test_deployed_stack_is_read_from_its_outputs(run, aws, tmp_path):
    """Without --local the default stack is meant; its tokens are kept in the user's cache folder."""
    status, out, _ = run("--username", USERNAME, "--password-stdin", stdin=f"{PASSWORD}\n")
    assert status == 0
    assert unverified_claims(out.strip())["aud"] == aws.client_id
    assert aws.log[0][1]["StackName"] == "CognitoEdgeGateway"
    (file,) = (tmp_path / "cache" / "cognito-edge-gateway").rglob("*.json")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_sign_in_to_a_deployed_pool_sends_no_aws_signature(run, aws):
    """AWS credentials read the stack, and go no further."""
    run("--username", USERNAME, "--password-stdin", stdin=f"{PASSWORD}\n")
    signed = {call for call, headers in aws.headers if "authorization" in headers}
    assert signed == {"DescribeStacks"}


def test_a_stack_that_names_no_hosted_ui_takes_passwords_and_says_what_the_browser_lacks(run, aws):
    """A gateway in front of a pool of the user's own need not know where its users sign in."""
    del aws.stack_outputs["CognitoEdgeGateway"]["LoginUrl"]
    assert run("--username", USERNAME, "--password-stdin", stdin=f"{PASSWORD}\n")[0] == 0
    status, out, err = run("--no-browser", "--force")
    assert (status, out) == (1, "")
    assert "has no output LoginUrl" in err


def test_unknown_stack_says_how_to_deploy(run, aws):
    """The stack, the region, and what to do."""
    status, _, err = run("--stack", "Nope", "--no-browser")
    assert status == 1
    assert "no stack Nope in us-east-1" in err
    assert "make deploy" in err


def test_stack_without_the_outputs_is_refused(run, aws):
    """Another stack of that name is not ours."""
    del aws.stack_outputs["CognitoEdgeGateway"]["UserPoolId"]
    status, _, err = run("--no-browser")
    assert status == 1
    assert "missing or empty: UserPoolId" in err


def test_missing_aws_credentials_are_explained(run, aws, monkeypatch):
    """The SDK's words, and where credentials come from."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    status, _, err = run("--no-browser")
    assert status == 1
    assert "--profile" in err


def test_unknown_profile_is_explained(run, aws):
    """The profile is named."""
    status, _, err = run("--profile", "no-such-profile")
    assert status == 1
    assert "no-such-profile" in err


# -- usage --


@pytest.mark.parametrize(
    "argv",
    [
        ["--local", "--stack", "X"],
        ["--local", "--region", "eu-west-1"],
        ["--local", "--profile", "p"],
        ["--access", "--refresh"],
        ["--json", "--header"],
        ["--refresh", "--header"],
        ["--logout", "--header"],
        ["--password-stdin"],
        ["--username", ""],
        ["--username", "a", "--browser"],
        ["--username", "a", "--no-browser"],
        ["--username", "a", "--scope", "openid"],
        ["--username", "a", "--callback-port", "8976"],
        ["--browser", "--no-browser"],
        ["--force", "--no-cache"],
        ["--callback-port", "0"],
        ["--callback-port", "65536"],
        ["--timeout", "0"],
        ["--timeout", "nan"],
        ["--password", "secret"],
    ],
)
def test_contradictions_are_usage_errors(run, cognito, argv):
    """Exit status 2, before anything is done."""
    status, out, err = run(*argv)
    assert (status, out) == (2, "")
    assert all(argument.partition("=")[0] in err for argument in argv if argument.startswith("--"))
    assert not cognito.calls


def test_help_shows_examples(capsys):
    """--help is enough to get a first token."""
    assert main(["token", "--help"]) == 0
    out = capsys.readouterr().out
    assert "Examples:" in out
    assert '$(cognito-edge token --local)"' in out
    assert "curl -H @-" in out


def test_tokens_do_not_show_in_a_repr(run, cognito):
    """A traceback or a log line that holds the object holds no token."""
    tokens = token_cache.Tokens(
        id_token="secret-1", access_token="secret-2", refresh_token="secret-3", via="api", label="alice"
    )
    assert "secret" not in repr(tokens)


# -- as a process --


@pytest.fixture
def project(cognito, tmp_path):
    """A copy of the scripts beside a running system's outputs, as a project's folder would be."""
    project = tmp_path / "project"
    shutil.copytree(ROOT / "scripts", project / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    (project / ".local").mkdir(mode=0o700)
    (project / ".local" / "outputs.json").write_text(json.dumps(cognito.outputs))
    return project


def start(*command, cwd, **options):
    """Run *command* with no terminal and no standard input."""
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        start_new_session=True,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        **options,
    )


def bare_python():
    """Return an interpreter without any installed package."""
    return [getattr(sys, "_base_executable", sys.executable), "-S"]


def test_script_runs_from_any_folder(project, tmp_path):
    """As a file, with a relative or absolute path, from the project's folder or not."""
    for cwd, script in (
        (project, "scripts/get_token.py"),
        (project / "scripts", "get_token.py"),
        (tmp_path, project / "scripts" / "get_token.py"),
    ):
        done = start(sys.executable, script, "--local", cwd=cwd)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("ey")


def test_named_demo_user_needs_no_terminal(project):
    """``--local --username demo`` in a script: the password is in outputs.json."""
    done = start(sys.executable, "scripts/get_token.py", "--local", "--username", USERNAME, cwd=project)
    assert (done.returncode, done.stderr) == (0, "")


def test_other_user_without_terminal_is_told_about_password_stdin(project):
    """No hanging, no traceback."""
    done = start(sys.executable, "scripts/get_token.py", "--local", "--username", "alice", cwd=project)
    assert (done.returncode, done.stdout) == (1, "")
    assert "no terminal" in done.stderr
    assert "--password-stdin" in done.stderr


def test_bare_interpreter_hands_over_to_the_projects_own(project):
    """``python scripts/get_token.py`` works with whatever ``python`` is, once ``make install`` ran."""
    (project / ".venv").symlink_to(sys.prefix)
    done = start(*bare_python(), "scripts/get_token.py", "--local", "--header", cwd=project)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Authorization: Bearer ey")


@pytest.mark.parametrize("script", ["get_token.py", "user.py"])
def test_bare_interpreter_without_the_projects_own_names_make_install(project, script):
    """Nothing installed yet: which modules are missing, and the command."""
    done = start(*bare_python(), f"scripts/{script}", "--local", cwd=project)
    assert (done.returncode, done.stdout) == (1, "")
    assert "make install" in done.stderr
    assert "without boto3, click" in done.stderr


def test_reader_that_goes_away_causes_no_traceback(project):
    """``get_token.py | head -0`` ends quietly."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    with subprocess.Popen(
        [sys.executable, "scripts/get_token.py", "--local"],
        cwd=project,
        stdin=subprocess.DEVNULL,
        stdout=write_end,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        os.close(write_end)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert err == ""
