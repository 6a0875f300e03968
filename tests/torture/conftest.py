"""The harness of tests/httpd and its fixture that makes servers, for tests that go further."""
import importlib.util
import sys
from pathlib import Path

HTTPD_TESTS = Path(__file__).resolve().parents[1] / "httpd"
sys.path[:0] = [str(HTTPD_TESTS), str(Path(__file__).parent)]

_spec = importlib.util.spec_from_file_location("httpd_fixtures", HTTPD_TESTS / "conftest.py")
_fixtures = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_fixtures)

new_httpd = _fixtures.new_httpd
