"""The trace page in a real browser: requests appear as they come, say everything but secrets, and other pages cannot look."""

import json
import re

import pytest
from playwright.sync_api import expect

SECRETS = {"query": "planted-query-secret", "cookie": "planted-cookie-secret", "body": "planted-body-secret"}


@pytest.fixture(scope="module")
def published(system):
    """What the system tells this user's programs about the page."""
    return json.loads((system.process.state_dir / "trace.json").read_bytes())


@pytest.fixture
def open_page(browser, published):
    """Open the page in a profile of its own; what its console says is kept in ``page.said``."""
    contexts = []

    def open_(address=published["page"], **options):
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.said = []
        page.on("console", lambda message: page.said.append(message.text))
        page.on("pageerror", lambda error: page.said.append(str(error)))
        page.goto(address)
        return page

    yield open_
    for context in contexts:
        context.close()


@pytest.fixture
def page(open_page):
    """The page, connected."""
    opened = open_page()
    expect(opened.locator("#connection")).to_have_text("live")
    return opened


def row(page, text):
    return page.locator("#rows tr", has_text=text)


def choose(page, text):
    row(page, text).first.click()
    expect(page.locator("#detail .steps")).to_be_visible()
    return page.locator("#detail")


def test_requests_appear_as_they_come(system, page):
    """Without a reload: refused and admitted ones, with status, code and time; the newest on top."""
    system.curl("/api/trace-first")
    expect(row(page, "/api/trace-first")).to_contain_text("401")
    expect(row(page, "/api/trace-first")).to_contain_text("missing_token")
    system.curl("/api/echo?trace-second", token=system.token)
    expect(page.locator("#rows tr").first).to_contain_text("/api/echo")
    expect(page.locator("#rows tr").first).to_contain_text("200")
    expect(page.locator("#rows tr").nth(1)).to_contain_text("/api/trace-first")
    assert page.said == []


def test_detail_has_the_whole_way(system, page):
    """Steps with their times, what arrived, the canonical request, the backend's event, the answer."""
    system.curl(
        "/api/echo?b=2&a=%C3%A9", "-X", "PUT", "-H", "content-type: text/plain", token=system.token, body=b"hello"
    )
    detail = choose(page, "PUT")
    steps = detail.locator(".steps tbody tr")
    for where, what in (
        ("CloudFront", "behavior"),
        ("edge", "token: signature, claims"),
        ("function URL", "signature over what arrived"),
        ("function URL", "both IAM permissions"),
        ("origin", "answers 200"),
    ):
        expect(steps.filter(has_text=where).filter(has_text=what)).to_have_count(1)
    expect(steps.filter(has_text="✕")).to_have_count(0)
    assert re.fullmatch(r"[0-9.]+", steps.filter(has_text="token: signature").locator(".ms").inner_text())
    canonical = detail.locator("[data-part=canonical] pre").first.inner_text().split("\n")
    assert canonical[:3] == ["PUT", "/api/echo", "a=···&b=···"]
    assert "host;x-amz-content-sha256;x-amz-date" in canonical[-2]
    event = json.loads(detail.locator("[data-part=event] pre").inner_text())
    assert (event["rawPath"], event["body"]) == ("/api/echo", "[masked, 5 bytes]")
    assert event["headers"]["x-cognito-username"] == system.outputs["username"]
    expect(detail.locator("[data-part=answer] summary")).to_contain_text("200 from origin")
    expect(detail.locator("[data-part=arrived] summary")).to_contain_text("PUT /api/echo?b=···&a=···")
    assert page.said == []


def test_refusal_says_where_and_why(system, page):
    """At a glance: the step that said no, its code, and where to read on."""
    system.curl("/api/trace-refused", token=system.token[:-4] + "AAAA")
    detail = choose(page, "/api/trace-refused")
    expect(detail.locator(".verdict.refused")).to_have_text("✕ refused")
    expect(detail.locator(".why")).to_contain_text("scripts/doctor.py --code invalid_signature")
    assert page.said == []


def test_refusal_by_the_function_url_is_explained(system, page):
    """A hash of another body: the two canonical requests stand side by side."""
    headers = ("-X", "DELETE", "-H", "x-amz-content-sha256: " + "0" * 64)
    system.curl("/api/trace-hash", *headers, token=system.token, body=b"x")
    expect(row(page, "/api/trace-hash").first).to_contain_text("refused: function URL")
    detail = choose(page, "/api/trace-hash")
    expect(detail.locator("[data-part=explanation]")).to_contain_text("first difference")
    expect(detail.locator(".verdict.refused")).to_have_count(1)
    assert page.said == []


def test_no_secret_reaches_the_page(system, page):
    """Neither a token nor what else the request carried is in the DOM, in any tab storage, or in an address."""
    target = f"/api/trace-secrets?access_token={SECRETS['query']}"
    options = ("-H", f"cookie: session={SECRETS['cookie']}", "-H", f"x-api-key: {SECRETS['cookie']}", "-X", "POST")
    system.curl(target, *options, token=system.token, body=json.dumps({"password": SECRETS["body"]}).encode())
    detail = choose(page, "/api/trace-secrets")
    expect(detail.locator("[data-part=event]")).to_be_visible()
    html = page.content() + page.evaluate("JSON.stringify(performance.getEntriesByType('resource').map((e) => e.name))")
    parts = [*system.token.split("."), *SECRETS.values(), "eyJ"]
    assert [part for part in parts if part in html] == []
    assert "[masked, " in html
    assert page.said == []


def test_secret_leaves_the_address_bar_and_survives_a_reload(page, published):
    """What stands in the address bar is what people paste and photograph."""
    assert page.url == published["url"] + "/"
    page.reload()
    expect(page.locator("#connection")).to_have_text("live")
    assert page.context.cookies() == []


def test_page_without_the_secret_says_what_to_do(open_page, published):
    """It shows no request, and names the two ways to the address."""
    page = open_page(published["url"] + "/")
    expect(page.locator("#empty")).to_contain_text("make run")
    expect(page.locator("#rows tr")).to_have_count(0)


def test_keyboard_alone_is_enough(system, page):
    """Filter, list, detail and back without a mouse; the focus is always somewhere sensible."""
    for name in ("one", "two"):
        system.curl(f"/api/trace-key-{name}")
    expect(row(page, "/api/trace-key-two")).to_contain_text("401")
    page.keyboard.press("/")
    page.keyboard.type("trace-key")
    expect(page.locator("#rows tr:visible")).to_have_count(2)
    page.keyboard.press("ArrowDown")
    expect(row(page, "/api/trace-key-two")).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(row(page, "/api/trace-key-one")).to_be_focused()
    expect(row(page, "/api/trace-key-one")).to_have_attribute("aria-selected", "true")
    expect(page.locator("#detail h2")).to_have_text("GET /api/trace-key-one")
    page.keyboard.press("Enter")
    expect(page.locator("#detail")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#detail")).to_be_hidden()
    expect(row(page, "/api/trace-key-one")).to_be_focused()


def test_narrow_window_shows_one_thing_at_a_time(system, open_page):
    """On a phone's width nothing is wider than the window, and the detail has a way back."""
    page = open_page(viewport={"width": 390, "height": 800})
    system.curl("/api/trace-narrow")
    expect(row(page, "/api/trace-narrow")).to_contain_text("missing_token")
    choose(page, "/api/trace-narrow")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.get_by_role("button", name="All requests").click()
    expect(row(page, "/api/trace-narrow")).to_be_visible()


def test_policy_of_the_page_is_enforced(page):
    """Text can never become code: inline handlers, markup from strings and other hosts are shut out."""
    assert (
        page.evaluate(
            "(() => { try { document.body.innerHTML = '<b>x</b>'; return 'let in' } catch { return 'refused' } })()"
        )
        == "refused"
    )
    blocked = page.evaluate("fetch('http://localhost:1/').then(() => 'let in', () => 'refused')")
    assert blocked == "refused"
    assert [text for text in page.said if "Content Security Policy" in text or "TrustedHTML" in text]


def test_page_of_another_origin_reads_nothing(system, open_page, published):
    """Even one that knows the secret: the gateway's origin is as foreign as any."""
    page = open_page(system.url + "/api/whoami")
    for headers in ("{}", f"{{Authorization: 'Bearer {published['secret']}'}}"):
        script = f"fetch('{published['url']}/requests', {{headers: {headers}}}).then(() => 'read', () => 'refused')"
        assert page.evaluate(script) == "refused"
    script = f"fetch('{published['url']}/requests', {{mode: 'no-cors'}}).then((a) => a.type, () => 'refused')"
    assert page.evaluate(script) in {"opaque", "refused"}
