"""The corpus of awkward URLs (``tests/support/awkward_urls.json``): targets that broke signers and servers elsewhere.

Each entry has ``url`` (path and query as typed; UTF-8 on the wire) or ``raw_hex`` (the bytes themselves), the ``reason``
why it is awkward, a public ``source`` or null, and what to ``expect``: ``forwarded`` or the code of the refusal. With
``pad_to`` the target is filled up to that many characters with ``pad_with`` ("a" unless said). ``"http": "refused"``
marks the few that no HTTP/1.1 request line can hold, so that they meet a 400 before any gateway.
"""

import json
from dataclasses import dataclass
from pathlib import Path

CORPUS = Path(__file__).with_name("awkward_urls.json")
EXPECTATIONS = frozenset({"forwarded", "malformed_url", "ambiguous_path"})


@dataclass(frozen=True)
class AwkwardUrl:
    """One entry.

    Attributes:
        target: Path and query, raw.
        reason: Why it is awkward.
        source: Where it comes from, or None.
        expect: ``forwarded``, or the code of the refusal.
        on_the_wire: False where HTTP itself cannot carry it.
    """

    target: bytes
    reason: str
    source: str | None
    expect: str
    on_the_wire: bool

    @property
    def path(self) -> bytes:
        return self.target.partition(b"?")[0]

    @property
    def query(self) -> bytes:
        return self.target.partition(b"?")[2]

    @property
    def shown(self) -> str:
        """The target as printable ASCII, shortened."""
        text = self.target.decode("utf-8", "backslashreplace").encode("unicode_escape").decode()
        return text if len(text) <= 76 else f"{text[:60]}... ({len(self.target)} bytes)"


def awkward_urls() -> list[AwkwardUrl]:
    """Read the corpus."""
    return [_entry(item) for item in json.loads(CORPUS.read_text("utf-8"))]


def _entry(item: dict) -> AwkwardUrl:
    if "raw_hex" in item:
        target = bytes.fromhex(item["raw_hex"])
    else:
        url = item["url"]
        target = (url + item.get("pad_with", "a") * (item.get("pad_to", 0) - len(url))).encode()
    return AwkwardUrl(target, item["reason"], item["source"], item["expect"], item.get("http") != "refused")
