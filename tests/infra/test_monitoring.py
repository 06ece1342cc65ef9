"""``infra/example/alarms.py``: real log lines become metrics, and alarms and dashboard name metrics that exist."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from cognito_edge.fetch import Client

from infra.example import alarms
from infra.example.stack import build
from tests.infra.rig import Template
from tests.infra.test_app import DOUBLE_DEPENDENCY
from tests.infra.test_waf import EVERYTHING
from tests.infra.variants import app_in
from tests.support.fake_aws import FakeAws
from tests.support.gateways import make_settings, make_system
from tests.support.keys_and_tokens import NOW, Pool
from tests.support.metric_filters import UnknownSyntaxError, counted, matches

REGIONS = ("us-east-1", "eu-central-1")
STACK = "CognitoEdgeGatewayMonitoring-{}"

# AWS's own metrics that the dashboard and the alarms use: their dimensions and names.
# Sources: https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html,
# https://docs.aws.amazon.com/waf/latest/developerguide/waf-metrics.html and
# https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/programming-cloudwatch-metrics.html
AWS_METRICS = {
    "AWS/Lambda": ({"FunctionName"}, {"Invocations", "Errors", "Throttles", "Duration"}),
    "AWS/WAFV2": ({"Rule", "WebACL"}, {"BlockedRequests"}),
    "AWS/CloudFront": ({"DistributionId", "Region"}, {"Requests", "4xxErrorRate", "5xxErrorRate"}),
}


@pytest.fixture(scope="module")
def monitored(tmp_path_factory):
    """The example with monitoring in two regions, an e-mail address, and a whole firewall; checked by cdk-nag."""
    folder = tmp_path_factory.mktemp("monitored")
    app = app_in(folder, checks=True, monitor_regions=",".join(REGIONS), alarm_email="ops@example.com", **EVERYTHING)
    build(app)
    app.synth()
    return folder


@pytest.fixture(scope="module")
def templates(monitored):
    """The template of each region's stack."""
    return {
        region: Template(json.loads((monitored / f"{STACK.format(region)}.template.json").read_bytes()))
        for region in REGIONS
    }


@pytest.fixture(scope="module")
def lines():
    """Lines that the real gateway wrote, by what happened to the request."""
    pool, fake = Pool(), FakeAws(Pool())
    found = {}
    clients = []
    made = Client.__init__

    def remember(self, **arguments):
        made(self, **arguments)
        clients.append(self)

    with pytest.MonkeyPatch.context() as patch:
        # At the edge a kept connection is never closed: its environment simply ends.
        patch.setattr(Client, "__init__", remember)
        patch.setenv("AWS_ENDPOINT_URL", fake.url)
        patch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "x")
        settings = make_settings(attempt_timeout_s=5)

        def happens(name, system, **request):
            system.lines.clear()
            system(**request)
            found[name] = list(system.lines)

        system = make_system(settings)
        happens("forwarded", system, token=pool.id_token())
        happens("no token", system)
        happens("expired", system, token=pool.id_token(exp=NOW))
        happens("foreign client", system, token=pool.id_token(aud="another"))
        happens("bad path", system, uri="/api/../x", token=pool.id_token())
        fake.cognito.mode = "error"
        happens("stale keys", system, token=pool.id_token(exp=NOW + 20_000), now=NOW + 7_000)
        fake.ssm.mode = "error"
        happens("stale settings", system, token=pool.id_token(exp=NOW + 20_000), now=NOW + 14_000)
        happens("no settings", make_system(settings), token=pool.id_token())
        fake.ssm.mode = "ok"
        happens("no keys", make_system(settings), token=pool.id_token())
        fake.cognito.mode = "ok"
        fake.policy = {"version": 1, "routes": [{"path": "/*", "groups": ["admins"]}]}
        happens("not in the group", make_system(settings), token=pool.id_token())
        fake.policy = {"version": 1, "routes": [{"path": "/*", "allow": "anyone"}]}
        happens("anyone", make_system(settings))

        def broken():
            raise RuntimeError("secret")

        happens("a fault", make_system(settings, credentials=broken))
    for client in clients:
        for connection, _ in client._kept.values():
            connection.close()
    fake.close()
    return found


# The (metric, dimensions) that each of them counts, and no others. Every metric appears.
REQUEST = ("Requests", {})
EXPECTED = {
    "forwarded": [REQUEST],
    "anyone": [REQUEST],
    "no token": [REQUEST, ("Refused", {}), ("Refusals", {"Code": "missing_token"})],
    "expired": [REQUEST, ("Refused", {}), ("Refusals", {"Code": "expired"})],
    "foreign client": [REQUEST, ("Refused", {}), ("Refusals", {"Code": "wrong_client"})],
    "bad path": [REQUEST, ("Refused", {}), ("Refusals", {"Code": "ambiguous_path"})],
    "not in the group": [REQUEST, ("Refused", {}), ("Refusals", {"Code": "missing_group"})],
    "stale keys": [("RefreshFailures", {"What": "keys"}), ("KeyRefreshFailures", {}), REQUEST, ("Stale", {})],
    "stale settings": [
        ("RefreshFailures", {"What": "configuration"}),
        ("SettingsRefreshFailures", {}),
        ("RefreshFailures", {"What": "keys"}),
        ("KeyRefreshFailures", {}),
        REQUEST,
        ("Stale", {}),
    ],
    "no settings": [
        ("RefreshFailures", {"What": "configuration"}),
        ("SettingsRefreshFailures", {}),
        REQUEST,
        ("Unavailable", {}),
        ("Errors", {"Code": "configuration_unavailable"}),
    ],
    "no keys": [
        ("RefreshFailures", {"What": "keys"}),
        ("KeyRefreshFailures", {}),
        REQUEST,
        ("Unavailable", {}),
        ("Errors", {"Code": "keys_unavailable"}),
    ],
    "a fault": [REQUEST, ("InternalErrors", {}), ("Errors", {"Code": "internal_error"})],
}


def filters(template):
    return [body["Properties"] for body in template.all("AWS::Logs::MetricFilter").values()]


class TestLogMetrics:
    @pytest.mark.parametrize("region", REGIONS)
    @pytest.mark.parametrize("name", EXPECTED)
    def test_a_real_line_counts_what_it_should_and_nothing_else(self, templates, lines, region, name):
        """Every filter of the template reads every line that the gateway wrote; dimensions are taken from the line."""
        found = [
            published for line in lines[name] for one in filters(templates[region]) if (published := counted(one, line))
        ]
        assert sorted((metric, tuple(dimensions.items())) for metric, _, dimensions in found) == sorted(
            (metric, tuple(dimensions.items())) for metric, dimensions in EXPECTED[name]
        )
        assert {value for _, value, _ in found} == {1.0}

    def test_every_metric_has_a_line_that_counts_and_one_that_does_not(self, templates, lines):
        """No filter matches everything or nothing."""
        every = [line for group in lines.values() for line in group]
        for one in filters(templates["us-east-1"]):
            assert 0 < sum(matches(one["FilterPattern"], line) for line in every) < len(every)

    @pytest.mark.parametrize(
        "line",
        [
            "START RequestId: 1 Version: 3",
            "REPORT RequestId: 1\tDuration: 1.00 ms",
            '{"decision": ["refuse"], "status": "503", "code": "internal_errors"',
            '[{"decision": "refuse"}]',
            "",
        ],
        ids=["start", "report", "cut-short", "array", "empty"],
    )
    def test_lambdas_own_lines_count_nothing(self, templates, line):
        """Lambda writes them into the same log group."""
        assert [counted(one, line) for one in filters(templates["us-east-1"])] == [None] * len(alarms.METRICS)

    def test_dimensions_have_few_values_and_no_default(self, templates):
        """Each value is a metric that costs money; CloudWatch refuses a default value together with dimensions."""
        for one in filters(templates["us-east-1"]):
            (transformation,) = one["MetricTransformations"]
            selectors = {dimension["Value"] for dimension in transformation.get("Dimensions", [])}
            assert selectors <= {"$.code", "$.what"}
            assert transformation.get("DefaultValue") == (None if selectors else 0)

    def test_the_log_group_is_the_replicas_with_a_month_of_retention(self, templates):
        """It is made or found before the filters, by the edge function's name, which the gateway's stack publishes."""
        for template in templates.values():
            retention, body = template.one("Custom::LogRetention")
            name = body["Properties"]["LogGroupName"]
            assert name["Fn::Join"][1][0] == "/aws/lambda/us-east-1."
            reference = name["Fn::Join"][1][1]["Fn::GetStackOutput"]
            assert (reference["StackName"], reference["Region"]) == ("CognitoEdgeGateway", "us-east-1")
            assert body["Properties"]["RetentionInDays"] == 30
            assert "RemovalPolicy" not in body["Properties"]
            for one in template.all("AWS::Logs::MetricFilter").values():
                assert one["Properties"]["LogGroupName"] == name
                assert one["DependsOn"] == [retention]

    def test_what_it_reads_the_gateways_stack_publishes(self, monitored, templates):
        """Every output that a monitoring stack refers to is there."""
        outputs = json.loads((monitored / "CognitoEdgeGateway.template.json").read_bytes())["Outputs"]
        for template in templates.values():
            read = set(re.findall(r'"OutputName": "(\w+)"', json.dumps(template.document)))
            assert read
            assert read <= set(outputs)


class TestInterpreter:
    @pytest.mark.parametrize(
        ("pattern", "line", "expected"),
        [
            ('{ $.a = "x" }', '{"a": "x"}', True),
            ('{ $.a = "x" }', '{"a": "xy"}', False),
            ('{ $.a = "x*" }', '{"a": "xy"}', True),
            ('{ $.a = "*" }', '{"a": null}', False),
            ('{ $.a = "*" }', "{}", False),
            ("{ $.a.b = 5 }", '{"a": {"b": 5}}', True),
            ("{ $.a.b = 5 }", '{"a": {"b": "5"}}', False),
            ("{ $.a = 1 }", '{"a": true}', False),
            ('{ ($.a = 1) || ($.b = 2) && ($.c = "z") }', '{"a": 1}', True),
            ('{ ($.a = 1) || ($.b = 2) && ($.c = "z") }', '{"b": 2}', False),
            ('{ ($.b = 2) && ($.c = "z") }', '{"b": 2, "c": "z"}', True),
        ],
    )
    def test_it_reads_patterns_as_documented(self, pattern, line, expected):
        """Accept and reject, for each piece of the syntax."""
        assert matches(pattern, line) is expected

    @pytest.mark.parametrize("pattern", ["ERROR", "{ $.a != 1 }", "{ $.a IS TRUE }", "{ $.a = b }", "{ ($.a = 1 }"])
    def test_what_it_does_not_know_is_an_error(self, pattern):
        """The fake must not take an unknown pattern for "no match"."""
        with pytest.raises(UnknownSyntaxError):
            matches(pattern, '{"a": 1}')


class TestAlarms:
    def test_every_alarm_watches_a_metric_that_exists_beside_it(self, templates):
        """With the metric's own dimensions; and no alarm goes off because there is no data."""
        for template in templates.values():
            published = known(template)
            for name, body in template.all("AWS::CloudWatch::Alarm").items():
                properties = body["Properties"]
                assert properties["TreatMissingData"] == "notBreaching", name
                metrics = [
                    one["MetricStat"]["Metric"] for one in properties.get("Metrics", []) if "MetricStat" in one
                ] or [properties]
                for metric in metrics:
                    dimensions = frozenset(one["Name"] for one in metric.get("Dimensions", []))
                    assert (metric["Namespace"], metric["MetricName"], dimensions) in published, name
                assert len(properties["AlarmDescription"]) > 40

    def test_each_region_has_all_of_them_and_the_world_one_more(self, templates):
        """CloudFront's metrics are in us-east-1 alone, and count every region, monitored or not."""
        names = {region: sorted(template.all("AWS::CloudWatch::Alarm")) for region, template in templates.items()}
        assert len(names["eu-central-1"]) == 8
        assert len(names["us-east-1"]) == 9
        assert [name for name in names["us-east-1"] if name.startswith("Failures")]

    def test_the_address_is_told_of_each_beginning_and_end(self, templates):
        """By e-mail, through a topic in the alarms' region, to which only this account's alarms publish, and only over TLS."""
        for template in templates.values():
            topic, _ = template.one("AWS::SNS::Topic")
            for body in template.all("AWS::CloudWatch::Alarm").values():
                assert body["Properties"]["AlarmActions"] == body["Properties"]["OKActions"] == [{"Ref": topic}]
            assert template.properties("AWS::SNS::Subscription")["Endpoint"] == "ops@example.com"
            statements = template.properties("AWS::SNS::TopicPolicy")["PolicyDocument"]["Statement"]
            (allowed,) = [one for one in statements if one["Effect"] == "Allow"]
            assert allowed["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
            assert allowed["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}
            (denied,) = [one for one in statements if one["Effect"] == "Deny"]
            assert denied["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}

    def test_without_an_address_no_one_is_told(self, tmp_path):
        """No topic is made; the alarms can still be looked at."""
        app = app_in(tmp_path, monitor_regions="eu-west-1")
        build(app)
        app.synth()
        for region, alarms_here in (("eu-west-1", 8), ("us-east-1", 1)):
            text = (tmp_path / f"{STACK.format(region)}.template.json").read_bytes()
            template = Template(json.loads(text))
            assert not template.all("AWS::SNS::Topic")
            assert len(template.all("AWS::CloudWatch::Alarm")) == alarms_here
            assert bool(template.all("AWS::Logs::MetricFilter")) is (region == "eu-west-1")


class TestDashboard:
    def test_every_metric_in_it_exists_in_the_region_that_its_widget_looks_into(self, templates):
        """Ours exist by a filter in that region's template, AWS's by the lists above."""
        seen = []
        for widget in dashboard(templates)["widgets"]:
            if widget["type"] != "metric":
                continue
            region = widget["properties"]["region"]
            published = known(templates[region])
            for metric in widget["properties"]["metrics"]:
                for found in named(metric):
                    assert found in published, (widget["properties"]["title"], found)
                    seen.append((region, found[1]))
                assert metric[-1].get("region", region) == region
        assert {name for region, name in seen if region == "eu-central-1"} == {
            "Refusals",
            "Errors",
            "RefreshFailures",
            "Stale",
            "Duration",
            "Invocations",
            "Throttles",
        }
        assert ("us-east-1", "5xxErrorRate") in seen

    def test_it_shows_what_the_firewall_blocked_by_the_rules_own_metrics(self, monitored, templates):
        """The names are those of the web ACL in the gateway's template."""
        acl = Template(json.loads((monitored / "CognitoEdgeGateway.template.json").read_bytes())).properties(
            "AWS::WAFv2::WebACL"
        )
        (graph,) = [one for one in dashboard(templates)["widgets"] if "firewall" in one["properties"].get("title", "")]
        shown = [dict(zip(metric[2:-1:2], metric[3:-1:2], strict=True)) for metric in graph["properties"]["metrics"]]
        assert {one["WebACL"] for one in shown} == {acl["VisibilityConfig"]["MetricName"]}
        assert {one["Rule"] for one in shown} >= {rule["VisibilityConfig"]["MetricName"] for rule in acl["Rules"]}

    def test_widgets_do_not_overlap_and_fill_the_width(self, templates):
        """A dashboard has 24 columns."""
        taken = set()
        for widget in dashboard(templates)["widgets"]:
            cells = {
                (widget["x"] + x, widget["y"] + y) for x in range(widget["width"]) for y in range(widget["height"])
            }
            assert not taken & cells
            taken |= cells
        assert {x for x, _ in taken} == set(range(24))

    def test_there_is_one(self, templates):
        """In us-east-1."""
        assert not templates["eu-central-1"].all("AWS::CloudWatch::Dashboard")


def dashboard(templates):
    """The dashboard's body, with placeholders for other stacks' outputs."""
    body = templates["us-east-1"].properties("AWS::CloudWatch::Dashboard")["DashboardBody"]
    parts = [part if isinstance(part, str) else "REFERENCE" for part in body["Fn::Join"][1]]
    return json.loads("".join(parts))


def known(template):
    """Every metric of a region, as (namespace, name, dimension names)."""
    published = {
        (namespace, name, frozenset(dimensions))
        for namespace, (dimensions, names) in AWS_METRICS.items()
        for name in names
    }
    for one in filters(template):
        (transformation,) = one["MetricTransformations"]
        dimensions = frozenset(dimension["Key"] for dimension in transformation.get("Dimensions", []))
        published.add((transformation["MetricNamespace"], transformation["MetricName"], dimensions))
    return published


def named(metric):
    """The metrics that one entry of a widget names: itself, or what its search finds."""
    options = metric[-1]
    if "expression" in options:
        found = re.fullmatch(r"SEARCH\('\{(\w+),(\w+)\} MetricName=\"(\w+)\"', 'Sum', 300\)", options["expression"])
        assert found, options
        return [(found[1], found[3], frozenset({found[2]}))]
    return [(metric[0], metric[1], frozenset(metric[2:-1:2]))]


class TestValues:
    @pytest.mark.parametrize("context", [{}, {"monitor_regions": ""}], ids=["unsaid", "empty"])
    def test_nothing_is_monitored_by_default(self, context):
        """Without monitor_regions there is no stack, and no cost."""
        assert alarms.from_context(context) is None

    def test_all_stands_for_where_edge_functions_run(self):
        """The regions of CloudFront's regional edge caches."""
        found = alarms.from_context({"monitor_regions": "all"})
        assert (len(found.regions), found.email) == (13, None)
        assert {"us-east-1", "eu-central-1", "sa-east-1"} <= set(found.regions)

    @pytest.mark.parametrize(
        ("context", "says"),
        [
            ({"monitor_regions": "eu-centrl-1"}, "'eu-centrl-1': expected AWS regions joined by commas"),
            ({"monitor_regions": "us-east-1,"}, "'': expected AWS regions"),
            ({"monitor_regions": "cn-north-1"}, "'cn-north-1': expected AWS regions"),
            ({"monitor_regions": "us-east-1,us-east-1"}, "name each region once"),
            ({"alarm_email": "a@example.com"}, "alarm_email without monitor_regions would do nothing"),
            ({"monitor_regions": "us-east-1", "alarm_email": "ops"}, "alarm_email=ops: expected one e-mail address"),
            ({"monitor_regions": "us-east-1", "alarm_email": "a@b.de,c@d.de"}, "expected one e-mail address"),
        ],
        ids=["typo", "empty-name", "china", "twice", "nobody-to-ring", "no-address", "two-addresses"],
    )
    def test_a_wrong_value_is_refused_with_what_is_expected(self, context, says):
        """A wrong value is refused before anything is made."""
        with pytest.raises(ValueError, match=says):
            alarms.from_context(context)


def test_the_monitoring_stacks_come_after_the_gateways(monitored):
    """The gateway's stack does not refer to them, and can be deployed and deleted without them."""
    manifest = json.loads((monitored / "manifest.json").read_bytes())["artifacts"]
    stacks = {key for key, body in manifest.items() if body["type"] == "aws:cloudformation:stack"}
    assert stacks == {"CognitoEdgeGateway", *map(STACK.format, REGIONS)}
    needs = {key: stacks & set(manifest[key].get("dependencies", [])) for key in stacks}
    assert needs == {
        "CognitoEdgeGateway": set(),
        **{STACK.format(region): {"CognitoEdgeGateway"} for region in REGIONS},
    }


def test_cfn_lint_and_cdk_nag_find_nothing(monitored):
    """In any of the stacks, with monitoring and firewall on; the variants' tests check the rest."""
    command = [Path(sys.executable).with_name("cfn-lint"), "--ignore-checks", DOUBLE_DEPENDENCY, "--regions", *REGIONS]
    files = sorted(monitored.glob("*.template.json"))
    assert len(files) == 3
    finished = subprocess.run([*command, "--", *files], capture_output=True, text=True, check=False)
    assert (finished.returncode, finished.stdout) == (0, "")
    reports = json.loads((monitored / "validation-report.json").read_bytes())["pluginReports"]
    assert "AwsSolutions" in {report["pluginName"] for report in reports}
    assert [violation for report in reports for violation in report["violations"]] == []
