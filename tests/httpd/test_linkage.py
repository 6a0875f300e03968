"""The recorder brings no library into httpd that httpd has not loaded already."""
import subprocess

import pytest

from harness.paths import APACHE, MODULE, PMDUMP


def libraries(path):
    """Names of the shared objects that the loader would map for `path`."""
    done = subprocess.run(["ldd", path], capture_output=True, text=True, check=True)
    assert "not found" not in done.stdout
    return {line.split()[0] for line in done.stdout.splitlines()}


@pytest.mark.parametrize("path", [MODULE, PMDUMP], ids=lambda path: path.name)
def test_no_shared_library_is_needed_that_httpd_does_not_load_already(path):
    assert libraries(path) - libraries(APACHE) == set()


def test_the_module_exports_its_module_structure_alone():
    done = subprocess.run(["nm", "-D", "--defined-only", MODULE], capture_output=True, text=True,
                          check=True)
    assert [line.split()[-1] for line in done.stdout.splitlines()] == ["pmcapture_module"]
