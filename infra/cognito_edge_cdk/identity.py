"""A user pool, one public app client, and Cognito's managed login: what ``EdgeGateway`` makes if it gets no pool."""

from typing import Final

import aws_cdk as cdk
from aws_cdk import aws_cognito as cognito
from constructs import Construct

from .findings import acknowledge

CALLBACK_URLS: Final = (
    "http://localhost:8976/callback",
    "http://localhost:8977/callback",
    "http://127.0.0.1:8976/callback",
    "http://127.0.0.1:8977/callback",
)
"""Where ``cognito-edge token`` listens. Cognito compares whole URLs, and documents no wildcard for loopback ports."""

LOGOUT_URLS: Final = ("http://localhost:8976/",)


class Identity(Construct):
    """A user pool without self-sign-up, and one app client for people at a terminal.

    Attributes:
        user_pool: The pool; it is kept when the stack is deleted.
        client: The public client: authorisation code, PKCE, no secret.
        login_url: Base of the managed login, ``https://<prefix>.auth.<region>.amazoncognito.com``.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, login_prefix: str | None = None, branding: bool = True
    ) -> None:
        """Make the pool.

        Args:
            scope: The stack.
            construct_id: The id within *scope*.
            login_prefix: First label of the login's host name, unique in the region over all accounts; None makes one of
                the stack's own id.
            branding: Give the managed login Cognito's default style; a login without a style shows an error page. Say
                False if you add a style yourself, and for emulators that lack the resource type.
        """
        super().__init__(scope, construct_id)
        self.user_pool = self._user_pool()
        acknowledge(
            self.user_pool,
            {
                "AwsSolutions-COG2": "MFA (TOTP) is offered; a sample that demanded it could not be tried in one go",
                "AwsSolutions-COG8": "the PLUS plan is charged for every active user; ESSENTIALS has all that is used here",
            },
        )
        self.client = self._client()
        domain = self.user_pool.add_domain(
            "Login",
            cognito_domain=cognito.CognitoDomainOptions(domain_prefix=login_prefix or _unique_prefix()),
            managed_login_version=cognito.ManagedLoginVersion.NEWER_MANAGED_LOGIN,
        )
        self.login_url = domain.base_url()
        if branding:
            cognito.CfnManagedLoginBranding(
                self,
                "LoginBranding",
                user_pool_id=self.user_pool.user_pool_id,
                client_id=self.client.user_pool_client_id,
                use_cognito_provided_values=True,
            )

    def _user_pool(self) -> cognito.UserPool:
        return cognito.UserPool(
            self,
            "UserPool",
            # With self-sign-up, anyone could get a valid token.
            self_sign_up_enabled=False,
            sign_in_aliases=cognito.SignInAliases(username=True),
            sign_in_case_sensitive=False,
            standard_attributes=cognito.StandardAttributes(
                email=cognito.StandardAttribute(required=False, mutable=True)
            ),
            # A changed address counts once it is verified: the backend gets verified addresses only.
            auto_verify=cognito.AutoVerifiedAttrs(email=True),
            keep_original=cognito.KeepOriginalAttrs(email=True),
            account_recovery=cognito.AccountRecovery.EMAIL_ONLY,
            password_policy=cognito.PasswordPolicy(
                min_length=12,
                require_lowercase=True,
                require_uppercase=True,
                require_digits=True,
                require_symbols=True,
                temp_password_validity=cdk.Duration.days(3),
            ),
            # Optional, so that a sample works on the first try; a pool of real people should have Mfa.REQUIRED. Never by
            # text message, which costs money and falls to SIM swapping.
            mfa=cognito.Mfa.OPTIONAL,
            mfa_second_factor=cognito.MfaSecondFactor(sms=False, otp=True),
            # Managed login needs this plan, and new pools have it. Threat protection needs PLUS, which is charged for every
            # active user.
            feature_plan=cognito.FeaturePlan.ESSENTIALS,
            # Users and their passwords cannot be made again from this repository.
            removal_policy=cdk.RemovalPolicy.RETAIN,
        )

    def _client(self) -> cognito.UserPoolClient:
        return self.user_pool.add_client(
            "Client",
            # A program on a user's machine cannot keep a secret; PKCE takes its place (RFC 8252 section 8.5).
            generate_secret=False,
            auth_flows=cognito.AuthFlow(
                # Scripts and tests sign in without a browser. SRP does not send the password. USER_PASSWORD_AUTH sends it
                # inside TLS; tools other than ours use it.
                user_srp=True,
                user_password=True,
            ),
            o_auth=cognito.OAuthSettings(
                # Not the implicit grant, which puts tokens into URLs, histories and logs.
                flows=cognito.OAuthFlows(authorization_code_grant=True),
                scopes=[cognito.OAuthScope.OPENID, cognito.OAuthScope.EMAIL, cognito.OAuthScope.PROFILE],
                callback_urls=list(CALLBACK_URLS),
                logout_urls=list(LOGOUT_URLS),
            ),
            supported_identity_providers=[cognito.UserPoolClientIdentityProvider.COGNITO],
            prevent_user_existence_errors=True,
            enable_token_revocation=True,
            # The edge verifies offline and does not see a revocation: these bound how long a stolen token works.
            id_token_validity=cdk.Duration.hours(1),
            access_token_validity=cdk.Duration.hours(1),
            refresh_token_validity=cdk.Duration.days(30),
        )


def _unique_prefix() -> str:
    """Return a login prefix that no other stack has, made of the UUID in the stack's id.

    The account's number would be unique too, but has no place in a public address. Cognito refuses ``cognito``, ``aws`` and
    ``amazon`` in a prefix.
    """
    return f"edge-login-{cdk.Fn.select(2, cdk.Fn.split('/', cdk.Aws.STACK_ID))}"
