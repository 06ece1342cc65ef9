"""The servers that play AWS's endpoints in this process, made for one deployed stack: doors, CloudFront, sign-in front.

Each function returns one server; ``stack`` gives it a socket.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import uvicorn

from .cloudfront.behaviors import DistributionView
from .cloudfront.distribution import EdgeTwin, Exchange
from .cloudfront.oac import OriginAccessSigner, bucket_region
from .cloudfront.raw_target import uvicorn_settings
from .emulator import static_site
from .emulator.deploy import ClientFactory, Deployment, FunctionUrl
from .emulator.hosted_ui import LoginFront
from .emulator.invoker import EmulatorInvoker
from .emulator.process import ACCOUNT_ID, REGION
from .launcher import serving
from .origins.bucket import BucketDoor
from .origins.function_url import FunctionUrlDoor, InvokeResult, Visit, server_config
from .origins.principals import IamPolicies, StaticCredentials

Print = Callable[[str], None]


@dataclass(frozen=True)
class Aws:
    """The deployed stack, and what every server has to know of it.

    Attributes:
        emulator_url: The endpoint of every emulated service.
        clients: Returns the emulator root's boto3 client of a service.
        deployment: The stack.
        callers: Whose access keys the doors know.
        console: Takes what a developer should read.
    """

    emulator_url: str
    clients: ClientFactory
    deployment: Deployment
    callers: StaticCredentials
    console: Print


def function_url_door(
    aws: Aws,
    function: FunctionUrl,
    *,
    invoker: EmulatorInvoker,
    policies: IamPolicies,
    observe: Callable[[Visit], None],
) -> uvicorn.Config:
    """Return the server of one function URL."""

    async def invoke(function_name: str, event: Mapping[str, Any]) -> InvokeResult:
        return InvokeResult(*await invoker.invoke(function_name, event))

    return server_config(
        FunctionUrlDoor(
            function_name=function.function_name,
            function_arn=function.function_arn,
            region=REGION,
            account_id=ACCOUNT_ID,
            url_host=function.host,
            credentials=aws.callers,
            policies=policies,
            invoke=invoke,
            console=aws.console,
            observe=observe,
        )
    )


def bucket_hosts(view: DistributionView) -> list[str]:
    """Return the host of each bucket that the distribution reads from."""
    return sorted({behavior.origin.domain_name for behavior in view.behaviors if behavior.origin.kind == "s3"})


def bucket_door(aws: Aws, host: str) -> uvicorn.Config:
    """Return the server of one bucket, which answers what CloudFront signs."""
    return serving.plain_config(
        BucketDoor(
            bucket=host.rpartition(".s3.")[0],
            host=host,
            region=bucket_region(host),
            account_id=ACCOUNT_ID,
            s3=aws.clients("s3"),
            credentials=aws.callers,
            console=aws.console,
        )
    )


def login_front(aws: Aws, *, port: int, outputs_file: str, names: Collection[str]) -> LoginFront:
    """Return the sign-in front, under its own names and *names*."""
    return LoginFront(
        port=port,
        emulator_url=aws.emulator_url,
        cognito=aws.clients("cognito-idp"),
        user_pool_id=aws.deployment.output("UserPoolId"),
        outputs_file=outputs_file,
        console=aws.console,
        names=names,
    )


def cloudfront(
    aws: Aws,
    view: DistributionView,
    *,
    origins: Mapping[str, tuple[str, int]],
    invoke: Callable[[dict[str, Any]], Any],
    login_url: str,
    names: Collection[str],
    observe: Callable[[Exchange], None],
) -> uvicorn.Config:
    """Return the distribution's server.

    Args:
        aws: The deployed stack; CloudFront's own key joins its callers.
        view: The distribution as it was deployed.
        origins: Loopback host and port of each origin's domain.
        invoke: Runs the edge function.
        login_url: The sign-in front's, which pages may call in place of the deployed login.
        names: Host names to answer to as well.
        observe: Takes every exchange once it is over.
    """
    signer = OriginAccessSigner(distribution_id=view.distribution_id, account_id=ACCOUNT_ID)
    aws.callers.add(signer.credential)
    twin = EdgeTwin(
        config=static_site.with_local_login(view, deployed=aws.deployment.outputs.get("LoginUrl", ""), local=login_url),
        invoke=invoke,
        resolve=origins.__getitem__,
        console=aws.console,
        sign=signer,
        observe=observe,
        names=names,
    )
    return uvicorn.Config(twin, **uvicorn_settings())
