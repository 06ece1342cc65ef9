"""The example's static site on this machine: what differs from the deployed one, each with its reason, in one place.

* ``put`` uploads the files as ``cognito-edge site`` does for the deployed system, by the same table; a process of its own
  for that would take longer than all the rest of the start.
* ``admit_pages``: the app client also takes people back to the gateway's loopback address, which no template can know.
* ``with_local_login``: the pages' Content-Security-Policy names the local sign-in front in place of Cognito's domain.
"""

import dataclasses
import json
import re
from collections.abc import Mapping
from typing import Any

from cognito_edge_local.cloudfront.behaviors import DistributionView
from cognito_edge_local.launcher.places import CHECKOUT

from .deploy import DeployError

BUILT = CHECKOUT / "web" / "dist"
PLACEHOLDER = CHECKOUT / "infra" / "site_placeholder"
_SERVING = CHECKOUT / "scripts" / "cognito_edge_cli" / "site_serving.json"
_CONFIG_KEY = "config.json"

# UpdateUserPoolClient resets each of these that it is not told again.
_CLIENT_SETTINGS = (
    "AccessTokenValidity",
    "AllowedOAuthFlows",
    "AllowedOAuthFlowsUserPoolClient",
    "AllowedOAuthScopes",
    "CallbackURLs",
    "ClientName",
    "EnableTokenRevocation",
    "ExplicitAuthFlows",
    "IdTokenValidity",
    "LogoutURLs",
    "PreventUserExistenceErrors",
    "RefreshTokenValidity",
    "SupportedIdentityProviders",
    "TokenValidityUnits",
)


def put(s3: Any, bucket: str, config: Mapping[str, str | None]) -> str:
    """Put the built site, or the page that holds its place, and its ``config.json`` into the bucket.

    Args:
        s3: The emulator root's boto3 client.
        bucket: The site's bucket.
        config: What the pages have to know of their surroundings.

    Returns:
        What was put, in a few words.

    Raises:
        DeployError: A file is of a type that the table does not know.
    """
    serving = json.loads(_SERVING.read_bytes())
    folder = BUILT if (BUILT / "index.html").is_file() else PLACEHOLDER
    files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    unknown = sorted(key for key, path in files.items() if path.suffix not in serving["types"])
    if unknown:
        raise DeployError(
            f"{folder}: no content type is known for {', '.join(unknown)}; {_SERVING} names those that are."
        )
    contents = {key: path.read_bytes() for key, path in files.items()}
    contents[_CONFIG_KEY] = json.dumps(config, indent=1, sort_keys=True).encode() + b"\n"
    for key, content in contents.items():
        hashed = re.fullmatch(serving["hashed"], key)
        s3.put_object(
            Bucket=bucket,
            Key=key,
            Body=content,
            ContentType=serving["types"][f".{key.rpartition('.')[2]}"],
            CacheControl=serving["forever"] if hashed else serving["ask_first"],
        )
    return f"{len(contents)} files" + (" (web/dist has not been built: a placeholder)" if folder == PLACEHOLDER else "")


def admit_pages(cognito: Any, *, user_pool_id: str, client_id: str, gateway_url: str) -> None:
    """Let the app client send people back to the gateway's own address, after signing in and out."""
    which = {"UserPoolId": user_pool_id, "ClientId": client_id}
    found = cognito.describe_user_pool_client(**which)["UserPoolClient"]
    settings = {name: found[name] for name in _CLIENT_SETTINGS if found.get(name)}
    home = f"{gateway_url}/"
    for name in ("CallbackURLs", "LogoutURLs"):
        settings[name] = [*(url for url in settings.get(name, []) if url != home), home]
    cognito.update_user_pool_client(**which, **settings)


def with_local_login(view: DistributionView, *, deployed: str, local: str) -> DistributionView:
    """Return the distribution with the sign-in front's address where pages are told which login they may call.

    Args:
        view: As it was deployed.
        deployed: Base of the login in the template, ``https://<prefix>.auth.<region>.amazoncognito.com``; empty without one.
        local: Base of the sign-in front.
    """
    if not deployed:  # another project's stack, with a login of its own
        return view
    return dataclasses.replace(
        view,
        behaviors=tuple(
            dataclasses.replace(
                behavior, response_headers=_with_login(behavior.response_headers, deployed=deployed, local=local)
            )
            for behavior in view.behaviors
        ),
    )


def _with_login(policy: Mapping[str, Any] | None, *, deployed: str, local: str) -> Mapping[str, Any] | None:
    security = (policy or {}).get("SecurityHeadersConfig") or {}
    setting = security.get("ContentSecurityPolicy")
    if policy is None or not setting:
        return policy
    words = [local if word == deployed else word for word in setting["ContentSecurityPolicy"].split(" ")]
    words = [f"{local};" if word == f"{deployed};" else word for word in words]
    replaced = {**setting, "ContentSecurityPolicy": " ".join(words)}
    return {**policy, "SecurityHeadersConfig": {**security, "ContentSecurityPolicy": replaced}}
