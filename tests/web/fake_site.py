"""The page's surroundings on loopback: its files, ``/config.json``, a books API by the contract, and a login; faults on demand.

Two ports, so that the page and the login are two origins, as in production. The real local system is in ``tests/e2e/``.
"""

import hashlib
import json
import mimetypes
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlencode

from tests.support.http_fake import Answer, Asked, HttpFake, json_answer
from tests.support.keys_and_tokens import b64url

DIST = Path(__file__).resolve().parents[2] / "web" / "dist"
CLIENT_ID = "webclient0123456789"
ANY_ORIGIN = {"access-control-allow-origin": "*"}


@dataclass
class Fault:
    """What the API says in place of an answer; ``status`` 0 closes the connection without a word."""

    status: int
    code: str = "unknown"
    title: str = "Refused"
    detail: str = "The test refuses."
    headers: dict[str, str] = field(default_factory=dict)


class Site:
    """Page and login together, with knobs for tests: faults, lifetimes, other people's changes.

    Attributes:
        url: The page's origin.
        login_url: The login's.
        books: By id, in the order of the list.
        lifetime_s: Of tokens, in seconds.
        fault: Asked about every API call (method, path); the ``Fault`` that it returns is answered instead.
        grants: What the token endpoint was asked for, in order.
        refresh_alive: Whether refresh tokens still count.
        revoked: Refresh tokens that were revoked.
        away: Whether the API and the token endpoint close every connection.
        deny: Whether the login answers with ``access_denied``.
    """

    def __init__(self) -> None:
        self.books: dict[str, dict] = {}
        self.lifetime_s = 3600
        self.fault: Callable[[str, str], Fault | None] = lambda _method, _path: None
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
        self._page = HttpFake(lambda asked: _page(self, asked))
        self._login = HttpFake(lambda asked: _login(self, asked))
        self.url, self.login_url = self._page.url, self._login.url

    def close(self) -> None:
        self._page.close()
        self._login.close()

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
        """Change a book as another person would, in between."""
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

    def grant(self, form: dict[str, str]) -> Answer:
        """Answer the token endpoint."""
        with self._lock:
            self.grants.append(form.get("grant_type", ""))
            if form.get("client_id") != CLIENT_ID:
                return json_answer({"error": "invalid_client"}, 400)
            if form.get("grant_type") == "authorization_code":
                request = self._codes.pop(form.get("code", ""), None)
                challenge = b64url(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
                if (
                    request is None
                    or request["redirect_uri"] != form.get("redirect_uri")
                    or request["code_challenge"] != challenge
                ):
                    return json_answer({"error": "invalid_grant"}, 400)
                refresh = f"refresh-{secrets.token_urlsafe(24)}"
                self._refresh[refresh] = request["username"]
                return json_answer({**self._issue(request["username"], request["nonce"]), "refresh_token": refresh})
            username = self._refresh.get(form.get("refresh_token", ""))
            if username is None or not self.refresh_alive or form["refresh_token"] in self.revoked:
                revoked = {"error": "invalid_grant", "error_description": "Refresh Token has been revoked"}
                return json_answer(revoked, 400)
            return json_answer(self._issue(username, None))

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
    return b64url(json.dumps(value).encode())


# --- the page's origin ------------------------------------------------------------------------------------------------


def _page(site: Site, asked: Asked) -> Answer | None:
    if asked.path.startswith("/api/"):
        return _api(site, asked)
    if asked.path == "/config.json":
        document = {
            "region": "us-east-1",
            "user_pool_id": "us-east-1_Example01",
            "client_id": CLIENT_ID,
            "login_url": site.login_url,
            "issuer": None,
            "api": "/api",
        }
        return json_answer(document, cache_control="no-store")
    file = DIST / ("index.html" if asked.path == "/" else asked.path.lstrip("/"))
    if not file.is_file():
        return Answer(404, b"<h1>404</h1>", {"content-type": "text/html"})
    headers = {
        "content-type": mimetypes.guess_type(file.name)[0] or "application/octet-stream",
        "content-security-policy": site.policy,
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
    }
    return Answer(200, file.read_bytes(), headers)


def _api(site: Site, asked: Asked) -> Answer | None:
    if site.away:
        return None
    if fault := site.fault(asked.method, asked.path):
        return _problem(fault.status, fault.code, fault.title, fault.detail, fault.headers) if fault.status else None
    if "authorization" not in asked.headers:
        return _problem(401, "missing_token", "Sign-in required", "The request has no Authorization header.")
    username = site.who(asked.headers["authorization"])
    if username is None:
        return _problem(401, "expired", "Token expired", "The token expired. Sign in again.")
    match asked.method, asked.path.split("/")[2:]:
        case "GET", ["whoami"]:
            return json_answer(
                {
                    "anonymous": False,
                    "sub": site.sub(username),
                    "username": username,
                    "email": f"{username}@example.com",
                    "groups": site.groups,
                },
                cache_control="no-store",
            )
        case "GET", ["books"]:
            return _list(site, asked)
        case "POST", ["books"]:
            fields = json.loads(asked.body)
            return _refused(fields) or _book(site.add(**fields, owner=username), 201)
        case _, ["books", book_id] if book_id in site.books:
            return _one(site, asked, site.books[book_id], username)
    return _problem(404, "not_found", "Not found", "There is no such thing here.")


def _list(site: Site, asked: Asked) -> Answer:
    books = list(site.books.values())
    begin = int(asked.query.get("cursor", "0"))
    end = begin + min(int(asked.query["limit"]), site.page_size)
    following = str(end) if end < len(books) else None
    return json_answer({"books": books[begin:end], "next": following}, cache_control="no-store")


def _one(site: Site, asked: Asked, book: dict, username: str) -> Answer:
    if asked.method == "GET":
        return _book(book)
    mine = book["owner"] == site.sub(username)
    if not mine and not (asked.method == "DELETE" and "admins" in site.groups):
        return _problem(403, "not_owner", "Not yours", f"{book['owner_name']} added this book.")
    if asked.headers.get("if-match") != f'"{book["version"]}"':
        return _problem(412, "version_conflict", "Changed meanwhile", "It has another version now.", current=book)
    if asked.method == "DELETE":
        del site.books[book["id"]]
        return Answer(204)
    fields = json.loads(asked.body)
    if refused := _refused(fields):
        return refused
    site.change(book["id"], **fields)
    return _book(site.books[book["id"]])


def _book(book: dict, status: int = 200) -> Answer:
    return json_answer(book, status, cache_control="no-store")


def _refused(fields: dict) -> Answer | None:
    if "<refuse>" not in fields["title"]:
        return None
    errors = [{"field": "title", "detail": "Not this title."}]
    return _problem(422, "invalid_book", "The book is not right", "One field is wrong.", errors=errors)


def _problem(
    status: int, code: str, title: str, detail: str, headers: Mapping[str, str] | None = None, **more: object
) -> Answer:
    document = {
        "type": f"urn:cognito-edge-gateway:problem:{code}",
        "title": title,
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": "JmlQeCk5Zz0",
        **more,
    }
    body = json.dumps(document).encode()
    return Answer(status, body, {"content-type": "application/problem+json", **(headers or {})})


# --- the hosted UI's origin -------------------------------------------------------------------------------------------


def _login(site: Site, asked: Asked) -> Answer | None:
    match asked.method, asked.path:
        case "GET", "/oauth2/authorize":
            return _authorize(site, asked.query)
        case "GET", "/logout":
            query = asked.query
            known = query.get("client_id") == CLIENT_ID and query.get("logout_uri") == f"{site.url}/"
            return Answer(302, headers={"location": query["logout_uri"]}) if known else Answer(400, b"logout_uri")
        case "POST", "/login":
            form = asked.form
            return _redirect(form, code=site.code(form, site.username))
        case "POST", _ if site.away:
            return None
        case "POST", "/oauth2/token":
            return replace(given := site.grant(asked.form), headers={**given.headers, **ANY_ORIGIN})
        case "POST", "/oauth2/revoke":
            site.revoked.append(asked.form.get("token", ""))
            return Answer(200, headers=ANY_ORIGIN)
    return Answer(404)


def _authorize(site: Site, query: dict[str, str]) -> Answer:
    missing = {"client_id", "redirect_uri", "state", "nonce", "code_challenge", "code_challenge_method"} - set(query)
    if missing or query["redirect_uri"] != f"{site.url}/" or query["response_type"] != "code":
        return Answer(400, f"missing {sorted(missing)}".encode())
    if site.deny:
        return _redirect(query, error="access_denied", error_description="You said no")
    hidden = "".join(f'<input type="hidden" name="{name}" value="{value}">' for name, value in query.items())
    button = f"<button>Sign in as {site.username}</button>"
    page = f"<!doctype html><title>Sign in</title><form method=post action=/login>{hidden}{button}</form>"
    return Answer(200, page.encode(), {"content-type": "text/html; charset=utf-8"})


def _redirect(request: dict[str, str], **answer: str) -> Answer:
    query = urlencode({**answer, "state": request["state"]})
    return Answer(302, headers={"location": f"{request['redirect_uri']}?{query}"})
