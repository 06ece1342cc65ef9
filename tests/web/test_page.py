"""The page in a real browser: every state that a person can get into, and the way out of it."""

import gzip
import re

import pytest
from playwright.sync_api import expect

from tests.web.fake_site import DIST, Fault
from tests.web.page import TOKEN, Tab


def refuse(status, code="unknown", title="Refused", *, method=None, **headers):
    """Return a fault for all calls, or those of one method, of the books API."""

    def fault(asked, path):
        return (
            Fault(status, code, title, headers=headers)
            if path.startswith("/api/books") and method in (None, asked)
            else None
        )

    return fault


# --- signing in -------------------------------------------------------------------------------------------------------


def test_a_guest_is_told_what_this_is_and_asks_for_nothing(tab, site):
    """The guest's page explains itself, and calls neither API nor login."""
    expect(tab.page.get_by_role("heading", level=1)).to_contain_text("A shelf of books")
    expect(tab.text("own page asks for your password")).to_be_visible()
    assert site.grants == []


def test_signing_in_leaves_no_token_where_others_could_find_it(tab):
    """After the redirect: no code in the address, nothing in local storage, no cookie, one session entry."""
    tab.sign_in()
    assert tab.page.url == f"{tab.site.url}/#/"
    stored = tab.stored()
    assert (stored["local"], stored["cookies"]) == ({}, "")
    assert [name for name, value in stored["session"].items() if TOKEN.search(value)] == ["session"]
    assert "access-" not in stored["session"]["session"]


def test_one_comes_back_to_where_one_was(tab):
    """The place within the page survives the way to the login and back."""
    tab.open("#/account").page.reload()
    tab.button("Sign in").click()
    tab.button(re.compile("^Sign in as")).click()
    expect(tab.heading("Your account")).to_be_visible()
    expect(tab.text("demo@example.com")).to_be_visible()
    expect(tab.text("good until")).to_be_visible()


def test_a_refused_sign_in_is_explained_and_can_be_repeated(tab, site):
    """A person who says no at the login is a guest, is told so, and may try again."""
    site.deny = True
    tab.button("Sign in").click()
    expect(tab.page.get_by_role("alert")).to_contain_text("You said no")
    assert "error" not in tab.page.url
    site.deny = False
    tab.sign_in()


def test_somebody_elses_answer_signs_nobody_in(tab, site):
    """A link with a code that this tab never asked for (login CSRF) does nothing."""
    tab.open("?code=stolen&state=forged")
    expect(tab.page.get_by_role("alert")).to_contain_text("begun in another tab")
    assert (site.grants, tab.page.url) == ([], f"{site.url}/#/")


def test_a_reload_and_the_back_button_keep_the_session(tab, site):
    """Reload asks for no code again; Back from the books does not run into the used code."""
    reader = tab.sign_in()
    reader.page.reload()
    expect(reader.heading("Books")).to_be_visible()
    reader.link("Add a book").click()
    expect(reader.heading("Add a book")).to_be_visible()
    reader.page.go_back()
    expect(reader.heading("Books")).to_be_visible()
    reader.page.go_back()
    reader.page.go_forward()
    expect(reader.heading("Books")).to_be_visible()
    assert site.grants == ["authorization_code"]


# --- books ------------------------------------------------------------------------------------------------------------


def test_books_are_listed_page_by_page(site, tab):
    """45 books come in three pages, and the button goes when there are no more."""
    for number in range(45):
        site.add(f"Book {number}")
    tab.sign_in()
    expect(tab.page.locator("ul.books h2")).to_have_count(20)
    tab.button("Show more books").click()
    expect(tab.page.locator("ul.books h2")).to_have_count(40)
    tab.button("Show more books").click()
    expect(tab.page.locator("ul.books h2")).to_have_count(45)
    expect(tab.button("Show more books")).to_have_count(0)
    assert tab.titles() == [f"Book {number}" for number in range(45)]


def test_a_book_is_added_changed_and_deleted(reader, site):
    """The whole life of a book, each step told to a screen reader as well."""
    expect(reader.text("The shelf is empty")).to_be_visible()
    reader.link("Add a book").click()
    reader.type_book("Piranesi", "Susanna Clarke", "2020", "Slowly.")
    reader.button("Put it on the shelf").click()
    expect(reader.page.get_by_role("status").filter(has_text="is on the shelf")).to_be_visible()
    reader.link("Edit “Piranesi”").click()
    reader.field("Year").fill("")
    reader.button("Save").click()
    expect(reader.text("“Piranesi” is saved.")).to_be_visible()
    (book,) = site.books.values()
    assert (book["year"], book["notes"], book["version"]) == (None, "Slowly.", 2)
    reader.button("Delete “Piranesi”").click()
    expect(reader.button("Keep it")).to_be_focused()
    reader.page.keyboard.press("Escape")
    expect(reader.button("Delete “Piranesi”")).to_be_focused()
    reader.button("Delete “Piranesi”").click()
    reader.button("Delete").click()
    expect(reader.text("The shelf is empty")).to_be_visible()
    expect(reader.heading("Books")).to_be_focused()
    assert site.books == {}


def test_the_forms_faults_stand_at_their_fields(reader, site):
    """Ours before anything is sent, the server's afterwards; the first faulty field has the focus."""
    reader.open("#/new")
    reader.type_book("", "A", "soon")
    reader.button("Put it on the shelf").click()
    expect(reader.field("Title")).to_be_focused()
    expect(reader.field("Title")).to_have_accessible_description("Enter a title.")
    expect(reader.field("Year")).to_have_attribute("aria-invalid", "true")
    reader.type_book("<refuse>", "A")
    reader.button("Put it on the shelf").click()
    expect(reader.field("Title")).to_have_accessible_description("Not this title.")
    assert site.books == {}


def test_markup_in_a_book_is_text(site, tab):
    """What people type is shown, never run."""
    site.add("<img src=x onerror=alert(1)>", notes="<script>alert(1)</script>", owner="alice")
    tab.sign_in()
    expect(tab.link("<img src=x onerror=alert(1)>")).to_be_visible()
    expect(tab.text("<script>alert(1)</script>")).to_be_visible()


def test_other_peoples_books_are_for_reading(site, tab):
    """No buttons for what would be refused; the page says whose it is."""
    site.add("Stoner", "John Williams", owner="alice", notes="Once.")
    tab.sign_in()
    expect(tab.link("Stoner")).to_be_visible()
    expect(tab.link("Edit “Stoner”")).to_have_count(0)
    tab.link("Stoner").click()
    expect(tab.text("alice added this book, and only they can change it.")).to_be_visible()


def test_administrators_may_delete_what_others_added(context, site):
    """But not change it: the page offers what the backend allows."""
    site.groups = ["admins"]
    site.add("Stoner", owner="alice")
    tab = Tab(context.new_page(), site).resume()
    expect(tab.button("Delete “Stoner”")).to_be_visible()
    expect(tab.link("Edit “Stoner”")).to_have_count(0)
    tab.button("Delete “Stoner”").click()
    tab.button("Delete").click()
    expect(tab.text("“Stoner” is deleted.")).to_be_visible()


def test_a_conflict_shows_both_versions_and_loses_nothing(reader, site):
    """What only one side changed is taken; where both did, the person chooses; the result is saved over the newest."""
    book = site.add("Dune", "Frank Herbert", year=1965, notes="Old.")
    reader.page.reload()
    reader.link("Edit “Dune”").click()
    reader.field("Notes").fill("Mine.")
    reader.field("Year").fill("1966")
    site.change(book["id"], title="Dune (new)", notes="Theirs.")
    reader.button("Save").click()
    expect(reader.heading("This book was changed elsewhere while you were typing")).to_be_focused()
    notes = reader.page.get_by_role("group", name=re.compile("^Notes"))
    expect(notes.get_by_label("What you typed")).to_be_checked()
    expect(
        reader.page.get_by_role("group", name=re.compile("^Title")).get_by_label("What is saved now")
    ).to_be_checked()
    notes.get_by_label("What is saved now").check()
    reader.button("Save this choice").click()
    expect(reader.text("is saved.")).to_be_visible()
    now = site.books[book["id"]]
    assert (now["title"], now["year"], now["notes"], now["version"]) == ("Dune (new)", 1966, "Theirs.", 3)


def test_a_conflict_can_be_edited_further_or_given_up(reader, site):
    """Going on leads back to the form with the merged words; discarding leaves what is saved."""
    book = site.add("Dune", "Frank Herbert")
    reader.page.reload()
    reader.link("Edit “Dune”").click()
    reader.field("Notes").fill("Mine.")
    site.change(book["id"], author="F. H.")
    reader.button("Save").click()
    reader.button("Go on editing").click()
    expect(reader.field("Author")).to_have_value("F. H.")
    expect(reader.field("Notes")).to_have_value("Mine.")
    site.change(book["id"], notes="Theirs.")
    reader.button("Save").click()
    reader.button("Discard mine").click()
    expect(reader.text("Your changes are discarded")).to_be_visible()
    assert site.books[book["id"]]["notes"] == "Theirs."


def test_a_book_that_was_deleted_under_the_form_can_be_added_anew(reader, site):
    """404 at saving: the words stay, and become a new book."""
    book = site.add("Dune", "Frank Herbert")
    reader.page.reload()
    reader.link("Edit “Dune”").click()
    reader.field("Notes").fill("Mine.")
    del site.books[book["id"]]
    reader.button("Save").click()
    reader.button("Make it a new book").click()
    expect(reader.field("Notes")).to_have_value("Mine.")
    reader.button("Put it on the shelf").click()
    expect(reader.text("is on the shelf")).to_be_visible()
    assert [found["notes"] for found in site.books.values()] == ["Mine."]


def test_deleting_what_changed_meanwhile_asks_again(reader, site):
    """A 412 at deleting shows what the book is now; the second click means that."""
    book = site.add("Dune", "Frank Herbert")
    reader.page.reload()
    reader.button("Delete “Dune”").click()
    site.change(book["id"], author="F. H.")
    reader.button("Delete").click()
    expect(reader.text("It was changed since you looked")).to_contain_text("F. H.")
    reader.button("Delete").click()
    expect(reader.text("“Dune” is deleted.")).to_be_visible()


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "code", "says", "way_on"),
    [
        (403, "not_owner", "Only the person who added a book may change it", "Back to the books"),
        (403, "missing_group", "Your account may not do this", "Sign in again"),
        (503, "keys_unavailable", "Wait 7 seconds, then try again.", "Try again"),
        (500, "internal_error", "Try again in a moment.", "Try again"),
        (0, "", "The server cannot be reached", "Try again"),
    ],
)
def test_a_refused_change_keeps_what_was_typed(reader, site, status, code, says, way_on):
    """Each refusal says what happened and what to do; the form stays as it was, also after a reload."""
    reader.open("#/new")
    reader.type_book("Typed with care")
    site.fault = refuse(status, code, method="POST", **({"retry-after": "7"} if status == 503 else {}))
    reader.button("Put it on the shelf").click()
    alert = reader.page.get_by_role("alert")
    expect(alert).to_contain_text(says)
    expect(alert.get_by_role("link" if way_on.startswith("Back") else "button", name=way_on)).to_be_visible()
    expect(reader.field("Title")).to_have_value("Typed with care")
    reader.page.reload()
    expect(reader.field("Title")).to_have_value("Typed with care")
    site.fault = lambda _method, _path: None
    reader.button("Put it on the shelf").click()
    expect(reader.text("is on the shelf")).to_be_visible()


def test_a_server_that_is_away_leaves_the_list_and_can_be_tried_again(reader, site):
    """Nothing that is known disappears because the network did."""
    site.add("Dune")
    reader.page.reload()
    expect(reader.link("Dune")).to_be_visible()
    site.add("Emma")
    site.away = True
    reader.link("Add a book").click()
    reader.type_book("x")
    reader.button("Put it on the shelf").click()
    expect(reader.page.get_by_role("alert")).to_contain_text("cannot be reached")
    reader.link("Books").first.click()
    expect(reader.link("Dune")).to_be_visible()
    site.away = False
    reader.link("Go on with your new book").click()
    reader.button("Put it on the shelf").click()
    expect(reader.link("Emma")).to_be_visible()


def test_refusals_can_be_looked_at_on_purpose(reader, site):
    """The account page shows what the gateway says to a missing and a forged token; the session is not touched."""
    reader.link("Your account: demo").click()
    reader.button("Ask without a token").click()
    expect(reader.text("401 Sign-in required")).to_be_visible()
    reader.button("Ask with a forged one").click()
    expect(reader.text("401 Token expired")).to_be_visible()
    assert site.grants == []


# --- the session's time -----------------------------------------------------------------------------------------------


def test_an_expired_token_is_renewed_unseen(reader, site):
    """A 401 at the first call after the end: one refresh, and the answer comes."""
    site.forget_tokens()
    site.add("Dune")
    reader.page.reload()
    expect(reader.link("Dune")).to_be_visible()
    assert site.grants == ["refresh_token"]


def test_a_token_is_renewed_before_its_end(context, site):
    """58 minutes of a 60 minutes' token later the page has a new one, without an action of the person."""
    tab = Tab(context.new_page(), site)
    tab.page.clock.install()
    tab.open().sign_in()
    tab.page.clock.run_for("57:50")
    assert site.grants == ["authorization_code"]
    with tab.page.expect_response(re.compile("/oauth2/token")):
        tab.page.clock.run_for(15_000)
    assert site.grants == ["authorization_code", "refresh_token"]


def test_a_session_that_is_over_keeps_the_draft_through_a_new_sign_in(reader, site):
    """Neither token nor refresh: the banner says so, the form stays, and after the sign-in it goes on."""
    reader.link("Add a book").click()
    reader.type_book("Half a thought", notes="to be continued")
    site.forget_tokens()
    site.refresh_alive = False
    reader.button("Put it on the shelf").click()
    expect(reader.page.get_by_role("alert")).to_contain_text("Your session has ended.")
    expect(reader.field("Notes")).to_have_value("to be continued")
    assert "session" not in reader.stored()["session"]
    site.refresh_alive = True
    reader.button("Sign in again").click()
    reader.button(re.compile("^Sign in as")).click()
    expect(reader.field("Notes")).to_have_value("to be continued")
    reader.button("Put it on the shelf").click()
    expect(reader.text("is on the shelf")).to_be_visible()


def test_a_draft_is_not_shown_to_the_next_person(reader, site):
    """Another user in the same tab finds an empty form."""
    reader.link("Add a book").click()
    reader.type_book("Private")
    site.forget_tokens()
    site.refresh_alive = False
    reader.button("Put it on the shelf").click()
    expect(reader.page.get_by_role("alert")).to_be_visible()
    site.refresh_alive, site.username = True, "alice"
    reader.button("Sign in again").click()
    reader.button("Sign in as alice").click()
    expect(reader.field("Title")).to_have_value("")


# --- signing out, other tabs ------------------------------------------------------------------------------------------


def test_signing_out_forgets_revokes_and_ends_the_logins_session(reader, site):
    """Afterwards a guest with nothing stored; Back shows no book."""
    site.add("Dune")
    reader.page.reload()
    expect(reader.link("Dune")).to_be_visible()
    with reader.page.expect_request(re.compile("/logout\\?client_id=")):
        reader.button("Sign out").click()
    expect(reader.text("You are signed out")).to_be_visible()
    assert len(site.revoked) == 1
    assert reader.stored() == {"local": {}, "session": {}, "cookies": ""}
    reader.page.go_back()
    expect(reader.button("Sign in")).to_be_visible()
    expect(reader.link("Dune")).to_have_count(0)


def test_signing_out_works_while_the_login_is_away(reader, site):
    """What cannot be revoked is forgotten all the same."""
    site.away = True
    reader.button("Sign out").click()
    expect(reader.text("You are signed out")).to_be_visible()
    assert reader.stored()["session"] == {}


def test_a_second_tab_is_signed_in_and_out_with_the_first(reader, context, site):
    """A new tab takes part in the session; one refresh serves both; signing out reaches both."""
    second = Tab(context.new_page(), site).open().see_books()
    site.forget_tokens()
    second.page.reload()
    expect(second.text("The shelf is empty")).to_be_visible()
    reader.link("Your account: demo").click()
    expect(reader.text("demo@example.com")).to_be_visible()
    assert site.grants == ["refresh_token"]
    second.button("Sign out").click()
    expect(second.text("You are signed out")).to_be_visible()
    expect(reader.text("You signed out in another tab")).to_be_visible()
    assert reader.stored()["session"] == {}


# --- the page itself --------------------------------------------------------------------------------------------------


def test_the_keyboard_is_enough(tab, site):
    """Skip link, focus on the new screen's heading, Enter to send."""
    tab.sign_in()
    tab.page.reload()
    expect(tab.heading("Books")).to_be_visible()
    tab.page.keyboard.press("Tab")
    expect(tab.link("Skip to the content")).to_be_focused()
    tab.page.keyboard.press("Enter")
    tab.page.keyboard.press("Tab")
    expect(tab.link("Add a book")).to_be_focused()
    tab.page.keyboard.press("Enter")
    expect(tab.heading("Add a book")).to_be_focused()
    tab.page.keyboard.press("Tab")
    expect(tab.field("Title")).to_be_focused()
    tab.page.keyboard.type("Emma")
    tab.page.keyboard.press("Tab")
    tab.page.keyboard.type("Jane Austen")
    tab.page.keyboard.press("Enter")
    expect(tab.link("Emma")).to_be_visible()


def test_a_site_without_configuration_says_so(tab, context, site):
    """The person who deployed it reads what is wrong."""
    context.route("**/config.json", lambda route: route.fulfill(status=404))
    tab.page.reload()
    expect(tab.heading("Shelf is not ready")).to_be_visible()
    expect(tab.text("/config.json answers 404.")).to_be_visible()


def test_the_script_is_small_and_nothing_is_inline(built):
    """Under 150 KB gzipped is what was asked for; it is under 40 so that it stays small. Without scripts the page says so."""
    scripts = [path.read_bytes() for path in DIST.rglob("*.js")]
    assert scripts
    assert sum(len(gzip.compress(script, 9)) for script in scripts) < 40_000
    html = (DIST / "index.html").read_text()
    assert not re.search(r"<script(?![^>]*\ssrc=)|<style|\son\w+=|\sstyle=", html)
    assert not re.search(r"https?://", html)
    assert "This page needs JavaScript" in html.partition("<noscript>")[2]
