"""Fuzz the policy parser: any text is a policy or a PolicyError, and a policy decides every path without an accident.

Run: ``make fuzz``
"""

import json

from tests.fuzz.engine import CLIENT_ID, POOL_ID, expect, instrumented, run

with instrumented():
    from cognito_edge.errors import GatewayError
    from cognito_edge.parameters import ParametersError, parse_parameters
    from cognito_edge.policy import METHODS
    from cognito_edge.policy_document import PolicyError, parse_policy
    from cognito_edge.target import canonical_target

PATHS = ("/", "/admin", "/ADMIN/x", "/public/a%2Fb", "/a;b/", "/x%00", "/caf%C3%A9")

SEEDS = (
    b'{"version":1}',
    b'{"version":1,"routes":[{"path":"/public/*","allow":"anyone"},{"path":"/admin/*","methods":["GET"],"groups":["a"]}]}',
    b'{"version":1,"routes":[{"path":"/t/*","token_use":["access"],"scopes":["x/y"],"clients":["c"],"issuers":["eu-west-1_A"]}]}',
    b'{"version":1,"issuers":[{"user_pool_id":"eu-west-1_A","client_ids":["c"],"issuer":"https://x"}],"leeway_s":300}',
    b'{"version":1,"cors":{"allow_origins":["https://a.example"],"allow_headers":["authorization"],"max_age_s":600}}',
    b'{"version":1,"cut_off":{"issued_before":1,"signed_in_before":1,"sub":["x"],"origin_jti":["y"],"jti":["z"]}}',
)
WORDS = (
    *(f'"{word}"'.encode() for word in ("version", "routes", "path", "methods", "allow", "anyone", "groups", "scopes")),
    *(f'"{word}"'.encode() for word in ("token_use", "clients", "issuers", "user_pool_id", "client_ids", "issuer")),
    *(f'"{word}"'.encode() for word in ("cors", "allow_origins", "allow_headers", "max_age_s", "leeway_s", "cut_off")),
    *(f'"{word}"'.encode() for word in ("issued_before", "signed_in_before", "sub", "origin_jti", "jti", "GET", "id")),
    *(
        b'"/a/*"',
        b'"/*"',
        b"/..",
        b"//",
        b"{}",
        b"[]",
        b"null",
        b"true",
        b"1e9",
        b"-1",
        b"NaN",
        b"\\ud800",
        b"[[",
        b"]]",
    ),
)


def target(data: bytes) -> None:
    """Parse any bytes as the parameter's value."""
    text = data.decode("utf-8", "surrogateescape")
    try:
        policy = parse_policy(text)
    except ValueError as error:
        expect(isinstance(error, PolicyError) and str(error), error)
        return
    # What was accepted is strict JSON of version 1, within its limits.
    document = json.loads(text)
    assert document["version"] == 1
    assert 0 <= policy.leeway_s <= 300
    assert all(group.allow and set(group.allow) <= set(METHODS) for group in policy.rules)
    assert len({group.pattern for group in policy.rules}) == len(policy.rules)
    for group in policy.rules:
        for route in group.routes:
            assert route.anyone or route.token_use
            assert not (route.anyone and (route.groups or route.scopes or route.clients or route.issuers))
    # It decides about every path, and a rule for the path as written is found.
    for path in PATHS:
        try:
            policy.rules_for(canonical_target(path, "")).route_for("GET")
        except GatewayError as error:
            expect(error.status in (400, 405), error)
    # Together with the other parameters it is a configuration, or a ParametersError.
    try:
        parse_parameters({"user-pool-id": POOL_ID, "client-id": CLIENT_ID, "policy": text}, policy_required=True)
    except ParametersError as error:
        expect(str(error))


if __name__ == "__main__":
    run(target, SEEDS, WORDS)
