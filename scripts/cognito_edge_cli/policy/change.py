"""A change of the policy: shown, asked about, written."""

import difflib
import json

from cognito_edge_cli.console import Questions, ScriptError, say

from .cut_off import Document
from .store import PolicyStore, Version


def rendered(document: Document, *, compact: bool = False) -> str:
    """Return the text of a document that these commands have changed."""
    if compact:
        return json.dumps(document, separators=(",", ":"), ensure_ascii=False)
    return json.dumps(document, indent=2, ensure_ascii=False)


def write(store: PolicyStore, text: str, before: Version | None, *, yes: bool, advanced: bool) -> None:
    """Show the difference, ask, write.

    Args:
        store: Where to.
        text: The new document.
        before: The version that it replaces; None if there was no parameter.
        yes: Whether not to ask.
        advanced: Whether it may become an advanced parameter.

    Raises:
        ScriptError: The person does not agree, cannot be asked, or the document cannot be written.
    """
    if before is not None and before.text == text:
        say(f"Nothing to do: version {before.number} says exactly this already.")
        return
    say(_difference(before, text, store.name))
    if not yes:
        questions = Questions(from_stdin=False, instead="Nothing was written. Add --yes if the change is meant.")
        typed = questions.text(f"Write this to {store.name} of {store.stack.name}? [yes/no]")
        if typed.lower() not in ("y", "yes"):
            raise ScriptError("Nothing was written.")
    number = store.put(text, over=before, advanced=advanced)
    say(f"Version {number} is written. Edges take it up within 72 seconds (60 s, give or take 20 %).")


def _difference(before: Version | None, text: str, name: str) -> str:
    """Return the unified difference of what the two documents say, whatever their spaces."""
    lines = difflib.unified_diff(
        _lines(before.text) if before else [],
        _lines(text),
        f"{name} version {before.number if before else 0}",
        f"{name} new",
        lineterm="",
    )
    return "\n".join(lines) or "The two say the same, with other spaces."


def _lines(text: str) -> list[str]:
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False).splitlines()
    except ValueError:
        return text.splitlines()
