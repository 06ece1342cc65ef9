"""The edge role's temporary credentials: taken from STS, handed to the edge and to the doors, renewed in time."""

import asyncio
import datetime as dt
import time
from collections.abc import Callable
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from cognito_edge_local.origins.principals import Credential, StaticCredentials

_LIFETIME_S = 3600
_RENEW_BEFORE_S = 600.0
_LOOK_EVERY_S = 15.0
"""Seconds between looks at the wall clock; after one long sleep a laptop that was suspended would wake up late."""
_SESSION_NAME_LIMIT = 64  # STS: RoleSessionName, at most 64 characters


class EdgeCredentials:
    """The current credentials of the edge role.

    At a renewal the doors know the new ones before the edge gets them, and the old ones until they expire, so that no
    request is refused in between.
    """

    def __init__(
        self,
        *,
        sts: Any,
        role_arn: str,
        function_name: str,
        directory: StaticCredentials,
        console: Callable[[str], None],
    ) -> None:
        """Ask for nothing yet.

        Args:
            sts: A boto3 STS client of the emulator.
            role_arn: The role that the edge function runs under.
            function_name: The edge function; Lambda names the role's session after it, with the original's region.
            directory: What the doors look keys up in.
            console: Takes a line when renewal fails.
        """
        self._sts = sts
        self._role_arn = role_arn
        self._session_name = f"us-east-1.{function_name}"[:_SESSION_NAME_LIMIT]
        self._directory = directory
        self._console = console
        self._current: dict[str, str] = {}
        self._expires_at = 0.0
        self._retired: list[tuple[float, str]] = []

    def environment(self) -> dict[str, str]:
        """Return the reserved variables that Lambda gives a function for its role."""
        return dict(self._current)

    async def renew(self) -> None:
        """Take new credentials.

        Raises:
            ClientError: STS refuses.
            BotoCoreError: STS does not answer.
        """
        answer = await asyncio.to_thread(
            self._sts.assume_role,
            RoleArn=self._role_arn,
            RoleSessionName=self._session_name,
            DurationSeconds=_LIFETIME_S,
        )
        credentials, user = answer["Credentials"], answer["AssumedRoleUser"]
        key = credentials["AccessKeyId"]
        self._directory.add(
            Credential(
                access_key_id=key,
                secret_access_key=credentials["SecretAccessKey"],
                session_token=credentials["SessionToken"],
                principal_arn=user["Arn"],
                role_name=self._role_arn.rpartition("/")[2],
                account_id=self._role_arn.split(":")[4],
                role_id=user["AssumedRoleId"].partition(":")[0],
            )
        )
        if self._current:
            self._retired.append((self._expires_at, self._current["AWS_ACCESS_KEY_ID"]))
        expiration: dt.datetime = credentials["Expiration"]
        self._expires_at = expiration.timestamp()
        self._current = {
            "AWS_ACCESS_KEY_ID": key,
            "AWS_SECRET_ACCESS_KEY": credentials["SecretAccessKey"],
            "AWS_SESSION_TOKEN": credentials["SessionToken"],
        }

    async def keep_fresh(self) -> None:
        """Renew whenever less than ten minutes are left, and forget what has expired; runs until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            now = time.time()
            for expires_at, key in self._retired:
                if expires_at <= now:
                    self._directory.remove(key)
            self._retired = [entry for entry in self._retired if entry[0] > now]
            if self._expires_at - now < _RENEW_BEFORE_S:
                try:
                    await self.renew()
                except (ClientError, BotoCoreError) as error:
                    # The old ones may still be valid, and the next look tries again.
                    self._console(f"The edge role's credentials could not be renewed: {error}")
