"""A headless Chromium for tests: the machine's own (Debian's package), driven by Playwright.

Where there is none, the tests that need it say so loudly in the summary; where ``GATEWAY_REQUIRE_BROWSER`` is set, as
``.ci/run`` does, they fail instead.
"""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

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

NO_BROWSER = "no Chromium: install it (Debian: apt-get install chromium), or name one in GATEWAY_CHROMIUM"


def executable() -> Path | None:
    """The Chromium to use: ``GATEWAY_CHROMIUM``, or the first on the path; None where there is none."""
    found = os.environ.get("GATEWAY_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    return Path(found) if found else None


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Run a browser; the caller makes a context (an empty profile) for each test."""
    program = executable()
    if program is None:
        if os.environ.get("GATEWAY_REQUIRE_BROWSER"):
            pytest.fail(NO_BROWSER)
        pytest.skip(NO_BROWSER)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()
