# Licensed under the Apache License, Version 2.0; see LICENSE.
"""--help teaches by example, and its examples work; the manual page is sound."""
import json
import re
import shutil
import subprocess

import jsonschema
import pytest
from conftest import ROOT, SCRIPT, environment

from pmcapture_lib.cli import COMMANDS

PAGE = ROOT / "scripts" / "pmcapture.1"
EXAMPLE = re.compile(r"^  (pmcapture .*?)(?:  .*)?$", re.M)


def examples():
    for name, command in COMMANDS.items():
        if name == "note":  # writes: tests/httpd/test_note.py
            continue
        for line in EXAMPLE.findall(command.EXAMPLES):
            yield line
    literal = re.findall(r"^\.Bd -literal.*?\n(.*?)^\.Ed", PAGE.read_text(), re.M | re.S)
    yield from "".join(literal).splitlines()


@pytest.mark.parametrize("example", sorted(set(examples())))
def test_an_example_of_the_help_or_the_manual_works(example, save, tmp_path):
    save("saved.json")
    save("evidence.pmc")
    (tmp_path / "evidence/var/log").mkdir(parents=True)
    source = {"PMCAPTURE_FILE": str(tmp_path / "saved.json")}
    words = example.replace("-u http://localhost/pm-status", "").replace("--follow", "")
    done = subprocess.run(
        ["sh", "-c", words],
        cwd=tmp_path,
        env=environment(PATH=f"{SCRIPT.parent}:/usr/bin:/bin", **source),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    # A relative time may hold nothing of the outage: then 1, and a sentence.
    relative = re.search(r"--since (-|to|y)|-t |--type dep", words)
    assert done.returncode == 0 or relative and done.returncode == 1, done
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_fits_in_100_columns_and_shows_examples(pmcapture, command):
    done = pmcapture(*command.split(), "--help", COLUMNS="100")
    assert done.returncode == 0 and done.stderr == ""
    assert len(EXAMPLE.findall(done.stdout)) >= 3
    assert max(map(len, done.stdout.splitlines())) <= 100


@pytest.mark.parametrize(
    "words", ["lst", "list --sinse now", "show 1 2", "export --format xml", "-f"]
)
def test_a_wrong_command_line_is_one_sentence_and_exits_with_2(pmcapture, words):
    done = pmcapture(*words.split())
    assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1
    assert "--help" in done.stderr


def test_the_manual_page_names_every_command_and_option(pmcapture):
    page = PAGE.read_text()
    for name in COMMANDS:
        assert f".It Cm {name}" in page
        for option in re.findall(
            r"--([a-z]+)", pmcapture(name, "--help").stdout.split("examples:")[0]
        ):
            assert option == "help" or f"Fl Fl {option}" in page or f"Fl {option}" in page, option


def test_the_manual_page_is_sound():
    done = subprocess.run(
        ["mandoc", "-T", "lint", "-W", "warning", str(PAGE)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_installed_layout_works(tmp_path, saved):
    """PREFIX/bin/pmcapture and pmdump, PREFIX/share/pmcapture/{pmcapture_lib,templates}."""
    share = tmp_path / "share" / "pmcapture"
    (tmp_path / "bin").mkdir()
    shutil.copy(SCRIPT, tmp_path / "bin")
    for name in ("pmcapture_lib", "templates"):
        shutil.copytree(SCRIPT.parent / name, share / name)
    pmdump = tmp_path / "bin" / "pmdump"
    pmdump.write_text(f"#!/bin/sh\ncat {saved}\n")
    pmdump.chmod(0o755)
    (tmp_path / "x.pmc").write_bytes(b"\x89PMC")
    done = subprocess.run(
        [tmp_path / "bin" / "pmcapture", "report", "-f", tmp_path / "x.pmc"],
        capture_output=True,
        text=True,
        env=environment(PATH="/usr/bin:/bin"),
        cwd="/",
        check=False,
    )
    assert done.returncode == 0 and done.stdout.startswith("# Postmortem"), done.stderr
    shutil.copy(SCRIPT.parent / "pmcapture.v1.schema.json", share)
    done = subprocess.run(
        [tmp_path / "bin" / "pmcapture", "schema"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 and done.stdout.startswith("{")
    assert list(tmp_path.rglob("__pycache__")) == []


def test_the_schema_that_is_printed_is_the_one_of_the_document(pmcapture):
    done = pmcapture("schema")
    assert done.returncode == 0 and done.stderr == ""
    schema = json.loads(done.stdout)
    jsonschema.validators.validator_for(schema).check_schema(schema)
    assert schema["properties"]["schema"] == {"const": "pmcapture.v1"}
    assert "note" in schema["$defs"]["event_type"]["enum"]


def test_a_broken_installation_is_one_sentence(tmp_path):
    shutil.copy(SCRIPT, tmp_path)
    done = subprocess.run(
        [tmp_path / "pmcapture", "list"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 3 and done.stderr.count("\n") == 1 and "install" in done.stderr
