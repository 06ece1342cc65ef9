"""Which files the site has, in which order they are put, and how each is to be served: type and lifetime."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from .stack import PROJECT_ROOT

BUILT = PROJECT_ROOT / "web" / "dist"
"""What the web application's build writes."""
PLACEHOLDER = PROJECT_ROOT / "infra" / "site_placeholder"
"""What is served where it has not been built."""

CONFIG_KEY = "config.json"

# Spelt out: what the machine's own table says differs from machine to machine, and a wrong type with nosniff is no page.
_SERVING = json.loads(Path(__file__).with_name("site_serving.json").read_bytes())
_TYPES: dict[str, str] = _SERVING["types"]
FOREVER: str = _SERVING["forever"]
ASK_FIRST: str = _SERVING["ask_first"]
# The name of a file whose content decides its name: `assets/index-B1c2D3e4.js`, as Vite writes it. It never changes.
_HASHED = re.compile(_SERVING["hashed"])


class SiteError(Exception):
    """The folder is no site; the message says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class SiteFile:
    """An object as it is to lie in the bucket.

    Attributes:
        key: Its path on the site, without a leading slash.
        content: Its bytes.
        content_type: As a browser is told.
        cache_control: For browsers and CloudFront alike.
    """

    key: str
    content: bytes = field(repr=False)
    content_type: str
    cache_control: str


def built_or_placeholder() -> Path:
    """Return the folder of the built site; of the placeholder where there is none."""
    return BUILT if (BUILT / "index.html").is_file() else PLACEHOLDER


def site_files(folder: Path, config: dict[str, str | None]) -> list[SiteFile]:
    """Return a site's objects, in the order in which they have to be put.

    What a page refers to comes before the page, `index.html` and `config.json` last: whoever loads the site meanwhile
    finds either the old one or the new one whole.

    Args:
        folder: A built site.
        config: `config.json`; a file of that name in the folder is for development, and left out.

    Raises:
        SiteError: There is no `index.html`, or a file of a type that nobody told how to serve.
    """
    files = [file for file in _files(folder) if file.key != CONFIG_KEY]
    if not any(file.key == "index.html" for file in files):
        raise SiteError(f"{folder} has no index.html; build the site first (`npm --prefix web run build`).")
    document = json.dumps(config, indent=1, sort_keys=True).encode() + b"\n"
    files.append(SiteFile(CONFIG_KEY, document, _TYPES[".json"], ASK_FIRST))
    return sorted(files, key=lambda file: (file.cache_control != FOREVER, file.key == "index.html", file.key))


def _files(folder: Path) -> Iterator[SiteFile]:
    for path in sorted(folder.rglob("*")):
        key = path.relative_to(folder).as_posix()
        if path.is_dir() or any(part.startswith(".") for part in key.split("/")):
            continue
        if path.is_symlink():
            raise SiteError(f"{path} is a symbolic link; what it leads to may not be meant for everybody.")
        content_type = _TYPES.get(path.suffix)
        if content_type is None:
            raise SiteError(f"{path}: no content type is known for {path.suffix or 'a name without an ending'}.")
        yield SiteFile(key, path.read_bytes(), content_type, FOREVER if _HASHED.fullmatch(key) else ASK_FIRST)


def site_config(
    *, region: str, user_pool_id: str, client_id: str, login_url: str, issuer: str | None = None
) -> dict[str, str | None]:
    """Return `config.json`: what the page has to know of its surroundings. Everybody can read it; nothing in it is secret.

    Args:
        region: The user pool's.
        user_pool_id: Whose users sign in.
        client_id: The public client; it has no secret.
        login_url: Base of the hosted UI.
        issuer: The `iss` of the pool's tokens where it is not the usual one.
    """
    return {
        "region": region,
        "user_pool_id": user_pool_id,
        "client_id": client_id,
        "login_url": login_url,
        "issuer": issuer,
        "api": "/api",
    }
