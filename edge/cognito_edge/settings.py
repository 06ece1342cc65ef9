"""``settings.json``: what a deployed version knows before it has asked anyone (contract C4).

Edge functions have no environment variables, so the bundle carries this file. The bundle builder refuses what is
wrong here; at run time unknown keys are ignored, so that an older version never stumbles over a newer file.
"""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple


class SettingsError(ValueError):
    """The settings document is wrong; the message names every fault at once."""


class Settings(NamedTuple):
    """The settings of one deployed version.

    Attributes:
        parameter_prefix: Where the three SSM parameters live, for example ``/cognito-edge-gateway``.
        parameter_region: Region of those parameters. Never ``AWS_REGION``, which is the edge's own region.
        policy_required: True: an absent policy is a broken one. False: no policy means any valid ID token.
        domain_name: The viewer-facing host name, or None for the distribution's own.
        signing: ``sigv4``: this function signs for the function URL. ``oac``: CloudFront's origin access control does.
        resource: The protected resource's URL (RFC 9728 §2), published for OAuth clients. An access token that is bound to
            a resource has to be bound to this one. None: neither.
        authorization_servers: Issuers to publish with it, or None for the user pools' own.
        expected_user_pool_id: The pool that the parameters most likely name, or None. A cold start reads its keys while it
            reads the parameters. Only the parameter decides which pool is trusted.
        settings_lifetime_s: Seconds until the parameters are read again, before jitter of 20 %.
        settings_max_stale_s: Seconds for which the last good parameters outlive failing reads.
        keys_lifetime_s: Seconds until a pool's keys are read again.
        keys_max_stale_s: Seconds for which the last good keys outlive failing reads.
        cooldown_s: Seconds between the starts of two attempts to read the same thing.
        attempt_timeout_s: Seconds for one network attempt, all in: DNS, connect, TLS, headers, body.
        max_answer_bytes: The longest answer of SSM or the key endpoint that is read.
        max_token_bytes: The longest token that is looked at.
        verified_tokens: Entries of the verified-token cache; 0 switches it off.
    """

    parameter_prefix: str
    parameter_region: str
    policy_required: bool = False
    domain_name: str | None = None
    signing: str = "sigv4"
    resource: str | None = None
    authorization_servers: tuple[str, ...] | None = None
    expected_user_pool_id: str | None = None
    settings_lifetime_s: float = 60
    settings_max_stale_s: float = 86_400
    keys_lifetime_s: float = 3_600
    keys_max_stale_s: float = 86_400
    cooldown_s: float = 10
    attempt_timeout_s: float = 2
    max_answer_bytes: int = 262_144
    max_token_bytes: int = 16_384
    verified_tokens: int = 2_000


_KNOWN = Settings._fields
_REQUIRED = tuple(name for name in _KNOWN if name not in Settings._field_defaults)

# (lowest, highest) of every number, both allowed.
_RANGES: dict[str, tuple[float, float]] = {
    "settings_lifetime_s": (1, 3_600),
    "settings_max_stale_s": (0, 604_800),
    "keys_lifetime_s": (1, 86_400),
    "keys_max_stale_s": (0, 604_800),
    "cooldown_s": (0.05, 300),
    # Two attempts (parameters, then keys) and the work around them have to fit into 5 s (contract C6).
    "attempt_timeout_s": (0.05, 2),
    "max_answer_bytes": (1_024, 1_048_576),
    "max_token_bytes": (512, 32_768),
    "verified_tokens": (0, 100_000),
}
_WHOLE = frozenset({"max_answer_bytes", "max_token_bytes", "verified_tokens"})

# SSM: "a parameter name can't be prefixed with aws or ssm", letters, digits and .-_/ ; ours starts with a slash.
# Patterns stay texts: compiling one takes a tenth of a millisecond of a cold start, and most are never needed.
_PREFIX = r"(?:/[A-Za-z0-9_.-]+)+"
_RESERVED_PREFIXES = ("/aws", "/ssm")
_REGION = r"[a-z]{2}(?:-[a-z]+)+-[0-9]+"
_POOL_ID = r"(?=.{1,55}\Z)[a-z]{2}(?:-[a-z]+)+-[0-9]+_[0-9A-Za-z]+"
# RFC 9728 §1.2: an https URL without a fragment, and better without a query. http towards loopback is for laptops.
_RESOURCE = r"(?:https://[a-z0-9.-]+|http://(?:127\.0\.0\.1|localhost))(?::[0-9]{1,5})?(?:/[A-Za-z0-9._~/-]*)?"
_HOST = r"(?=.{1,253}\Z)(?!-)[a-z0-9-]{1,63}(?<!-)(?:\.(?!-)[a-z0-9-]{1,63}(?<!-))+"


def parse_settings(document: Mapping[str, object], *, unknown_keys: bool = False) -> Settings:
    """Check a settings document and fill in the defaults.

    Args:
        document: The parsed JSON object.
        unknown_keys: True at run time, where keys of a newer version are ignored.

    Raises:
        SettingsError: Naming every fault at once.

    >>> parse_settings({"parameter_prefix": "/gateway", "parameter_region": "eu-west-1"}).keys_lifetime_s
    3600
    """
    faults = [f"{name}: required, and absent" for name in _REQUIRED if name not in document]
    if not unknown_keys:
        known = ", ".join(_KNOWN)
        faults += [f"{name}: unknown setting; the settings are {known}" for name in document if name not in _KNOWN]
    for name, value in document.items():
        fault = _fault(name, value)
        if fault:
            faults.append(f"{name}: {fault}, not {value!r}")
    if faults:
        raise SettingsError("; ".join(faults))
    known_values: dict[str, Any] = {name: value for name, value in document.items() if name in _KNOWN}
    if isinstance(servers := known_values.get("authorization_servers"), list):
        known_values["authorization_servers"] = tuple(servers)
    return Settings(**known_values)


def _is_prefix(text: str) -> bool:
    return len(text) <= 900 and bool(re.fullmatch(_PREFIX, text)) and not text.lower().startswith(_RESERVED_PREFIXES)


def _is_urls(value: object) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(v, str) and re.fullmatch(_RESOURCE, v) for v in value)
    )


def _fault(name: str, value: object) -> str | None:  # noqa: C901  one case for each setting
    """Say what *name* has to be when *value* is not it."""
    text = value if isinstance(value, str) else ""
    match name:
        case "signing" if value not in ("sigv4", "oac"):
            return "must be sigv4 or oac"
        case "resource" if value is not None and not re.fullmatch(_RESOURCE, text):
            return "must be the https URL of what is protected, without query and fragment, or null"
        case "authorization_servers" if value is not None and not _is_urls(value):
            return "must be a list of https URLs, or null"
        case "parameter_prefix" if not _is_prefix(text):
            return "must be an SSM path such as /my-gateway (no trailing slash, not below /aws or /ssm)"
        case "parameter_region" if not re.fullmatch(_REGION, text):
            return "must be a region such as us-east-1"
        case "expected_user_pool_id" if value is not None and not re.fullmatch(_POOL_ID, text):
            return "must be a user pool id such as us-east-1_AbCdEfGhI, or null"
        case "policy_required" if not isinstance(value, bool):
            return "must be true or false"
        case "domain_name" if value is not None and not re.fullmatch(_HOST, text):
            return "must be a lower-case host name or null"
    if name in _RANGES:
        low, high = _RANGES[name]
        number = isinstance(value, int if name in _WHOLE else (int, float)) and not isinstance(value, bool)
        if not number or not low <= value <= high:  # type: ignore[operator]
            return f"must be a {'whole ' if name in _WHOLE else ''}number from {low:g} to {high:g}"
    return None
