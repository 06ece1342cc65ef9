"""Every way to deploy it, as apps in this process."""

import json

import aws_cdk as cdk
import cdk_nag
from aws_cdk import aws_cognito as cognito
from aws_cdk import aws_lambda as lambda_
from cognito_edge_cdk.gateway import EdgeGateway

from infra.example.stack import build
from tests.infra.rig import PROJECT

CONTEXT = json.loads((PROJECT / "cdk.json").read_bytes())["context"]
EXAMPLES = {
    "sigv4": {},
    "oac": {"signing": "oac"},
    "oac-pinned": {"signing": "oac", "distribution_id": "E2EXAMPLE1234"},
    "far-sigv4": {"backend_region": "eu-west-1"},
    "far-oac": {"backend_region": "eu-west-1", "signing": "oac"},
    "far-pool-sigv4": {"backend_region": "eu-west-1", "cognito_region": "eu-west-1"},
    "far-pool-oac": {"backend_region": "eu-west-1", "cognito_region": "eu-west-1", "signing": "oac"},
}


def function(stack, name):
    made = lambda_.Function(
        stack,
        name,
        runtime=lambda_.Runtime.PYTHON_3_13,
        handler="index.handler",
        code=lambda_.Code.from_inline("def handler(event, context): pass"),
    )
    return made.add_function_url(auth_type=lambda_.FunctionUrlAuthType.AWS_IAM)


def attach(stack, *, urls, own_pool, **arguments):
    functions = {"/*": function(stack, "F0")}
    functions |= {f"/{number}/*": function(stack, f"F{number}") for number in range(1, urls)}
    if not own_pool:
        arguments["user_pool"] = cognito.UserPool.from_user_pool_id(stack, "Foreign", "us-east-1_Foreign")
        arguments["clients"] = [cognito.UserPoolClient.from_user_pool_client_id(stack, "Client", "client")]
    return EdgeGateway(stack, "Gateway", functions=functions, bytecode="none", **arguments)


def app_in(folder, *, checks=False, **context):
    app = cdk.App(
        outdir=str(folder),
        context={**CONTEXT, "bytecode": "none", **context},
        analytics_reporting=False,
        tree_metadata=False,
        builtin_cloud_formation_validation=checks,
        auto_synth=False,
    )
    if checks:
        cdk.Validations.of(app).add_plugins(cdk_nag.AwsSolutionsChecks(app))
    return app


def synthesise_all(root):
    """Synthesise each of them into a folder of its name below *root*. The example's are checked by cdk-nag."""
    for name, context in EXAMPLES.items():
        app = app_in(root / name, checks=True, **context)
        build(app)
        app.synth()
    for signing in ("sigv4", "oac"):
        for urls in (1, 3):
            for own_pool in (True, False):
                folder = root / f"{signing}-{urls}-urls-{'own' if own_pool else 'foreign'}-pool"
                app = app_in(folder)
                stack = cdk.Stack(app, "Theirs", env=cdk.Environment(region="us-east-1"))
                attach(stack, urls=urls, own_pool=own_pool, signing=signing).add_outputs(stack)
                app.synth()
