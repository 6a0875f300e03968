"""Fixtures: servers that a test gets and that are gone after it, whatever happened."""
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
    made = []

    def make(*arguments, **options):
        made.append(Httpd(*arguments, **options))
        return made[-1]

    yield make
    for httpd in made:
        httpd.close()


@pytest.fixture
def backend():
    """A backend that runs."""
    server = Backend().start()
    yield server
    server.close()
