"""The three SSM parameters -> the configuration that requests are judged by (contract C5)."""

from collections.abc import Mapping
from typing import NamedTuple

from .policy import Policy
from .policy_document import PolicyError, is_client_id, is_pool_id, parse_policy

USER_POOL_ID = "user-pool-id"
CLIENT_ID = "client-id"
POLICY = "policy"
NAMES = (USER_POOL_ID, CLIENT_ID, POLICY)


class ParametersError(ValueError):
    """The parameters are wrong; the message names every fault at once and goes to the log alone."""


class Pool(NamedTuple):
    """A user pool whose tokens are trusted.

    Attributes:
        pool_id: For example ``eu-west-1_AbCdEfGhI``.
        region: Where its keys are published.
        issuers: The spellings of ``iss`` it may use.
        client_ids: Its app clients that may call.
    """

    pool_id: str
    region: str
    issuers: frozenset[str]
    client_ids: frozenset[str]


class Configuration(NamedTuple):
    """Everything that can change without a new version of the function.

    Attributes:
        pool: The gateway's own pool.
        pools_by_issuer: Every trusted pool by each of its issuers.
        policy: Who may do what.
        source: The parameter values it was made from.
    """

    pool: Pool
    pools_by_issuer: Mapping[str, Pool]
    policy: Policy
    source: Mapping[str, str]


def parse_parameters(values: Mapping[str, str], *, policy_required: bool) -> Configuration:
    """Build the configuration from the parameters' values.

    Args:
        values: By name without prefix; absent parameters are absent.
        policy_required: An absent policy is a broken one. Otherwise a deleted parameter would turn every rule and
            cut-off into "any ID token".

    Raises:
        ParametersError: Naming every fault at once.
    """
    faults = []
    pool_id = values.get(USER_POOL_ID, "").strip()
    if not is_pool_id(pool_id):
        faults.append(f"{USER_POOL_ID}: must be a user pool id such as us-east-1_AbCdEfGhI, not {pool_id[:80]!r}")
    client_ids = frozenset(part.strip() for part in values.get(CLIENT_ID, "").split(","))
    if not all(is_client_id(client_id) for client_id in client_ids):
        faults.append(f"{CLIENT_ID}: must be an app client id or several joined by ',', not {values.get(CLIENT_ID)!r}")
    policy = Policy()
    try:
        if POLICY in values:
            policy = parse_policy(values[POLICY])
        elif policy_required:
            faults.append(f"{POLICY}: required, and absent; put the parameter back")
    except PolicyError as error:
        faults.append(f"{POLICY}: {error}")
    if faults:
        raise ParametersError("; ".join(faults))

    pools = _pools(pool_id, client_ids, policy)
    pools_by_issuer = {issuer: pool for pool in pools for issuer in pool.issuers}
    if len(pools_by_issuer) < sum(len(pool.issuers) for pool in pools):
        raise ParametersError(
            f"{POLICY}: issuers: two pools have the same issuer, so that one could speak for the other"
        )
    _check_issuers_of_routes(policy, pools)
    return Configuration(pools[0], pools_by_issuer, policy, dict(values))


def _pools(pool_id: str, client_ids: frozenset[str], policy: Policy) -> list[Pool]:
    """Return every trusted pool, the gateway's own first."""
    entries = {entry.pool_id: entry for entry in policy.issuers}
    own = entries.pop(pool_id, None)
    pools = [_pool(pool_id, client_ids | (own.client_ids if own else frozenset()), own.issuer if own else None)]
    return pools + [_pool(entry.pool_id, entry.client_ids, entry.issuer) for entry in entries.values()]


def _pool(pool_id: str, client_ids: frozenset[str], issuer: str | None) -> Pool:
    region = pool_id.partition("_")[0]
    # Cognito's two issuer types, ORIGINAL and UPDATED; a pool uses one of them, and may be switched.
    both = frozenset(
        {
            f"https://cognito-idp.{region}.amazonaws.com/{pool_id}",
            f"https://issuer-cognito-idp.{region}.amazonaws.com/{pool_id}",
        }
    )
    return Pool(pool_id, region, frozenset({issuer}) if issuer else both, client_ids)


def _check_issuers_of_routes(policy: Policy, pools: list[Pool]) -> None:
    known = {name for pool in pools for name in (pool.pool_id, *pool.issuers)}
    faults = [
        f"{route.name}: issuers: {name!r} is no user_pool_id or issuer of this gateway; those are {', '.join(sorted(known))}"
        for rules in policy.rules
        for route in rules.routes
        for name in sorted(route.issuers or ())
        if name not in known
    ]
    if faults:
        raise ParametersError(f"{POLICY}: " + "; ".join(faults))
