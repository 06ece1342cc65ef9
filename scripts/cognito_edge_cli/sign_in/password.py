"""Sign in with name and password through Cognito's API: SRP, or the plain password where SRP is switched off.

Source: Amazon Cognito API, InitiateAuth and RespondToAuthChallenge.
"""

import json
import secrets
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from botocore.exceptions import ClientError

from cognito_edge_cli.console import RefusedError, ScriptError, aws_code, aws_message, say
from cognito_edge_cli.stack import Stack, sign_in_client

from .id_token import published_keys, validate
from .srp import EXPONENT_BYTES, SrpClient, SrpError, cognito_timestamp
from .token_cache import Tokens

if TYPE_CHECKING:
    from mypy_boto3_cognito_idp import CognitoIdentityProviderClient

VIA = "api"
# Password, new password, choice of factor, code, and one more of each kind: no honest pool asks more.
MAX_CHALLENGES = 8
MAX_ATTEMPTS = 3

# The challenges that a typed code answers; Cognito names the parameter after the challenge.
_CODES = {
    "SMS_MFA": "Code from the text message",
    "SMS_OTP": "Code from the text message",
    "EMAIL_MFA": "Code from the e-mail",
    "EMAIL_OTP": "Code from the e-mail",
    "SOFTWARE_TOKEN_MFA": "Code from the authenticator app",
}
_REFUSALS = frozenset(
    {
        "NotAuthorizedException",
        "UserNotFoundException",
        "UserNotConfirmedException",
        "PasswordResetRequiredException",
        "CodeMismatchException",
        "ExpiredCodeException",
        "InvalidPasswordException",
        "PasswordHistoryPolicyViolationException",
        "InvalidParameterException",
        "RefreshTokenReuseException",
    }
)


class Asks(Protocol):
    """Gets an answer from whoever signs in; ``cognito_edge_cli.console.Questions`` is the real one."""

    def new_secret(self, prompt: str) -> str:
        """Return a new secret, confirmed."""

    def text(self, prompt: str) -> str:
        """Return what is typed."""


def sign_in(stack: Stack, username: str, password: str, *, questions: Asks, clock: Callable[[], float]) -> Tokens:
    """Return the tokens of *username*, after whatever challenges the pool has for them.

    Args:
        stack: Whose pool and client.
        username: The user's name, or an alias of it.
        password: Their password, a temporary one included.
        questions: Who answers the challenges.
        clock: Epoch seconds.

    Raises:
        RefusedError: Cognito said no: wrong password, wrong code, disabled user, …
        ScriptError: It asks for something that only the hosted UI can do, or the tokens are not for us.
    """
    client = sign_in_client(stack)
    answer = _with_srp(client, stack, username, password, clock)
    if answer is None:
        say("note: this app client does not allow SRP; the password goes to Cognito itself, inside TLS.")
        answer = _with_plain_password(client, stack, username, password)
    result = _answer_challenges(client, stack, username, answer, questions)
    tokens = _tokens(result, refresh_token=None, label=username)
    validate(tokens, published_keys(stack, tokens), stack, nonce=None, now=clock())
    return tokens


def refresh(stack: Stack, tokens: Tokens) -> Tokens:
    """Return new tokens for the ones whose refresh token is in *tokens*.

    GetTokensFromRefreshToken works whether the client's refresh tokens rotate or not; REFRESH_TOKEN_AUTH does not.

    Raises:
        RefusedError: It is expired, revoked, or was used before (where they rotate).
    """
    client = sign_in_client(stack)
    try:
        answer = client.get_tokens_from_refresh_token(RefreshToken=tokens.refresh_token or "", ClientId=stack.client_id)
    except ClientError as error:
        raise _refusal(error) from None
    return _tokens(answer.get("AuthenticationResult", {}), refresh_token=tokens.refresh_token, label=tokens.label)


def _with_srp(
    client: "CognitoIdentityProviderClient",
    stack: Stack,
    username: str,
    password: str,
    clock: Callable[[], float],
) -> Mapping[str, Any] | None:
    """Return Cognito's answer to the password's proof; None if the app client does not allow SRP."""
    srp = SrpClient(int.from_bytes(secrets.token_bytes(EXPONENT_BYTES)))
    try:
        challenge = client.initiate_auth(
            ClientId=stack.client_id,
            AuthFlow="USER_SRP_AUTH",
            AuthParameters={"USERNAME": username, "SRP_A": srp.srp_a},
        )
    except ClientError as error:
        if aws_code(error) == "InvalidParameterException" and "not enabled" in aws_message(error):
            return None
        raise _refusal(error) from None
    parameters = challenge.get("ChallengeParameters", {})
    if challenge.get("ChallengeName") != "PASSWORD_VERIFIER":
        raise ScriptError(f"Expected the challenge PASSWORD_VERIFIER, got {challenge.get('ChallengeName')}.")
    timestamp = cognito_timestamp(datetime.fromtimestamp(clock(), UTC))
    try:
        user_id, secret_block = parameters["USER_ID_FOR_SRP"], parameters["SECRET_BLOCK"]
        signature = srp.password_claim(
            user_pool_id=stack.user_pool_id,
            user_id=user_id,
            password=password,
            srp_b=parameters["SRP_B"],
            salt=parameters["SALT"],
            secret_block=secret_block,
            timestamp=timestamp,
        )
    except (KeyError, SrpError) as error:
        raise ScriptError(f"Cognito's half of the password proof is wrong ({error}). No proof was sent.") from None
    responses = {
        "USERNAME": user_id,
        "PASSWORD_CLAIM_SECRET_BLOCK": secret_block,
        "PASSWORD_CLAIM_SIGNATURE": signature,
        "TIMESTAMP": timestamp,
    }
    return _respond(client, stack, challenge, responses)


def _with_plain_password(
    client: "CognitoIdentityProviderClient", stack: Stack, username: str, password: str
) -> Mapping[str, Any]:
    try:
        return client.initiate_auth(
            ClientId=stack.client_id,
            AuthFlow="USER_PASSWORD_AUTH",
            AuthParameters={"USERNAME": username, "PASSWORD": password},
        )
    except ClientError as error:
        if aws_code(error) == "InvalidParameterException" and "not enabled" in aws_message(error):
            raise ScriptError(
                "The app client allows neither USER_SRP_AUTH nor USER_PASSWORD_AUTH, so no password can be used here."
                " Sign in with the browser: leave --username out."
            ) from None
        raise _refusal(error) from None


def _answer_challenges(
    client: "CognitoIdentityProviderClient",
    stack: Stack,
    username: str,
    answer: Mapping[str, Any],
    questions: Asks,
) -> Mapping[str, Any]:
    """Return the authentication result that is behind the challenges in *answer*."""
    for _ in range(MAX_CHALLENGES):
        if answer.get("AuthenticationResult"):
            result: Mapping[str, Any] = answer["AuthenticationResult"]
            return result
        answer = _answer_challenge(client, stack, username, answer, questions)
    raise ScriptError(f"Cognito asked more than {MAX_CHALLENGES} questions; giving up. Sign in with the browser.")


def _answer_challenge(
    client: "CognitoIdentityProviderClient",
    stack: Stack,
    username: str,
    challenge: Mapping[str, Any],
    questions: Asks,
) -> Mapping[str, Any]:
    name = challenge.get("ChallengeName")
    parameters: Mapping[str, str] = challenge.get("ChallengeParameters", {})
    # Aliases sign in, but challenges are answered under the name that Cognito uses itself.
    user = {"USERNAME": parameters.get("USER_ID_FOR_SRP", username)}
    if name == "NEW_PASSWORD_REQUIRED":
        say("The password is a temporary one; choose a new one.")
        for attribute in _json_list(parameters.get("requiredAttributes")):
            short = attribute.removeprefix("userAttributes.")
            user[f"userAttributes.{short}"] = questions.text(f"The pool wants your {short}")
        return _ask_and_respond(
            client, stack, challenge, user, parameter="NEW_PASSWORD", ask=lambda: questions.new_secret("New password")
        )
    if name in _CODES:
        destination = parameters.get("CODE_DELIVERY_DESTINATION")
        prompt = _CODES[name] + (f" sent to {destination}" if destination else "")
        return _ask_and_respond(
            client, stack, challenge, user, parameter=f"{name}_CODE", ask=lambda: questions.text(prompt)
        )
    if name == "SELECT_MFA_TYPE":
        choices = _json_list(parameters.get("MFAS_CAN_CHOOSE"))
        choice = questions.text(f"Second factor ({', '.join(choices)})").strip().upper()
        if choice not in choices:
            raise ScriptError(f"Second factor: expected one of {', '.join(choices)}; got {choice!r}.")
        return _respond(client, stack, challenge, {**user, "ANSWER": choice})
    if name == "MFA_SETUP":
        ways = ", ".join(_json_list(parameters.get("MFAS_CAN_SETUP"))) or "see the pool's settings"
        raise ScriptError(
            f"This pool wants a second factor, and {username} has none yet (possible: {ways}). Set one up once at the"
            " hosted UI: run this again without --username, which opens it; afterwards --username works, too."
        )
    raise ScriptError(
        f"Cognito asks for {name}, which cannot be answered here. Sign in with the browser: leave --username out."
    )


def _ask_and_respond(
    client: "CognitoIdentityProviderClient",
    stack: Stack,
    challenge: Mapping[str, Any],
    responses: Mapping[str, str],
    *,
    parameter: str,
    ask: Callable[[], str],
) -> Mapping[str, Any]:
    """Return Cognito's next answer; a new password or code that it does not like may be given again."""
    for attempt in range(1, MAX_ATTEMPTS + 1):
        try:
            return _respond(client, stack, challenge, {**responses, parameter: ask()})
        except RefusedError as error:
            again = isinstance(error.__cause__, ClientError) and aws_code(error.__cause__) in {
                "CodeMismatchException",
                "InvalidPasswordException",
                "PasswordHistoryPolicyViolationException",
            }
            if not again or attempt == MAX_ATTEMPTS:
                raise
            say(f"{error} Once more.")
    raise AssertionError("the last attempt returns or raises")


def _respond(
    client: "CognitoIdentityProviderClient",
    stack: Stack,
    challenge: Mapping[str, Any],
    responses: Mapping[str, str],
) -> Mapping[str, Any]:
    # The SRP challenge has no session; its secret block stands for one.
    session = {"Session": challenge["Session"]} if challenge.get("Session") else {}
    try:
        return client.respond_to_auth_challenge(
            ClientId=stack.client_id,
            ChallengeName=challenge["ChallengeName"],
            ChallengeResponses=responses,
            **session,
        )
    except ClientError as error:
        raise _refusal(error) from error


def _refusal(error: ClientError) -> Exception:
    """Return what to raise for *error*: ours, with advice, where Cognito refused; AWS's own otherwise."""
    code, message = aws_code(error), str(error.response.get("Error", {}).get("Message", ""))
    if code not in _REFUSALS:
        return error
    advice = {
        "UserNotConfirmedException": " An administrator has to confirm the user.",
        "PasswordResetRequiredException": ' Choose a new password at the hosted UI (without --username: "Forgot your password?").',
        "ExpiredCodeException": " Start again for a new code.",
    }.get(code, "")
    if "SECRET_HASH" in message:
        advice = " The outputs name an app client with a secret; command lines and browsers need a public one."
    return RefusedError(f"Cognito refused: {message.rstrip('.')}.{advice}")


def _tokens(result: Mapping[str, Any], *, refresh_token: str | None, label: str) -> Tokens:
    for name in ("IdToken", "AccessToken"):
        if not isinstance(result.get(name), str):
            raise ScriptError(f"Cognito's answer has no {name}; expected one after a sign-in or a refresh.")
    return Tokens(
        id_token=result["IdToken"],
        access_token=result["AccessToken"],
        refresh_token=result.get("RefreshToken") or refresh_token,
        via=VIA,
        label=label,
    )


def _json_list(text: str | None) -> list[str]:
    try:
        items = json.loads(text or "[]")
    except ValueError:
        items = []
    return [str(item) for item in items] if isinstance(items, list) else []
