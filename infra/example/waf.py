"""An optional web application firewall in front of the distribution: countries, a rate for each address, AWS's own rules.

No request gets around it: the function URLs admit signed requests alone, and only requests through this distribution are
signed. A request that it refuses never reaches the edge function or its log, and gets a problem document of its own
(``blocked_by_firewall``).
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import aws_cdk as cdk
from aws_cdk import aws_wafv2 as wafv2
from constructs import Construct

CONTEXT: Final = ("waf", "waf_countries", "waf_rate", "waf_managed")
"""The context keys that this module reads; see ``docs/settings.md``."""

CODE: Final = "blocked_by_firewall"

DEFAULT_RATE: Final = 2_000
WINDOW_S: Final = 300

# Source: the API model of WAFv2 (shape RateLimit).
_MIN_RATE: Final = 10
_MAX_RATE: Final = 2_000_000_000

# ISO 3166-1 alpha-2, and XK (Kosovo), which the standard leaves to its users and WAF takes.
# Source: the API model of WAFv2 (shape CountryCode).
_CODES = (
    "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ CA CC "
    "CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB GD "
    "GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH "
    "KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW "
    "MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC "
    "SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY "
    "UZ VA VC VE VG VI VN VU WF WS XK YE YT ZA ZM ZW"
)
COUNTRIES: Final = frozenset(_CODES.split())


@dataclass(frozen=True, slots=True)
class ManagedGroup:
    """One of AWS's rule groups.

    Attributes:
        name: AWS's name for it.
        priority: Its place in the web ACL. Fixed, so that switching one rule on or off renumbers no other.
        blocks: Its rules, which refuse with our problem document. A rule that is not named here refuses with CloudFront's
            own page, and WAF ignores names that the group does not have: a new version of the group can change the answer,
            but cannot let more through.
        counts: Its rules that only count here, and refuse nothing.
    """

    name: str
    priority: int
    blocks: Sequence[str]
    counts: Sequence[str] = ()


# Sources: https://docs.aws.amazon.com/waf/latest/developerguide/aws-managed-rule-groups-baseline.html; for unknown names
# the API model of WAFv2 (RuleActionOverride: "silently ignores any override that uses an invalid rule name").
MANAGED: Final[Mapping[str, ManagedGroup]] = {
    "common": ManagedGroup(
        "AWSManagedRulesCommonRuleSet",
        priority=2,
        blocks=(
            "UserAgent_BadBots_HEADER",
            *(f"EC2MetaDataSSRF_{part}" for part in ("BODY", "COOKIE", "URIPATH", "QUERYARGUMENTS")),
            *(f"GenericLFI_{part}" for part in ("QUERYARGUMENTS", "URIPATH", "BODY")),
            *(f"RestrictedExtensions_{part}" for part in ("URIPATH", "QUERYARGUMENTS")),
            *(f"GenericRFI_{part}" for part in ("QUERYARGUMENTS", "BODY", "URIPATH")),
            *(f"CrossSiteScripting_{part}" for part in ("COOKIE", "QUERYARGUMENTS", "BODY", "URIPATH")),
        ),
        counts=(
            # 8 KB of body, 2 KB of query and 1 KB of path are little for an API. The gateway has limits of its own, and
            # its refusals (malformed_url, body_too_large) say which limit and what to do.
            *(f"SizeRestrictions_{part}" for part in ("BODY", "QUERYSTRING", "URIPATH", "Cookie_HEADER")),
            # A program without a user agent, but with a token, is a caller like any other.
            "NoUserAgent_HEADER",
        ),
    ),
    "known-bad-inputs": ManagedGroup(
        "AWSManagedRulesKnownBadInputsRuleSet",
        priority=3,
        blocks=(
            *(f"JavaDeserializationRCE_{part}" for part in ("HEADER", "BODY", "URIPATH", "QUERYSTRING")),
            *(f"Log4JRCE_{part}" for part in ("HEADER", "QUERYSTRING", "BODY", "URIPATH")),
            "Host_localhost_HEADER",
            "PROPFIND_METHOD",
            "ExploitablePaths_URIPATH",
        ),
    ),
}
"""The rule groups by the names that ``waf_managed`` takes."""

RULES: Final = ("Countries", "RatePerAddress", *(group.name for group in MANAGED.values()))
"""Every rule that the web ACL may have, in order; also the names of their metrics in CloudWatch."""

METRIC_NAME: Final = "CognitoEdgeGateway"
"""The web ACL's name in CloudWatch (namespace ``AWS/WAFV2``, dimension ``WebACL``)."""

_WHY: Final = {
    "countries": "Requests from this country are not accepted.",
    "rate": "Too many requests from this address in five minutes. Wait some minutes, then go on more slowly.",
    "managed": "The request looks like a known attack. If it is not one, tell the operator the time and the path.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Firewall:
    """The firewall's rules.

    Attributes:
        countries: Countries that requests may come from, ISO 3166-1 alpha-2; empty for every country.
        rate: Requests that one address may send in five minutes; None for any number.
        managed: AWS's rule groups that look at each request, by key of ``MANAGED``.
    """

    countries: Sequence[str] = ()
    rate: int | None = DEFAULT_RATE
    managed: Sequence[str] = tuple(MANAGED)

    def __post_init__(self) -> None:
        """Refuse values that WAF would refuse, and a firewall without any rule.

        Raises:
            ValueError: A value is wrong; the message says what is expected.
        """
        if wrong := sorted(set(self.countries) - COUNTRIES):
            raise ValueError(
                f"waf_countries: {', '.join(map(repr, wrong))}: expected ISO 3166-1 alpha-2 codes in upper case, such as DE,FR "
                "(the United Kingdom is GB)"
            )
        if self.rate is not None and not _MIN_RATE <= self.rate <= _MAX_RATE:
            raise ValueError(
                f"waf_rate: {self.rate}: expected {_MIN_RATE} to {_MAX_RATE} requests in five minutes for each address, or off"
            )
        if unknown := [name for name in self.managed if name not in MANAGED]:
            raise ValueError(
                f"waf_managed: {', '.join(map(repr, unknown))}: expected {' or '.join(MANAGED)}, joined by a comma, or none"
            )
        if not self.countries and self.rate is None and not self.managed:
            raise ValueError(
                "waf=on, but waf_rate=off, waf_managed=none and no waf_countries leave no rule; use waf=off"
            )


def from_context(context: Mapping[str, str | None]) -> Firewall | None:
    """Read the four context values.

    Args:
        context: Values by key of ``CONTEXT``; None or "" for keys that are not set.

    Returns:
        The firewall's rules; None with ``waf=off``, the default.

    Raises:
        ValueError: A value is wrong, or would have no effect; the message says what is expected.
    """
    switch = context.get("waf") or "off"
    if switch not in ("on", "off"):
        raise ValueError(f"context waf={switch}: expected on or off")
    given = [key for key in CONTEXT[1:] if context.get(key)]
    if switch == "off":
        if given:
            raise ValueError(
                f"context {given[0]}={context[given[0]]} without waf=on would do nothing; add waf=on, or remove it"
            )
        return None
    countries, rate, managed = (context.get(key) for key in CONTEXT[1:])
    return Firewall(
        countries=_listed("waf_countries", countries) if countries else (),
        rate=_rate(rate) if rate else DEFAULT_RATE,
        managed=() if managed == "none" else _listed("waf_managed", managed) if managed else tuple(MANAGED),
    )


def _listed(key: str, text: str) -> tuple[str, ...]:
    names = [part.strip() for part in text.split(",")]
    if "" in names or len(set(names)) != len(names):
        raise ValueError(f"context {key}={text}: expected names joined by single commas, each once")
    return tuple(names)


def _rate(text: str) -> int | None:
    if text == "off":
        return None
    if not re.fullmatch(r"[0-9]{1,12}", text):
        raise ValueError(f"context waf_rate={text}: expected a whole number of requests in five minutes, or off")
    return int(text)


class WebAcl(Construct):
    """The web ACL, of scope CLOUDFRONT; give its ``arn`` to ``EdgeGateway`` as ``web_acl_arn``.

    Attributes:
        arn: The web ACL's ARN.
    """

    def __init__(self, scope: Construct, construct_id: str, firewall: Firewall) -> None:
        """Make the web ACL.

        Args:
            scope: A stack in us-east-1, where web ACLs for CloudFront have to be made.
            construct_id: The id within *scope*.
            firewall: Its rules.

        Raises:
            ValueError: *scope* is in another region.
        """
        super().__init__(scope, construct_id)
        region = cdk.Stack.of(self).region
        if region != "us-east-1":
            raise ValueError(f"web ACLs for CloudFront are made in us-east-1, not in {region}")
        acl = wafv2.CfnWebACL(
            self,
            "Acl",
            scope="CLOUDFRONT",
            description="In front of the Cognito edge gateway",
            default_action=wafv2.CfnWebACL.DefaultActionProperty(allow=wafv2.CfnWebACL.AllowActionProperty()),
            visibility_config=_visible(METRIC_NAME),
            custom_response_bodies={
                key: wafv2.CfnWebACL.CustomResponseBodyProperty(
                    content=json.dumps(_problem(detail)), content_type="APPLICATION_JSON"
                )
                for key, detail in _WHY.items()
            },
            # WAF keeps samples of requests for three hours. Like our logs, they must not hold tokens, cookies or query
            # strings.
            data_protection_config=wafv2.CfnWebACL.DataProtectionConfigProperty(
                data_protections=[
                    _protect("SINGLE_HEADER", ["authorization", "cookie"]),
                    _protect("QUERY_STRING", None),
                ]
            ),
            rules=_rules(firewall),
        )
        self.arn: str = acl.attr_arn


def _rules(firewall: Firewall) -> list[wafv2.CfnWebACL.RuleProperty]:
    """Return the rules, the cheapest and broadest first: a request that one refuses costs nothing at the next."""
    rules = []
    if firewall.countries:
        elsewhere = wafv2.CfnWebACL.StatementProperty(
            not_statement=wafv2.CfnWebACL.NotStatementProperty(
                statement=wafv2.CfnWebACL.StatementProperty(
                    geo_match_statement=wafv2.CfnWebACL.GeoMatchStatementProperty(
                        country_codes=list(firewall.countries)
                    )
                )
            )
        )
        rules.append(_own_rule(RULES[0], 0, elsewhere, "countries"))
    if firewall.rate is not None:
        too_many = wafv2.CfnWebACL.StatementProperty(
            rate_based_statement=wafv2.CfnWebACL.RateBasedStatementProperty(
                limit=firewall.rate, aggregate_key_type="IP", evaluation_window_sec=WINDOW_S
            )
        )
        rules.append(_own_rule(RULES[1], 1, too_many, "rate"))
    for key, group in MANAGED.items():
        if key in firewall.managed:
            rules.append(_managed_rule(group))
    return rules


def _own_rule(
    name: str, priority: int, statement: wafv2.CfnWebACL.StatementProperty, why: str
) -> wafv2.CfnWebACL.RuleProperty:
    return wafv2.CfnWebACL.RuleProperty(
        name=name,
        priority=priority,
        statement=statement,
        action=wafv2.CfnWebACL.RuleActionProperty(block=_block(why)),
        visibility_config=_visible(name),
    )


def _managed_rule(group: ManagedGroup) -> wafv2.CfnWebACL.RuleProperty:
    action = wafv2.CfnWebACL.RuleActionProperty
    overrides = {name: action(block=_block("managed")) for name in group.blocks}
    overrides |= {name: action(count=wafv2.CfnWebACL.CountActionProperty()) for name in group.counts}
    statement = wafv2.CfnWebACL.ManagedRuleGroupStatementProperty(
        vendor_name="AWS",
        name=group.name,
        rule_action_overrides=[
            wafv2.CfnWebACL.RuleActionOverrideProperty(name=name, action_to_use=to_use)
            for name, to_use in overrides.items()
        ],
    )
    return wafv2.CfnWebACL.RuleProperty(
        name=group.name,
        priority=group.priority,
        statement=wafv2.CfnWebACL.StatementProperty(managed_rule_group_statement=statement),
        # The rules' own actions apply, as overridden above.
        override_action=wafv2.CfnWebACL.OverrideActionProperty(none={}),
        visibility_config=_visible(group.name),
    )


def _block(why: str) -> wafv2.CfnWebACL.BlockActionProperty:
    return wafv2.CfnWebACL.BlockActionProperty(
        custom_response=wafv2.CfnWebACL.CustomResponseProperty(
            response_code=403,
            custom_response_body_key=why,
            # WAF does not allow content-type here: the answer says application/json, though it is a problem document.
            response_headers=[wafv2.CfnWebACL.CustomHTTPHeaderProperty(name="cache-control", value="no-store")],
        )
    )


def _problem(detail: str) -> dict[str, object]:
    # No request_id: the text is fixed. The answer's header x-amz-cf-id has CloudFront's.
    return {
        "type": f"urn:cognito-edge-gateway:problem:{CODE}",
        "title": "Blocked by the firewall",
        "status": 403,
        "detail": detail,
        "code": CODE,
    }


def _visible(name: str) -> wafv2.CfnWebACL.VisibilityConfigProperty:
    return wafv2.CfnWebACL.VisibilityConfigProperty(
        cloud_watch_metrics_enabled=True, metric_name=name, sampled_requests_enabled=True
    )


def _protect(kind: str, names: list[str] | None) -> wafv2.CfnWebACL.DataProtectProperty:
    return wafv2.CfnWebACL.DataProtectProperty(
        field=wafv2.CfnWebACL.FieldToProtectProperty(field_type=kind, field_keys=names), action="SUBSTITUTION"
    )
