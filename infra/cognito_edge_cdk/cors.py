"""CORS headers on the backend's answers, as a CloudFront response headers policy."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import aws_cdk as cdk
from aws_cdk import aws_cloudfront as cloudfront
from constructs import Construct

_ORIGIN = re.compile(r"https://[a-z0-9.-]+(?::[0-9]{1,5})?|http://(?:localhost|127\.0\.0\.1|\[::1\])(?::[0-9]{1,5})?")

# CloudFront's "ALL" means these seven; spelt out, the template says what a browser is told.
_METHODS: Final = ("GET", "HEAD", "OPTIONS", "PUT", "PATCH", "POST", "DELETE")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cors:
    """Which pages of other origins may read the functions' answers.

    Write the same origins into the policy's ``cors``. The policy governs preflights and refusals, which the edge function
    answers itself, and can change without a deployment.

    Attributes:
        allow_origins: Origins such as ``https://app.example.com``; plain HTTP for loopback hosts only; no wildcard.
        allow_headers: Request headers that a page may send.
        expose_headers: Response headers that a page may read beyond the few that it always may.
        max_age_s: Seconds for which a browser may keep a preflight's answer.
    """

    allow_origins: Sequence[str]
    allow_headers: Sequence[str] = ("authorization", "content-type")
    expose_headers: Sequence[str] = ("www-authenticate",)
    max_age_s: int = 600

    def __post_init__(self) -> None:
        """Refuse origins that no browser sends, and wildcards, which would open the API to every page.

        Raises:
            ValueError: The list is empty, or an entry is not an origin.
        """
        if isinstance(self.allow_origins, str) or not self.allow_origins:
            raise ValueError(
                "cors: allow_origins is a list of at least one origin, such as ['https://app.example.com']"
            )
        for origin in self.allow_origins:
            if not _ORIGIN.fullmatch(origin):
                raise ValueError(
                    f"cors: {origin!r} is no origin that can be allowed: expected https://host[:port] in lower case, or "
                    "http://localhost[:port]; no path, no slash at the end, no wildcard"
                )


def response_headers_policy(scope: Construct, construct_id: str, cors: Cors) -> cloudfront.ResponseHeadersPolicy:
    """Make the response headers policy.

    Args:
        scope: The gateway.
        construct_id: The id within *scope*.
        cors: The origins that it admits, and what their pages may do.
    """
    return cloudfront.ResponseHeadersPolicy(
        scope,
        construct_id,
        comment="CORS of the functions behind the gateway",
        cors_behavior=cloudfront.ResponseHeadersCorsBehavior(
            # A page sets the header with the token itself. Cookies would ride along with any page's requests.
            access_control_allow_credentials=False,
            access_control_allow_headers=list(cors.allow_headers),
            access_control_allow_methods=list(_METHODS),
            access_control_allow_origins=list(cors.allow_origins),
            access_control_expose_headers=list(cors.expose_headers) or None,
            access_control_max_age=cdk.Duration.seconds(cors.max_age_s),
            # Browsers refuse a header that comes twice, as it would if the function added it too.
            origin_override=True,
        ),
        custom_headers_behavior=cloudfront.ResponseCustomHeadersBehavior(
            custom_headers=[
                # The answer names the origin that asked; a browser's cache must not hand it to another origin's page.
                cloudfront.ResponseCustomHeader(header="Vary", value="Origin", override=True)
            ]
        ),
    )
