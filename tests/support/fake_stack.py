"""SSM, a user pool with real keys, and a distribution with CORS, on the loopback port of the fake Cognito.

It enforces what SSM enforces: the sizes of its tiers, ``Overwrite``, no way back from Advanced, pages of history.
"""

from typing import Any

from .fake_cognito import AwsRefusalError, FakeCognito
from .http_fake import Answer, Asked
from .keys_and_tokens import CLIENT_ID, NOW, POOL_ID

PREFIX = "/cognito-edge-gateway"
POLICY = f"{PREFIX}/policy"
DISTRIBUTION_ID = "EDFDVBD6EXAMPLE"
_LIMITS = {"Standard": 4_096, "Advanced": 8_192}


class FakeStack(FakeCognito):
    """A local system as far as scripts/policy.py talks to it. Its attributes are knobs for tests.

    Attributes:
        parameters: Every version of each parameter, the oldest first.
        cors: What the distribution's response headers policy says, by (origins, headers); None: it has none.
        meanwhile: Called once, just before the next PutParameter is carried out.
    """

    def __init__(self) -> None:
        super().__init__(POOL_ID, CLIENT_ID)
        self.parameters: dict[str, list[dict[str, Any]]] = {}
        self.cors: tuple[list[str], list[str]] | None = None
        self.meanwhile: Any = None
        self.stack_outputs["CognitoEdgeGateway"] = {"DistributionId": DISTRIBUTION_ID}
        self.write(f"{PREFIX}/user-pool-id", self.pool.pool_id)
        self.write(f"{PREFIX}/client-id", self.pool.client_id)
        self.write(POLICY, '{"version": 1}')

    def write(
        self, name: str, value: str, tier: str = "Standard", by: str = "arn:aws:iam::111122223333:user/ops"
    ) -> int:
        """Write a version by hand."""
        versions = self.parameters.setdefault(name, [])
        number = versions[-1]["Version"] + 1 if versions else 1
        versions.append(
            {
                "Name": name,
                "Value": value,
                "Version": number,
                "Tier": tier,
                "Type": "String",
                "LastModifiedDate": NOW + number,
                "LastModifiedUser": by,
            }
        )
        return number

    @property
    def policy(self) -> str:
        """The document in force."""
        return self.parameters[POLICY][-1]["Value"]

    def api_get_parameters(self, data: dict[str, Any]) -> dict[str, Any]:
        found = [self.parameters[name][-1] for name in data["Names"] if name in self.parameters]
        return {"Parameters": found, "InvalidParameters": [n for n in data["Names"] if n not in self.parameters]}

    def api_get_parameter_history(self, data: dict[str, Any]) -> dict[str, Any]:
        if data["Name"] not in self.parameters:
            raise AwsRefusalError("ParameterNotFound", "Parameter not found.")
        versions, start = self.parameters[data["Name"]], int(data.get("NextToken", "0"))
        page = {"Parameters": versions[start : start + 2]}  # two a page, so that pages are read
        return page if start + 2 >= len(versions) else {**page, "NextToken": str(start + 2)}

    def api_put_parameter(self, data: dict[str, Any]) -> dict[str, Any]:
        if self.meanwhile is not None:
            meanwhile, self.meanwhile = self.meanwhile, None
            meanwhile()
        name, tier = data["Name"], data["Tier"]
        existing = self.parameters.get(name)
        if existing and not data["Overwrite"]:
            raise AwsRefusalError("ParameterAlreadyExists", "The parameter already exists.")
        if existing and existing[-1]["Tier"] == "Advanced" and tier == "Standard":
            raise AwsRefusalError("ValidationException", "This parameter uses the advanced-parameter tier.")
        if len(data["Value"].encode()) > _LIMITS[tier]:
            raise AwsRefusalError("ValidationException", f"{tier} tier parameters support a maximum parameter value.")
        return {"Version": self.write(name, data["Value"], tier, by="arn:aws:iam::111122223333:user/me"), "Tier": tier}

    def _get(self, asked: Asked) -> Answer:
        if asked.path == f"/2020-05-31/distribution/{DISTRIBUTION_ID}/config":
            policy = "" if self.cors is None else "<ResponseHeadersPolicyId>headers-1</ResponseHeadersPolicyId>"
            behavior = f"<DefaultCacheBehavior><TargetOriginId>o</TargetOriginId>{policy}</DefaultCacheBehavior>"
            return Answer(200, f"<DistributionConfig>{behavior}</DistributionConfig>".encode())
        if asked.path == "/2020-05-31/response-headers-policy/headers-1/config":
            return Answer(200, self._headers_policy())
        return super()._get(asked)

    def _headers_policy(self) -> bytes:
        origins, headers = self.cors or ([], [])
        lists = "".join(
            f"<AccessControlAllow{what}><Quantity>{len(items)}</Quantity><Items>"
            + "".join(f"<{tag}>{item}</{tag}>" for item in items)
            + f"</Items></AccessControlAllow{what}>"
            for what, tag, items in (("Origins", "Origin", origins), ("Headers", "Header", headers))
        )
        config = f"<Name>n</Name><CorsConfig>{lists}</CorsConfig>"
        return f"<ResponseHeadersPolicyConfig>{config}</ResponseHeadersPolicyConfig>".encode()
