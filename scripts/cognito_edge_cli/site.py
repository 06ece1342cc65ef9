"""Put the static site into its bucket, with the right types and lifetimes and its `config.json`; or take it away."""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import stack as _stack
from .console import EXIT_OK, ScriptError, answer, run, say
from .site_files import FOREVER, PLACEHOLDER, SiteError, SiteFile, built_or_placeholder, site_config, site_files
from .stack import Stack

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

EXAMPLES = """\
examples:
  python scripts/website.py put --local              the built site (web/dist), into the system that `make run` started
  python scripts/website.py put                      the same, into the deployed stack; CloudFront forgets the old files
  python scripts/website.py put --prune --folder D   another folder; files that are not in it are deleted
  python scripts/website.py empty --yes              delete every file: CloudFormation deletes empty buckets only

`make run` and `make deploy` put the site by themselves; this is for one that has been built again since.

exit status: 0 done; 1 refused or failed, with the reason on standard error; 2 wrong usage; 130 interrupted
"""

# DeleteObjects takes at most a thousand keys.
_DELETED_AT_ONCE = 1_000


def main(argv: Sequence[str] | None = None) -> int:
    """Put the site, or take it away."""
    parser = _parser()
    arguments = parser.parse_args(argv)

    def work() -> int:
        stack = _stack.find(parser, arguments)
        try:
            return int(arguments.command(stack, arguments))
        except SiteError as error:
            raise ScriptError(str(error)) from None

    return run(work)


def put(stack: Stack, arguments: argparse.Namespace) -> int:
    """Put every file, what pages refer to before the pages; then have CloudFront forget what it has."""
    folder = arguments.folder or built_or_placeholder()
    config = site_config(
        region=stack.region, user_pool_id=stack.user_pool_id, client_id=stack.client_id, login_url=stack.login_url
    )
    files = site_files(folder, config)
    bucket, s3 = _bucket(stack), _s3(stack)
    if folder == PLACEHOLDER:
        say("site: web/dist has not been built; putting the page that holds its place")
    for file in files:
        _put(s3, bucket, file)
    # Earlier files with hashed names stay unless somebody says otherwise: pages that are open now still load them.
    gone = sorted(_keys(s3, bucket) - {file.key for file in files}) if arguments.prune else []
    _delete(s3, bucket, gone)
    if stack.distribution_id and not stack.is_local:
        _invalidate(stack, stack.distribution_id)
    kept = sum(file.cache_control == FOREVER for file in files)
    answer(f"{bucket}: {len(files)} files put ({kept} of them for ever), {len(gone)} deleted")
    return EXIT_OK


def empty(stack: Stack, arguments: argparse.Namespace) -> int:
    """Delete every file."""
    bucket, s3 = _bucket(stack), _s3(stack)
    keys = sorted(_keys(s3, bucket))
    if keys and not arguments.yes:
        raise ScriptError(f"{bucket} has {len(keys)} files, which would all be deleted; add --yes to do it.")
    _delete(s3, bucket, keys)
    answer(f"{bucket}: {len(keys)} files deleted")
    return EXIT_OK


def _put(s3: "S3Client", bucket: str, file: SiteFile) -> None:
    s3.put_object(
        Bucket=bucket,
        Key=file.key,
        Body=file.content,
        ContentType=file.content_type,
        CacheControl=file.cache_control,
    )


def _keys(s3: "S3Client", bucket: str) -> set[str]:
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    return {found["Key"] for page in pages for found in page.get("Contents", [])}


def _delete(s3: "S3Client", bucket: str, keys: Sequence[str]) -> None:
    for start in range(0, len(keys), _DELETED_AT_ONCE):
        chosen = keys[start : start + _DELETED_AT_ONCE]
        refused = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key} for key in chosen], "Quiet": True})
        if errors := refused.get("Errors"):
            raise ScriptError(f"{bucket}: {len(errors)} files could not be deleted: {errors[0].get('Message')}")


def _invalidate(stack: Stack, distribution_id: str) -> None:
    paths = {"Quantity": 1, "Items": ["/*"]}  # one path, however many files: that is how they are counted
    _stack.client(stack, "cloudfront", _stack.DEFAULT_REGION).create_invalidation(
        DistributionId=distribution_id,
        InvalidationBatch={"Paths": paths, "CallerReference": f"site-{time.time_ns()}"},
    )
    say("site: CloudFront forgets the old files, which takes it a minute or two")


def _s3(stack: Stack) -> "S3Client":
    # The bucket is a part of the distribution's stack, which is in one region whatever the pool's is.
    s3: S3Client = _stack.client(stack, "s3", _stack.DEFAULT_REGION)
    return s3


def _bucket(stack: Stack) -> str:
    """Return the site's bucket.

    Raises:
        ScriptError: The system has none.
    """
    if stack.site_bucket:
        return stack.site_bucket
    if stack.is_local:  # its outputs are those of contract C2; the emulator knows the rest
        stacks: list[dict[str, Any]] = _stack.client(stack, "cloudformation", _stack.DEFAULT_REGION).describe_stacks()[
            "Stacks"
        ]
        for output in (output for found in stacks for output in found.get("Outputs", [])):
            if output["OutputKey"] == "SiteBucket":
                return str(output["OutputValue"])
    raise ScriptError(
        f"{stack.name} has no output SiteBucket, and so no site to put; deploy the example with it first."
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="website.py",
        description=main.__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    putting = commands.add_parser("put", help="put the site, and its config.json")
    putting.set_defaults(command=put)
    putting.add_argument(
        "--folder",
        type=Path,
        metavar="DIR",
        help="a built site (default: web/dist, or a placeholder where there is none)",
    )
    putting.add_argument("--prune", action="store_true", help="delete files that the folder does not have")
    emptying = commands.add_parser("empty", help="delete every file of the site")
    emptying.set_defaults(command=empty)
    emptying.add_argument("--yes", action="store_true", help="do it without asking")
    for command in (putting, emptying):
        _stack.add_arguments(command)
    return parser


if __name__ == "__main__":
    sys.exit(main())
