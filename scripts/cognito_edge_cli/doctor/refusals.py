"""What ``docs/refusals.md`` says about each refusal code: the table there is the only place that explains them."""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

from cognito_edge_cli.console import ScriptError
from cognito_edge_cli.stack import CHECKOUT

# A wheel has the page beside this module.
_PACKAGED = Path(__file__).with_name("refusals.md")
PAGE = _PACKAGED if _PACKAGED.exists() or CHECKOUT is None else CHECKOUT / "docs" / "refusals.md"
_ROW = re.compile(r"\| (?P<status>\d{3}) \| `(?P<code>\w+)` \| (?P<means>.+?) \| (?P<do>.+?) \|")


_AS_ABOVE = "the same"


class Refusal(NamedTuple):
    """One row of the table.

    Attributes:
        status: HTTP status.
        code: Contract C6's name.
        means: What has happened.
        do: What to do about it.
    """

    status: int
    code: str
    means: str
    do: str


@cache
def refusals() -> Mapping[str, Refusal]:
    """Return the table by code.

    Raises:
        ScriptError: The page is not there, or has no table.
    """
    try:
        page = PAGE.read_text(encoding="utf-8")
    except OSError as error:
        raise ScriptError(f"{PAGE} cannot be read ({error.strerror}); it explains the codes.") from None
    found: dict[str, Refusal] = {}
    above = ""
    for row in filter(None, map(_ROW.fullmatch, page.splitlines())):
        # "the same" points to the row above, which an answer about one code does not show.
        do = above + row["do"].removeprefix(_AS_ABOVE) if row["do"].startswith(_AS_ABOVE) else row["do"]
        above = do.partition(";")[0]
        found[row["code"]] = Refusal(int(row["status"]), row["code"], row["means"], do)
    if not found:
        raise ScriptError(f"{PAGE} has no table of codes; put the page back as it is in the repository.")
    return found


def explained(code: str) -> str:
    """Return what the page says about a code, for people.

    Raises:
        ScriptError: No such code; the message names those that there are.
    """
    refusal = refusals().get(code)
    if refusal is None:
        raise ScriptError(f"{code!r} is no refusal code of the gateway; those are {', '.join(refusals())}.")
    lines = [f"{refusal.status} {refusal.code}", f"  means  {refusal.means}", f"  do     {refusal.do}"]
    return "\n".join([*lines, "  more   docs/refusals.md"])


def fix_for(code: str) -> str:
    """Return what to do about a code, in one line; "" for one that the page does not know."""
    refusal = refusals().get(code)
    return f"{refusal.means}: {refusal.do} (docs/refusals.md)" if refusal else ""
