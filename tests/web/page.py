"""The page as a person uses it: by the names of things, never by their markup."""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import BrowserContext, Locator, Page, expect

from tests.web.fake_site import Site

PROJECT = Path(__file__).resolve().parents[2]
AXE = PROJECT / "web" / "node_modules" / "axe-core" / "axe.min.js"
SCREENSHOTS = PROJECT / "dist" / "screenshots"
TOKEN = re.compile(r"eyJ[\w-]+\.|refresh-[\w-]{8}|access-[\w-]{8}")


@dataclass
class Watched:
    """What a profile's pages asked for and said, and what may never be among it."""

    site: Site
    requests: list[str] = field(default_factory=list)
    console: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)

    def check(self) -> None:
        """No third party, no token in an address or on the console, no breach of the policy, no exception."""
        known = {urlsplit(url).netloc for url in (self.site.url, self.site.login_url)}
        strangers = [url for url in self.requests if urlsplit(url).netloc not in known]
        assert strangers == []
        assert [url for url in self.requests if TOKEN.search(url)] == []
        assert [text for text in self.console if TOKEN.search(text)] == []
        assert (self.violations, self.errors) == ([], [])


class Tab:
    """One tab, with the steps that most tests begin with."""

    def __init__(self, page: Page, site: Site) -> None:
        self.page = page
        self.site = site

    @staticmethod
    def watch(context: BrowserContext, site: Site) -> Watched:
        watched = Watched(site)
        context.on("request", lambda request: watched.requests.append(request.url))
        context.on("console", lambda message: watched.console.append(message.text))
        context.on("weberror", lambda error: watched.errors.append(str(error.error)))
        context.expose_binding("reportViolation", lambda _, text: watched.violations.append(text))
        context.add_init_script(
            "addEventListener('securitypolicyviolation', (event) =>"
            " window.reportViolation(`${event.violatedDirective} ${event.blockedURI} ${event.sample}`))"
        )
        return watched

    def open(self, place: str = "") -> "Tab":
        self.page.goto(f"{self.site.url}/{place}")
        return self

    def sign_in(self) -> "Tab":
        self.button("Sign in").click()
        self.button(re.compile("^Sign in as")).click()
        return self.see_books()

    def resume(self) -> "Tab":
        """Give this tab a session that began earlier."""
        self.open("favicon.svg")
        self.page.evaluate("(tokens) => sessionStorage.setItem('session', tokens)", json.dumps(self.site.session()))
        self.open()
        return self.see_books()

    def see_books(self) -> "Tab":
        """Wait until the books are there: a question still on its way would meet what the test changes next."""
        expect(self.heading("Books")).to_be_visible()
        expect(self.text("The shelf is empty").or_(self.page.get_by_role("heading", level=2)).first).to_be_visible()
        return self

    def button(self, name: str | re.Pattern) -> Locator:
        return self.page.get_by_role("button", name=name, exact=isinstance(name, str))

    def link(self, name: str) -> Locator:
        return self.page.get_by_role("link", name=name, exact=True)

    def field(self, name: str) -> Locator:
        return self.page.get_by_role("textbox", name=re.compile(f"^{name}"))

    def heading(self, name: str) -> Locator:
        return self.page.get_by_role("heading", name=name, exact=True)

    def text(self, text: str) -> Locator:
        return self.page.get_by_text(text)

    def titles(self) -> list[str]:
        return self.page.locator("ul.books h2").all_inner_texts()

    def type_book(self, title: str, author: str = "Somebody", year: str = "", notes: str = "") -> None:
        for name, value in (("Title", title), ("Author", author), ("Year", year), ("Notes", notes)):
            self.field(name).fill(value)

    def stored(self) -> dict:
        return self.page.evaluate(
            "({local: {...localStorage}, session: {...sessionStorage}, cookies: document.cookie})"
        )

    def faults(self) -> list[str]:
        """What axe-core finds, serious and worse."""
        # The page's policy admits no foreign script; the debugger's way in is past it.
        if not self.page.evaluate("'axe' in window"):
            self.page.evaluate(f"{AXE.read_text(encoding='utf-8')}\n;0")
        found = self.page.evaluate("axe.run({resultTypes: ['violations']})")
        return [
            f"{rule['id']} ({rule['impact']}): {node['html'][:160]}"
            for rule in found["violations"]
            if rule["impact"] in ("serious", "critical")
            for node in rule["nodes"]
        ]
