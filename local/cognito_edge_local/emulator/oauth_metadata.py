"""A named fake: the sign-in front's metadata, from which OAuth clients (MCP clients among them) learn how to sign in.

The emulator serves such a document, but with the issuer of its tokens, ``https://cognito-idp.<region>.amazonaws.com/…``. A client
has to refuse metadata of another issuer than the one that it asked (RFC 8414 §3.3), and to ask that one would lead off the
machine, to AWS. So the issuer here is the sign-in front itself, which serves all that the document names.

What Cognito does:

* It serves the document at ``https://cognito-idp.<region>.amazonaws.com/<pool>/.well-known/openid-configuration`` alone, not on
  the login domain; its issuer is the tokens' ``iss``, and its endpoints are on the login domain. The ``iss`` of tokens is
  Cognito's here too: OpenID Connect clients that compare it with the issuer refuse it. OAuth clients never read it, and the
  edge expects it.
* It has nothing at ``/.well-known/oauth-authorization-server`` (RFC 8414), where clients look first.
* It does not name ``code_challenge_methods_supported``, though PKCE works, and some MCP clients therefore refuse it. Neither does
  the fake: such a client should fail here, not only on AWS (anthropics/claude-code issue 13275, typescript-sdk issue 832).
* It offers no dynamic registration: a client id has to be given to the client beforehand.
"""

PATHS = frozenset({"/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"})
"""Where clients look for an issuer that has no path (RFC 8414 §3; OpenID Connect Discovery 1.0 §4)."""


def document(*, issuer: str, jwks_uri: str) -> dict[str, str | list[str]]:
    """Return the metadata.

    Args:
        issuer: The sign-in front's URL, exactly as clients are told it, without a slash at the end.
        jwks_uri: Where the emulator serves the pool's keys.

    >>> document(issuer="http://127.0.0.1:8081", jwks_uri="http://127.0.0.1:4566/p/.well-known/jwks.json")["token_endpoint"]
    'http://127.0.0.1:8081/oauth2/token'
    """
    return {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}/oauth2/authorize",
        "token_endpoint": f"{issuer}/oauth2/token",
        "userinfo_endpoint": f"{issuer}/oauth2/userInfo",
        "revocation_endpoint": f"{issuer}/oauth2/revoke",
        "end_session_endpoint": f"{issuer}/logout",
        "jwks_uri": jwks_uri,
        "response_types_supported": ["code", "token"],
        "scopes_supported": ["openid", "email", "phone", "profile"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
    }
