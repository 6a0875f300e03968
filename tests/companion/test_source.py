# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Where the document comes from, and one sentence when it does not."""
import http.server
import json
import os
import socket
import stat
import threading
from urllib.parse import parse_qs, urlsplit

import builder
import pytest


def one_sentence(done, *words, code=3):
    assert done.returncode == code, done
    assert done.stdout == ""
    assert done.stderr.startswith("pmcapture") and done.stderr.count("\n") == 1, done.stderr
    for word in words:
        assert word in done.stderr, done.stderr


def test_a_saved_document_is_read_like_a_capture_file(pmcapture, saved):
    assert "api.example.org:80" in pmcapture("-f", saved, "list").stdout


def test_a_document_is_read_from_standard_input(pmcapture):
    done = pmcapture("list", "-f", "-", stdin=json.dumps(builder.document()))
    assert done.returncode == 0 and "errors+slow" in done.stdout


def test_the_environment_names_the_file_when_no_option_does(pmcapture, saved):
    assert pmcapture("list", PMCAPTURE_FILE=str(saved)).returncode == 0


def test_options_may_stand_before_or_after_the_command(pmcapture, saved):
    after = pmcapture("list", "-f", saved, "--tz", "Africa/Lagos").stdout
    assert pmcapture("-f", saved, "--tz", "Africa/Lagos", "list").stdout == after


@pytest.mark.parametrize("content", ["", "{", "[]", '{"schema":"pmcapture.v9"}', "{" * 100000])
def test_what_is_no_document_is_one_sentence(pmcapture, tmp_path, content):
    path = tmp_path / "bad.json"
    path.write_text(content)
    one_sentence(pmcapture("list", "-f", path, PMDUMP="/bin/false"), str(path))


def test_a_missing_file_says_what_to_do(pmcapture, tmp_path):
    one_sentence(pmcapture("list", "-f", tmp_path / "none.pmc"), "no such file", "PMCaptureFile")


def test_a_directory_is_one_sentence(pmcapture, tmp_path):
    one_sentence(pmcapture("list", "-f", tmp_path), "is a directory")


def test_a_fifo_is_refused_without_waiting_for_a_writer(pmcapture, tmp_path):
    os.mkfifo(tmp_path / "fifo")
    one_sentence(pmcapture("list", "-f", tmp_path / "fifo"), "not a regular file")


def test_nothing_named_and_nothing_there_names_both_usual_places(pmcapture):
    if any(os.path.exists(f"/var/log/{name}/pmcapture.pmc") for name in ("apache2", "httpd")):
        pytest.skip("this machine has a capture file of its own")
    one_sentence(
        pmcapture("list"), "/var/log/apache2/pmcapture.pmc", "/var/log/httpd/pmcapture.pmc"
    )


def test_file_and_url_together_are_a_usage_error(pmcapture, saved):
    one_sentence(pmcapture("list", "-f", saved, "-u", "http://localhost/"), code=2)
    one_sentence(pmcapture("-f", saved, "list", "-u", "http://localhost/"), code=2)


# ---- pmdump: programs that do what the real one must never do ----


@pytest.fixture
def program(tmp_path):
    def write(body):
        path = tmp_path / "pmdump"
        path.write_text("#!/bin/sh\n" + body)
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        (tmp_path / "x.pmc").write_bytes(b"\x89PMC")
        return {"PMDUMP": str(path)}, tmp_path / "x.pmc"

    return write


def test_the_sentence_of_pmdump_is_passed_on(pmcapture, program):
    variables, file = program('echo "pmdump: x.pmc is of a newer version" >&2; exit 3')
    one_sentence(pmcapture("list", "-f", file, **variables), "x.pmc is of a newer version")


def test_a_pmdump_that_is_killed_is_said(pmcapture, program):
    variables, file = program("kill -SEGV $$")
    one_sentence(pmcapture("list", "-f", file, **variables), "signal 11")


def test_a_pmdump_that_prints_rubbish_is_said(pmcapture, program):
    variables, file = program("head -c 4096 /dev/urandom")
    one_sentence(pmcapture("list", "-f", file, **variables), "not a capture document")


def test_a_pmdump_that_is_not_there_is_said(pmcapture, program):
    _, file = program("")
    one_sentence(pmcapture("list", "-f", file, PMDUMP="/nonexistent"), "/nonexistent")


def test_bounds_go_to_pmdump_as_utc(pmcapture, program, saved):
    variables, file = program(f'echo "$@" >{saved}.args; cat {saved}')
    words = ("list", "-f", file, "--tz", "Africa/Lagos")
    pmcapture(*words, "--since", "2026-11-20 22:00", "--until", "2026-11-20 23:00", **variables)
    assert open(f"{saved}.args").read().split() == [
        "--view",
        "summary",
        "--since",
        "2026-11-20T21:00:00.000Z",
        "--until",
        "2026-11-20T22:00:00.000Z",
        str(file),
    ]


def test_terminal_escapes_in_an_error_are_not_printed(pmcapture, program):
    variables, file = program("printf 'pmdump: \\033]0;owned\\007bad\\n' >&2; exit 3")
    assert "\x1b" not in pmcapture("list", "-f", file, **variables).stderr


# ---- a URL: a server that also answers as Apache would not ----


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        code, body = self.server.reply
        self.send_response(code)
        if self.server.type:
            self.send_header("Content-Type", self.server.type)
        if code in (301, 302):
            self.send_header("Location", body)
            body = ""
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    served = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served.asked, served.reply = [], (200, json.dumps(builder.document()))
    served.type = None
    served.url = f"http://127.0.0.1:{served.server_address[1]}/pm-status?auto"
    thread = threading.Thread(target=served.serve_forever)
    thread.start()
    yield served
    served.shutdown()
    thread.join()
    served.server_close()


def test_a_url_is_asked_for_the_json_document_within_the_bounds(pmcapture, server):
    done = pmcapture("list", "-u", server.url, "--since", "2026-11-20T21:00:00Z")
    assert done.returncode == 0 and "errors+slow" in done.stdout
    assert parse_qs(urlsplit(server.asked[0]).query) == {
        "format": ["json"],
        "view": ["summary"],
        "since": ["2026-11-20T21:00:00.000Z"],
    }


@pytest.mark.parametrize(
    "reply, word",
    [
        ((403, "no"), "Require local"),
        ((404, "no"), "SetHandler"),
        ((500, "no"), "500"),
        ((200, "<html>"), "not a capture document"),
        ((302, "file:///etc/passwd"), "302"),
        ((200, ""), "not a capture document"),
    ],
)
def test_a_reply_that_is_no_document_is_one_sentence(pmcapture, server, reply, word):
    server.reply = reply
    one_sentence(pmcapture("list", "-u", server.url), word)


@pytest.mark.parametrize(
    "page, words",
    [
        ("<title>My shop</title><p>hi", 'with the title "My shop"'),
        ("<TITLE lang=de>\n A &lt; B \x1b[2J</TITLE>", 'with the title "A < B '),
        ("<p>untitled", "(text/html)"),
    ],
)
def test_another_page_is_named_with_what_keeps_the_application_off(pmcapture, server, page, words):
    server.reply, server.type = (200, page), "text/html; charset=utf-8"
    done = pmcapture("list", "-u", server.url)
    one_sentence(done, "another page answered", "text/html", words, "RewriteRule ^/?pm-status - [L]")
    assert "damaged" not in done.stderr and "\x1b" not in done.stderr


def test_a_document_is_taken_whatever_type_a_proxy_gave_it(pmcapture, server):
    server.type = "text/plain"
    assert pmcapture("list", "-u", server.url).returncode == 0


def test_json_of_somebody_else_is_no_newer_document(pmcapture, server):
    server.reply, server.type = (200, '{"error": "no such post"}'), "application/json"
    done = pmcapture("list", "-u", server.url)
    one_sentence(done, "no capture document")
    assert "newer" not in done.stderr


def test_a_server_that_does_not_answer_is_one_sentence(pmcapture):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # the port is ours, and nobody listens
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/pm-status"
        one_sentence(pmcapture("list", "-u", url), "Connection refused", "-f")


@pytest.mark.parametrize("url", ["file:///etc/passwd", "localhost", "http://", "http://[::1", "x"])
def test_what_is_no_http_address_is_a_usage_error(pmcapture, url):
    one_sentence(pmcapture("list", "-u", url), code=2)
