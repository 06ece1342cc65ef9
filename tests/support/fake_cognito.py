"""Amazon Cognito on a loopback port, as far as the scripts talk to it: API, hosted UI, and CloudFormation's outputs.

Real HTTP, so that boto3 and requests run as they do against AWS. SRP and PKCE are really checked. Signatures of tokens
are not real: the scripts are clients and do not verify them.
"""

import base64
import hashlib
import hmac
import json
import secrets
import socketserver
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler
from typing import Any, Self
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit
from xml.sax.saxutils import escape

import requests
from botocore import xform_name

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


class FakeCognito:
    """The whole service; a context manager. Its attributes are knobs for tests."""

    def __init__(self) -> None:
        self.user_pool_id = "us-east-1_FakePool1"
        self.client_id = "fakeclient0123456789"
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
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                fake._get(self)

            def do_POST(self) -> None:
                fake._post(self)

            def log_message(self, *_arguments: object) -> None:
                pass

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            block_on_close = False
            allow_reuse_address = True

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop answering; may be called twice."""
        self._server.shutdown()
        self._server.server_close()

    @property
    def outputs(self) -> dict[str, Any]:
        """What `make run` would write to `.local/outputs.json`."""
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
            "iss": f"https://cognito-idp.us-east-1.amazonaws.com/{self.user_pool_id}",
            "iat": now,
            "exp": now + self.lifetime_s,
            "jti": secrets.token_hex(8),
        }
        id_claims = {**common, "aud": self.client_id, "token_use": "id", "cognito:username": name}
        if nonce is not None:
            id_claims["nonce"] = nonce
        access_claims = {**common, "client_id": self.client_id, "token_use": "access", "username": name}
        return {"id": jwt({**id_claims, **self.claims}), "access": jwt({**access_claims, **self.access_claims})}

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

    def _get(self, handler: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(handler.path)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        self._note(f"GET {parts.path}", query, handler)
        if parts.path != "/oauth2/authorize":
            _send(handler, 404, b"")
            return
        if query.get("response_type") != "code" or query.get("code_challenge_method") != "S256":
            _send(handler, 400, b"only code with S256")
            return
        answer = self.authorize_answer
        if answer is None:
            code = secrets.token_urlsafe(16)
            self._codes[code] = query
            answer = {"code": code}
        location = f"{query['redirect_uri']}?{urlencode({**answer, 'state': query['state']})}"
        _send(handler, 302, b"", {"Location": location})

    def _token(self, form: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        if self.token_answer is not None:
            return self.token_answer
        fields: dict[str, Any] | None = None
        if form.get("grant_type") == "authorization_code":
            request = self._codes.pop(form.get("code", ""), None)
            challenge = base64.urlsafe_b64encode(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
            if (
                request
                and challenge.rstrip(b"=").decode() == request["code_challenge"]
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
            return 400, {}, json.dumps({"error": "invalid_grant"}).encode()
        return 200, {}, json.dumps({**fields, "token_type": "Bearer", "expires_in": self.lifetime_s}).encode()

    def _revoke(self, form: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        if self.revoke_status != 200:
            return self.revoke_status, {}, b'{"error": "invalid_request"}' if self.revoke_status == 400 else b""
        self.revoked.append(form["token"])
        self.refresh_tokens.pop(form["token"], None)
        return 200, {}, b""

    # -- API --

    def _post(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length", "0")))
        target = handler.headers.get("X-Amz-Target", "")
        if target:
            action, data = target.rpartition(".")[2], json.loads(body)
            self._note(action, data, handler)
            try:
                if action in self.refusals:
                    raise self.refusals[action]
                answer = getattr(self, f"api_{xform_name(action)}")(data)
            except AwsRefusalError as refusal:
                _send(handler, 400, json.dumps({"__type": refusal.code, "message": refusal.message}).encode())
            else:
                _send(handler, 200, json.dumps(answer).encode())
            return
        form = {name: values[0] for name, values in parse_qs(body.decode(), keep_blank_values=True).items()}
        if form.get("Action") == "DescribeStacks":
            self._note("DescribeStacks", form, handler)
            _send(handler, *self._describe_stacks(form["StackName"]))
            return
        self._note(f"POST {handler.path}", form, handler)
        status, headers, content = {"/oauth2/token": self._token, "/oauth2/revoke": self._revoke}[handler.path](form)
        _send(handler, status, content, headers)

    def _describe_stacks(self, name: str) -> tuple[int, bytes]:
        if name not in self.stack_outputs:
            error = f"<Code>ValidationError</Code><Message>Stack with id {name} does not exist</Message>"
            return 400, f"<ErrorResponse><Error>{error}</Error></ErrorResponse>".encode()
        members = "".join(
            f"<member><OutputKey>{key}</OutputKey><OutputValue>{escape(value)}</OutputValue></member>"
            for key, value in self.stack_outputs[name].items()
        )
        stack = f"<StackName>{name}</StackName><Outputs>{members}</Outputs>"
        result = f"<DescribeStacksResult><Stacks><member>{stack}</member></Stacks></DescribeStacksResult>"
        return 200, f"<DescribeStacksResponse>{result}</DescribeStacksResponse>".encode()

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

    def _note(self, call: str, data: dict[str, Any], handler: BaseHTTPRequestHandler) -> None:
        self.calls[call] += 1
        self.log.append((call, data))
        self.headers.append((call, {name.lower(): value for name, value in handler.headers.items()}))


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


def jwt(claims: dict[str, Any]) -> str:
    """Return *claims* in the form of a JWT whose signature is nonsense."""
    encode = lambda data: base64.urlsafe_b64encode(data).rstrip(b"=").decode()  # noqa: E731 - used thrice, here
    header = encode(b'{"alg":"RS256","kid":"fake"}')
    return f"{header}.{encode(json.dumps(claims).encode())}.{encode(secrets.token_bytes(32))}"


def _page(name: str, items: list[Any], data: dict[str, Any], token: str = "NextToken") -> dict[str, Any]:
    # Two to a page, whatever was asked for: who forgets to page is found out.
    start = int(data.get(token, "0"))
    more = {token: str(start + 2)} if start + 2 < len(items) else {}
    return {name: items[start : start + 2], **more}


def _send(handler: BaseHTTPRequestHandler, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
    handler.send_response(status)
    for name, value in {"Content-Length": str(len(body)), "Connection": "close", **(headers or {})}.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)
