"""Put the static site into its bucket, with the right types and lifetimes and its ``config.json``; or take it away."""

import json
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .console import Group, ScriptError, answer, printable, say
from .stack import CHECKOUT, DEFAULT_REGION, Choice, Stack, client, system_options

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

EXAMPLES = """\
Examples:
  cognito-edge site put --local
      the built site (web/dist), into the system that `make run` started
  cognito-edge site put
      the same, into the deployed stack; CloudFront forgets the old files
  cognito-edge site put --prune --folder DIR
      another folder; files that are not in it are deleted
  cognito-edge site empty --yes
      delete every file: CloudFormation deletes empty buckets only

`make run` and `make deploy` put the site by themselves; this is for one that has been built again since.

Exit status: 0 done; 1 refused or failed, with the reason on standard error; 2 wrong usage; 130 interrupted
"""

CONFIG_KEY = "config.json"

# Spelt out: what the machine's own table says differs from machine to machine, and a wrong type with nosniff is no page.
_SERVING = json.loads(Path(__file__).with_name("site_serving.json").read_bytes())
_TYPES: dict[str, str] = _SERVING["types"]
FOREVER: str = _SERVING["forever"]
ASK_FIRST: str = _SERVING["ask_first"]
# The name of a file whose content decides its name: ``assets/index-B1c2D3e4.js``, as Vite writes it. It never changes.
_HASHED = re.compile(_SERVING["hashed"])

# DeleteObjects takes at most a thousand keys.
_DELETED_AT_ONCE = 1_000


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


@click.group("site", cls=Group, epilog=EXAMPLES)
def site() -> None:
    """Put the static site into its bucket, or take it away."""


@site.command("put", short_help="put the site, and its config.json")
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="A built site (default: the checkout's web/dist, or a placeholder where it has not been built).",
)
@click.option("--prune", is_flag=True, help="Delete files that the folder does not have.")
@system_options
def _put_site(folder: Path | None, *, prune: bool, system: Choice) -> None:
    """Put the site, and its config.json."""
    put(system.find(), folder, prune=prune)


@site.command("empty", short_help="delete every file of the site")
@click.option("--yes", is_flag=True, help="Do it without asking.")
@system_options
def _empty_site(*, yes: bool, system: Choice) -> None:
    """Delete every file of the site."""
    empty(system.find(), yes=yes)


def put(stack: Stack, folder: Path | None, *, prune: bool) -> None:
    """Put every file, what pages refer to before the pages; then have CloudFront forget what it has.

    Args:
        stack: Whose bucket.
        folder: A built site; None: the checkout's, or its placeholder.
        prune: Whether files that the folder does not have are deleted.
    """
    files = site_files(
        folder or _built_or_placeholder(),
        site_config(
            region=stack.region, user_pool_id=stack.user_pool_id, client_id=stack.client_id, login_url=stack.login_url
        ),
    )
    bucket, s3 = _bucket(stack), _s3(stack)
    for file in files:
        s3.put_object(
            Bucket=bucket,
            Key=file.key,
            Body=file.content,
            ContentType=file.content_type,
            CacheControl=file.cache_control,
        )
    # Earlier files with hashed names stay unless --prune says otherwise: pages that are open now still load them.
    gone = sorted(_keys(s3, bucket) - {file.key for file in files}) if prune else []
    _delete(s3, bucket, gone)
    if stack.distribution_id and not stack.is_local:
        _invalidate(stack, stack.distribution_id)
    kept = sum(file.cache_control == FOREVER for file in files)
    answer(f"{bucket}: {len(files)} files put ({kept} of them for ever), {len(gone)} deleted")


def empty(stack: Stack, *, yes: bool) -> None:
    """Delete every file.

    Raises:
        ScriptError: There are some, and *yes* is not set.
    """
    bucket, s3 = _bucket(stack), _s3(stack)
    keys = sorted(_keys(s3, bucket))
    if keys and not yes:
        raise ScriptError(f"{bucket} has {len(keys)} files, which would all be deleted; add --yes to do it.")
    _delete(s3, bucket, keys)
    answer(f"{bucket}: {len(keys)} files deleted")


# --- the files ----------------------------------------------------------------------------------------------------------


def _built_or_placeholder() -> Path:
    """Return the folder of the checkout's built site; of the placeholder where it has not been built.

    Raises:
        ScriptError: This is no checkout.
    """
    if CHECKOUT is None:
        raise ScriptError("There is no site here: this is no checkout of the repository. Name a folder with --folder.")
    built = CHECKOUT / "web" / "dist"
    if (built / "index.html").is_file():
        return built
    say("site: web/dist has not been built; putting the page that holds its place")
    return CHECKOUT / "infra" / "site_placeholder"


def site_files(folder: Path, config: dict[str, str | None]) -> list[SiteFile]:
    """Return a site's objects, in the order in which they have to be put.

    What a page refers to comes before the page, ``index.html`` and ``config.json`` last: whoever loads the site meanwhile
    finds either the old one or the new one whole.

    Args:
        folder: A built site.
        config: ``config.json``; a file of that name in the folder is for development, and left out.

    Raises:
        ScriptError: The folder has no ``index.html``, a symbolic link, or a file of an unknown type.
    """
    files = [file for file in _files(folder) if file.key != CONFIG_KEY]
    if not any(file.key == "index.html" for file in files):
        raise ScriptError(f"{folder} has no index.html; build the site first (`npm --prefix web run build`).")
    document = json.dumps(config, indent=1, sort_keys=True).encode() + b"\n"
    files.append(SiteFile(CONFIG_KEY, document, _TYPES[".json"], ASK_FIRST))
    return sorted(files, key=lambda file: (file.cache_control != FOREVER, file.key == "index.html", file.key))


def _files(folder: Path) -> Iterator[SiteFile]:
    for path in sorted(folder.rglob("*")):
        key = path.relative_to(folder).as_posix()
        if path.is_dir() or any(part.startswith(".") for part in key.split("/")):
            continue
        if path.is_symlink():
            raise ScriptError(f"{path} is a symbolic link; what it leads to may not be meant for the public.")
        content_type = _TYPES.get(path.suffix)
        if content_type is None:
            raise ScriptError(f"{path}: no content type is known for {path.suffix or 'a name without an ending'}.")
        yield SiteFile(key, path.read_bytes(), content_type, FOREVER if _HASHED.fullmatch(key) else ASK_FIRST)


def site_config(
    *, region: str, user_pool_id: str, client_id: str, login_url: str, issuer: str | None = None
) -> dict[str, str | None]:
    """Return ``config.json``: what the page has to know of its surroundings. Everybody can read it; nothing in it is secret.

    Args:
        region: The user pool's.
        user_pool_id: Whose users sign in.
        client_id: The public client; it has no secret.
        login_url: Base of the hosted UI.
        issuer: The ``iss`` of the pool's tokens where it is not the usual one.
    """
    return {
        "region": region,
        "user_pool_id": user_pool_id,
        "client_id": client_id,
        "login_url": login_url,
        "issuer": issuer,
        "api": "/api",
    }


# --- the bucket ----------------------------------------------------------------------------------------------------------


def _keys(s3: "S3Client", bucket: str) -> set[str]:
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    return {found["Key"] for page in pages for found in page.get("Contents", [])}


def _delete(s3: "S3Client", bucket: str, keys: Sequence[str]) -> None:
    for start in range(0, len(keys), _DELETED_AT_ONCE):
        chosen = keys[start : start + _DELETED_AT_ONCE]
        refused = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key} for key in chosen], "Quiet": True})
        if errors := refused.get("Errors"):
            raise ScriptError(
                f"{bucket}: {len(errors)} files could not be deleted: {printable(errors[0].get('Message'))}"
            )


def _invalidate(stack: Stack, distribution_id: str) -> None:
    paths = {"Quantity": 1, "Items": ["/*"]}  # one path, however many files: that is how they are counted
    client(stack, "cloudfront", DEFAULT_REGION).create_invalidation(
        DistributionId=distribution_id,
        InvalidationBatch={"Paths": paths, "CallerReference": f"site-{time.time_ns()}"},
    )
    say("site: CloudFront forgets the old files, which takes it a minute or two")


def _s3(stack: Stack) -> "S3Client":
    # The bucket is a part of the distribution's stack, which is in one region whatever the pool's is.
    s3: S3Client = client(stack, "s3", DEFAULT_REGION)
    return s3


def _bucket(stack: Stack) -> str:
    """Return the site's bucket.

    Raises:
        ScriptError: The system has none.
    """
    if stack.site_bucket:
        return stack.site_bucket
    if stack.is_local:  # outputs.json does not name it (contract C2); the emulator does
        stacks: list[dict[str, Any]] = client(stack, "cloudformation", DEFAULT_REGION).describe_stacks()["Stacks"]
        for output in (output for found in stacks for output in found.get("Outputs", [])):
            if output["OutputKey"] == "SiteBucket":
                return str(output["OutputValue"])
    raise ScriptError(
        f"{stack.name} has no output SiteBucket, and so no site to put; deploy the example with it first."
    )
