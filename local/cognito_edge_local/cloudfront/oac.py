"""CloudFront's origin access control for function URLs and buckets: signs a request at the end, as the distribution.

Written from public captures of what arrives at functions: an assumed role in an account of AWS's own, ``x-amz-source-arn``
and ``x-amz-source-account`` beside the usual four headers, the viewer's ``Authorization`` replaced. The signature is
botocore's; nothing is shared with the signer in ``edge/``.

The signature for a bucket is S3's: a scope of its own, and a path that is not encoded a second time.

Source: https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/private-content-restricting-access-to-lambda.html
and …/private-content-restricting-access-to-s3.html
"""

import hashlib
import re
import secrets
from typing import Final
from urllib.parse import urlsplit

from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from cognito_edge_local.origins.principals import Credential

from .forwarding import Header, OriginRequest

SERVICE: Final = "cloudfront.amazonaws.com"
_ACCOUNT_ID: Final = "444455556666"  # stands for AWS's own, whichever it is
_ROLE: Final = "OriginAccessControlRole"
_SESSION: Final = "OriginAccessSession"

_S3_HOST: Final = re.compile(r".+\.s3\.([a-z0-9-]+)\.amazonaws\.com")

_EMPTY_SHA256: Final = hashlib.sha256(b"").hexdigest()
_REPLACED: Final = frozenset(
    {b"authorization", b"x-amz-date", b"x-amz-security-token", b"x-amz-source-arn", b"x-amz-source-account"}
)


class OriginAccessSigner:
    """Signs for one distribution, with credentials that are new in every run and known to the doors alone.

    Attributes:
        credential: What a door has to know to recognise it.
    """

    def __init__(self, *, distribution_id: str, account_id: str) -> None:
        """Make up credentials.

        Args:
            distribution_id: Of the distribution on whose behalf requests are signed.
            account_id: Its owner's account.
        """
        self._distribution_arn = f"arn:aws:cloudfront::{account_id}:distribution/{distribution_id}"
        self._account_id = account_id
        self.credential = Credential(
            access_key_id=f"ASIA{secrets.token_hex(8).upper()}",
            secret_access_key=secrets.token_urlsafe(30),
            session_token=secrets.token_urlsafe(60),
            principal_arn=f"arn:aws:sts::{_ACCOUNT_ID}:assumed-role/{_ROLE}/{_SESSION}",
            role_name=_ROLE,
            account_id=_ACCOUNT_ID,
            service=SERVICE,
        )

    def __call__(self, request: OriginRequest, headers: list[Header]) -> list[Header]:
        """Return the headers with the signature and what belongs to it, in place of any that were there.

        Args:
            request: What is about to be sent; its target is signed as it stands.
            headers: Everything that goes to the origin.
        """
        by_name = {name.lower(): value.decode("latin-1") for name, value in headers}
        signed = AWSRequest(
            method=request.method,
            url=f"https://{request.origin.domain_name}{request.target.decode('latin-1')}",
            headers={
                "Host": by_name.get(b"host", request.origin.domain_name),
                # "Lambda doesn't support unsigned payloads": CloudFront never sees the whole body, so the caller has
                # to say its hash. Without one, only an empty body matches.
                "X-Amz-Content-SHA256": by_name.get(b"x-amz-content-sha256", _EMPTY_SHA256),
                "X-Amz-Source-Arn": self._distribution_arn,
                "X-Amz-Source-Account": self._account_id,
            },
        )
        credential = self.credential
        keys = Credentials(credential.access_key_id, credential.secret_access_key, credential.session_token)
        domain = request.origin.domain_name
        signer = (
            S3SigV4Auth(keys, "s3", bucket_region(domain))
            if request.origin.kind == "s3"
            else SigV4Auth(keys, "lambda", _region(domain))
        )
        signer.add_auth(signed)
        added = [(name.encode(), str(value).encode()) for name, value in signed.headers.items() if name != "Host"]
        replaced = _REPLACED | {name.lower() for name, _ in added}
        return [*(header for header in headers if header[0].lower() not in replaced), *added]


def _region(host: str) -> str:
    """Return the region of a function URL's host: its third label."""
    labels = (urlsplit(f"//{host}").hostname or "").split(".")
    return labels[2] if len(labels) > 2 else ""


def bucket_region(host: str) -> str:
    """Return the region of a bucket's regional host; CloudFront wants that one, since the global one redirects.

    >>> bucket_region("my.bucket.s3.eu-west-1.amazonaws.com")
    'eu-west-1'
    """
    match = _S3_HOST.fullmatch(host)
    return match[1] if match else ""
