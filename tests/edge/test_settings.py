"""edge/cognito_edge/settings.py: contract C4, every setting with its bounds, every fault at once."""

import json

import pytest
from cognito_edge.settings import Settings, SettingsError, parse_settings
from hypothesis import given
from hypothesis import strategies as st

MINIMAL = {"parameter_prefix": "/gateway", "parameter_region": "eu-west-1"}

# Of each number: the last value below that is refused, the lowest and the highest that are accepted, and the first above
# that is refused. Two attempts of 2 s, parameters and keys, leave a second of a request's five for everything else.
BOUNDS = {
    "settings_lifetime_s": (0.99, 1, 3_600, 3_600.01),
    "settings_max_stale_s": (-0.01, 0, 604_800, 604_800.01),
    "keys_lifetime_s": (0.99, 1, 86_400, 86_400.01),
    "keys_max_stale_s": (-0.01, 0, 604_800, 604_800.01),
    "cooldown_s": (0.049, 0.05, 300, 300.01),
    "attempt_timeout_s": (0.049, 0.05, 2, 2.01),
    "max_answer_bytes": (1_023, 1_024, 1_048_576, 1_048_577),
    "max_token_bytes": (511, 512, 32_768, 32_769),
    "verified_tokens": (-1, 0, 100_000, 100_001),
}
WHOLE = ("max_answer_bytes", "max_token_bytes", "verified_tokens")
SECONDS = tuple(name for name in BOUNDS if name not in WHOLE)


def faults_of(**changes):
    """Return the error's text, or '' for settings that are accepted."""
    try:
        parse_settings({**MINIMAL, **changes})
    except SettingsError as error:
        return str(error)
    return ""


def test_the_defaults_are_those_of_the_design():
    """Two settings are required; the others have the documented values."""
    assert parse_settings(MINIMAL)._asdict() == {
        **MINIMAL,
        "policy_required": False,
        "domain_name": None,
        "signing": "sigv4",
        "resource": None,
        "authorization_servers": None,
        "expected_user_pool_id": None,
        "settings_lifetime_s": 60,
        "settings_max_stale_s": 86_400,
        "keys_lifetime_s": 3_600,
        "keys_max_stale_s": 86_400,
        "cooldown_s": 10,
        "attempt_timeout_s": 2,
        "max_answer_bytes": 262_144,
        "max_token_bytes": 16_384,
        "verified_tokens": 2_000,
    }


def test_every_setting_can_be_set():
    """What is given is what is used."""
    document = {
        **MINIMAL,
        "policy_required": True,
        "domain_name": "app.example.com",
        "signing": "oac",
        "resource": "https://app.example.com/api",
        "authorization_servers": ["https://login.example.com"],
        "expected_user_pool_id": "eu-west-1_AbCdEfGhI",
        "settings_lifetime_s": 5,
        "settings_max_stale_s": 0,
        "keys_lifetime_s": 1.5,
        "keys_max_stale_s": 604_800,
        "cooldown_s": 0.05,
        "attempt_timeout_s": 0.5,
        "max_answer_bytes": 1_024,
        "max_token_bytes": 512,
        "verified_tokens": 0,
    }
    assert parse_settings(document)._asdict() == {
        **document,
        "authorization_servers": ("https://login.example.com",),
    }
    assert set(document) == set(Settings._fields)


@pytest.mark.parametrize("name", BOUNDS)
def test_each_number_has_its_bounds(name):
    """Both ends are accepted, and what lies just beyond is not; the message names the range."""
    below, low, high, above = BOUNDS[name]
    assert faults_of(**{name: low}) == faults_of(**{name: high}) == ""
    for beyond in (below, above):
        assert f"{name}: must be a " in faults_of(**{name: beyond})
        assert f"number from {low:g} to {high:g}, not {beyond!r}" in faults_of(**{name: beyond})


def test_every_number_is_bounded():
    """No setting that is a number is missing from the table above."""
    defaults = parse_settings(MINIMAL)._asdict().items()
    numbers = {name for name, value in defaults if isinstance(value, (int, float)) and not isinstance(value, bool)}
    assert numbers == set(BOUNDS)


@pytest.mark.parametrize("name", BOUNDS)
@pytest.mark.parametrize("value", ["1000", True, None, [1_000], {}, float("nan"), float("inf")])
def test_each_number_is_a_number(name, value):
    """Texts, booleans and the floats that are none are refused."""
    assert f"{name}: must be a " in faults_of(**{name: value})


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("value", [1_024.0, 1_024.5])
def test_counts_are_whole(name, value):
    """Half a byte or token does not exist, and a float is no count even where it is whole."""
    assert f"{name}: must be a whole number from" in faults_of(**{name: value})


@pytest.mark.parametrize("name", SECONDS)
def test_seconds_may_have_fractions(name):
    """One and a half is within the bounds of each; a message about seconds asks for no whole number."""
    assert faults_of(**{name: 1.5}) == ""
    assert f"{name}: must be a number from" in faults_of(**{name: -1})


@pytest.mark.parametrize("prefix", ["/a", "/a/b/c", "/a.b_c-d/E9", "/gateway/aws", "/my-aws", "/" + "a" * 899])
def test_prefixes_that_are_accepted(prefix):
    """SSM's own alphabet, below a slash."""
    assert faults_of(parameter_prefix=prefix) == ""


@pytest.mark.parametrize(
    "prefix",
    [
        "",
        "/",
        "a",
        "a/b",
        "/a/",
        "//a",
        "/a//b",
        "/a b",
        "/a\n",
        "/\u00e9",
        "/aws",
        "/aws/x",
        "/AWS-x",
        "/ssm",
        "/SSMx",
        "/a$",
        "/a/*",
        "/" + "a" * 900,
        5,
        None,
        ["/a"],
    ],
)
def test_prefixes_that_are_refused(prefix):
    """No trailing or double slash, nothing below /aws or /ssm, no character that SSM does not know."""
    assert "parameter_prefix: must be an SSM path" in faults_of(parameter_prefix=prefix)


@pytest.mark.parametrize("region", ["us-east-1", "eu-central-2", "ap-southeast-4", "us-gov-west-1", "us-iso-east-1"])
def test_regions_that_are_accepted(region):
    """The forms that AWS uses."""
    assert faults_of(parameter_region=region) == ""


@pytest.mark.parametrize(
    "region",
    [
        "",
        "us-east",
        "us-1",
        "u-east-1",
        "us-east-",
        "us--east-1",
        "useast1",
        "US-EAST-1",
        "us-east-1 ",
        "us-east-1\n",
        "us-east-1.evil.example",
        "us-east-1/",
        "${Token[1]}",
        1,
        None,
    ],
)
def test_regions_that_are_refused(region):
    """The region becomes part of a host name: nothing else may."""
    assert "parameter_region: must be a region" in faults_of(parameter_region=region)


@pytest.mark.parametrize(
    "host",
    [
        *(
            "a.example",
            "app.example.com",
            "d111111abcdef8.cloudfront.net",
            "xn--bcher-kva.example",
            "1.2.example",
            None,
        ),
        pytest.param("a" * 63 + ".example", id="a label of 63 characters"),
        pytest.param("a." * 123 + "example", id="253 characters"),
    ],
)
def test_domain_names_that_are_accepted(host):
    """Lower-case host names, or null."""
    assert faults_of(domain_name=host) == ""


@pytest.mark.parametrize(
    "host",
    [
        "",
        "localhost",
        "App.example.com",
        "https://a.example",
        "a.example/",
        "a.example:443",
        "a..example",
        "-a.example",
        "a-.example",
        ".a.example",
        "a.example.",
        "a b.example",
        "b\u00fccher.example",
        pytest.param("a" * 64 + ".example", id="a label of 64 characters"),
        "a.example\n",
        pytest.param("a." * 122 + "aa.example", id="254 characters"),
        5,
        True,
    ],
)
def test_domain_names_that_are_refused(host):
    """The name is quoted in headers: no scheme, port, path, space or capital."""
    assert "domain_name: must be a lower-case host name" in faults_of(domain_name=host)


@pytest.mark.parametrize(
    "pool_id", ["us-east-1_AbCdEfGhI", "ap-southeast-2_0", "us-gov-west-1_A", "us-east-1_" + "a" * 45, None]
)
def test_pool_ids_that_may_be_expected(pool_id):
    """Region, underscore, letters and digits; or nothing."""
    assert faults_of(expected_user_pool_id=pool_id) == ""


@pytest.mark.parametrize(
    "pool_id",
    [
        *("", "AbCdEfGhI", "us-east-1", "us-east-1_", "us-east-1_A/B", "us-east-1_A\n", "us-east-1_A_B"),
        *("eu-1_AbC", "eu-west_AbC", "eu--1_AbC", "e-west-1_AbC", "EU-WEST-1_AbC"),
        *("us-east-1_" + "a" * 46, "${Token[TOKEN.1]}", 7, ["us-east-1_A"]),
    ],
)
def test_pool_ids_that_are_refused(pool_id):
    """It becomes part of a URL, and a CDK token would be asked for by its name; 55 characters are the most."""
    assert "expected_user_pool_id: must be a user pool id" in faults_of(expected_user_pool_id=pool_id)


@pytest.mark.parametrize("value", ["", "SIGV4", "none", None, True, ["oac"]])
def test_signing_is_one_of_two_ways(value):
    """Who signs is never guessed."""
    assert "signing: must be sigv4 or oac" in faults_of(signing=value)


@pytest.mark.parametrize(
    "url",
    [
        *("https://a.example", "https://a.example/x/y", "https://a.example:65535/A-z0._~", None),
        *("http://127.0.0.1:8080/", "http://localhost:1", "http://localhost"),
    ],
)
def test_resources_that_are_accepted(url):
    """RFC 9728 section 1.2: an https URL; plain http on this machine alone."""
    assert faults_of(resource=url, authorization_servers=url and [url]) == ""


@pytest.mark.parametrize(
    "url",
    [
        "",
        "a.example",
        "http://a.example",
        "https://",
        "https://a.example/x?y",
        "https://a.example/#x",
        "https://u@a.example",
        'https://a.example/"',
        "https://a.example/\n",
        "http://127.0.0.1.example",
        "http://127x0.0.1",
        "https://a.example:",
        "https://a.example:100000",
        "https://a.example/%20",
        "https://A.example",
        5,
        ["https://a.example"],
    ],
)
def test_resources_that_are_refused(url):
    """The URL is quoted in headers and followed by clients: no query, fragment, user, quote or line break."""
    assert "resource: must be the https URL" in faults_of(resource=url)
    assert "authorization_servers: must be a list of https URLs" in faults_of(authorization_servers=[url])
    assert "authorization_servers: must be a list of https URLs" in faults_of(authorization_servers="https://a.example")
    assert "authorization_servers: must be a list of https URLs" in faults_of(authorization_servers=[])


@pytest.mark.parametrize("value", [0, 1, "true", None, []])
def test_policy_required_is_a_boolean(value):
    """A text that says false would be true."""
    assert "policy_required: must be true or false" in faults_of(policy_required=value)


def test_every_fault_is_named_at_once():
    """One correction of the file is enough."""
    with pytest.raises(SettingsError) as caught:
        parse_settings({"parameter_prefix": "x", "cooldown_s": -1, "surprise": 1, "domain_name": "X"})
    for name in ("parameter_prefix", "parameter_region: required, and absent", "cooldown_s", "surprise", "domain_name"):
        assert name in str(caught.value)


def test_unknown_settings_are_refused_at_build_time_and_ignored_at_run_time():
    """A misspelt name is found by the builder; a newer file does not stop an older version."""
    assert (
        "surprise: unknown setting; the settings are parameter_prefix, parameter_region, policy_required, "
        in faults_of(surprise=1)
    )
    assert parse_settings({**MINIMAL, "surprise": {"x": [1]}}, unknown_keys=True) == parse_settings(MINIMAL)
    with pytest.raises(SettingsError, match="cooldown_s"):
        parse_settings({**MINIMAL, "surprise": 1, "cooldown_s": "x"}, unknown_keys=True)


def test_settings_are_frozen():
    """Nothing changes them after they were read."""
    with pytest.raises(AttributeError):
        parse_settings(MINIMAL).cooldown_s = 1


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=10)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=5,
)


@given(
    st.dictionaries(st.one_of(st.sampled_from(Settings._fields), st.text(max_size=8)), JSON),
    st.booleans(),
)
def test_any_document_is_settings_or_a_settings_error(document, unknown_keys):
    """No document makes another exception, and what is accepted lies within the bounds."""
    try:
        settings = parse_settings({**MINIMAL, **document}, unknown_keys=unknown_keys)
    except SettingsError:
        return
    for name, (_, low, high, _) in BOUNDS.items():
        assert low <= getattr(settings, name) <= high
    json.dumps(settings._asdict(), allow_nan=False)
