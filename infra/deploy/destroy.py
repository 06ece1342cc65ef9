"""``cdk_cli destroy``: remove everything, in as many runs as CloudFront needs, and list what remains."""

import argparse
import re
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from botocore.exceptions import ClientError

from . import teardown
from .assembly import cloud_assembly
from .deployment import REGION, STACK, Deployment, RefusedError, say
from .smoke import run_script


def destroy(deployment: Deployment, options: argparse.Namespace) -> None:
    """Remove everything, in as many runs as CloudFront needs.

    Steps:
        1. The distribution lets go of the edge function, so that its replicas begin to go; the site's bucket is emptied.
        2. CloudFormation removes the stacks; it keeps the edge function, the user pool and the books.
        3. The edge function goes if its replicas are gone; otherwise a later run deletes it.
        4. The user pool goes only if the person says so.
    """
    outputs = deployment.outputs()
    if outputs is None:
        say(f"destroy: there is no stack {STACK} in {REGION} (any more)")
    else:
        _check_same_place(outputs, options)
        if not deployment.confirm(f"Remove stack {STACK} from account {deployment.account_id}?", answer=STACK):
            raise RefusedError("nothing was removed")
        with tempfile.TemporaryDirectory() as scratch:
            # First, because a wrong option must not leave a gateway that is switched off. Without checks: what is removed
            # need not be in order.
            assembly = cloud_assembly(deployment, options, Path(scratch), checks=False)
            teardown.let_go(deployment.client("cloudfront"), outputs["DistributionId"], say)  # (1)
            if "SiteBucket" in outputs:
                emptied = run_script("website.py", "empty", "--yes", *deployment.script_options)
                say(f"destroy: site: {emptied.strip()}")
            deployment.cdk("destroy", "--app", str(assembly), "--all", "--force")  # (2)
    waiting = teardown.delete_edge_functions(deployment.client("lambda"), STACK, say)  # (3)
    remains = [
        f"edge function {name}: its replicas take hours to go; run `make destroy` again tomorrow" for name in waiting
    ]
    if outputs is not None:
        remains += _offer_pool(deployment, outputs["UserPoolId"], delete=options.delete_user_pool)  # (4)
        remains += _books(deployment, outputs)
    remains += [
        f"log groups /aws/lambda/us-east-1.{name}, in every region that had viewers: "
        "`aws logs delete-log-group --region <region> --log-group-name <name>`"
        for name in waiting
    ]
    remains.append("CDK's bootstrap stack (CDKToolkit), which other apps may use")
    say("destroy: what remains:\n" + "\n".join(f"  - {line}" for line in remains))


def _check_same_place(outputs: Mapping[str, str], options: argparse.Namespace) -> None:
    """Refuse to remove half of a deployment in two regions.

    Raises:
        RefusedError: The deployed function is in another region than these options say.
    """
    deployed = _function_region(outputs)
    asked = dict(options.context).get("backend_region") or REGION
    if deployed != asked:
        raise RefusedError(
            f"the function is in {deployed}, and these options say {asked}; give the context that it was deployed with, "
            f"such as -c backend_region={deployed}"
        )


def _books(deployment: Deployment, outputs: Mapping[str, str]) -> list[str]:
    """Return a line if the books stay: only their table's own deletion policy decides (context ``books_removal``)."""
    region = _function_region(outputs)
    tables = deployment.client("dynamodb", region).get_paginator("list_tables").paginate()
    return [
        f"table {name} with the books: `aws dynamodb delete-table --region {region} --table-name {name}`"
        for page in tables
        for name in page["TableNames"]
        # CloudFormation names a table after its stack and its logical id.
        if name.startswith((f"{STACK}-BooksTable", f"{STACK}Backend-BooksTable"))
    ]


def _function_region(outputs: Mapping[str, str]) -> str:
    host = urlsplit(outputs.get("FunctionUrlApi", "")).hostname or ""
    match = re.search(r"\.lambda-url\.([a-z0-9-]+)\.", host)
    return match[1] if match else REGION


def _offer_pool(deployment: Deployment, pool_id: str, *, delete: bool) -> list[str]:
    """Delete the user pool if the person wants that, and return a line if it stays."""
    region = pool_id.partition("_")[0]
    cognito = deployment.client("cognito-idp", region)
    try:
        users = cognito.describe_user_pool(UserPoolId=pool_id)["UserPool"].get("EstimatedNumberOfUsers", 0)
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceNotFoundException":
            raise
        return []
    if not delete and not deployment.yes and sys.stdin.isatty():
        question = f"Delete the user pool {pool_id} with its {users} users as well? They cannot be made again."
        delete = deployment.confirm(question, answer=pool_id)
    if not delete:
        command = f"aws cognito-idp delete-user-pool --region {region} --user-pool-id {pool_id}"
        return [f"user pool {pool_id} with about {users} users: `{command}`, or `make destroy` with --delete-user-pool"]
    cognito.delete_user_pool(UserPoolId=pool_id)
    say(f"destroy: deleted the user pool {pool_id}")
    return []
