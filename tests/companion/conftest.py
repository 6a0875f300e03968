# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Runs the real script, as people do."""
import json
import os
import pathlib
import subprocess
import sys

import hypothesis.configuration
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "pmcapture"
# Repeatable, and what hypothesis keeps goes where all generated files go.
hypothesis.configuration.set_hypothesis_home_dir(ROOT / "build" / "hypothesis")
hypothesis.settings.register_profile("pmcapture", database=None, deadline=None, derandomize=True)
hypothesis.settings.load_profile("pmcapture")
sys.path[:0] = [str(ROOT / "scripts"), str(pathlib.Path(__file__).parent)]
sys.dont_write_bytecode = True

import builder  # noqa: E402  (needs the path above)


def environment(**changes):
    kept = {k: v for k, v in os.environ.items() if not k.startswith("PMCAPTURE") and k != "PMDUMP"}
    return {**kept, "TZ": "UTC", "LC_ALL": "C.UTF-8", **changes}


@pytest.fixture
def pmcapture():
    """Run it; a traceback is a failure whatever the test is about."""

    def run(*words, stdin="", **variables):
        done = subprocess.run(
            [str(SCRIPT), *map(str, words)],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            env=environment(**variables),
            check=False,
        )
        assert "Traceback" not in done.stderr and "Error:" not in done.stderr, done.stderr
        return done

    return run


@pytest.fixture
def save(tmp_path):
    """A saved document, by default of the outage in builder.py."""

    def write(name="saved.json", **changes):
        path, aside = tmp_path / name, tmp_path / (name + ".new")
        aside.write_text(json.dumps(builder.document(**changes)))
        return aside.rename(path)

    return write


@pytest.fixture
def saved(save):
    return save()
