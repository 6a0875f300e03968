"""Fixtures: servers that a test gets and that are gone after it, whatever happened."""
from contextlib import ExitStack

import pytest

from harness.backend import Backend
from harness.httpd import MPMS, Httpd


@pytest.fixture(params=MPMS)
def mpm(request):
    """Each of the three MPMs in turn."""
    return request.param


@pytest.fixture
def new_httpd():
    """Make servers: new_httpd(mpm=…, config=…, pm=…); not started yet."""
    with ExitStack() as servers:    # all are closed, also when the end of one was a bad one
        def make(*arguments, **options):
            httpd = Httpd(*arguments, **options)
            servers.callback(httpd.close)
            make.servers.append(httpd)
            return httpd

        make.servers = []
        yield make


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """With a test that failed stands what its servers said."""
    report = (yield).get_result()
    if report.when == "call" and report.failed and "new_httpd" in item.funcargs:
        for httpd in item.funcargs["new_httpd"].servers:
            last = "\n".join(httpd.errors().splitlines()[-40:])
            report.sections.append((f"error log of {httpd.root.name}", last))


@pytest.fixture
def backend():
    """A backend that runs."""
    server = Backend().start()
    yield server
    server.close()
