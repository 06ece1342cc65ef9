"""The built page in a real browser, on the fake site, with an eye on what no page of ours may do."""

import pytest

from infra.deploy import web_build
from tests.web.fake_site import Site
from tests.web.page import Tab


@pytest.fixture(scope="session")
def built():
    """``web/dist``, built from the sources as they are, with the tools that tests need."""
    web_build.install_tools()
    web_build.build()


@pytest.fixture
def site(built):
    """A site of the test's own."""
    site = Site()
    yield site
    site.close()


@pytest.fixture
def context(browser, site):
    """An empty browser profile; what its pages asked for, and what they complained of, is checked at the end."""
    context = browser.new_context(viewport={"width": 1280, "height": 800}, reduced_motion="reduce")
    context.set_default_timeout(10_000)
    watched = Tab.watch(context, site)
    yield context
    watched.check()
    context.close()


@pytest.fixture
def tab(context, site):
    """A tab of that profile, at the guest's page."""
    return Tab(context.new_page(), site).open()


@pytest.fixture
def reader(context, site):
    """A tab in which the demo user is signed in already: as after a reload, without the way to the login and back."""
    return Tab(context.new_page(), site).resume()
