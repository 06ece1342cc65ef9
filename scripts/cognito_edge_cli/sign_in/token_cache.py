"""Tokens as a client sees them, the checks that OIDC asks of a client, and the cache on disk."""

import base64
import fcntl
import hashlib
import hmac
import json
import os
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cognito_edge_cli.console import ScriptError, say
from cognito_edge_cli.stack import LOCAL_FOLDER, Stack

# A token that is handed out should outlive the request it is for, and a script's next few.
REFRESH_BEFORE_S = 300
CACHE_NAME = "cognito-edge-gateway"
CACHE_FORMAT = 1
MAX_CACHE_BYTES = 256 * 1024


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """What a sign-in or a refresh brought.

    Attributes:
        id_token: Who the person is; what the gateway wants by default.
        access_token: What they may do.
        refresh_token: Brings new ones of the first two; None when the server gave none.
        via: "hosted-ui" or "api": where they came from, and so where they are refreshed.
        label: Who signed in, in words for messages.
    """

    id_token: str = field(repr=False)
    access_token: str = field(repr=False)
    refresh_token: str | None = field(repr=False)
    via: str
    label: str

    @property
    def expires_at(self) -> float:
        """Epoch seconds at which the first of ID and access token expires."""
        return min(float(unverified_claims(token)["exp"]) for token in (self.id_token, self.access_token))

    @property
    def subject(self) -> str:
        """The ID token's `sub`: the user, whatever they are called."""
        return str(unverified_claims(self.id_token).get("sub"))


def unverified_claims(token: str) -> dict[str, Any]:
    """Return the claims of a JWT whose signature nobody has looked at.

    Good enough for a client that got the token itself from the token endpoint over TLS (OpenID Connect Core 1.0
    §3.1.3.7, 6.), and for nobody else: the gateway verifies.

    Raises:
        ScriptError: It is no JWT, or has no numeric `exp`.
    """
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (IndexError, ValueError):
        claims = None
    if not isinstance(claims, dict) or isinstance(claims.get("exp"), bool):
        raise ScriptError("The server sent a token that is no JWT; nothing was kept.")
    if not isinstance(claims.get("exp"), int | float):
        raise ScriptError("The server sent a token without an expiry time (exp); nothing was kept.")
    return claims


def check_id_token(tokens: Tokens, stack: Stack, *, now: float, nonce: str | None = None) -> None:
    """Refuse tokens that were not made for this client, this pool, and this very sign-in.

    Args:
        tokens: Fresh from the server.
        stack: Whose pool and client they must be for.
        now: Epoch seconds.
        nonce: What the authorization request sent; None for a sign-in or refresh that sends none.

    Raises:
        ScriptError: Which claim is wrong.

    Source: OpenID Connect Core 1.0 §3.1.3.7, 2. (iss), 3. (aud), 9. (exp), 11. (nonce).
    """
    claims = unverified_claims(tokens.id_token)
    if claims.get("iss") not in stack.issuers:
        raise ScriptError(f"The ID token is from {claims.get('iss')!r}; expected {' or '.join(stack.issuers)}.")
    if claims.get("aud") != stack.client_id:
        raise ScriptError(f"The ID token is for client {claims.get('aud')!r}; expected {stack.client_id}.")
    if claims.get("token_use") != "id":
        raise ScriptError(f"Expected an ID token (token_use id); got token_use {claims.get('token_use')!r}.")
    if claims["exp"] <= now:
        raise ScriptError("The ID token that just came has expired already. Is this machine's clock right?")
    # "If a nonce value was sent in the Authentication Request, a nonce Claim MUST be present and its value checked":
    # an ID token of another sign-in, slipped into this one, has another nonce.
    if nonce is not None and not hmac.compare_digest(str(claims.get("nonce")).encode(), nonce.encode()):
        raise ScriptError("The ID token belongs to another sign-in (wrong nonce). Nothing was kept; try again.")


class TokenCache:
    """The tokens of one pool and client on disk, one file for each way of signing in.

    A class because every access repeats the same checks on the same folder. Folders are 0700 and files 0600: a refresh
    token is worth weeks of somebody's identity.

    Args:
        stack: Whose tokens.
    """

    def __init__(self, stack: Stack) -> None:
        # Pool and client ids are letters, digits, `_`, `-`, `+` (checked in Stack): safe as a folder's name.
        self._base = LOCAL_FOLDER / "tokens" if stack.is_local else _user_cache()
        self._folder = self._base / f"{stack.user_pool_id}.{stack.client_id}"

    def load(self, key: str, *, to_revoke: bool = False) -> Tokens | None:
        """Return what was saved under *key*, or None.

        Args:
            key: What it was saved under.
            to_revoke: Return tokens that others could have read, too: those above all are to be revoked.

        Raises:
            ScriptError: The file is somebody else's, or is none.
        """
        return self._read(self._path(key), to_revoke=to_revoke)

    def save(self, key: str, tokens: Tokens) -> None:
        """Replace what is kept under *key*, atomically.

        Raises:
            ScriptError: The folder cannot be made, or is somebody else's.
        """
        self._make_folders()
        # mkstemp makes the file 0600 before a byte is in it; rename leaves readers the old or the new, never a part.
        descriptor, temporary = tempfile.mkstemp(dir=self._folder, prefix=".new-")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump({"format": CACHE_FORMAT, **asdict(tokens)}, file)
            Path(temporary).replace(self._path(key))
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise

    def delete(self, key: str) -> None:
        """Forget what is kept under *key*, if anything is."""
        self._path(key).unlink(missing_ok=True)

    def keys(self) -> list[str]:
        """Return the keys that something is kept under, in a form that the other methods take."""
        return sorted(str(path) for path in self._folder.glob("*.json"))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the cache for one refresh.

        Where refresh tokens rotate, of two scripts that send the same one at the same time, one is signed out.
        """
        self._make_folders()
        descriptor = os.open(self._folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _path(self, key: str) -> Path:
        if key.endswith(".json"):  # from keys()
            return Path(key)
        # A digest: user names hold anything, and a listing of the folder need not show who signs in here.
        return self._folder / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"

    def _read(self, path: Path, *, to_revoke: bool) -> Tokens | None:
        try:
            # O_NOFOLLOW: a link planted here would make us read, and trust, a file of somebody's choice.
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ScriptError(
                f"{path}: the cached tokens cannot be read ({error.strerror}). Delete the file and try again."
            ) from None
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if status.st_uid != os.geteuid() or not stat.S_ISREG(status.st_mode):
                raise ScriptError(
                    f"{path}: expected a plain file of user id {os.geteuid()}, found one of user id {status.st_uid}."
                    " It is not used. Delete it and try again."
                )
            if status.st_mode & 0o077 and not to_revoke:
                raise ScriptError(
                    f"{path}: expected tokens that their owner alone can read (mode 0600), found mode"
                    f" {stat.S_IMODE(status.st_mode):04o}: others may have them. They are not used. Revoke and delete"
                    " them with --logout, or replace them with --force."
                )
            return _parse(file.read(MAX_CACHE_BYTES))

    def _make_folders(self) -> None:
        for folder in (self._base, self._folder):
            try:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                status = folder.lstat()
            except OSError as error:
                raise ScriptError(f"{folder}: cannot keep tokens there ({error.strerror}); try --no-cache.") from None
            if status.st_uid != os.geteuid() or not stat.S_ISDIR(status.st_mode):
                raise ScriptError(
                    f"{folder}: expected a folder of user id {os.geteuid()}; it belongs to user id {status.st_uid} or"
                    " is none. Remove it, or use --no-cache."
                )
            if status.st_mode & 0o077:
                say(f"note: {folder} was open to others (mode {stat.S_IMODE(status.st_mode):04o}); now it is 0700.")
                folder.chmod(0o700)


def _user_cache() -> Path:
    # "If an implementation encounters a relative path … it should consider the path invalid and ignore it."
    # XDG Base Directory Specification
    configured = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (configured if configured.is_absolute() else Path.home() / ".cache") / CACHE_NAME


def _parse(content: bytes) -> Tokens | None:
    """Return the tokens that *content* holds; None for another format, or a damaged file, which a sign-in replaces."""
    try:
        saved = json.loads(content)
    except ValueError:
        return None
    if not isinstance(saved, Mapping) or saved.get("format") != CACHE_FORMAT:
        return None
    texts = {name: saved.get(name) for name in ("id_token", "access_token", "via", "label")}
    values = {name: text for name, text in texts.items() if isinstance(text, str)}
    refresh_token = saved.get("refresh_token")
    if len(values) != len(texts) or not isinstance(refresh_token, str | None):
        return None
    try:
        tokens = Tokens(refresh_token=refresh_token, **values)
        tokens.expires_at  # noqa: B018 - damaged tokens are found here, not later
    except ScriptError:
        return None
    return tokens
