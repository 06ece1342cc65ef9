"""A public static site beside the functions: a bucket that CloudFront alone reads, and security headers for its pages."""

from collections.abc import Sequence

import aws_cdk as cdk
from aws_cdk import aws_cloudfront as cloudfront
from aws_cdk import aws_cloudfront_origins as origins
from aws_cdk import aws_s3 as s3
from constructs import Construct

from .findings import acknowledge


class Site(Construct):
    """The bucket and the response headers policy of a public site; give it to ``EdgeGateway(site=…)``.

    A browser that navigates sends no ``Authorization`` header, so the edge function could verify nothing: keep what is not
    public behind the API (``docs/example.md``). ``cognito-edge site`` puts the files into the bucket; CloudFormation does not.

    Attributes:
        bucket: The site's files.
        headers: The headers that every answer gets.
    """

    def __init__(self, scope: Construct, construct_id: str, *, connect_to: Sequence[str] = ()) -> None:
        """Make bucket and policy.

        Args:
            scope: A stack in us-east-1, or a construct in one.
            construct_id: The id within *scope*.
            connect_to: Origins that the pages may call besides their own, such as ``https://login.example.com``.
        """
        super().__init__(scope, construct_id)
        self.bucket = s3.Bucket(
            self,
            "Bucket",
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            encryption=s3.BucketEncryption.S3_MANAGED,
            enforce_ssl=True,
            # The content can be built again. CloudFormation deletes empty buckets only, so ``make destroy`` empties this one
            # first. (CDK's own way is one more function, which emulators cannot run.)
            removal_policy=cdk.RemovalPolicy.DESTROY,
        )
        acknowledge(
            self.bucket,
            {"AwsSolutions-S1": "CloudFront is the only reader, of files that are public; its own logs are opt-in"},
        )
        self.headers = cloudfront.ResponseHeadersPolicy(
            self,
            "Headers",
            comment="Security headers of the public site",
            security_headers_behavior=cloudfront.ResponseSecurityHeadersBehavior(
                content_security_policy=cloudfront.ResponseHeadersContentSecurityPolicy(
                    content_security_policy=content_security_policy(connect_to), override=True
                ),
                content_type_options=cloudfront.ResponseHeadersContentTypeOptions(override=True),
                frame_options=cloudfront.ResponseHeadersFrameOptions(
                    frame_option=cloudfront.HeadersFrameOption.DENY, override=True
                ),
                # After a sign-in the page's URL holds an authorisation code, which other sites need not see.
                referrer_policy=cloudfront.ResponseHeadersReferrerPolicy(
                    referrer_policy=cloudfront.HeadersReferrerPolicy.NO_REFERRER, override=True
                ),
                # Without includeSubDomains, which would also bind other hosts of a custom domain.
                strict_transport_security=cloudfront.ResponseHeadersStrictTransportSecurity(
                    access_control_max_age=cdk.Duration.days(365), override=True
                ),
            ),
            custom_headers_behavior=cloudfront.ResponseCustomHeadersBehavior(
                custom_headers=[
                    # A page that opens this one, or is opened by it, gets no handle on its window.
                    cloudfront.ResponseCustomHeader(
                        header="Cross-Origin-Opener-Policy", value="same-origin", override=True
                    ),
                    cloudfront.ResponseCustomHeader(
                        header="Permissions-Policy",
                        value="camera=(), geolocation=(), microphone=(), payment=(), usb=()",
                        override=True,
                    ),
                ]
            ),
        )

    def behavior(self) -> cloudfront.BehaviorOptions:
        """Return the site's behavior; its distribution, and no other, gets access to the bucket."""
        return cloudfront.BehaviorOptions(
            origin=origins.S3BucketOrigin.with_origin_access_control(self.bucket),
            # The cache key is the path; each file's Cache-Control says how long it is kept (``cognito-edge site``).
            cache_policy=cloudfront.CachePolicy.CACHING_OPTIMIZED,
            response_headers_policy=self.headers,
            allowed_methods=cloudfront.AllowedMethods.ALLOW_GET_HEAD,
            # People type addresses without a scheme. The API does not redirect, because its requests carry tokens.
            viewer_protocol_policy=cloudfront.ViewerProtocolPolicy.REDIRECT_TO_HTTPS,
            compress=True,
        )


def content_security_policy(connect_to: Sequence[str]) -> str:
    """Return the policy of a page that loads its own files only, and talks to its own origin and *connect_to*."""
    allowed = " ".join(["'self'", *connect_to])
    directives = (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        f"connect-src {allowed}",
        "form-action 'none'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
    return "; ".join(directives)
