"""The example's monitoring: metrics from the edge's log lines, alarms, a dashboard, and how long logs are kept.

A replica of the edge function logs where it runs, into ``/aws/lambda/us-east-1.<function>`` of that region, and metrics
and alarms have to be in the region of their log group. So each region that ``monitor_regions`` names gets a small stack of
its own; one dashboard shows all of them. ``docs/adr/0010-monitoring-across-regions.md`` has the reasons.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from aws_cdk import region_info
from cognito_edge_cdk.findings import acknowledge
from constructs import Construct

from . import waf

CONTEXT: Final = ("monitor_regions", "alarm_email")
"""The context keys that this module reads; see ``docs/settings.md``."""

NAMESPACE: Final = "CognitoEdgeGateway"

# The regions of CloudFront's regional edge caches, where origin-request functions run.
# Source: https://aws.amazon.com/cloudfront/features/ (13 regional edge caches)
EDGE_REGIONS: Final = (
    "us-east-1",
    "us-east-2",
    "us-west-1",
    "us-west-2",
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-south-1",
    "ap-southeast-1",
    "ap-southeast-2",
    "eu-central-1",
    "eu-west-1",
    "eu-west-2",
    "sa-east-1",
)
"""The regions that ``monitor_regions=all`` means."""

_HOME: Final = "us-east-1"
_PERIOD: Final = cdk.Duration.minutes(5)
# One @ and a dot behind it: enough to catch a slip, since SNS asks the addressee anyway.
_EMAIL: Final = re.compile(r"[^@\s,]+@[^@\s,]+\.[^@\s,]+")


@dataclass(frozen=True, slots=True)
class LogMetric:
    """A metric that CloudWatch counts from the edge's log lines (C8 in ``docs/contracts.md``).

    Attributes:
        name: Its name in ``NAMESPACE``.
        pattern: The lines that count, in CloudWatch's filter pattern syntax.
        dimensions: Fields of the line by dimension; empty for one metric, which is 0 while other lines come.
    """

    name: str
    pattern: str
    dimensions: Mapping[str, str]


# Refusals have two metrics: one by code for the dashboard, and one without, because an alarm cannot add up dimensions.
METRICS: Final = (
    LogMetric("Requests", '{ $.decision = "*" }', {}),
    LogMetric("Refused", '{ $.decision = "refuse" }', {}),
    LogMetric("Refusals", '{ $.decision = "refuse" }', {"Code": "$.code"}),
    LogMetric("Unavailable", "{ $.status = 503 }", {}),
    LogMetric("InternalErrors", '{ $.code = "internal_error" }', {}),
    LogMetric("Errors", '{ $.decision = "error" }', {"Code": "$.code"}),
    LogMetric("RefreshFailures", '{ $.event = "refresh_failed" }', {"What": "$.what"}),
    LogMetric("KeyRefreshFailures", '{ ($.event = "refresh_failed") && ($.what = "keys") }', {}),
    LogMetric("SettingsRefreshFailures", '{ ($.event = "refresh_failed") && ($.what = "configuration") }', {}),
    LogMetric("Stale", '{ ($.cache.configuration = "stale") || ($.cache.keys = "stale") }', {}),
)
"""Every log metric, in every monitored region."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Monitored:
    """Which regions are monitored, and who is told.

    Attributes:
        regions: AWS regions, in the order given.
        email: The address that gets the alarms; None for no e-mail.
    """

    regions: Sequence[str]
    email: str | None


def from_context(context: Mapping[str, str | None]) -> Monitored | None:
    """Read the context values.

    Args:
        context: Values by key of ``CONTEXT``; None or "" for keys that are not set.

    Returns:
        What is monitored; None without ``monitor_regions``.

    Raises:
        ValueError: A value is wrong, or would have no effect; the message says what is expected.
    """
    text, email = (context.get(key) or None for key in CONTEXT)
    if text is None:
        if email:
            raise ValueError(
                "context alarm_email without monitor_regions would do nothing; add monitor_regions=us-east-1,…"
            )
        return None
    regions = EDGE_REGIONS if text == "all" else tuple(part.strip() for part in text.split(","))
    known = {one.name for one in region_info.RegionInfo.regions if one.partition == "aws"}
    if unknown := [region for region in regions if region not in known]:
        raise ValueError(
            f"context monitor_regions={text}: {', '.join(map(repr, unknown))}: expected AWS regions joined by commas, such as "
            "us-east-1,eu-central-1, or all"
        )
    if len(set(regions)) != len(regions):
        raise ValueError(f"context monitor_regions={text}: name each region once")
    if email and not _EMAIL.fullmatch(email):
        raise ValueError(f"context alarm_email={email}: expected one e-mail address")
    return Monitored(regions=regions, email=email)


def monitor(
    stack: cdk.Stack, monitored: Monitored, *, function_name: str, distribution_id: str, firewall: bool
) -> list[cdk.Stack]:
    """Make the monitoring of one gateway: a stack for each region, and the dashboard in us-east-1's.

    The stacks read outputs of the gateway's stack, which does not refer to them and can be deployed without them.

    Args:
        stack: The gateway's.
        monitored: Regions and e-mail address.
        function_name: The edge function's name.
        distribution_id: The distribution's id.
        firewall: Whether the dashboard shows the firewall's blocks.
    """
    shared = {"EdgeFunctionName": function_name, "MonitoredDistribution": distribution_id}
    read = {}
    for name, value in shared.items():
        output = cdk.CfnOutput(stack, name, value=value, description="Read by the monitoring stacks")
        read[name] = cdk.Fn.get_stack_output(stack.stack_name, stack.get_logical_id(output), region=stack.region)
    made = []
    parent = cast("Construct", stack.node.scope)  # an app or a stage; every stack stands in one
    # The dashboard and CloudFront's own metrics are in us-east-1.
    for region in sorted({_HOME, *monitored.regions}):
        own = cdk.Stack(
            parent,
            f"{stack.node.id}Monitoring-{region}",
            stack_name=f"{stack.stack_name}-monitoring-{region}",
            env=cdk.Environment(
                account=None if cdk.Token.is_unresolved(stack.account) else stack.account,
                region=region,
            ),
            description=f"Metrics and alarms of the Cognito edge gateway {stack.stack_name} in {region}",
            analytics_reporting=False,
        )
        own.add_stack_dependency(stack)
        tell = _topic(own, monitored.email) if monitored.email else None
        if region in monitored.regions:
            RegionalMonitoring(own, "Edge", function_name=read["EdgeFunctionName"], tell=tell)
        if region == _HOME:
            _distribution_alarm(own, read["MonitoredDistribution"], tell)
            world = _world(read["MonitoredDistribution"], firewall=firewall)
            regional = [row for one in monitored.regions for row in _rows(one, read["EdgeFunctionName"])]
            _dashboard(own, [*world, *regional])
        made.append(own)
    return made


class RegionalMonitoring(Construct):
    """One region's log group with its retention, the metrics from its lines, and the alarms on them."""

    def __init__(self, scope: Construct, construct_id: str, *, function_name: str, tell: sns.ITopic | None) -> None:
        """Make log group, metrics and alarms.

        Args:
            scope: The region's stack.
            construct_id: The id within *scope*.
            function_name: The edge function's name, without a region.
            tell: The topic that gets the alarms; None for no topic.
        """
        super().__init__(scope, construct_id)
        name = f"/aws/lambda/us-east-1.{function_name}"
        # Not a LogGroup: creating it would fail if a replica has logged already. This makes the group if it is missing, and
        # sets the retention in either case. Like the replicas, the group stays when the stack is deleted; its lines go
        # after a month.
        retention = logs.LogRetention(self, "Retention", log_group_name=name, retention=logs.RetentionDays.ONE_MONTH)
        _acknowledge_retention(cdk.Stack.of(self))
        for metric in METRICS:
            made = logs.CfnMetricFilter(
                self,
                metric.name,
                log_group_name=name,
                filter_name=metric.name,
                filter_pattern=metric.pattern,
                metric_transformations=[
                    logs.CfnMetricFilter.MetricTransformationProperty(
                        metric_namespace=NAMESPACE,
                        metric_name=metric.name,
                        metric_value="1",
                        unit="Count",
                        # CloudWatch refuses a default value together with dimensions.
                        default_value=None if metric.dimensions else 0,
                        dimensions=[
                            logs.CfnMetricFilter.DimensionProperty(key=key, value=field)
                            for key, field in metric.dimensions.items()
                        ]
                        or None,
                    )
                ],
            )
            made.node.add_dependency(retention)
        self._alarms(function_name, tell)

    def _alarms(self, function_name: str, tell: sns.ITopic | None) -> None:
        """Make the alarms. Each says in its description what it means, and where to look."""
        region = cdk.Stack.of(self).region

        def alarm(
            name: str, metric: cloudwatch.IMetric, description: str, *, above: float = 0, points: int = 1, of: int = 1
        ) -> None:
            _alarm(self, name, metric, description, above=above, points=points, of=of, tell=tell)

        alarm(
            "InternalErrorsAlarm",
            _counted("InternalErrors", region),
            "The edge function met a fault of its own (500 internal_error). Its log lines say where.",
        )
        alarm(
            "UnavailableAlarm",
            _counted("Unavailable", region),
            "Requests are answered 503: keys, settings or credentials cannot be read. Look at reason in the log lines.",
            points=2,
            of=3,
        )
        alarm(
            "KeyRefreshAlarm",
            _counted("KeyRefreshFailures", region),
            "Cognito's keys could not be read for 15 minutes. Requests go on with the last good keys for at most a day.",
            points=3,
            of=3,
        )
        alarm(
            "SettingsRefreshAlarm",
            _counted("SettingsRefreshFailures", region),
            "SSM's parameters could not be read for 15 minutes, or the policy is broken. Requests go on with the last good "
            "ones for at most a day; changes and cut-offs have no effect until then.",
            points=3,
            of=3,
        )
        refused = cloudwatch.MathExpression(
            # A share of few requests says nothing: one stray program would set the alarm off.
            expression="IF(requests > 100, 100 * refused / requests, 0)",
            label="refused, % of requests",
            using_metrics={"requests": _counted("Requests", region), "refused": _counted("Refused", region)},
            period=_PERIOD,
        )
        alarm(
            "RefusedShareAlarm",
            refused,
            "More than half of all requests have been refused for 15 minutes. The dashboard says with which codes: "
            "wrong_issuer and wrong_client mean that the settings name another pool or client than the callers use.",
            above=50,
            points=3,
            of=3,
        )
        alarm(
            "FunctionErrorsAlarm",
            _lambda("Errors", function_name, region, "Sum"),
            "The edge function crashed, or ran out of time or memory; viewers saw CloudFront's own 502 or 503.",
        )
        alarm(
            "ThrottlesAlarm",
            _lambda("Throttles", function_name, region, "Sum"),
            "Lambda refused to run the edge function: the region's concurrency is used up, by whichever functions of the "
            "account. Raise the quota in this region.",
        )
        alarm(
            "DurationAlarm",
            _lambda("Duration", function_name, region, "p99"),
            "One request in a hundred has taken over 2 s at the edge for 15 minutes: SSM or Cognito's key endpoint is slow.",
            above=2_000,
            points=3,
            of=3,
        )


def _alarm(
    scope: Construct,
    name: str,
    metric: cloudwatch.IMetric,
    description: str,
    *,
    above: float,
    points: int,
    of: int,
    tell: sns.ITopic | None,
) -> None:
    """Make an alarm for when *points* of the last *of* periods of five minutes were above a value."""
    alarm = cloudwatch.Alarm(
        scope,
        name,
        metric=metric,
        threshold=above,
        evaluation_periods=of,
        datapoints_to_alarm=points,
        comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
        # Without viewers or failures there is no data, which is not a fault.
        treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        alarm_description=description,
    )
    if tell is not None:
        alarm.add_alarm_action(actions.SnsAction(tell))
        alarm.add_ok_action(actions.SnsAction(tell))


def _distribution_alarm(stack: cdk.Stack, distribution_id: str, tell: sns.ITopic | None) -> None:
    """Make the alarm on CloudFront's worldwide metric, which also counts regions that are not monitored."""
    _alarm(
        stack,
        "FailuresAlarm",
        _cloudfront("5xxErrorRate", distribution_id, "Average"),
        "More than 5 % of all answers, worldwide, have been 5xx for 15 minutes.",
        above=5,
        points=3,
        of=3,
        tell=tell,
    )


def _dashboard(stack: cdk.Stack, rows: Sequence[list[cloudwatch.IWidget]]) -> None:
    """Make the dashboard: first the world, then two rows for each region."""
    note = cloudwatch.TextWidget(
        markdown="# Cognito edge gateway\nLog metrics are counted on a best-effort basis. What the codes mean: "
        "`docs/refusals.md`.",
        width=24,
        height=2,
    )
    cloudwatch.Dashboard(stack, "Dashboard", default_interval=cdk.Duration.hours(12), widgets=[[note], *rows])


def _world(distribution_id: str, *, firewall: bool) -> Iterator[list[cloudwatch.IWidget]]:
    rates = [_cloudfront(name, distribution_id, "Average") for name in ("4xxErrorRate", "5xxErrorRate")]
    yield [
        _graph("Requests, worldwide", _HOME, [_cloudfront("Requests", distribution_id, "Sum")]),
        _graph("Answers 4xx and 5xx, % worldwide", _HOME, rates),
    ]
    if firewall:
        yield [_graph("Blocked by the firewall, by rule", _HOME, [_blocked(rule) for rule in waf.RULES], width=24)]


def _rows(region: str, function_name: str) -> Iterator[list[cloudwatch.IWidget]]:
    yield [
        _graph(f"{region}: refusals by code", region, [_by("Refusals", "Code", region)]),
        _graph(
            f"{region}: errors by code, refreshes that failed, stale answers",
            region,
            [_by("Errors", "Code", region), _by("RefreshFailures", "What", region), _counted("Stale", region)],
        ),
    ]
    yield [
        _graph(
            f"{region}: duration at the edge, ms",
            region,
            [_lambda("Duration", function_name, region, statistic) for statistic in ("p50", "p99", "Maximum")],
        ),
        _graph(
            f"{region}: invocations, function errors, throttles",
            region,
            [_lambda(name, function_name, region, "Sum") for name in ("Invocations", "Errors", "Throttles")],
        ),
    ]


def _graph(
    title: str, region: str, metrics: Sequence[cloudwatch.IMetric], *, width: int = 12
) -> cloudwatch.GraphWidget:
    return cloudwatch.GraphWidget(title=title, region=region, left=list(metrics), width=width, height=6, period=_PERIOD)


def _counted(name: str, region: str) -> cloudwatch.Metric:
    return cloudwatch.Metric(namespace=NAMESPACE, metric_name=name, statistic="Sum", period=_PERIOD, region=region)


def _by(name: str, dimension: str, region: str) -> cloudwatch.MathExpression:
    """Return a search for every metric of that name: one line in the graph for each value of the dimension."""
    return cloudwatch.MathExpression(
        expression=f"SEARCH('{{{NAMESPACE},{dimension}}} MetricName=\"{name}\"', 'Sum', {int(_PERIOD.to_seconds())})",
        label="",
        using_metrics={},
        period=_PERIOD,
        search_region=region,
    )


def _lambda(name: str, function_name: str, region: str, statistic: str) -> cloudwatch.Metric:
    # A replica's metrics are in the region where it runs, under the function's name with us-east-1 in front.
    return cloudwatch.Metric(
        namespace="AWS/Lambda",
        metric_name=name,
        dimensions_map={"FunctionName": f"us-east-1.{function_name}"},
        statistic=statistic,
        period=_PERIOD,
        region=region,
    )


def _cloudfront(name: str, distribution_id: str, statistic: str) -> cloudwatch.Metric:
    return cloudwatch.Metric(
        namespace="AWS/CloudFront",
        metric_name=name,
        dimensions_map={"DistributionId": distribution_id, "Region": "Global"},
        statistic=statistic,
        period=_PERIOD,
        region=_HOME,
    )


def _blocked(rule: str) -> cloudwatch.Metric:
    # Web ACLs of scope CLOUDFRONT have no dimension Region.
    # Source: https://docs.aws.amazon.com/waf/latest/developerguide/waf-metrics.html
    return cloudwatch.Metric(
        namespace="AWS/WAFV2",
        metric_name="BlockedRequests",
        dimensions_map={"Rule": rule, "WebACL": waf.METRIC_NAME},
        statistic="Sum",
        period=_PERIOD,
        region=_HOME,
    )


def _topic(stack: cdk.Stack, email: str) -> sns.Topic:
    """Make the topic of a region: an alarm needs a topic in its own region. SNS asks the addressee once for each."""
    topic = sns.Topic(stack, "Alarms", enforce_ssl=True)
    # This policy replaces the default one, which lets the account's alarms publish.
    topic.add_to_resource_policy(
        iam.PolicyStatement(
            sid="AlarmsOfThisAccount",
            principals=[iam.ServicePrincipal("cloudwatch.amazonaws.com")],
            actions=["sns:Publish"],
            resources=[topic.topic_arn],
            conditions={"StringEquals": {"aws:SourceAccount": stack.account}},
        )
    )
    topic.add_subscription(subscriptions.EmailSubscription(email))
    return topic


def _acknowledge_retention(stack: cdk.Stack) -> None:
    policy = "arn:<AWS::Partition>:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"
    acknowledge(
        stack,
        {
            f"AwsSolutions-IAM4[Policy::{policy}]": "CDK's own function that sets log retention writes its logs by this policy",
            "AwsSolutions-IAM5[Resource::*]": "CDK's own function may set and remove the retention of any log group, and no more",
        },
    )
