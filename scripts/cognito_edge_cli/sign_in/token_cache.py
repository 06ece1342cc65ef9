"""Tokens as a client sees them, and the cache that keeps them on disk."""

import fcntl
import hashlib
import json
import os
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from jose import jwt
from jose.exceptions import JWTError

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
        """The ID token's ``sub``: the user, whatever they are called."""
        return str(unverified_claims(self.id_token).get("sub"))


def unverified_claims(token: str) -> dict[str, Any]:
    """Return the claims of a JWT without a look at its signature.

    ``id_token.validate`` looks at it when an ID token arrives; an access token is the gateway's to verify.

    Raises:
        ScriptError: It is not a JWT, or has no numeric ``exp``.
    """
    try:
        claims: dict[str, Any] = jwt.get_unverified_claims(token)
    except JWTError:
        raise ScriptError("The server sent a token that is not a JWT; nothing was kept.") from None
    if isinstance(claims.get("exp"), bool) or not isinstance(claims.get("exp"), int | float):
        raise ScriptError("The server sent a token without an expiry time (exp); nothing was kept.")
    return claims


class TokenCache:
    """The tokens of one pool and client on disk, one file for each way of signing in.

    Folders are 0700 and files 0600: a refresh token is worth weeks of a person's identity.

    Args:
        stack: Whose tokens.
    """

    def __init__(self, stack: Stack) -> None:
        # Pool and client ids are letters, digits, ``_``, ``-``, ``+`` (checked in ``Stack``): safe as a folder's name.
        self._base = LOCAL_FOLDER / "tokens" if stack.is_local else _user_cache()
        self._folder = self._base / f"{stack.user_pool_id}.{stack.client_id}"

    def file_of(self, sign_in: str) -> Path:
        """Return the file that keeps one way of signing in, such as ``user alice``."""
        # A digest: names hold anything, a path included, and a listing of the folder need not show who signs in here.
        return self._folder / f"{hashlib.sha256(sign_in.encode(errors='surrogatepass')).hexdigest()[:32]}.json"

    def files(self) -> list[Path]:
        """Return the files that are there."""
        return sorted(self._folder.glob("*.json"))

    def load(self, file: Path, *, to_revoke: bool = False) -> Tokens | None:
        """Return the tokens in a file, or None.

        Args:
            file: One of ``file_of`` or ``files``.
            to_revoke: Return tokens that others could have read, too: those above all are to be revoked.

        Raises:
            ScriptError: It belongs to another user, or is not a plain file.
        """
        try:
            # O_NOFOLLOW: a link planted here would make us read, and trust, a file of another's choice.
            descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ScriptError(
                f"{file}: the cached tokens cannot be read ({error.strerror}). Delete the file and try again."
            ) from None
        with os.fdopen(descriptor, "rb") as opened:
            status = os.fstat(descriptor)
            if status.st_uid != os.geteuid() or not stat.S_ISREG(status.st_mode):
                raise ScriptError(
                    f"{file}: expected a plain file of user id {os.geteuid()}, found one of user id {status.st_uid}."
                    " It is not used. Delete it and try again."
                )
            if status.st_mode & 0o077 and not to_revoke:
                raise ScriptError(
                    f"{file}: expected tokens that their owner alone can read (mode 0600), found mode"
                    f" {stat.S_IMODE(status.st_mode):04o}: others may have them. They are not used. Revoke and delete"
                    " them with --logout, or replace them with --force."
                )
            return _parse(opened.read(MAX_CACHE_BYTES))

    def save(self, file: Path, tokens: Tokens) -> None:
        """Replace a file, atomically.

        Raises:
            ScriptError: The folder cannot be made, or belongs to another user.
        """
        self._make_folders()
        # mkstemp makes the file 0600 before a byte is in it; rename leaves readers the old or the new, never a part.
        descriptor, temporary = tempfile.mkstemp(dir=self._folder, prefix=".new-")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
                json.dump({"format": CACHE_FORMAT, **asdict(tokens)}, opened)
            Path(temporary).replace(file)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise

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

    def _make_folders(self) -> None:
        for folder in (self._base, self._folder):
            try:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                status = folder.lstat()
            except OSError as error:
                raise ScriptError(f"{folder}: cannot keep tokens there ({error.strerror}); try --no-cache.") from None
            if status.st_uid != os.geteuid() or not stat.S_ISDIR(status.st_mode):
                raise ScriptError(
                    f"{folder}: expected a folder of user id {os.geteuid()}; found one of user id {status.st_uid},"
                    " or something else. Remove it, or use --no-cache."
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
