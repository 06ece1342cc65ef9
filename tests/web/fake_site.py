"""The page's surroundings on loopback: its files, `/config.json`, a books API by the contract, and a login; faults on demand.

Two ports, so that the page and the login are two origins, as in production. The real local system is in `tests/e2e/`.
"""

import base64
import hashlib
import json
import mimetypes
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

DIST = Path(__file__).resolve().parents[2] / "web" / "dist"
CLIENT_ID = "webclient0123456789"


@dataclass
class Answer:
    """What a fault says instead of the API; `status` 0 closes the connection without a word."""

    status: int
    code: str = "unknown"
    title: str = "Refused"
    detail: str = "The test refuses."
    headers: dict[str, str] = field(default_factory=dict)


class Site:
    """Page and login together. A class for what tests turn: faults, lifetimes, other people's changes.

    Attributes:
        url: The page's origin.
        login_url: The login's.
        books: By id, in the order of the list.
        lifetime_s: Of tokens, in seconds.
        fault: Asked about every API call (method, path); an `Answer` is given instead.
        grants: What the token endpoint was asked for, in order.
        refresh_alive: Whether refresh tokens still count.
        revoked: Refresh tokens that were revoked.
        away: Whether the API and the token endpoint close every connection.
        deny: Whether the login answers with `access_denied`.
    """

    def __init__(self) -> None:
        self.books: dict[str, dict] = {}
        self.lifetime_s = 3600
        self.fault: Callable[[str, str], Answer | None] = lambda _method, _path: None
        self.grants: list[str] = []
        self.refresh_alive = True
        self.revoked: list[str] = []
        self.away = False
        self.deny = False
        self.username = "demo"
        self.groups: list[str] = []
        self.page_size = 20
        self._codes: dict[str, dict] = {}
        self._tokens: dict[str, dict] = {}
        self._refresh: dict[str, str] = {}
        self._lock = threading.Lock()
        self._servers = [_serve(self, _Page), _serve(self, _Login)]
        self.url, self.login_url = (f"http://127.0.0.1:{server.server_address[1]}" for server in self._servers)

    def close(self) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()

    @property
    def policy(self) -> str:
        """The Content-Security-Policy that the distribution sends, or one that is stricter."""
        return (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
            f"connect-src 'self' {self.login_url}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
            "require-trusted-types-for 'script'; trusted-types 'none'"
        )

    def sub(self, username: str | None = None) -> str:
        return hashlib.sha256((username or self.username).encode()).hexdigest()[:32]

    def add(self, title: str, author: str = "Somebody", *, owner: str = "demo", **more: object) -> dict:
        """Put a book on the shelf."""
        book = {
            "id": secrets.token_hex(8),
            "title": title,
            "author": author,
            "year": None,
            "notes": "",
            "owner": self.sub(owner),
            "owner_name": owner,
            "version": 1,
            "created_at": "2026-11-20T10:00:00Z",
            "updated_at": "2026-11-20T10:00:00Z",
            **more,
        }
        self.books[book["id"]] = book
        return book

    def change(self, book_id: str, **fields: object) -> None:
        """Change a book as somebody else would, in between."""
        book = self.books[book_id]
        self.books[book_id] = {**book, **fields, "version": book["version"] + 1}

    def forget_tokens(self) -> None:
        """Refuse every ID token that was given so far."""
        self._tokens.clear()

    # --- login --------------------------------------------------------------------------------------------------------

    def code(self, query: dict[str, str], username: str) -> str:
        code = secrets.token_urlsafe(16)
        self._codes[code] = {**query, "username": username}
        return code

    def grant(self, form: dict[str, str]) -> tuple[int, dict]:
        """Answer the token endpoint."""
        with self._lock:
            self.grants.append(form.get("grant_type", ""))
            if form.get("client_id") != CLIENT_ID:
                return 400, {"error": "invalid_client"}
            if form.get("grant_type") == "authorization_code":
                request = self._codes.pop(form.get("code", ""), None)
                challenge = base64.urlsafe_b64encode(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
                if (
                    request is None
                    or request["redirect_uri"] != form.get("redirect_uri")
                    or request["code_challenge"] != challenge.rstrip(b"=").decode()
                ):
                    return 400, {"error": "invalid_grant"}
                refresh = f"refresh-{secrets.token_urlsafe(24)}"
                self._refresh[refresh] = request["username"]
                return 200, {**self._issue(request["username"], request["nonce"]), "refresh_token": refresh}
            username = self._refresh.get(form.get("refresh_token", ""))
            if username is None or not self.refresh_alive or form["refresh_token"] in self.revoked:
                return 400, {"error": "invalid_grant", "error_description": "Refresh Token has been revoked"}
            return 200, self._issue(username, None)

    def _issue(self, username: str, nonce: str | None) -> dict:
        now = int(time.time())
        claims = {
            "sub": self.sub(username),
            "cognito:username": username,
            "token_use": "id",
            "aud": CLIENT_ID,
            "iss": "https://cognito-idp.us-east-1.amazonaws.com/us-east-1_Example01",
            "iat": now,
            "exp": now + self.lifetime_s,
            "auth_time": now,
            "cognito:groups": self.groups,
            "jti": secrets.token_hex(8),
        } | ({"nonce": nonce} if nonce else {})
        token = ".".join(_part(part) for part in ({"alg": "RS256", "kid": "k"}, claims)) + ".c2lnbmF0dXJl"
        self._tokens[token] = {"username": username, "until": time.monotonic() + self.lifetime_s}
        access = f"access-{secrets.token_urlsafe(24)}"
        return {"id_token": token, "access_token": access, "token_type": "Bearer", "expires_in": self.lifetime_s}

    def session(self) -> dict:
        """Return what the page keeps of a session, new."""
        given = self._issue(self.username, None)
        refresh = f"refresh-{secrets.token_urlsafe(24)}"
        self._refresh[refresh] = self.username
        return {
            "idToken": given["id_token"],
            "refreshToken": refresh,
            "expiresAt": (time.time() + self.lifetime_s) * 1000,
            "lifetime": self.lifetime_s * 1000,
            "sub": self.sub(),
            "username": self.username,
            "groups": self.groups,
            "signedInAt": time.time() * 1000,
        }

    def who(self, authorization: str | None) -> str | None:
        token = (authorization or "").removeprefix("Bearer ")
        found = self._tokens.get(token)
        return found["username"] if found else None


def _part(value: dict) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def _serve(site: Site, kind: type["_Handler"]) -> ThreadingHTTPServer:
    handler = type(kind.__name__, (kind,), {"site": site})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    return server


class _Handler(BaseHTTPRequestHandler):
    """What both servers do alike."""

    site: Site
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Be silent."""

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("content-length") or 0))

    def hang_up(self) -> None:
        self.close_connection = True

    @property
    def path_only(self) -> str:
        return urlsplit(self.path).path

    @property
    def query(self) -> dict[str, str]:
        return {name: values[-1] for name, values in parse_qs(urlsplit(self.path).query).items()}


class _Page(_Handler):
    """The site's origin: files and API."""

    def do_GET(self) -> None:
        path = self.path_only
        if path.startswith("/api/"):
            self.api()
        elif path == "/config.json":
            document = {
                "region": "us-east-1",
                "user_pool_id": "us-east-1_Example01",
                "client_id": CLIENT_ID,
                "login_url": self.site.login_url,
                "issuer": None,
                "api": "/api",
            }
            self.answer(200, json.dumps(document).encode(), content_type="application/json", cache_control="no-store")
        else:
            file = DIST / ("index.html" if path == "/" else path.lstrip("/"))
            if not file.is_file():
                self.answer(404, b"<h1>404</h1>", content_type="text/html")
                return
            kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
            self.answer(
                200,
                file.read_bytes(),
                content_type=kind,
                content_security_policy=self.site.policy,
                x_content_type_options="nosniff",
                referrer_policy="no-referrer",
            )

    def do_POST(self) -> None:
        self.api()

    do_PUT = do_DELETE = do_POST  # noqa: N815  the standard library's names

    def problem(self, status: int, code: str, title: str, detail: str, **more: object) -> None:
        headers = more.pop("headers", {})
        document = {
            "type": f"urn:cognito-edge-gateway:problem:{code}",
            "title": title,
            "status": status,
            "detail": detail,
            "code": code,
            "request_id": "JmlQeCk5Zz0",
            **more,
        }
        self.answer(status, json.dumps(document).encode(), content_type="application/problem+json", **headers)

    def json(self, value: object, status: int = 200) -> None:
        self.answer(status, json.dumps(value).encode(), content_type="application/json", cache_control="no-store")

    def api(self) -> None:
        raw = self.body()
        path = self.path_only
        if self.site.away:
            self.hang_up()
            return
        fault = self.site.fault(self.command, path)
        if fault is not None:
            if fault.status == 0:
                self.hang_up()
            else:
                self.problem(fault.status, fault.code, fault.title, fault.detail, headers=fault.headers)
            return
        if "authorization" not in self.headers:
            self.problem(401, "missing_token", "Sign-in required", "The request has no Authorization header.")
            return
        username = self.site.who(self.headers["authorization"])
        if username is None:
            self.problem(401, "expired", "Token expired", "The token expired. Sign in again.")
            return
        if path == "/api/whoami":
            groups = self.site.groups
            email = f"{username}@example.com"
            self.json(
                {
                    "anonymous": False,
                    "sub": self.site.sub(username),
                    "username": username,
                    "email": email,
                    "groups": groups,
                }
            )
        elif path == "/api/books" and self.command == "GET":
            self.list()
        elif path == "/api/books":
            if fields := self.fields(raw):
                book = self.site.add(
                    fields["title"], fields["author"], owner=username, year=fields["year"], notes=fields["notes"]
                )
                self.json(book, 201)
        elif path.startswith("/api/books/"):
            self.one(path.rpartition("/")[2], username, raw)
        else:
            self.problem(404, "not_found", "Not found", "There is nothing here.")

    def list(self) -> None:
        books = list(self.site.books.values())
        begin = int(self.query.get("cursor", "0"))
        end = begin + min(int(self.query["limit"]), self.site.page_size)
        self.json({"books": books[begin:end], "next": str(end) if end < len(books) else None})

    def fields(self, raw: bytes) -> dict | None:
        fields = json.loads(raw)
        if "<refuse>" in fields["title"]:
            errors = [{"field": "title", "detail": "Not this title."}]
            self.problem(422, "invalid_book", "The book is not right", "One field is wrong.", errors=errors)
            return None
        return fields

    def one(self, book_id: str, username: str, raw: bytes) -> None:
        book = self.site.books.get(book_id)
        if book is None:
            self.problem(404, "not_found", "Not found", "There is no such book.")
            return
        if self.command == "GET":
            self.json(book)
            return
        mine = book["owner"] == self.site.sub(username)
        if not mine and not (self.command == "DELETE" and "admins" in self.site.groups):
            self.problem(403, "not_owner", "Not yours", f"{book['owner_name']} added this book.")
            return
        if self.headers.get("if-match") != f'"{book["version"]}"':
            self.problem(412, "version_conflict", "Changed meanwhile", "It has another version now.", current=book)
            return
        if self.command == "DELETE":
            del self.site.books[book_id]
            self.answer(204)
        elif fields := self.fields(raw):
            self.site.change(book_id, **fields)
            self.json(self.site.books[book_id])


class _Login(_Handler):
    """The hosted UI's origin."""

    def do_GET(self) -> None:
        query = self.query
        if self.path_only == "/oauth2/authorize":
            missing = {"client_id", "redirect_uri", "state", "nonce", "code_challenge", "code_challenge_method"} - set(
                query
            )
            if missing or query["redirect_uri"] != f"{self.site.url}/" or query["response_type"] != "code":
                self.answer(400, f"missing {sorted(missing)}".encode())
            elif self.site.deny:
                error = {"error": "access_denied", "error_description": "You said no", "state": query["state"]}
                self.answer(302, location=f"{query['redirect_uri']}?{urlencode(error)}")
            else:
                hidden = "".join(
                    f'<input type="hidden" name="{name}" value="{value}">' for name, value in query.items()
                )
                page = f"<!doctype html><title>Sign in</title><form method=post action=/login>{hidden}<button>Sign in as {self.site.username}</button></form>"
                self.answer(200, page.encode(), content_type="text/html; charset=utf-8")
        elif self.path_only == "/logout":
            known = query.get("client_id") == CLIENT_ID and query.get("logout_uri") == f"{self.site.url}/"
            self.answer(*((302, b"") if known else (400, b"logout_uri")), location=query.get("logout_uri", ""))
        else:
            self.answer(404)

    def do_POST(self) -> None:
        form = {name: values[-1] for name, values in parse_qs(self.body().decode()).items()}
        if self.path_only == "/login":
            code = self.site.code(form, self.site.username)
            self.answer(302, location=f"{form['redirect_uri']}?{urlencode({'code': code, 'state': form['state']})}")
        elif self.site.away:
            self.hang_up()
        elif self.path_only == "/oauth2/token":
            status, document = self.site.grant(form)
            self.answer(
                status, json.dumps(document).encode(), content_type="application/json", access_control_allow_origin="*"
            )
        elif self.path_only == "/oauth2/revoke":
            self.site.revoked.append(form.get("token", ""))
            self.answer(200, access_control_allow_origin="*")
        else:
            self.answer(404)
