"""The edge role's credentials: known to the doors before the edge uses them, and for as long as it may."""

import asyncio
import datetime as dt
import time

import pytest
from botocore.exceptions import ClientError
from cognito_edge_local.lambda_runtime import credentials as edge_credentials
from cognito_edge_local.lambda_runtime.credentials import EdgeCredentials
from cognito_edge_local.origins.principals import StaticCredentials

ROLE = "arn:aws:iam::000000000000:role/path/EdgeRole"


class FakeSts:
    """Hands out numbered keys that last for ``lifetime_s``; fails while ``failing``."""

    def __init__(self) -> None:
        self.requests = []
        self.lifetime_s = 3600.0
        self.failing = False

    def assume_role(self, **request):
        self.requests.append(request)
        if self.failing:
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "AssumeRole")
        number = len(self.requests)
        return {
            "Credentials": {
                "AccessKeyId": f"ASIA{number}",
                "SecretAccessKey": f"secret{number}",
                "SessionToken": f"token{number}",
                "Expiration": dt.datetime.fromtimestamp(time.time() + self.lifetime_s, tz=dt.UTC),
            },
            "AssumedRoleUser": {
                "AssumedRoleId": "AROAEXAMPLE:session",
                "Arn": f"arn:aws:sts::000000000000:assumed-role/EdgeRole/{request['RoleSessionName']}",
            },
        }


@pytest.fixture
def parts(monkeypatch):
    """Credentials over a fake STS, with their directory and console; the renewal task looks every millisecond."""
    monkeypatch.setattr(edge_credentials, "_LOOK_EVERY_S", 0.001)
    sts, directory, console = FakeSts(), StaticCredentials(), []
    credentials = EdgeCredentials(
        sts=sts, role_arn=ROLE, function_name="Edge", directory=directory, console=console.append
    )
    return credentials, sts, directory, console


async def _keep_fresh_until(credentials, condition):
    task = asyncio.create_task(credentials.keep_fresh())
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - the conditions are plain functions
            await asyncio.sleep(0.001)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def test_edge_and_doors_get_the_same(parts):
    """The variables Lambda would set, and the principal IAM would see."""
    credentials, sts, directory, _ = parts
    asyncio.run(credentials.renew())
    assert credentials.environment() == {
        "AWS_ACCESS_KEY_ID": "ASIA1",
        "AWS_SECRET_ACCESS_KEY": "secret1",
        "AWS_SESSION_TOKEN": "token1",
    }
    known = directory.lookup("ASIA1")
    assert (known.secret_access_key, known.session_token) == ("secret1", "token1")
    assert (known.role_name, known.account_id, known.role_id) == ("EdgeRole", "000000000000", "AROAEXAMPLE")
    assert known.principal_arn == "arn:aws:sts::000000000000:assumed-role/EdgeRole/us-east-1.Edge"
    assert sts.requests[0]["RoleArn"] == ROLE


def test_session_name_fits_sts(parts):
    """Function names have up to 64 characters; with the region in front that is too many."""
    _, sts, directory, console = parts
    long = EdgeCredentials(sts=sts, role_arn=ROLE, function_name="f" * 64, directory=directory, console=console.append)
    asyncio.run(long.renew())
    assert len(sts.requests[0]["RoleSessionName"]) == 64


def test_refusal_is_raised_at_the_start(parts):
    """A launcher that cannot get the role's credentials must not go on."""
    credentials, sts, _, _ = parts
    sts.failing = True
    with pytest.raises(ClientError):
        asyncio.run(credentials.renew())
    assert credentials.environment() == {}


def test_renewed_in_time_while_the_old_ones_stay_good(parts):
    """A request signed just before the change is still let in."""
    credentials, sts, directory, _ = parts
    sts.lifetime_s = 599  # less than ten minutes left
    asyncio.run(credentials.renew())
    sts.lifetime_s = 3600
    asyncio.run(_keep_fresh_until(credentials, lambda: credentials.environment()["AWS_ACCESS_KEY_ID"] == "ASIA2"))
    assert directory.lookup("ASIA1") is not None
    assert directory.lookup("ASIA2") is not None


def test_fresh_ones_are_left_alone(parts):
    """With more than ten minutes left STS is not asked."""
    credentials, sts, _, _ = parts
    sts.lifetime_s = 660
    asyncio.run(credentials.renew())
    looks = iter(range(20))
    asyncio.run(_keep_fresh_until(credentials, lambda: next(looks) >= 19))
    assert len(sts.requests) == 1


def test_expired_ones_are_forgotten(parts):
    """The doors must not take for good what STS no longer does."""
    credentials, sts, directory, _ = parts
    sts.lifetime_s = 0.05
    asyncio.run(credentials.renew())
    sts.lifetime_s = 3600
    asyncio.run(_keep_fresh_until(credentials, lambda: directory.lookup("ASIA1") is None))
    assert directory.lookup("ASIA2") is not None


def test_failed_renewal_is_told_and_tried_again(parts):
    """The old credentials stay in use meanwhile."""
    credentials, sts, _, console = parts
    sts.lifetime_s = 60
    asyncio.run(credentials.renew())
    sts.failing = True
    asyncio.run(_keep_fresh_until(credentials, lambda: len(console) >= 2))
    assert credentials.environment()["AWS_ACCESS_KEY_ID"] == "ASIA1"
    assert "could not be renewed" in console[0]
    assert "secret" not in "".join(console)
