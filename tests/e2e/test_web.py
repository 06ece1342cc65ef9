"""The page on the real local system: the emulator's hosted UI, the edge function, the books, and back out again."""

import json
import re
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.e2e

TOKEN = re.compile(r"eyJ[\w-]{10,}")


@pytest.fixture
def page(browser, system):
    """A page in an empty profile; strangers, breaches of the policy and tokens in addresses are found at the end."""
    context = browser.new_context()
    context.set_default_timeout(10_000)
    requests, faults, violations = [], [], []
    context.on("request", lambda request: requests.append(request.url))
    context.on("weberror", lambda error: faults.append(str(error.error)))
    context.on(
        "console", lambda message: violations.append(message.text) if "Content Security" in message.text else None
    )
    yield context.new_page()
    hosts = {urlsplit(system.outputs[name]).netloc for name in ("gateway_url", "login_url")}
    assert {urlsplit(url).netloc for url in requests} <= hosts
    assert [url for url in requests if TOKEN.search(url)] == []
    assert (faults, violations) == ([], [])
    context.close()


def sign_in(page, system):
    """Sign in as a person does who knows nothing of tokens."""
    page.goto(system.url)
    page.get_by_role("button", name="Sign in").click()
    page.locator("input[name=username]").fill(system.outputs["username"])
    page.locator("input[name=password]").fill(system.outputs["password"])
    page.locator("input[name=password]").press("Enter")
    expect(page.get_by_role("heading", name="Books", exact=True)).to_be_visible()


def stored(page):
    return json.loads(page.evaluate("sessionStorage.getItem('session')"))


def test_a_person_signs_in_keeps_books_and_signs_out(page, system):
    """From the guest's page through the hosted UI to a book's whole life, and out, here and at the login."""
    sign_in(page, system)
    assert page.url == f"{system.url}/#/"
    page.get_by_role("link", name=re.compile("Your account")).click()
    expect(page.get_by_text("demo@example.com")).to_be_visible()

    page.get_by_role("link", name="Books").first.click()
    page.get_by_role("link", name="Add a book").click()
    page.get_by_label("Title").fill("Piranesi è")
    page.get_by_label("Author").fill("Susanna Clarke")
    page.get_by_role("button", name="Put it on the shelf").click()
    expect(page.get_by_text("is on the shelf")).to_be_visible()
    page.get_by_role("link", name="Edit “Piranesi è”").click()
    page.get_by_label("Year").fill("2020")
    page.get_by_label("Notes").fill("Mine.")

    # The same person, elsewhere: a conflict, through CloudFront's weakened tags and all.
    listed = system.curl("/api/books?limit=100", token=system.token).json["books"]
    book = next(found for found in listed if found["title"].startswith("Piranesi"))
    fields = {name: book[name] for name in ("title", "author", "year")} | {"notes": "Theirs."}
    changed = system.curl(
        f"/api/books/{book['id']}",
        *("-X", "PUT", "-H", "content-type: application/json", "-H", f'if-match: "{book["version"]}"'),
        token=system.token,
        body=json.dumps(fields).encode(),
    )
    assert changed.status == 200
    page.get_by_role("button", name="Save").click()
    page.get_by_role("button", name="Save this choice").click()
    expect(page.get_by_text("is saved.")).to_be_visible()
    expect(page.get_by_text("Mine.")).to_be_visible()
    page.get_by_role("button", name="Delete “Piranesi è”").click()
    page.get_by_role("button", name="Delete", exact=True).click()
    expect(page.get_by_text("is deleted")).to_be_visible()

    refresh_token = stored(page)["refreshToken"]
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_text("You are signed out")).to_be_visible()
    assert page.evaluate("[sessionStorage.length, localStorage.length]") == [0, 0]
    form = {"grant_type": "refresh_token", "client_id": system.outputs["client_id"], "refresh_token": refresh_token}
    refused = page.request.post(f"{system.outputs['login_url']}/oauth2/token", form=form)
    assert (refused.status, refused.json()["error"]) == (400, "invalid_grant")


def test_a_token_that_the_gateway_refuses_is_renewed_and_shared_with_another_tab(page, system):
    """A spoilt token, a reload: 401, a refresh at the real token endpoint, the answer. A second tab needs no sign-in."""
    sign_in(page, system)
    before = stored(page)
    page.evaluate(
        "(session) => sessionStorage.setItem('session', JSON.stringify(session))",
        {**before, "idToken": before["idToken"][:-8] + "AAAAAAAA"},
    )
    with page.expect_response(lambda answer: answer.url.endswith("/oauth2/token") and answer.status == 200):
        page.reload()
    second = page.context.new_page()
    second.goto(system.url)
    expect(second.get_by_role("link", name="Add a book")).to_be_visible()
    assert stored(second)["idToken"] == stored(page)["idToken"]
    second.get_by_role("button", name="Sign out").click()
    expect(page.get_by_text("You signed out in another tab")).to_be_visible()


def test_the_gateways_own_refusals_are_shown(page, system):
    """What the edge function says to a missing and a forged token, in words."""
    sign_in(page, system)
    page.goto(f"{system.url}/#/account")
    page.get_by_role("button", name="Ask without a token").click()
    expect(page.get_by_text("401 Sign-in required")).to_be_visible()
    page.get_by_role("button", name="Ask with a forged one").click()
    expect(page.locator(".answer code").first).to_have_text(re.compile("unsupported_algorithm|malformed_token"))
