"""Manage the people who may sign in: create, list, groups, disable, enable, delete."""

import argparse
import secrets
import string
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from . import stack as _stack
from .console import EXIT_OK, Questions, ScriptError, answer, aws_code, aws_message, run, say
from .stack import Stack

if TYPE_CHECKING:
    from mypy_boto3_cognito_idp import CognitoIdentityProviderClient
    from mypy_boto3_cognito_idp.type_defs import AttributeTypeTypeDef

EXAMPLES = """\
examples:
  python scripts/user.py create alice --email alice@example.com --group admins
                                       prints a temporary password; she chooses her own when she first signs in
  printf '%s\\n' "$PASSWORD" | python scripts/user.py create robot --password-stdin --permanent
  python scripts/user.py groups alice  prints alice's groups
  python scripts/user.py groups alice --add editors --remove admins
  python scripts/user.py groups alice --set editors reviewers
  python scripts/user.py disable alice
  python scripts/user.py list --local

Put --local, --stack, --region and --profile after the command. A deployed pool is managed with your own AWS
credentials.

exit status: 0 done; 1 refused or failed, with the reason on standard error; 2 wrong usage; 130 interrupted
"""

# 20 characters of 59 are 117 bits; then one of each kind, for whatever the pool's password policy asks.
TEMPORARY_PASSWORD_LENGTH = 24
# No look-alikes (0 O 1 l I): people copy temporary passwords by hand.
_LETTERS_AND_DIGITS = "".join(sorted(set(string.ascii_letters + string.digits) - set("0O1lI")))
# Cognito counts these as symbols; shells and URLs leave them alone.
_SYMBOLS = "-_.+="
PAGE = 60  # Cognito's largest


def main(argv: Sequence[str] | None = None) -> int:
    """Do what *argv* (None: this process's own arguments) says and return the exit status."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    _check_usage(parser, arguments)

    def work() -> int:
        stack = _stack.find(parser, arguments)
        pool = UserPool(stack)
        try:
            arguments.command(pool, arguments)
        except ClientError as error:
            if aws_code(error) != "UserNotFoundException":
                raise
            raise ScriptError(
                f"There is no user {arguments.name} in {stack.name}'s pool. See `user.py list`."
            ) from None
        return EXIT_OK

    return run(work)


class UserPool:
    """One pool's users and groups, in the words of these commands.

    A class because every call needs the same client and pool id.
    """

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self._client: CognitoIdentityProviderClient = _stack.admin_client(stack)

    def create(self, name: str, *, email: str | None, email_verified: bool, password: str, permanent: bool) -> str:
        """Create the user and return the name that Cognito gave them (a pool that signs in by e-mail makes one up).

        Raises:
            ScriptError: The name is taken, or the pool's rules do not like the password.
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
        """Return the user's `sub`, which is what tokens and the policy's cut-offs call them."""
        user = self._client.admin_get_user(UserPoolId=self.stack.user_pool_id, Username=name)
        return next((a.get("Value", "") for a in user.get("UserAttributes", []) if a["Name"] == "sub"), "")

    def disable(self, name: str) -> None:
        """Let *name* sign in no more, and refresh no more."""
        # In this order: signed out first, they could sign in once more before they are disabled.
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


def _create(pool: UserPool, arguments: argparse.Namespace) -> None:
    password = temporary_password()
    if arguments.password_stdin:
        password = Questions(from_stdin=True).secret("Password")
    pool.require_groups(arguments.group, create=arguments.create_groups)
    name = pool.create(
        arguments.name,
        email=arguments.email,
        email_verified=not arguments.email_unverified,
        password=password,
        permanent=arguments.permanent,
    )
    say(f"Created {name} in {pool.stack.name}'s pool.")
    if not arguments.password_stdin:
        # Before the groups: should those fail, the password of the user that now exists is not lost.
        say("Their temporary password, shown this once; the pool decides how long it is valid (7 days by default):")
        answer(password)
    pool.change_groups(name, add=arguments.group, remove=())
    if arguments.group:
        say(f"In groups: {', '.join(arguments.group)}.")


def _groups(pool: UserPool, arguments: argparse.Namespace) -> None:
    have = pool.groups_of(arguments.name)
    want = set(have)
    if arguments.set is not None:
        want = set(arguments.set)
    want = (want | set(arguments.add)) - set(arguments.remove)
    absent = sorted(set(arguments.remove) - set(have))
    if absent:
        raise ScriptError(f"Nothing was changed: {arguments.name} is not in {', '.join(absent)}.")
    add, remove = sorted(want - set(have)), sorted(set(have) - want)
    if add:
        pool.require_groups(add, create=arguments.create_groups)
    pool.change_groups(arguments.name, add=add, remove=remove)
    if add or remove:
        say(
            "Changed. Tokens already handed out keep the old groups until they expire;"
            " `get_token.py --force` signs in anew."
        )
    for group in sorted(want):
        answer(group)


def _disable(pool: UserPool, arguments: argparse.Namespace) -> None:
    subject = pool.subject(arguments.name)
    pool.disable(arguments.name)
    say(
        f"{arguments.name} can neither sign in nor refresh any more. Tokens already handed out stay valid at the gateway"
        " until they expire (an hour by default, a day at most). To cut them off at once, add"
        f' "{subject}" to cut_off.sub in the policy ({pool.stack.parameter_prefix}/policy in SSM), which'
        f" `python scripts/policy.py cut-off --sub {subject}` does."
    )


def _enable(pool: UserPool, arguments: argparse.Namespace) -> None:
    pool.enable(arguments.name)
    say(f"{arguments.name} can sign in again. A cut-off in the policy, if there is one, stays.")


def _delete(pool: UserPool, arguments: argparse.Namespace) -> None:
    subject = pool.subject(arguments.name)
    if not arguments.yes:
        typed = Questions(from_stdin=False).text(f"This cannot be undone. Type {arguments.name} to delete them")
        if typed != arguments.name:
            raise ScriptError(f"Nothing was deleted: expected {arguments.name}, got {typed!r}.")
    # Disabled first, so that refresh tokens end with the user under every reading of AWS's documentation.
    pool.disable(arguments.name)
    pool.delete(arguments.name)
    say(
        f"Deleted {arguments.name}. Tokens already handed out stay valid at the gateway until they expire; the policy's"
        f' cut_off.sub with "{subject}" ends them at once.'
    )


def _list(pool: UserPool, _arguments: argparse.Namespace) -> None:
    for fields in pool.users():
        answer("\t".join(fields))


def temporary_password() -> str:
    """Return a random password that any policy of Cognito's up to 24 characters accepts."""
    kinds = (string.ascii_lowercase, string.ascii_uppercase, string.digits)
    drawn = [secrets.choice([c for c in kind if c in _LETTERS_AND_DIGITS]) for kind in kinds]
    drawn.append(secrets.choice(_SYMBOLS))
    drawn += [secrets.choice(_LETTERS_AND_DIGITS) for _ in range(TEMPORARY_PASSWORD_LENGTH - len(drawn))]
    secrets.SystemRandom().shuffle(drawn)
    return "".join(drawn)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="user.py",
        description="Manage the users of the local or of a deployed user pool.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    create = commands.add_parser("create", help="create a user; prints a temporary password")
    create.set_defaults(command=_create)
    create.add_argument("name", metavar="NAME", type=_name)
    create.add_argument("--email", help="their address; counts as verified, since you vouch for it")
    create.add_argument("--email-unverified", action="store_true", help="do not count the address as verified")
    create.add_argument("--group", action="append", default=[], metavar="GROUP", help="may be given several times")
    create.add_argument("--create-groups", action="store_true", help="create groups that the pool does not have")
    create.add_argument("--password-stdin", action="store_true", help="the password is standard input's first line")
    create.add_argument(
        "--permanent", action="store_true", help="with --password-stdin: they need not change it when they sign in"
    )

    groups = commands.add_parser("groups", help="print, and with options change, the groups of a user")
    groups.set_defaults(command=_groups)
    groups.add_argument("name", metavar="NAME", type=_name)
    groups.add_argument("--add", action="append", default=[], metavar="GROUP", help="may be given several times")
    groups.add_argument("--remove", action="append", default=[], metavar="GROUP", help="may be given several times")
    groups.add_argument("--set", nargs="*", metavar="GROUP", help="these and no others; none at all if none is given")
    groups.add_argument("--create-groups", action="store_true", help="create groups that the pool does not have")

    disable = commands.add_parser("disable", help="let a user sign in no more, and sign them out")
    disable.set_defaults(command=_disable)
    disable.add_argument("name", metavar="NAME", type=_name)

    enable = commands.add_parser("enable", help="let a disabled user sign in again")
    enable.set_defaults(command=_enable)
    enable.add_argument("name", metavar="NAME", type=_name)

    delete = commands.add_parser("delete", help="delete a user for good")
    delete.set_defaults(command=_delete)
    delete.add_argument("name", metavar="NAME", type=_name)
    delete.add_argument("--yes", action="store_true", help="do not ask")

    users = commands.add_parser("list", help="print name, status, enabled or disabled, e-mail; separated by tabs")
    users.set_defaults(command=_list)

    for command in (create, groups, disable, enable, delete, users):
        _stack.add_arguments(command)
    return parser


def _check_usage(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    if getattr(arguments, "permanent", False) and not arguments.password_stdin:
        parser.error("--permanent needs --password-stdin: a printed password should not outlive the first sign-in")
    if getattr(arguments, "set", None) is not None and (arguments.add or arguments.remove):
        parser.error("--set says all groups; --add and --remove say changes: give one or the other")
    both = set(getattr(arguments, "add", ())) & set(getattr(arguments, "remove", ()))
    if both:
        parser.error(f"--add and --remove both name {', '.join(sorted(both))}")


def _name(text: str) -> str:
    if not text or len(text) > 128 or any(c.isspace() for c in text):
        raise argparse.ArgumentTypeError("expected a name of 1 to 128 characters without spaces")
    return text
