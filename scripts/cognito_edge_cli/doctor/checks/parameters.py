"""Checks of the doctor: parameters, policy, both clocks, the pools' keys, and the token, by the edge's own rules."""

import re
from collections.abc import Iterator
from typing import Final

from cognito_edge.errors import GatewayError, KeysUnavailableError
from cognito_edge.jwks import KeySet
from cognito_edge.jws import UnverifiedToken, parse_compact
from cognito_edge.log import hash_of
from cognito_edge.parameters import (
    CLIENT_ID,
    POLICY,
    USER_POOL_ID,
    Configuration,
    ParametersError,
    Pool,
    parse_parameters,
)
from cognito_edge.text import iso8601
from cognito_edge.verify import trusted_pool

from cognito_edge_cli.doctor.refusals import fix_for
from cognito_edge_cli.doctor.report import Probe, Verdict, failed, passed, unseen, warned
from cognito_edge_cli.doctor.system import System, UnseenError, moment
from cognito_edge_cli.policy.check import ADVANCED_BYTES, STANDARD_BYTES, Finding, Ids, Severity, check
from cognito_edge_cli.policy.trial import Trial, keys_of, try_request, url_of_keys

# A signature is good for five minutes either way; a minute is more than any machine with NTP is off.
_SKEW_WARN_S: Final = 60
_SKEW_FAIL_S: Final = 300
_MOST_REMARKS: Final = 6
# policy.size says that.
_IS_ABOUT_SIZE: Final = re.compile(r"the document has [\d,]+ bytes")


# --- parameters ---------------------------------------------------------------------------------------------------------


def _readable(system: System) -> Iterator[Verdict]:
    values, prefix = system.parameters.values, system.stack.parameter_prefix
    missing = [name for name in (USER_POOL_ID, CLIENT_ID, POLICY) if name not in values]
    for name in missing:
        if name == POLICY:
            fix = f"write one: {system.command('policy put FILE')}"
        else:
            value = system.stack.user_pool_id if name == USER_POOL_ID else system.stack.client_id
            fix = _put(system, name, value)
        yield failed(
            f"there is no {prefix}/{name} in {system.stack.parameter_region}. Edges keep what they read last for a day; new"
            " ones answer 503 configuration_unavailable",
            fix,
            subject=name,
        )
    if not missing:
        yield passed(f"all three below {prefix} in {system.stack.parameter_region}")


def _well_formed(system: System) -> Iterator[Verdict]:
    values = dict(system.parameters.values)
    values.pop(POLICY, None)
    if len(values) < 2:
        raise UnseenError(f"{USER_POOL_ID} or {CLIENT_ID} is not there", "see parameters.readable")
    try:
        parse_parameters(values, policy_required=False)
    except ParametersError as error:
        yield failed(
            f"{error}. Edges keep what they read last for a day; new ones answer 503 configuration_unavailable",
            f"{_put(system, USER_POOL_ID, system.stack.user_pool_id)}\n{_put(system, CLIENT_ID, system.stack.client_id)}",
        )
    else:
        clients = [part.strip() for part in values[CLIENT_ID].split(",")]
        yield passed(f"pool {values[USER_POOL_ID].strip()}, client{'s' * (len(clients) > 1)} {', '.join(clients)}")


def _own(system: System) -> Iterator[Verdict]:
    values, stack = system.parameters.values, system.stack
    pool_id = values.get(USER_POOL_ID, "").strip()
    clients = [part.strip() for part in values.get(CLIENT_ID, "").split(",")]
    right = True
    if USER_POOL_ID in values and pool_id != stack.user_pool_id:
        right = False
        yield failed(
            f"{USER_POOL_ID} is {pool_id[:80]!r}, and the stack's pool is {stack.user_pool_id}: tokens of its users are refused"
            " with wrong_issuer, and those of the other pool are let in",
            _put(system, USER_POOL_ID, stack.user_pool_id),
            subject=USER_POOL_ID,
        )
    if CLIENT_ID in values and stack.client_id not in clients:
        right = False
        yield failed(
            f"{CLIENT_ID} is {', '.join(clients)[:160]!r}, without the stack's client {stack.client_id}: tokens issued to it"
            " are refused with wrong_client",
            _put(system, CLIENT_ID, stack.client_id),
            subject=CLIENT_ID,
        )
    if right:
        yield passed(f"{stack.user_pool_id} and {stack.client_id}")


def _put(system: System, name: str, value: str) -> str:
    """Return the command that writes one of the ids as the stack's outputs have it."""
    command = (
        f"ssm put-parameter --overwrite --type String --name {system.stack.parameter_prefix}/{name} --value {value}"
    )
    return system.aws(command, system.stack.parameter_region)


# --- policy -------------------------------------------------------------------------------------------------------------


def _policy(system: System) -> str:
    text = system.parameters.values.get(POLICY)
    if text is None:
        raise UnseenError("there is no policy to look at", "see parameters.readable")
    return text


def _findings(system: System) -> list[Finding]:
    values = system.parameters.values
    ids = Ids(values[USER_POOL_ID], values[CLIENT_ID]) if {USER_POOL_ID, CLIENT_ID} <= set(values) else None
    try:
        if ids is not None:
            parse_parameters({USER_POOL_ID: ids.user_pool_id, CLIENT_ID: ids.client_id}, policy_required=False)
    except ParametersError:
        ids = None  # said by parameters.well-formed; the policy is not to be blamed for it
    return check(_policy(system), ids, now=system.now)


def _policy_valid(system: System) -> Iterator[Verdict]:
    broken = [f for f in _findings(system) if f.severity is Severity.BROKEN and not _IS_ABOUT_SIZE.match(f.message)]
    if broken:
        shown = "\n".join(finding.shown(POLICY) for finding in broken[:_MOST_REMARKS])
        yield failed(
            f"{shown}\nEdges go on with the last good one for a day; new ones answer 503 configuration_unavailable",
            f"go back: {system.command('policy revert')}\nor mend it: {system.command('policy show')} > policy.json,"
            f" edit, {system.command('policy put policy.json')}",
        )
    else:
        yield passed("the edge's own parser takes it")


def _policy_size(system: System) -> Iterator[Verdict]:
    size = len(_policy(system).encode())
    fix = f"shorten it (merge rules of the same path), then {system.command('policy put policy.json --compact')}"
    if size > ADVANCED_BYTES:
        yield failed(f"{size:,} bytes, more than the {ADVANCED_BYTES:,} that SSM takes in any parameter", fix)
    elif size > STANDARD_BYTES * 9 // 10 and (size <= STANDARD_BYTES or size > ADVANCED_BYTES * 9 // 10):
        limit = STANDARD_BYTES if size <= STANDARD_BYTES else ADVANCED_BYTES
        yield warned(f"{size:,} of {limit:,} bytes: the next rules, or cut-offs, may not fit", fix)
    else:
        yield passed(f"{size:,} bytes" + (" (an advanced parameter)" if size > STANDARD_BYTES else ""))


def _policy_rules(system: System) -> Iterator[Verdict]:
    findings = _findings(system)
    if any(finding.severity is Severity.BROKEN for finding in findings):
        raise UnseenError("the policy is broken", "see policy.valid and policy.size")
    findings = [finding for finding in findings if not _IS_ABOUT_SIZE.match(finding.message)]
    edit = f"{system.command('policy show')} > policy.json, edit, {system.command('policy put policy.json')}"
    for finding in findings[:_MOST_REMARKS]:
        say = failed if finding.severity is Severity.MISTAKE else warned
        yield say(finding.message, f"if that is not meant: {edit}", subject=finding.field)
    if more := findings[_MOST_REMARKS:]:
        yield warned(
            f"{len(more)} further remarks",
            f"{system.command('policy show')} > policy.json; {system.command('policy check policy.json')}",
        )
    if not findings:
        yield passed("every rule applies, and no path is public")


# --- clocks -------------------------------------------------------------------------------------------------------------


def _clock_here(system: System) -> Iterator[Verdict]:
    ahead_s = system.aws_ahead_s
    if ahead_s is None:
        raise UnseenError("AWS's answer has no Date header", "compare `date -u` with https://time.gov")
    yield _skew(
        -ahead_s,
        "this machine's clock",
        "set it: `sudo timedatectl set-ntp true` (Linux), `sudo sntp -sS time.apple.com` (macOS); until then AWS refuses your"
        " commands' signatures",
    )


def _clock_edge(system: System) -> Iterator[Verdict]:
    """Compare the time that the local edge writes into its log; AWS sets its own clocks."""
    if not system.stack.is_local:
        return
    line = system.log_line(system.call_gateway(with_token=False).request_id)
    if not line:
        raise UnseenError("the edge has logged nothing of the call", "see gateway.missing-token and logs.regions")
    off_s = moment(str(line.get("time", ""))) - system.clock()
    yield _skew(
        off_s if abs(off_s) > 15 else 0.0,  # the call has taken a while
        "the edge's clock",
        "cognito-edge fault clock 0",
    )


def _skew(off_s: float, whose: str, fix: str) -> Verdict:
    way = "fast" if off_s > 0 else "slow"
    if abs(off_s) > _SKEW_FAIL_S:
        return failed(f"{whose} is {abs(off_s):.0f} s {way}: signatures are refused beyond 300 s", fix)
    if abs(off_s) > _SKEW_WARN_S:
        return warned(f"{whose} is {abs(off_s):.0f} s {way}: signatures are refused beyond 300 s", fix)
    return passed(f"{whose} agrees with AWS's to {max(1.0, abs(off_s)):.0f} s")


# --- keys ---------------------------------------------------------------------------------------------------------------


def configuration_of(system: System) -> Configuration:
    """Return what the edge would make of the parameters.

    Raises:
        UnseenError: They are broken.
    """
    try:
        return parse_parameters(system.parameters.values, policy_required=True)
    except ParametersError:
        raise UnseenError("the parameters are broken", "see parameters.* and policy.*") from None


def _configuration_without_policy(system: System) -> Configuration:
    """Return the same, with the gateway's own pool alone where the policy is broken: its keys can still be looked at."""
    try:
        return configuration_of(system)
    except UnseenError:
        ids = {name: value for name, value in system.parameters.values.items() if name != POLICY}
        try:
            return parse_parameters(ids, policy_required=False)
        except ParametersError:
            raise UnseenError(
                "the parameters do not say which pool", "see parameters.readable and parameters.well-formed"
            ) from None


def keys_once(system: System, pool: Pool) -> KeySet:
    """Read a pool's keys, once.

    Raises:
        KeysUnavailableError: They cannot be read.
    """
    return system.once(f"keys {pool.pool_id}", lambda: keys_of(system.stack, pool))


def _keys_readable(system: System) -> Iterator[Verdict]:
    configuration = _configuration_without_policy(system)
    for pool in {pool.pool_id: pool for pool in configuration.pools_by_issuer.values()}.values():
        try:
            count = len(keys_once(system, pool))
        except KeysUnavailableError as error:
            yield failed(
                f"{error}",
                f"does the pool exist? curl -sS {url_of_keys(system.stack, pool)}\nEdges go on with the keys"
                " that they have for a day; new ones answer 503 keys_unavailable",
                subject=pool.pool_id,
            )
        else:
            yield passed(
                f"{count} usable RSA key{'s' * (count != 1)}; trusted issuer: {' or '.join(sorted(pool.issuers))}",
                subject=pool.pool_id,
            )


def _parsed(system: System) -> UnverifiedToken:
    try:
        return parse_compact(system.token)
    except GatewayError as error:
        raise UnseenError(str(error), "see token.judged") from None


def _keys_kid(system: System) -> Iterator[Verdict]:
    token = _parsed(system)
    try:
        pool = trusted_pool(token, _configuration_without_policy(system))
        keys = keys_once(system, pool)
    except KeysUnavailableError:
        raise UnseenError("the keys cannot be read", "see keys.readable") from None
    except GatewayError as error:
        raise UnseenError(str(error), "see token.judged") from None
    if keys.get(token.kid) is None:
        yield failed(
            f"{pool.pool_id} publishes {len(keys)} usable keys, and none has the kid {token.kid[:80]!r}: the keys were rotated"
            " after the token was made, or the pool was made anew",
            f"take a new token: {system.command('token --force')}",
        )
    else:
        yield passed(f"{pool.pool_id} publishes the key {token.kid[:80]!r}")


# --- token --------------------------------------------------------------------------------------------------------------


def _token_present(system: System) -> Iterator[Verdict]:
    try:
        token = parse_compact(system.token)
    except GatewayError as error:
        yield failed(f"{error.code}: {error}", fix_for(error.code))
        return
    claims = token.claims
    who = f"user {hash_of(sub)}" if isinstance(sub := claims.get("sub"), str) else "an unknown user (no sub)"
    exp = claims.get("exp")
    until = f", until {iso8601(exp)}" if type(exp) is int and 0 <= exp < 253_402_300_800 else ""
    use = claims.get("token_use")
    yield passed(f"{use if use in ('id', 'access') else 'unknown'} token of {who} (hashed, as in the log){until}")


def trial_of(system: System, token: str | None) -> Trial:
    """Judge a GET of the doctor's path here, by the parameters as they are now."""
    configuration = configuration_of(system)
    return system.once(
        f"trial {token is not None}",
        lambda: try_request(
            configuration,
            method="GET",
            target=system.path,
            token=token,
            keys=lambda pool: keys_once(system, pool),
            origin=None,
            now=system.now,
        ),
    )


def _token_judged(system: System) -> Iterator[Verdict]:
    trial = trial_of(system, system.token)
    rule = f"rule {trial.rule}" if trial.rule else "before any rule"
    if trial.code is not None:
        yield failed(f"{trial.status} {trial.code} ({rule}): {trial.detail}", fix_for(trial.code))
    elif ignored := trial.log.get("ignored_token"):
        yield warned(
            f"let in without an identity: {rule} is public, and the token does not count ({ignored})",
            fix_for(str(ignored)),
        )
    elif trial.status is not None:
        yield unseen(f"GET {system.path} is answered by the edge itself", "choose another path with --path")
    else:
        yield passed(f"GET {system.path} is allowed ({rule})")


PROBES: Final = (
    Probe("parameters.readable", "the parameters user-pool-id, client-id and policy", _readable),
    Probe("parameters.well-formed", "a user pool id, and one app client id or several joined by ','", _well_formed),
    Probe("parameters.own", "the stack's own user pool and app client", _own),
    Probe("policy.valid", "a policy document that the edge takes", _policy_valid),
    Probe(
        "policy.size", f"at most {STANDARD_BYTES:,} bytes, or {ADVANCED_BYTES:,} in an advanced parameter", _policy_size
    ),
    Probe("policy.rules", "rules that all apply, and no path that is open to anyone", _policy_rules),
    Probe("clock.here", "this machine's clock within a minute of AWS's", _clock_here),
    Probe("clock.edge", "the edge's clock within a minute of AWS's", _clock_edge),
    Probe("keys.readable", "a key set with at least one usable RSA key, for each trusted pool", _keys_readable),
    Probe("keys.kid", "the key that the token names, among those of its pool", _keys_kid),
    Probe("token.present", "a token to look at", _token_present),
    Probe("token.judged", "a token that the rule for this path lets in", _token_judged),
)
