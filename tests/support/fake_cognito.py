"""Amazon Cognito on a loopback port, as far as the scripts talk to it: API, hosted UI, keys, and CloudFormation's outputs.

Real HTTP, so that boto3 and requests run as they do against AWS. SRP and PKCE are really checked, and tokens are signed
with the pool's own keys.
"""

import base64
import hashlib
import hmac
import json
import secrets
import threading
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any
from urllib.parse import urlencode
from xml.sax.saxutils import escape

import requests
from botocore import xform_name

from .http_fake import Answer, Asked, HttpFake, json_answer
from .keys_and_tokens import Pool, b64url, compact

USERNAME = "demo"
PASSWORD = "Correct-horse-1"


def rfc3526_prime_3072() -> int:
    """Return the 3072-bit prime of RFC 3526 §4 from its formula: 2^3072 - 2^3008 - 1 + 2^64 * ([2^2942 pi] + 1690314)."""

    def arctan_of_inverse(x: int, unity: int) -> int:
        total, term, n, sign = 0, unity // x, 1, 1
        while term:
            total += sign * (term // n)
            term, n, sign = term // (x * x), n + 2, -sign
        return total

    guard = 64  # bits, against the rounding of each term
    unity = 1 << (2942 + guard)
    pi = 4 * (4 * arctan_of_inverse(5, unity) - arctan_of_inverse(239, unity))  # Machin
    return 2**3072 - 2**3008 - 1 + 2**64 * ((pi >> guard) + 1690314)


N = rfc3526_prime_3072()
G = 2


def _signed(number: int) -> bytes:
    return number.to_bytes(number.bit_length() // 8 + 1, "big")


def _sha(*parts: bytes) -> int:
    return int.from_bytes(hashlib.sha256(b"".join(parts)).digest(), "big")


@cache
def _verifier(pool_name: str, user_id: str, password: str, salt: str) -> int:
    """Return what a pool keeps of a password; nearly all tests use the same one."""
    inner = hashlib.sha256(f"{pool_name}{user_id}:{password}".encode()).digest()
    return pow(G, _sha(_signed(int(salt, 16)), inner), N)


class SrpServer:
    """The server's half of one SRP run: knows the verifier, never the password."""

    def __init__(self, pool_name: str, user_id: str, password: str, srp_a: str, salt: str) -> None:
        self.pool_name, self.user_id, self.salt = pool_name, user_id, salt
        self.public_a = int(srp_a, 16)
        self.verifier = _verifier(pool_name, user_id, password, salt)
        self.private = secrets.randbits(64) + 1  # enough for a fake, and much faster than the full size
        k = _sha(_signed(N), _signed(G))
        self.public_b = (k * self.verifier + pow(G, self.private, N)) % N
        self.secret_block = base64.b64encode(secrets.token_bytes(48)).decode()

    def proves(self, signature: str, timestamp: str) -> bool:
        """Return whether the client knew the password."""
        u = _sha(_signed(self.public_a), _signed(self.public_b))
        shared = pow(self.public_a * pow(self.verifier, u, N), self.private, N)
        extracted = hmac.digest(_signed(u), _signed(shared), "sha256")
        key = hmac.digest(extracted, b"Caldera Derived Key\x01", "sha256")[:16]
        message = (self.pool_name + self.user_id).encode() + base64.b64decode(self.secret_block) + timestamp.encode()
        return hmac.compare_digest(base64.b64encode(hmac.digest(key, message, "sha256")).decode(), signature)


@dataclass
class User:
    """One user, and the challenges that follow their password, in order."""

    password: str = PASSWORD
    groups: list[str] = field(default_factory=list)
    attributes: dict[str, str] = field(default_factory=dict)
    enabled: bool = True
    status: str = "CONFIRMED"
    challenges: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    sub: str = field(default_factory=lambda: secrets.token_hex(8))


class AwsRefusalError(Exception):
    """An error that the API answers with."""

    def __init__(self, code: str, message: str = "refused") -> None:
        super().__init__(code)
        self.code, self.message = code, message


class FakeCognito(HttpFake):
    """The whole service. Its attributes are knobs for tests."""

    def __init__(self, user_pool_id: str = "us-east-1_FakePool1", client_id: str = "fakeclient0123456789") -> None:
        self.user_pool_id, self.client_id = user_pool_id, client_id
        self.keys_answer: tuple | None = None  # an Answer's arguments, instead of the pool's key set
        self.users = {USERNAME: User(groups=["readers"])}
        self.groups = ["admins", "readers"]
        self.flows = {"USER_SRP_AUTH"}
        self.rotation = False
        self.lifetime_s = 3600
        self.clock = time.time
        self.claims: dict[str, Any] = {}  # replace claims of the next ID tokens
        self.access_claims: dict[str, Any] = {}
        self.code = "123456"
        self.srp_b: str | None = None  # replace the server's public value
        self.salt = "00ab12cd34ef56ab12cd34ef56ab12cd"  # a leading zero byte: implementations differ on it
        self.authorize_answer: dict[str, str] | None = None  # instead of a code
        self.token_answer: tuple[int, dict[str, str], bytes] | None = None
        self.revoke_status = 200
        self.refusals: dict[str, AwsRefusalError] = {}
        self.browser_user = USERNAME
        self.stack_outputs: dict[str, dict[str, str]] = {}
        self.calls: Counter[str] = Counter()
        self.log: list[tuple[str, dict[str, Any]]] = []
        self.headers: list[tuple[str, dict[str, str]]] = []
        self.refresh_tokens: dict[str, str] = {}
        self.revoked: list[str] = []
        self._codes: dict[str, dict[str, str]] = {}
        self._srp: dict[str, tuple[str, SrpServer]] = {}
        self._sessions: dict[str, tuple[str, int]] = {}
        super().__init__(self._answer)

    @property
    def pool(self) -> Pool:
        """The pool, with its keys."""
        return Pool(self.user_pool_id, self.client_id)

    @property
    def outputs(self) -> dict[str, Any]:
        """What ``make run`` would write to ``.local/outputs.json``."""
        return {
            "gateway_url": "http://127.0.0.1:8080",
            "login_url": self.url,
            "user_pool_id": self.user_pool_id,
            "client_id": self.client_id,
            "username": USERNAME,
            "password": PASSWORD,
            "function_urls": {"api": "http://127.0.0.1:8090"},
            "aws_endpoint_url": self.url,
            "region": "us-east-1",
            "parameter_prefix": "/cognito-edge-gateway",
        }

    # -- tokens --

    def tokens_for(self, name: str, nonce: str | None = None) -> dict[str, str]:
        """Return new ID and access tokens of *name*."""
        user, now = self.users[name], int(self.clock())
        common = {
            "sub": user.sub,
            "iss": self.pool.issuer,
            "iat": now,
            "exp": now + self.lifetime_s,
            "jti": secrets.token_hex(8),
        }
        id_claims = {**common, "aud": self.client_id, "token_use": "id", "cognito:username": name}
        if nonce is not None:
            id_claims["nonce"] = nonce
        access_claims = {**common, "client_id": self.client_id, "token_use": "access", "username": name}
        access = self._signed(self.pool.access_kid, {**access_claims, **self.access_claims})
        id_claims["at_hash"] = b64url(hashlib.sha256(access.encode()).digest()[:16])
        return {"id": self._signed(self.pool.id_kid, {**id_claims, **self.claims}), "access": access}

    def _signed(self, kid: str, claims: dict[str, Any]) -> str:
        return compact(self.pool.key(kid), {"kid": kid, "alg": "RS256"}, claims)

    def _refresh_token(self, name: str) -> str:
        token = f"refresh-{secrets.token_urlsafe(16)}"
        self.refresh_tokens[token] = name
        return token

    def _use_refresh_token(self, token: str) -> tuple[str, str | None] | None:
        """Return the user and, where tokens rotate, the next token; None if *token* is worthless."""
        name = self.refresh_tokens.get(token)
        if name is None or name not in self.users or not self.users[name].enabled:
            return None
        if not self.rotation:
            return name, None
        del self.refresh_tokens[token]
        return name, self._refresh_token(name)

    # -- hosted UI --

    def _answer(self, asked: Asked) -> Answer:
        answer = self._get(asked) if asked.method == "GET" else self._post(asked)
        # No connection is kept, so that a fake that was closed answers nothing more.
        return replace(answer, headers={**answer.headers, "Connection": "close"})

    def _get(self, asked: Asked) -> Answer:
        query = asked.query
        self._note(f"GET {asked.path}", query, asked)
        if asked.path == f"/{self.pool.pool_id}/.well-known/jwks.json":
            return Answer(*self.keys_answer) if self.keys_answer else json_answer(self.pool.jwks())
        if asked.path != "/oauth2/authorize":
            return Answer(404)
        if query.get("response_type") != "code" or query.get("code_challenge_method") != "S256":
            return Answer(400, b"only code with S256")
        answer = self.authorize_answer
        if answer is None:
            code = secrets.token_urlsafe(16)
            self._codes[code] = query
            answer = {"code": code}
        return Answer(
            302, headers={"Location": f"{query['redirect_uri']}?{urlencode({**answer, 'state': query['state']})}"}
        )

    def _token(self, form: dict[str, str]) -> Answer:
        if self.token_answer is not None:
            status, headers, body = self.token_answer
            return Answer(status, body, headers)
        fields: dict[str, Any] | None = None
        if form.get("grant_type") == "authorization_code":
            request = self._codes.pop(form.get("code", ""), None)
            challenge = b64url(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
            if (
                request
                and challenge == request["code_challenge"]
                and form.get("redirect_uri") == request["redirect_uri"]
                and form.get("client_id") == request["client_id"] == self.client_id
            ):
                tokens = self.tokens_for(self.browser_user, request.get("nonce"))
                fields = {
                    "id_token": tokens["id"],
                    "access_token": tokens["access"],
                    "refresh_token": self._refresh_token(self.browser_user),
                }
        elif form.get("grant_type") == "refresh_token":
            used = self._use_refresh_token(form.get("refresh_token", ""))
            if used is not None:
                tokens = self.tokens_for(used[0])
                fields = {"id_token": tokens["id"], "access_token": tokens["access"]}
                if used[1] is not None:
                    fields["refresh_token"] = used[1]
        if fields is None:
            return json_answer({"error": "invalid_grant"}, 400)
        return json_answer({**fields, "token_type": "Bearer", "expires_in": self.lifetime_s})

    def _revoke(self, form: dict[str, str]) -> Answer:
        if self.revoke_status != 200:
            return Answer(self.revoke_status, b'{"error": "invalid_request"}' if self.revoke_status == 400 else b"")
        self.revoked.append(form["token"])
        self.refresh_tokens.pop(form["token"], None)
        return Answer()

    # -- API --

    def _post(self, asked: Asked) -> Answer:
        target = asked.headers.get("X-Amz-Target", "")
        if target:
            return self._call(target.rpartition(".")[2], asked)
        form = asked.form
        if form.get("Action") == "DescribeStacks":
            self._note("DescribeStacks", form, asked)
            return self._describe_stacks(form["StackName"])
        self._note(f"POST {asked.path}", form, asked)
        return {"/oauth2/token": self._token, "/oauth2/revoke": self._revoke}[asked.path](form)

    def _call(self, action: str, asked: Asked) -> Answer:
        data = json.loads(asked.body)
        self._note(action, data, asked)
        try:
            if action in self.refusals:
                raise self.refusals[action]
            return json_answer(getattr(self, f"api_{xform_name(action)}")(data))
        except AwsRefusalError as refusal:
            return json_answer({"__type": refusal.code, "message": refusal.message}, 400)

    def _describe_stacks(self, name: str) -> Answer:
        if name not in self.stack_outputs:
            error = f"<Code>ValidationError</Code><Message>Stack with id {name} does not exist</Message>"
            return Answer(400, f"<ErrorResponse><Error>{error}</Error></ErrorResponse>".encode())
        members = "".join(
            f"<member><OutputKey>{key}</OutputKey><OutputValue>{escape(value)}</OutputValue></member>"
            for key, value in self.stack_outputs[name].items()
        )
        stack = f"<StackName>{name}</StackName><Outputs>{members}</Outputs>"
        result = f"<DescribeStacksResult><Stacks><member>{stack}</member></Stacks></DescribeStacksResult>"
        return Answer(200, f"<DescribeStacksResponse>{result}</DescribeStacksResponse>".encode())

    def _signing_in(self, name: str) -> User:
        user = self.users.get(name)
        if user is None:
            raise AwsRefusalError("NotAuthorizedException", "Incorrect username or password.")
        if not user.enabled:
            raise AwsRefusalError("NotAuthorizedException", "User is disabled.")
        return user

    def api_initiate_auth(self, data: dict[str, Any]) -> dict[str, Any]:
        flow, parameters = data["AuthFlow"], data["AuthParameters"]
        if flow not in self.flows:
            raise AwsRefusalError("InvalidParameterException", f"{flow} is not enabled for the client.")
        name = parameters["USERNAME"]
        user = self._signing_in(name)
        if flow == "USER_PASSWORD_AUTH":
            if parameters["PASSWORD"] != user.password:
                raise AwsRefusalError("NotAuthorizedException", "Incorrect username or password.")
            return self._next(name, 0)
        pool_name = self.user_pool_id.partition("_")[2]
        srp = SrpServer(pool_name, name, user.password, parameters["SRP_A"], self.salt)
        self._srp[srp.secret_block] = name, srp
        return {
            "ChallengeName": "PASSWORD_VERIFIER",
            "ChallengeParameters": {
                "SALT": srp.salt,
                "SRP_B": self.srp_b or f"{srp.public_b:x}",
                "SECRET_BLOCK": srp.secret_block,
                "USERNAME": name,
                "USER_ID_FOR_SRP": name,
            },
        }

    def api_respond_to_auth_challenge(self, data: dict[str, Any]) -> dict[str, Any]:
        challenge, responses = data["ChallengeName"], data["ChallengeResponses"]
        if challenge == "PASSWORD_VERIFIER":
            name, srp = self._srp[responses["PASSWORD_CLAIM_SECRET_BLOCK"]]
            if not srp.proves(responses["PASSWORD_CLAIM_SIGNATURE"], responses["TIMESTAMP"]):
                raise AwsRefusalError("NotAuthorizedException", "Incorrect username or password.")
            return self._next(name, 0)
        name, position = self._sessions[data["Session"]]
        if challenge != self.users[name].challenges[position][0] or responses["USERNAME"] != name:
            raise AwsRefusalError("NotAuthorizedException", "Invalid session for the user.")
        if challenge == "NEW_PASSWORD_REQUIRED":
            if len(responses["NEW_PASSWORD"]) < 8:
                raise AwsRefusalError("InvalidPasswordException", "Password not long enough")
            self.users[name].password = responses["NEW_PASSWORD"]
        elif challenge != "SELECT_MFA_TYPE" and responses[f"{challenge}_CODE"] != self.code:
            raise AwsRefusalError("CodeMismatchException", "Invalid code or auth state for the user.")
        return self._next(name, position + 1)

    def _next(self, name: str, position: int) -> dict[str, Any]:
        challenges = self.users[name].challenges
        if position < len(challenges):
            session = secrets.token_urlsafe(24)
            self._sessions[session] = name, position
            challenge, parameters = challenges[position]
            return {"ChallengeName": challenge, "ChallengeParameters": parameters, "Session": session}
        tokens = self.tokens_for(name)
        result = {"IdToken": tokens["id"], "AccessToken": tokens["access"], "RefreshToken": self._refresh_token(name)}
        return {"AuthenticationResult": {**result, "TokenType": "Bearer", "ExpiresIn": self.lifetime_s}}

    def api_get_tokens_from_refresh_token(self, data: dict[str, Any]) -> dict[str, Any]:
        used = self._use_refresh_token(data["RefreshToken"])
        if used is None:
            raise AwsRefusalError("NotAuthorizedException", "Invalid Refresh Token")
        tokens = self.tokens_for(used[0])
        result = {"IdToken": tokens["id"], "AccessToken": tokens["access"]}
        if used[1] is not None:
            result["RefreshToken"] = used[1]
        return {"AuthenticationResult": result}

    def _existing(self, data: dict[str, Any]) -> User:
        if data["Username"] not in self.users:
            raise AwsRefusalError("UserNotFoundException", "User does not exist.")
        return self.users[data["Username"]]

    def api_admin_create_user(self, data: dict[str, Any]) -> dict[str, Any]:
        if data["Username"] in self.users:
            raise AwsRefusalError("UsernameExistsException", "User account already exists.")
        if len(data["TemporaryPassword"]) < 8:
            raise AwsRefusalError("InvalidPasswordException", "Password not long enough")
        attributes = {a["Name"]: a["Value"] for a in data.get("UserAttributes", [])}
        user = User(password=data["TemporaryPassword"], attributes=attributes, status="FORCE_CHANGE_PASSWORD")
        self.users[data["Username"]] = user
        return {"User": {"Username": data["Username"]}}

    def api_admin_set_user_password(self, data: dict[str, Any]) -> dict[str, Any]:
        user = self._existing(data)
        user.password, user.status = data["Password"], "CONFIRMED" if data["Permanent"] else "FORCE_CHANGE_PASSWORD"
        return {}

    def api_admin_get_user(self, data: dict[str, Any]) -> dict[str, Any]:
        user = self._existing(data)
        return {"Username": data["Username"], "UserAttributes": [{"Name": "sub", "Value": user.sub}]}

    def api_admin_disable_user(self, data: dict[str, Any]) -> dict[str, Any]:
        self._existing(data).enabled = False
        return {}

    def api_admin_enable_user(self, data: dict[str, Any]) -> dict[str, Any]:
        self._existing(data).enabled = True
        return {}

    def api_admin_user_global_sign_out(self, data: dict[str, Any]) -> dict[str, Any]:
        self._existing(data)
        self.refresh_tokens = {t: n for t, n in self.refresh_tokens.items() if n != data["Username"]}
        return {}

    def api_admin_delete_user(self, data: dict[str, Any]) -> dict[str, Any]:
        self._existing(data)
        del self.users[data["Username"]]
        return {}

    def api_admin_list_groups_for_user(self, data: dict[str, Any]) -> dict[str, Any]:
        return _page("Groups", [{"GroupName": g} for g in self._existing(data).groups], data)

    def api_list_groups(self, data: dict[str, Any]) -> dict[str, Any]:
        return _page("Groups", [{"GroupName": g} for g in self.groups], data)

    def api_create_group(self, data: dict[str, Any]) -> dict[str, Any]:
        self.groups.append(data["GroupName"])
        return {"Group": {"GroupName": data["GroupName"]}}

    def api_admin_add_user_to_group(self, data: dict[str, Any]) -> dict[str, Any]:
        if data["GroupName"] not in self.groups:
            raise AwsRefusalError("ResourceNotFoundException", "Group not found.")
        self._existing(data).groups.append(data["GroupName"])
        return {}

    def api_admin_remove_user_from_group(self, data: dict[str, Any]) -> dict[str, Any]:
        self._existing(data).groups.remove(data["GroupName"])
        return {}

    def api_list_users(self, data: dict[str, Any]) -> dict[str, Any]:
        users = [
            {
                "Username": name,
                "UserStatus": user.status,
                "Enabled": user.enabled,
                "Attributes": [{"Name": n, "Value": v} for n, v in user.attributes.items()],
            }
            for name, user in self.users.items()
        ]
        return _page("Users", users, data, token="PaginationToken")

    def _note(self, call: str, data: dict[str, Any], asked: Asked) -> None:
        self.calls[call] += 1
        self.log.append((call, data))
        self.headers.append((call, {name.lower(): value for name, value in asked.headers.items()}))


class FakeBrowser:
    """Opens links as a person's browser would: in the background, following redirects, keeping every answer."""

    def __init__(self) -> None:
        self.links: list[str] = []
        self.pages: list[requests.Response] = []
        self._threads: list[threading.Thread] = []

    def open(self, link: str) -> None:
        """Start opening *link*."""
        self.links.append(link)
        thread = threading.Thread(target=self._visit, args=(link,), daemon=True)
        self._threads.append(thread)
        thread.start()

    def _visit(self, link: str) -> None:
        with requests.Session() as session:
            session.trust_env = False
            self.pages.append(session.get(link, timeout=10))

    def close(self) -> None:
        """Wait until every page has been answered."""
        for thread in self._threads:
            thread.join(10)


def _page(name: str, items: list[Any], data: dict[str, Any], token: str = "NextToken") -> dict[str, Any]:
    # Two to a page, whatever was asked for, so that pages have to be read.
    start = int(data.get(token, "0"))
    more = {token: str(start + 2)} if start + 2 < len(items) else {}
    return {name: items[start : start + 2], **more}
