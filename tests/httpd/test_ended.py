"""Processes that end in the middle of a request: mpm_itk's with each change of user, others by exit() or a signal."""
import http.client
import os
import pwd
import signal

import pytest

from harness import document
from harness.load import Load
from harness.modules import build_module
from harness.paths import MODULES

RULES = "PMCaptureSlow threshold=1s requests=3 window=3 clear=2\n"

# /end/exit and the like: the process ends so; /end/fork: a process that it forks does
ENDS = """
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
static int end(request_rec *r)
{
    if (strncmp(r->uri, "/end/", 5) != 0) {
        return DECLINED;
    }
    switch (r->uri[5]) {
    case 'e': exit(3);
    case '_': _exit(3);
    case 's': signal(SIGSEGV, SIG_DFL); raise(SIGSEGV); break;
    case 'k': raise(SIGKILL); break;
    case 'f': if (fork() == 0) { exit(3); } wait(NULL); while (access("GO", F_OK) != 0) { usleep(10000); } break;
    }
    return 204;
}
"""


def with_ends(httpd):
    httpd.signals = {signal.SIGSEGV}
    httpd.config += build_module(httpd.root, "ends", ENDS.replace("GO", f"{httpd.root}/go"),
                                 "ap_hook_handler(end, NULL, NULL, APR_HOOK_FIRST);") + "\n"
    return httpd


def ask(httpd, path):
    """A request that may get no reply."""
    try:
        return httpd.get(path, timeout=30).status
    except (http.client.HTTPException, OSError):
        return None


def crashes(httpd, number=1):
    found = document.wait_for_document(
        httpd, lambda d: d["server"]["child_crashes"] >= number
        and len(document.events(d, "child.crash")) > 0, 20, "the crash is on record")
    return document.events(found, "child.crash")


def nothing_in_flight(httpd, limit=20):
    return document.wait_for_document(httpd, lambda d: d["in_flight"]["requests"] == 0, limit,
                                      "no request is in flight")


@pytest.fixture
def itk(new_httpd):
    """mpm_itk with two virtual hosts of two users."""
    if os.getuid() != 0:
        pytest.skip("mpm_itk changes users")
    httpd = new_httpd(mpm="prefork", pm=RULES, config=f"""
LoadModule mpm_itk_module {MODULES}/mpm_itk.so
<VirtualHost 127.0.0.1:*>
    ServerName one.example
    AssignUserID www-data www-data
</VirtualHost>
<VirtualHost 127.0.0.1:*>
    ServerName two.example
    AssignUserID games games
</VirtualHost>
""")
    return with_ends(httpd).start()


def ask_for_both(httpd):
    """Two requests on one connection: mpm_itk ends its process for the second."""
    connection = http.client.HTTPConnection("127.0.0.1", httpd.port, timeout=60)
    connection.request("GET", "/", headers={"Host": "one.example"})
    assert connection.getresponse().read() == b"it works\n"
    connection.sock.settimeout(60)
    try:
        connection.sock.sendall(b"GET / HTTP/1.1\r\nHost: two.example\r\n\r\n")
        assert connection.sock.recv(1000) == b"", "the process ends without a reply"
    except ConnectionError:
        pass
    connection.close()


def test_a_page_that_another_user_serves_is_a_503_that_names_the_cause(itk):
    assert itk.get("/pm-status", headers={"Host": "one.example"}).status == 200
    reply = itk.get("/pm-status", headers={"Host": "two.example"})
    assert reply.status == 503
    assert f"served by user {pwd.getpwnam('games').pw_uid} (AssignUserID?)" in reply.text
    assert "PMCaptureListen" in reply.text


def test_a_request_for_another_user_on_a_kept_connection_is_not_in_flight_for_ever(itk):
    for _ in range(12):
        ask_for_both(itk)
    assert itk.said("closing connection")
    nothing_in_flight(itk)
    found = document.ticked(itk, 4)
    assert found["in_flight"]["requests"] == 0
    assert not found["incidents"] and not document.events(found, "child.crash")
    assert document.settled(itk)["totals"]["status"] == {"200": 12}


@pytest.mark.parametrize("how,number", (("s", signal.SIGSEGV), ("k", signal.SIGKILL)))
def test_a_signal_that_ends_a_process_of_mpm_itk_is_told_with_its_request(itk, how, number):
    document.settled(itk)
    assert ask(itk, f"/end/{how}") is None
    crash, = crashes(itk)
    assert crash["data"]["signal"] == number and crash["data"]["requests"] == 1
    assert f"signal {number:d}" in crash["text"] and "out of memory" not in crash["text"]
    nothing_in_flight(itk)
    assert not document.from_file(itk.capture)["incidents"]


@pytest.mark.parametrize("how", ("e", "_", "s", "k"))
def test_a_request_whose_process_ends_is_soon_in_flight_no_more(new_httpd, how, mpm):
    httpd = with_ends(new_httpd(mpm=mpm, pm=RULES)).start()
    document.settled(httpd)
    assert ask(httpd, f"/end/{how}") is None
    crash, = crashes(httpd)
    assert crash["data"]["requests"] == 1
    assert crash["data"]["signal"] == {"s": signal.SIGSEGV}.get(how)
    assert ("exit()" in crash["text"]) == (how == "e")
    assert not document.wait_for_document(httpd, lambda d: d["in_flight"]["requests"] == 0, 20,
                                          "no request is in flight")["incidents"]


def test_a_forked_process_that_exits_takes_no_request_with_it(new_httpd, mpm):
    httpd = with_ends(new_httpd(mpm=mpm)).start()
    with Load(httpd.port) as load:
        request = load.stream("/end/fork", rate=10, count=1)
        document.wait_for_document(httpd, lambda d: (d["in_flight"]["oldest"] or 0) > 1, 10,
                                   "it is still in flight")
        (httpd.root / "go").touch()
        assert [one.status for one in request.wait()] == [204]
    found = document.settled(httpd)
    assert not document.events(found, "child.crash")
