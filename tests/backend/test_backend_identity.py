"""``backend/identity.py``: whom it believes, and how it reads the identity headers."""

import base64
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend import identity as module
from backend.identity import IdentityError, MalformedIdentityError, UntrustedCallerError, identity_from_event
from tests.support.backend_events import (
    ACCOUNT_ID,
    EDGE_ARN,
    ISSUER,
    ROLE_NAME,
    encode,
    encode_claims,
    identity_headers,
    make_event,
)

TEXT = st.text(min_size=1, max_size=40)


def read(event, account_id=ACCOUNT_ID, role_name=ROLE_NAME):
    return identity_from_event(event, account_id=account_id, role_name=role_name)


def read_headers(**changes):
    return read(make_event(headers=identity_headers(**changes)))


def test_every_field_is_read():
    """A signed-in user's headers become one typed value."""
    identity = read_headers()
    assert identity.sub == "a3e4f5a6-1234-5678-9abc-def012345678"
    assert identity.username == "ada"
    assert identity.email == "ada@example.com"
    assert identity.groups == ("admins", "readers")
    assert identity.scopes == ("openid", "tools/call")
    assert identity.client_id == "1h57kf5cpq17m0eml12EXAMPLE"
    assert identity.token_use == "id"
    assert identity.issuer == ISSUER
    assert identity.claims == {"sub": "a3e4f5a6-1234-5678-9abc-def012345678", "email_verified": True}


def test_identity_is_frozen_hashable_and_keeps_personal_data_out_of_its_repr():
    """An identity can be a dict key and be logged without the address or the claims."""
    identity = read_headers()
    with pytest.raises(AttributeError):
        identity.sub = "someone-else"
    assert {identity: 1}[read_headers()] == 1
    assert "example.com" not in repr(identity)
    assert "email_verified" not in repr(identity)


def test_no_identity_headers_is_an_anonymous_caller():
    """On an ``anyone`` route the gateway signs a request that names no one."""
    assert read(make_event()) is None


def test_what_a_token_does_not_have_is_none_or_empty():
    """A machine's token has no username, address or groups, and long claims are left out."""
    identity = read_headers(username=None, email=None, groups=None, scopes=None, claims=None)
    assert (identity.username, identity.email, identity.groups, identity.scopes, identity.claims) == (
        None,
        None,
        (),
        (),
        None,
    )


def test_empty_lists_are_empty():
    """A list header without a value names no group and no scope."""
    identity = read_headers(groups="", scopes="")
    assert (identity.groups, identity.scopes) == ((), ())


# --- who is believed -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("partition", ["aws", "aws-cn", "aws-us-gov"])
@pytest.mark.parametrize("session", ["us-east-1.Edge", "eu-west-1.Edge", "a@b=c,d.e+f-g_h"])
def test_any_session_of_the_edge_role_is_believed(partition, session):
    """The session name differs by region and says nothing about trust."""
    arn = f"arn:{partition}:sts::{ACCOUNT_ID}:assumed-role/{ROLE_NAME}/{session}"
    assert read(make_event(user_arn=arn, headers=identity_headers())).username == "ada"


@pytest.mark.parametrize(
    "arn",
    [
        None,
        "",
        f"arn:aws:sts::999999999999:assumed-role/{ROLE_NAME}/s",
        f"arn:aws:sts::{ACCOUNT_ID}:assumed-role/{ROLE_NAME}x/s",
        f"arn:aws:sts::{ACCOUNT_ID}:assumed-role/x{ROLE_NAME}/s",
        f"arn:aws:sts::{ACCOUNT_ID}:assumed-role/{ROLE_NAME.lower()}/s",
        f"arn:aws:sts::{ACCOUNT_ID}:assumed-role/Other/{ROLE_NAME}",
        f"arn:aws:sts::{ACCOUNT_ID}:assumed-role/Other/{EDGE_ARN}",
        f"arn:aws:sts::{ACCOUNT_ID}:assumed-role/path/{ROLE_NAME}/s",
        f"arn:aws:sts::{ACCOUNT_ID}:assumed-role/{ROLE_NAME}/",
        f"arn:aws:sts::{ACCOUNT_ID}:assumed-role/{ROLE_NAME}",
        f"arn:aws:sts::{ACCOUNT_ID}:assumed-role/{ROLE_NAME}/s/t",
        f"arn:aws:sts::{ACCOUNT_ID}:federated-user/{ROLE_NAME}/s",
        f"arn:aws:iam::{ACCOUNT_ID}:role/{ROLE_NAME}",
        f"arn:aws:iam::{ACCOUNT_ID}:user/{ROLE_NAME}",
        f"arn:aws:iam::{ACCOUNT_ID}:root",
        f"arn:evil:sts::{ACCOUNT_ID}:assumed-role/{ROLE_NAME}/s",
        f"arn:aws:sts:us-east-1:{ACCOUNT_ID}:assumed-role/{ROLE_NAME}/s",
        f" {EDGE_ARN}",
        f"{EDGE_ARN}/",
        f"x{EDGE_ARN}",
        [EDGE_ARN],
        {"arn": EDGE_ARN},
    ],
)
def test_nobody_else_is_believed(arn):
    """Another principal that IAM admits can write any header, so its headers are not read."""
    with pytest.raises(UntrustedCallerError):
        read(make_event(user_arn=arn, headers=identity_headers()))


def test_an_untrusted_caller_is_refused_and_not_anonymous():
    """Another signer is refused even without identity headers."""
    with pytest.raises(UntrustedCallerError):
        read(make_event(user_arn=None))


@pytest.mark.parametrize(
    "context",
    [None, [], "x", {}, {"authorizer": None}, {"authorizer": {"iam": None}}, {"authorizer": {"jwt": {}, "lambda": {}}}],
)
def test_an_event_without_iam_is_refused(context):
    """A function URL without AWS_IAM, and any other kind of event, proves nothing."""
    with pytest.raises(UntrustedCallerError):
        read({**make_event(headers=identity_headers()), "requestContext": context})


def test_a_caller_s_own_headers_do_not_stand_in_for_its_arn():
    """The ARN is read where Lambda puts it, never from a header."""
    event = make_event(user_arn=None, headers={**identity_headers(), "userarn": EDGE_ARN, "x-amz-user-arn": EDGE_ARN})
    with pytest.raises(UntrustedCallerError):
        read(event)


@pytest.mark.parametrize(
    ("account_id", "role_name"),
    [(None, ROLE_NAME), (ACCOUNT_ID, None), ("", ROLE_NAME), (ACCOUNT_ID, ""), (None, None)],
)
def test_missing_configuration_refuses_everybody(account_id, role_name):
    """A function that does not know its gateway refuses every caller, and says what to set."""
    with pytest.raises(
        UntrustedCallerError, match="set EDGE_ACCOUNT_ID and either EDGE_ROLE_NAME or EDGE_DISTRIBUTION_ARN"
    ):
        read(make_event(headers=identity_headers()), account_id, role_name)


def test_the_configured_role_is_text_and_no_pattern():
    """A role name that reads like a regular expression matches itself alone."""
    with pytest.raises(UntrustedCallerError):
        read(make_event(headers=identity_headers()), ACCOUNT_ID, ".*")


# --- who is believed in signing mode oac -----------------------------------------------------------------------------

DISTRIBUTION = f"arn:aws:cloudfront::{ACCOUNT_ID}:distribution/E2EXAMPLE1234"
ANY_DISTRIBUTION = f"arn:aws:cloudfront::{ACCOUNT_ID}:distribution/*"
CLOUDFRONT = "arn:aws:sts::111122223333:assumed-role/OriginAccessControlRole/OriginAccessSession"


def read_oac(*, user_arn=CLOUDFRONT, source=DISTRIBUTION, expected=DISTRIBUTION, account_id=ACCOUNT_ID, **headers):
    event = make_event(user_arn=user_arn, headers=identity_headers())
    event["headers"] |= {"x-amz-source-arn": source, **headers}
    event["headers"] = {name: value for name, value in event["headers"].items() if value is not None}
    return identity_from_event(event, account_id=account_id, distribution_arn=expected)


@pytest.mark.parametrize("expected", [DISTRIBUTION, ANY_DISTRIBUTION])
@pytest.mark.parametrize(
    "session", ["OriginAccessSession", "EdgeCredentialsProxy+EdgeHostAuthenticationClient-NRT12-P2"]
)
def test_cloudfront_is_believed_on_behalf_of_the_distribution(session, expected):
    """The named one, or, before its id is known, any of the account's that the permissions admit."""
    arn = f"arn:aws:sts::111122223333:assumed-role/OriginAccessControlRole/{session}"
    assert read_oac(user_arn=arn, expected=expected).username == "ada"


@pytest.mark.parametrize(
    "arn",
    [
        None,
        EDGE_ARN,
        f"arn:aws:sts::{ACCOUNT_ID}:assumed-role/OriginAccessControlRole/OriginAccessSession",
        "arn:aws:sts::111122223333:assumed-role/OriginAccessControlRoleX/OriginAccessSession",
        "arn:aws:sts::111122223333:assumed-role/Other/OriginAccessControlRole",
        "arn:aws:iam::111122223333:role/OriginAccessControlRole",
        "cloudfront.amazonaws.com",
        f"{CLOUDFRONT}/more",
    ],
)
def test_nobody_else_is_believed_whatever_distribution_they_name(arn):
    """Above all no role of our own account with CloudFront's name and header: anyone there could make one."""
    with pytest.raises(UntrustedCallerError, match="expected CloudFront"):
        read_oac(user_arn=arn)


@pytest.mark.parametrize("expected", [DISTRIBUTION, ANY_DISTRIBUTION])
@pytest.mark.parametrize(
    "source",
    [
        None,
        "",
        "arn:aws:cloudfront::999999999999:distribution/E2EXAMPLE1234",
        f"{DISTRIBUTION},{DISTRIBUTION}",
        f"arn:aws:cloudfront::{ACCOUNT_ID}:distribution/*",
        f"arn:aws:cloudfront::{ACCOUNT_ID}:distribution/",
        f"arn:aws:cloudfront::{ACCOUNT_ID}:streaming-distribution/E2EXAMPLE1234",
        f" {DISTRIBUTION}",
        [DISTRIBUTION],
    ],
)
def test_cloudfront_on_behalf_of_anything_else_is_not_believed(source, expected):
    """CloudFront signs for every customer in the world."""
    with pytest.raises(UntrustedCallerError, match="expected CloudFront on behalf of"):
        read_oac(source=source, expected=expected)


def test_another_distribution_of_the_account_is_believed_only_before_the_id_is_known():
    """The construct's distribution_id pins it."""
    other = f"arn:aws:cloudfront::{ACCOUNT_ID}:distribution/E3OTHER"
    assert read_oac(source=other, expected=ANY_DISTRIBUTION).username == "ada"
    with pytest.raises(UntrustedCallerError, match=r"E2EXAMPLE1234, got .*E3OTHER"):
        read_oac(source=other)


def test_a_second_source_header_is_not_believed():
    """Lambda writes names in lower case; it never writes two that differ in case alone."""
    with pytest.raises(UntrustedCallerError, match="got no x-amz-source-arn"):
        read_oac(**{"X-Amz-Source-Arn": DISTRIBUTION})


@pytest.mark.parametrize("expected", ["*", "arn:aws:cloudfront::*:distribution/*", f"{DISTRIBUTION[:-1]}*", CLOUDFRONT])
def test_the_configured_distribution_is_text_and_hardly_a_pattern(expected):
    """Only the whole id may be a star, and only in the gateway's account."""
    with pytest.raises(UntrustedCallerError):
        read_oac(expected=expected)


def test_the_modes_do_not_mix():
    """A function that knows both believes neither; mode sigv4 refuses CloudFront, and mode oac the edge role."""
    event = make_event(headers=identity_headers())
    with pytest.raises(UntrustedCallerError, match="got two answers"):
        identity_from_event(event, account_id=ACCOUNT_ID, role_name=ROLE_NAME, distribution_arn=DISTRIBUTION)
    with pytest.raises(UntrustedCallerError, match="got none"):
        identity_from_event(event, account_id=ACCOUNT_ID)
    with pytest.raises(UntrustedCallerError, match="expected a session of role"):
        read(make_event(user_arn=CLOUDFRONT, headers={**identity_headers(), "x-amz-source-arn": DISTRIBUTION}))
    with pytest.raises(UntrustedCallerError, match="set EDGE_ACCOUNT_ID"):
        read_oac(account_id="")


# --- C7 of docs/contracts.md -----------------------------------------------------------------------------------------


@given(TEXT)
def test_one_value_survives_the_journey(value):
    """Any name that a pool allows is read as it was written."""
    identity = read_headers(sub=encode(value), username=encode(value), email=encode(value))
    assert (identity.sub, identity.username, identity.email) == (value, value, value)


@given(st.lists(TEXT, max_size=6))
def test_a_list_survives_the_journey(values):
    """Groups and scopes come back in order, whatever characters they hold."""
    identity = read_headers(groups=",".join(map(encode, values)), scopes=" ".join(map(encode, values)))
    assert identity.groups == tuple(values)
    assert identity.scopes == tuple(values)


@pytest.mark.parametrize(
    ("wire", "groups"),
    [
        ("x%2Cadmins", ("x,admins",)),
        ("%2561dmins", ("%61dmins",)),
        ("%252561dmins", ("%2561dmins",)),
        ("x%2520y", ("x%20y",)),
        ("a+b", ("a+b",)),
        ("pool@idp:role/x=1", ("pool@idp:role/x=1",)),
        ("%C3%A4,b", ("ä", "b")),
        ("%c3%a4", ("ä",)),
        ("%00", ("\0",)),
        ("%20", (" ",)),
    ],
)
def test_groups_are_split_first_and_decoded_once(wire, groups):
    """No group name is ever read as another group's."""
    assert read_headers(groups=wire).groups == groups


@pytest.mark.parametrize("name", ["sub", "username", "email", "groups", "scopes"])
@pytest.mark.parametrize(
    "bad",
    [
        "%",
        "%4",
        "a%",
        "%zz",
        "%4g",
        "% 41",
        "%+1",
        "%FF",
        "%C3",
        "%ED%A0%80",
        "%C0%AF",
        "%F4%90%80%80",
        "ä",
        "a\tb",
        "a\0",
        "a;b",
        "a!b",
        "a\n",
        "%٤1",
    ],
)
def test_a_bad_encoding_is_an_error_and_no_guess(name, bad):
    """A value that the gateway cannot have written is refused as a whole."""
    with pytest.raises(MalformedIdentityError, match=f"x-cognito-{name}"):
        read_headers(**{name: bad})


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("sub", ""),
        ("sub", "a,b"),
        ("sub", "a b"),
        ("username", ""),
        ("email", ""),
        ("groups", ","),
        ("groups", "a,"),
        ("groups", "a, b"),
        ("groups", "a b"),
        ("scopes", "a  b"),
        ("scopes", " a"),
        ("scopes", "a,b"),
    ],
)
def test_an_empty_or_joined_value_is_an_error(name, bad):
    """Two headers of one name, which Lambda joins with a comma, are not one value."""
    with pytest.raises(MalformedIdentityError, match=f"x-cognito-{name}"):
        read_headers(**{name: bad})


@pytest.mark.parametrize("name", ["sub", "client_id", "token_use", "issuer"])
def test_half_an_identity_is_an_error(name):
    """A caller is either anonymous or named in full."""
    with pytest.raises(MalformedIdentityError, match=f"x-cognito-{name.replace('_', '-')}"):
        read_headers(**{name: None})


@pytest.mark.parametrize("name", ["client_id", "token_use", "issuer"])
@pytest.mark.parametrize(
    "bad", ["", "a,b", "a b", "%61", "a\n", "ä", "id,id", "id\n", "https://a,https://b", "https://a b", "https://ä/"]
)
def test_fixed_alphabets_are_never_decoded(name, bad):
    """The gateway encodes no client id, token use or issuer, so it did not write an escape there."""
    with pytest.raises(MalformedIdentityError):
        read_headers(**{name: bad})


@pytest.mark.parametrize("issuer", ["http://127.0.0.1:4566/us-east-1_abc", "https://id.example.com/t?x=%20;~", ISSUER])
def test_an_issuer_is_read_as_it_is(issuer):
    """Any URL that a policy may name as an issuer comes through, undecoded."""
    assert read_headers(issuer=issuer).issuer == issuer


@pytest.mark.parametrize("use", ["id", "access"])
def test_both_token_uses_are_read(use):
    """ID and access tokens both name a caller."""
    assert read_headers(token_use=use).token_use == use


@pytest.mark.parametrize("use", ["ID", "refresh", "id.", "idaccess"])
def test_other_token_uses_are_an_error(use):
    """There is no third kind of token."""
    with pytest.raises(MalformedIdentityError, match="x-cognito-token-use"):
        read_headers(token_use=use)


def test_header_names_are_read_in_any_case():
    """Lambda writes names in lower case; nothing depends on it."""
    headers = {name.upper(): value for name, value in identity_headers().items()}
    assert read(make_event(headers=headers)).username == "ada"


def test_one_header_in_two_cases_is_an_error():
    """Neither of two values is taken."""
    with pytest.raises(MalformedIdentityError, match="x-cognito-sub"):
        read(make_event(headers={**identity_headers(), "X-Cognito-Sub": "someone-else"}))


@pytest.mark.parametrize(
    "name",
    [
        *(
            "x_cognito_groups",
            "x.cognito.groups",
            "X~Cognito~Groups",
            "x-cognito_groups",
            "x-cognito.sub",
            "x cognito sub",
        ),
        *(
            "x+cognito+sub",
            "x-cognito-client_id",
            "x!cognito-new",
            "x-cognito-\u0131d",
            "x\xa0cognito-sub",
            "x/cognito/sub",
        ),
    ],
)
@pytest.mark.parametrize("signed_in", [True, False])
def test_a_name_that_reads_as_ours_and_is_not_spelt_so_is_an_error(name, signed_in):
    """CGI, FastCGI and WSGI servers make one variable of both: the gateway lets none through, so another caller wrote it."""
    headers = {**(identity_headers(groups=None) if signed_in else {}), name: "admins"}
    with pytest.raises(MalformedIdentityError, match="lets none through") as caught:
        read(make_event(headers=headers))
    assert "admins" not in str(caught.value)


@pytest.mark.parametrize(
    "name", ["x-cognito", "xcognito-sub", "x-cognit-o-sub", "cognito.sub", "my_x-cognito-sub", "x--cognito-sub"]
)
def test_names_that_do_not_read_as_ours_pass(name):
    """The accepting half."""
    assert read(make_event(headers={**identity_headers(), name: "1"})).sub


@pytest.mark.parametrize(
    "headers", [["x-cognito-sub"], "x-cognito-sub", {"x-cognito-sub": ["a"]}, {"x-cognito-sub": None}]
)
def test_headers_of_another_shape_are_an_error(headers):
    """Payload format 2.0 has one text per header; anything else is another format."""
    with pytest.raises(MalformedIdentityError):
        read({**make_event(), "headers": headers})


@given(
    st.dictionaries(
        st.text(), st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=5)
    )
)
def test_claims_survive_the_journey_with_padding_and_without(claims):
    """Both spellings of base64url are read; the contract (C7) names neither."""
    encoded = encode_claims(claims)
    assert read_headers(claims=encoded).claims == claims
    assert read_headers(claims=encoded + "=" * (-len(encoded) % 4)).claims == claims


@pytest.mark.parametrize(
    "raw",
    [b"", b"[]", b"null", b'"sub"', b"{", b"{'sub': 1}", b'{"sub": "\xff"}', b"[" * 3000],
)
def test_claims_that_are_no_json_object_are_an_error(raw):
    """Claims are an object, or the header is not the gateway's."""
    with pytest.raises(MalformedIdentityError, match="x-cognito-claims"):
        read_headers(claims=base64.urlsafe_b64encode(raw).decode())


@pytest.mark.parametrize("bad", ["e30+", "e30/", "e3 0", "e30\n", "e", "e30!", "e30====", "=e30", "é30", "e30,e30"])
def test_claims_that_are_no_base64url_are_an_error(bad):
    """Python's decoder skips unknown characters, and would read two headers as one."""
    with pytest.raises(MalformedIdentityError, match="x-cognito-claims"):
        read_headers(claims=bad)


def test_errors_name_the_header_and_never_its_value():
    """A log line about a bad header does not hold a user's address."""
    with pytest.raises(MalformedIdentityError) as caught:
        read_headers(email="ada%ZZ@example.com")
    assert "x-cognito-email" in str(caught.value)
    assert "ada" not in str(caught.value)


def test_both_errors_are_one_kind():
    """A function that wants one ``except`` for every refusal has it."""
    assert issubclass(UntrustedCallerError, IdentityError)
    assert issubclass(MalformedIdentityError, IdentityError)


def test_the_file_can_be_copied_on_its_own(tmp_path):
    """It runs with the standard library alone."""
    (tmp_path / "who.py").write_bytes(Path(module.__file__).read_bytes())
    done = subprocess.run(
        [
            sys.executable,
            "-I",
            "-S",
            "-c",
            f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import who; print(who.Identity)",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "<class 'who.Identity'>\n"
