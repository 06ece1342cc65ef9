"""A gateway under a policy of the test's choice, with two user pools at hand and no socket, and its answers in one word."""

import json
from functools import cache

from . import policy_oracle
from .events import is_forwarded, problem_of
from .gateways import System, make_offline_system
from .keys_and_tokens import NOW, Pool, compact
from .policy_oracle import Ask

OWN = Pool()
SECOND_CLIENT = "2example23456789client"
PARTNER = Pool(pool_id="us-east-1_Partner01", client_id="1partner23456789client")
STRANGER = Pool(pool_id="us-east-1_Stranger1", client_id="1stranger2345678client")
POOLS = {pool.pool_id: pool for pool in (OWN, PARTNER, STRANGER)}
PARTNER_ENTRY = {"user_pool_id": PARTNER.pool_id, "client_ids": [PARTNER.client_id]}
NAIVE_POOL = policy_oracle.Pool(OWN.pool_id, (OWN.client_id, SECOND_CLIENT))


def gateway_under(policy: dict | None, **settings: object) -> System:
    """Build a gateway whose parameters and keys are at hand; ``version`` is filled in."""
    document = None if policy is None else {"version": 1, **policy}
    return make_offline_system(
        document, pools=tuple(POOLS.values()), client_ids=(OWN.client_id, SECOND_CLIENT), **settings
    )


def token_of(claims: dict) -> str:
    """Sign claims with the right key of the pool that their ``iss`` names."""
    return _signed(json.dumps(claims, sort_keys=True))


@cache
def _signed(claims: str) -> str:
    fields = json.loads(claims)
    pool = POOLS[fields["iss"].rpartition("/")[2]]
    kid = pool.id_kid if fields.get("token_use") == "id" else pool.access_kid
    return compact(pool.key(kid), {"kid": kid, "alg": "RS256"}, fields)


def outcome(system: System, ask: Ask) -> str:
    """Return "allowed" (sent on, or a preflight's 204) or the code of the refusal."""
    token = token_of(ask.claims) if ask.claims is not None else None
    return word_for(system(method=ask.method, uri=ask.path, token=token, headers=dict(ask.headers)))


def word_for(result: dict) -> str:
    """Return "allowed" or the code of the refusal."""
    return "allowed" if is_forwarded(result) or result["status"] == "204" else problem_of(result)["code"]


def naive_reasons(policy: dict | None, ask: Ask) -> frozenset[str]:
    """Ask the independent reading of the policy document."""
    return policy_oracle.reasons(policy, ask, pool=NAIVE_POOL, now=NOW)


def disagreement(system: System, ask: Ask, reasons: frozenset[str]) -> str | None:
    """Say how the edge and the naive reading, which has these reasons, differ about one request, or None."""
    got = outcome(system, ask)
    if got == ("allowed" if not reasons else got) and (not reasons or got in reasons):
        return None
    return f"{ask.method} {ask.path}: the edge says {got}, the oracle {sorted(reasons) or 'allowed'}"
