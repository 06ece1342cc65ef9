"""Manage the people who may sign in: create, list, groups, disable, enable, delete."""

import contextlib
import secrets
import string
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import click
from botocore.exceptions import ClientError

from .console import Group, Questions, ScriptError, answer, aws_code, aws_message, printable, say
from .stack import Choice, Stack, admin_client, system_options

if TYPE_CHECKING:
    from mypy_boto3_cognito_idp import CognitoIdentityProviderClient
    from mypy_boto3_cognito_idp.type_defs import AttributeTypeTypeDef

EXAMPLES = """\
Examples:
  cognito-edge user create alice --email alice@example.com --group admins
      prints a temporary password; she chooses her own when she first signs in
  printf '%s\\n' "$PASSWORD" | cognito-edge user create robot --password-stdin --permanent
  cognito-edge user groups alice
      prints alice's groups
  cognito-edge user groups alice --add editors --remove admins
  cognito-edge user groups alice --set editors reviewers
  cognito-edge user disable alice
  cognito-edge user list --local

Put --local, --stack, --region and --profile after the command. A deployed pool is managed with your own AWS
credentials.

Exit status: 0 done; 1 refused or failed, with the reason on standard error; 2 wrong usage; 130 interrupted
"""

# 20 characters of 59 are 117 bits; then one of each kind, for whatever the pool's password policy asks.
TEMPORARY_PASSWORD_LENGTH = 24
# No look-alikes (0 O 1 l I): people copy temporary passwords by hand.
_LETTERS_AND_DIGITS = "".join(sorted(set(string.ascii_letters + string.digits) - set("0O1lI")))
# Cognito counts these as symbols; shells and URLs leave them alone.
_SYMBOLS = "-_.+="
PAGE = 60  # Cognito's largest


class UserPool:
    """One pool's users and groups, in the words of these commands."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self._client: CognitoIdentityProviderClient = admin_client(stack)

    @contextlib.contextmanager
    def naming(self, name: str, also: str = "") -> Iterator[None]:
        """Turn AWS's "not found" into one that names the user, and what lists them; *also* is one more sentence."""
        try:
            yield
        except ClientError as error:
            if aws_code(error) != "UserNotFoundException":
                raise
            raise ScriptError(
                f"There is no user {name} in {self.stack.name}'s pool. See `cognito-edge user list`. {also}".rstrip()
            ) from None

    def create(self, name: str, *, email: str | None, email_verified: bool, password: str, permanent: bool) -> str:
        """Create the user and return the name that Cognito gave them (a pool that signs in by e-mail makes one up).

        Raises:
            ScriptError: The name is taken, or the password breaks the pool's rules.
        """
        attributes: list[AttributeTypeTypeDef] = []
        if email is not None:
            attributes = [
                {"Name": "email", "Value": email},
                {"Name": "email_verified", "Value": "true" if email_verified else "false"},
            ]
        try:
            # The temporary password comes first even for a permanent one: the pool's rules are checked here, before
            # the user exists. SUPPRESS: no e-mail; whoever runs this hands the password over.
            created = self._client.admin_create_user(
                UserPoolId=self.stack.user_pool_id,
                Username=name,
                UserAttributes=attributes,
                TemporaryPassword=password,
                MessageAction="SUPPRESS",
            )
        except ClientError as error:
            if aws_code(error) == "UsernameExistsException":
                raise ScriptError(
                    f"There is a user {name} already. Change their groups with `groups`, or delete them first."
                ) from None
            if aws_code(error) == "InvalidPasswordException":
                raise ScriptError(f"No user was created: {aws_message(error)}") from None
            raise
        user = created.get("User", {}).get("Username", name)
        if permanent:
            self._client.admin_set_user_password(
                UserPoolId=self.stack.user_pool_id, Username=user, Password=password, Permanent=True
            )
        return user

    def require_groups(self, groups: Iterable[str], *, create: bool) -> None:
        """Make sure that *groups* exist, before anything is changed.

        Raises:
            ScriptError: One does not, and *create* is not set.
        """
        existing = set(self.groups())
        missing = sorted(set(groups) - existing)
        if missing and not create:
            have = ", ".join(sorted(existing)) or "none"
            raise ScriptError(
                f"Nothing was changed: the pool has no group {', '.join(missing)} (it has: {have}). A misspelt group"
                " would grant nothing, or the wrong thing; if this one is new, add --create-groups."
            )
        for group in missing:
            self._client.create_group(UserPoolId=self.stack.user_pool_id, GroupName=group)
            say(f"Created group {group}.")

    def groups(self) -> list[str]:
        """Return the names of the pool's groups."""
        pages = self._client.get_paginator("list_groups").paginate(UserPoolId=self.stack.user_pool_id)
        return [group["GroupName"] for page in pages for group in page["Groups"]]

    def groups_of(self, name: str) -> list[str]:
        """Return the names of the groups that *name* is in, sorted."""
        pages = self._client.get_paginator("admin_list_groups_for_user").paginate(
            UserPoolId=self.stack.user_pool_id, Username=name
        )
        return sorted(group["GroupName"] for page in pages for group in page["Groups"])

    def change_groups(self, name: str, *, add: Iterable[str], remove: Iterable[str]) -> None:
        """Put *name* into the groups *add* and out of the groups *remove*."""
        pool_id = self.stack.user_pool_id
        # Out first: whatever stops this half-way leaves fewer rights, not more.
        for group in remove:
            self._client.admin_remove_user_from_group(UserPoolId=pool_id, Username=name, GroupName=group)
        for group in add:
            self._client.admin_add_user_to_group(UserPoolId=pool_id, Username=name, GroupName=group)

    def subject(self, name: str) -> str:
        """Return the user's ``sub``, the name in tokens and in the policy's cut-offs."""
        user = self._client.admin_get_user(UserPoolId=self.stack.user_pool_id, Username=name)
        return next((a.get("Value", "") for a in user.get("UserAttributes", []) if a["Name"] == "sub"), "")

    def disable(self, name: str) -> None:
        """End sign-ins and refreshes of *name*."""
        # Disabled first: between a sign-out and that they could sign in once more.
        self._client.admin_disable_user(UserPoolId=self.stack.user_pool_id, Username=name)
        try:
            self._client.admin_user_global_sign_out(UserPoolId=self.stack.user_pool_id, Username=name)
        except ClientError as error:
            raise ScriptError(
                f"{name} is disabled, but their refresh tokens were not revoked ({aws_message(error)}); should they"
                " ever be enabled again, old ones may work. Run this command again."
            ) from None

    def enable(self, name: str) -> None:
        """Let *name* sign in again."""
        self._client.admin_enable_user(UserPoolId=self.stack.user_pool_id, Username=name)

    def delete(self, name: str) -> None:
        """Remove *name* from the pool."""
        self._client.admin_delete_user(UserPoolId=self.stack.user_pool_id, Username=name)

    def users(self) -> Iterable[tuple[str, str, str, str]]:
        """Yield name, status, "enabled" or "disabled", and e-mail address of every user."""
        pages = self._client.get_paginator("list_users").paginate(
            UserPoolId=self.stack.user_pool_id, PaginationConfig={"PageSize": PAGE}
        )
        for page in pages:
            for user in page["Users"]:
                attributes = {a["Name"]: a.get("Value", "") for a in user.get("Attributes", [])}
                state = "enabled" if user.get("Enabled") else "disabled"
                yield user.get("Username", ""), user.get("UserStatus", ""), state, attributes.get("email", "")


@click.group("user", cls=Group, epilog=EXAMPLES)
def user() -> None:
    """Manage the users of the local or of a deployed user pool."""


def _valid_name(_context: click.Context, _parameter: click.Parameter, text: str) -> str:
    if not text or len(text) > 128 or any(c.isspace() for c in text):
        raise click.BadParameter("expected a name of 1 to 128 characters without spaces")
    return text


_name_argument = click.argument("name", callback=_valid_name)
_create_groups_option = click.option("--create-groups", is_flag=True, help="Create groups that the pool does not have.")


@user.command("create", short_help="create a user; prints a temporary password")
@_name_argument
@click.option("--email", help="Their address; counts as verified, since you vouch for it.")
@click.option("--email-unverified", is_flag=True, help="Do not count the address as verified.")
@click.option("--group", "groups", multiple=True, metavar="GROUP", help="May be given several times.")
@_create_groups_option
@click.option("--password-stdin", is_flag=True, help="The password is standard input's first line.")
@click.option("--permanent", is_flag=True, help="With --password-stdin: they need not change it when they sign in.")
@system_options
def _create(
    name: str,
    *,
    email: str | None,
    email_unverified: bool,
    groups: Sequence[str],
    create_groups: bool,
    password_stdin: bool,
    permanent: bool,
    system: Choice,
) -> None:
    """Create a user; prints a temporary password."""
    if permanent and not password_stdin:
        raise click.UsageError(
            "--permanent needs --password-stdin: a printed password should not outlive the first sign-in."
        )
    pool = UserPool(system.find())
    password = Questions(from_stdin=True).secret("Password") if password_stdin else temporary_password()
    pool.require_groups(groups, create=create_groups)
    name = pool.create(name, email=email, email_verified=not email_unverified, password=password, permanent=permanent)
    say(f"Created {name} in {pool.stack.name}'s pool.")
    if not password_stdin:
        # Before the groups: should those fail, the password of the user that now exists is not lost.
        say("Their temporary password, shown this once; the pool decides how long it is valid (7 days by default):")
        answer(password)
    pool.change_groups(name, add=groups, remove=())
    if groups:
        say(f"In groups: {', '.join(groups)}.")


@user.command("groups", short_help="print, and with options change, the groups of a user")
@_name_argument
@click.argument("groups", nargs=-1, metavar="[GROUP]...")
@click.option("--add", multiple=True, metavar="GROUP", help="May be given several times.")
@click.option("--remove", multiple=True, metavar="GROUP", help="May be given several times.")
@click.option("--set", "replace", is_flag=True, help="The GROUPs after NAME and no others; without any, none at all.")
@_create_groups_option
@system_options
def _groups(
    name: str,
    *,
    groups: Sequence[str],
    add: Sequence[str],
    remove: Sequence[str],
    replace: bool,
    create_groups: bool,
    system: Choice,
) -> None:
    """Print, and with options change, the groups of the user NAME."""
    if groups and not replace:
        raise click.UsageError(f"{groups[0]}: groups after the name go with --set; else use --add and --remove.")
    if replace and (add or remove):
        raise click.UsageError("--set says all groups; --add and --remove say changes: give one or the other.")
    if both := set(add) & set(remove):
        raise click.UsageError(f"--add and --remove both name {', '.join(sorted(both))}.")
    pool = UserPool(system.find())
    with pool.naming(name):
        have = set(pool.groups_of(name))
        if absent := sorted(set(remove) - have):
            raise ScriptError(f"Nothing was changed: {name} is not in {', '.join(absent)}.")
        want = set(groups) if replace else (have | set(add)) - set(remove)
        gained, lost = sorted(want - have), sorted(have - want)
        if gained:
            pool.require_groups(gained, create=create_groups)
        pool.change_groups(name, add=gained, remove=lost)
    if gained or lost:
        say(
            "Changed. Tokens already handed out keep the old groups until they expire;"
            " `cognito-edge token --force` signs in anew."
        )
    for group in sorted(want):
        answer(printable(group))


@user.command("disable", short_help="end a user's sign-ins, and sign them out")
@_name_argument
@system_options
def _disable(name: str, *, system: Choice) -> None:
    """End a user's sign-ins, and sign them out."""
    pool = UserPool(system.find())
    with pool.naming(name):
        subject = pool.subject(name)
        pool.disable(name)
    say(
        f"{name} can neither sign in nor refresh any more. Tokens already handed out stay valid at the gateway"
        " until they expire (an hour by default, a day at most). To cut them off at once, add"
        f' "{subject}" to cut_off.sub in the policy ({pool.stack.parameter_prefix}/policy in SSM), which'
        f" `cognito-edge policy cut-off --sub {subject}` does."
    )


@user.command("enable", short_help="let a disabled user sign in again")
@_name_argument
@system_options
def _enable(name: str, *, system: Choice) -> None:
    """Let a disabled user sign in again."""
    pool = UserPool(system.find())
    with pool.naming(name):
        pool.enable(name)
    say(f"{name} can sign in again. A cut-off in the policy, if there is one, stays.")


@user.command("delete", short_help="delete a user for good")
@_name_argument
@click.option("--yes", is_flag=True, help="Do not ask.")
@system_options
def _delete(name: str, *, yes: bool, system: Choice) -> None:
    """Delete a user for good."""
    pool = UserPool(system.find())
    with pool.naming(name):
        subject = pool.subject(name)
        if not yes:
            typed = Questions(from_stdin=False, instead="Add --yes if it is meant.").text(
                f"This cannot be undone. Type {name} to delete them"
            )
            if typed != name:
                raise ScriptError(f"Nothing was deleted: expected {name}, got {typed!r}.")
        # Disabled first, so that refresh tokens end with the user under every reading of AWS's documentation.
        pool.disable(name)
        pool.delete(name)
    say(
        f"Deleted {name}. Tokens already handed out stay valid at the gateway until they expire; the policy's"
        f' cut_off.sub with "{subject}" ends them at once.'
    )


@user.command("list", short_help="print name, status, enabled or disabled, e-mail; separated by tabs")
@system_options
def _list(*, system: Choice) -> None:
    """Print name, status, enabled or disabled, e-mail; separated by tabs."""
    for fields in UserPool(system.find()).users():
        answer("\t".join(map(printable, fields)))


def temporary_password() -> str:
    """Return a random password that any policy of Cognito's up to 24 characters accepts."""
    kinds = (string.ascii_lowercase, string.ascii_uppercase, string.digits)
    drawn = [secrets.choice([c for c in kind if c in _LETTERS_AND_DIGITS]) for kind in kinds]
    drawn.append(secrets.choice(_SYMBOLS))
    drawn += [secrets.choice(_LETTERS_AND_DIGITS) for _ in range(TEMPORARY_PASSWORD_LENGTH - len(drawn))]
    secrets.SystemRandom().shuffle(drawn)
    return "".join(drawn)
