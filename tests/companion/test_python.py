# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The command runs on the oldest Python that the README names, whichever one runs these tests."""
import ast
import re

import pytest
from conftest import ROOT, SCRIPT

OLDEST = (3, 9)
SOURCES = [SCRIPT, *sorted((ROOT / "scripts/pmcapture_lib").glob("*.py"))]
# Of each the newest Pythons read more than the oldest does, or have it alone.
NEWER = re.compile(r"\bfromisoformat\(|\bdatetime\.UTC\b|\bzip\([^)]*strict=|\bint_max_str_digits\b|\btomllib\b|"
                   r"\bbit_count\(|\bpairwise\b|\bExceptionGroup\b|\bStrEnum\b|slots=True|kw_only=True")


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_the_oldest_python_can_run_it(source):
    text = source.read_text()
    ast.parse(text, feature_version=OLDEST)
    code = "\n".join(line.partition("#")[0] for line in text.splitlines())
    code = re.sub(r'"""[^"]*"""', "", code)
    assert not (found := NEWER.search(code)), f"{found[0]} is newer than Python {OLDEST[0]}.{OLDEST[1]}"
    assert "{}.{}".format(*OLDEST) in (ROOT / "README.md").read_text()
