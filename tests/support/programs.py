"""The machine's own programs that tests need: curl, and a Chromium (Debian's package) that Playwright drives.

Tests whose program is missing are skipped, and the summary says so loudly. They fail where ``GATEWAY_REQUIRE_BROWSER`` is
set, as in ``.ci/run``.
"""

import contextlib
import os
import shutil
from collections.abc import Iterator
from typing import NoReturn

import pytest
from playwright.sync_api import Browser, sync_playwright

CHROMIUMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

# Nothing of the machine's own profile, and no calls home: a test's network is loopback.
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

NO_CURL = "no curl: install it (Debian: apt-get install curl)"
NO_BROWSER = "no Chromium: install it (Debian: apt-get install chromium), or name one in GATEWAY_CHROMIUM"


def curl() -> str:
    """Return the path of curl."""
    return shutil.which("curl") or _missing(NO_CURL)


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Run ``GATEWAY_CHROMIUM``, or the first on the path; the caller makes a context (an empty profile) for each test."""
    program = os.environ.get("GATEWAY_CHROMIUM") or next(filter(None, map(shutil.which, CHROMIUMS)), None)
    if program is None:
        _missing(NO_BROWSER)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


def _missing(reason: str) -> NoReturn:
    if os.environ.get("GATEWAY_REQUIRE_BROWSER"):
        pytest.fail(reason)
    pytest.skip(reason)
