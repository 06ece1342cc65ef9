"""Every state of the page at two widths, light and dark: axe-core finds nothing serious, nothing is wider than the window.

The pictures are in ``dist/screenshots/``, for people to look at.
"""

import pytest
from playwright.sync_api import expect

from tests.web.fake_site import Fault
from tests.web.page import SCREENSHOTS, Tab

SIZES = {"phone": (390, 844), "desktop": (1280, 800)}
LONG = "A Very Long Title: Being a True and Exact Account of Several Voyages, Undertaken for No Good Reason"


@pytest.mark.parametrize("size", SIZES)
def test_every_state_can_be_read_by_everybody(tab: Tab, site, size):
    """One walk through all states, as guest and as reader; each is looked at by day and by night."""
    page = tab.page
    page.set_viewport_size(dict(zip(("width", "height"), SIZES[size], strict=True)))
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)

    def seen(state: str, *, whole: bool = True) -> None:
        page.evaluate("scrollTo(0, 0)")
        for scheme in ("dark", "light"):
            page.emulate_media(color_scheme=scheme)
            name = f"{state}-{size}-{scheme}"
            page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=whole, animations="disabled")
            assert tab.faults() == [], name
        wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert wide <= 0, f"{state}-{size}: {wide} px wider than the window"

    seen("guest")
    tab.resume()
    expect(tab.text("The shelf is empty")).to_be_visible()
    seen("books-none")

    book = site.add(
        "The Left Hand of Darkness", "Ursula K. Le Guin", year=1969, notes="Read the chapters on the ice in winter."
    )
    site.add("Die Wand", "Marlen Haushofer", year=1963, owner="alice")
    site.add(LONG, "An Author with an Uncommonly Long Name, and Others", notes="x" * 180, owner="x" * 60)
    for number in range(20):
        site.add(f"Volume {number}", "Anonymous", owner="alice")
    page.reload()
    expect(tab.link("Die Wand")).to_be_visible()
    seen("books")
    tab.button("Delete “The Left Hand of Darkness”").click()
    seen("delete", whole=False)
    tab.button("Keep it").click()
    tab.link("Die Wand").click()
    expect(tab.text("only they can change it")).to_be_visible()
    seen("book")

    tab.open("#/new")
    tab.type_book("Typed", "", "soon", "n" * 1700)
    tab.button("Put it on the shelf").click()
    expect(tab.text("Enter an author.")).to_be_visible()
    seen("form-faults")
    tab.field("Year").fill("1999")
    tab.field("Author").fill("A")
    site.fault = lambda _method, path: (
        Fault(
            503, "keys_unavailable", "Keys unavailable", "Cognito's keys cannot be read just now.", {"retry-after": "7"}
        )
        if path == "/api/books"
        else None
    )
    tab.button("Put it on the shelf").click()
    expect(tab.text("Wait 7 seconds")).to_be_visible()
    seen("form-refused")
    tab.button("Cancel").click()
    page.reload()
    expect(tab.text("Wait 7 seconds")).to_be_visible()
    seen("books-refused")
    site.fault = lambda _method, _path: None

    tab.open(f"#/books/{book['id']}")
    tab.field("Notes").fill("Mine: I read it again, and it is better than I remembered.")
    site.change(book["id"], title="The Left Hand of Darkness (50th anniversary)", notes="Theirs: a new note.")
    tab.button("Save").click()
    expect(tab.text("changed elsewhere while you were typing")).to_be_visible()
    seen("conflict")

    tab.open("#/account")
    tab.button("Ask without a token").click()
    expect(tab.text("401 Sign-in required")).to_be_visible()
    seen("account")
    site.forget_tokens()
    site.refresh_alive = False
    tab.open("#/new")
    tab.type_book("Half a thought", "A")
    tab.button("Put it on the shelf").click()
    expect(tab.text("Your session has ended.")).to_be_visible()
    seen("ended")
