"""The harness itself, on a plain httpd without the recorder: what it says can be trusted."""
import os
import re
import signal
from collections import Counter

import pytest

from harness import processes
from harness.httpd import HttpdError
from harness.load import Load
from harness.modules import build_module
from harness.wait import MILLISECOND, wait_for


def test_a_plain_httpd_starts_reloads_and_stops_leaving_no_process(new_httpd, mpm):
    httpd = new_httpd(mpm=mpm, module=None).start()
    assert httpd.get("/").text == "it works\n"
    assert httpd.recorders() == []
    httpd.reload()
    assert httpd.get("/").status == 200
    httpd.stop()
    assert httpd.processes() == [] and httpd.port_is_free()


def test_a_killed_httpd_leaves_no_process_and_starts_again(new_httpd, mpm):
    httpd = new_httpd(mpm=mpm, module=None).start()
    httpd.kill()
    assert httpd.processes() == [] and httpd.port_is_free()
    httpd.start()
    assert httpd.get("/").status == 200


def test_the_access_log_and_the_load_agree_on_every_request(new_httpd, mpm):
    httpd = new_httpd(mpm=mpm, module=None, config='Redirect 503 "/fail"').start()
    with Load(httpd.port) as load:
        good = load.stream("/", rate=100, count=50)
        kept = load.stream("/nothing", rate=100, count=50, keepalive=5, source="127.0.0.9")
        bad = load.stream("/fail", rate=100, count=20)
        sent = good.wait() + kept.wait() + bad.wait()
    httpd.stop()
    # event closes kept-alive connections when all its workers are busy, as a request comes maybe
    cut = [one for one in sent if one.cut and one.reused]
    assert Counter(str(one.status) for one in sent if one not in cut) == httpd.access_log.totals()
    assert httpd.access_log.totals() == {"200": 50, "404": 50 - len(cut), "503": 20}
    assert 0 < sum(one.reused for one in sent) <= 45
    failures = [one for one in sent if one.status == 503]
    begun = sorted(entry.begin for entry in httpd.access_log.entries() if entry.status == "503")
    asked, answered = sorted(one.start for one in failures), sorted(one.end for one in failures)
    for asked, begin, answered in zip(asked, begun, answered):
        assert asked - MILLISECOND <= begin <= answered + MILLISECOND


FAULT = "static int fault(request_rec *r) { *(volatile int *)8 = 1; return OK; }"
FAULT_AT_THE_END = """
static apr_status_t fault(void *start) { if (getpid() != getsid(0)) return 0; *(volatile int *)8 = 1; return 0; }
static int registered(apr_pool_t *p, apr_pool_t *l, apr_pool_t *t, server_rec *s)
{
    apr_pool_cleanup_register(p, NULL, fault, apr_pool_cleanup_null);
    return OK;
}
"""


def faulty(new_httpd, source, hooks, **options):
    httpd = new_httpd(module=None, **options)
    httpd.config = build_module(httpd.root, "faulty", source, hooks)
    return httpd.start()


def test_a_worker_that_crashes_fails_the_test(new_httpd, mpm):
    httpd = faulty(new_httpd, FAULT, "ap_hook_handler(fault, NULL, NULL, APR_HOOK_FIRST);", mpm=mpm)
    httpd.raw(b"GET / HTTP/1.0\r\n\r\n")
    wait_for(lambda: httpd.said("exit signal"), 20, "httpd logs the death")
    with pytest.raises(HttpdError, match=r"exit signal Segmentation fault \(11"):
        httpd.stop()
    httpd.signals = {signal.SIGSEGV}
    httpd.check_ends()


def test_a_crash_that_the_kernel_logs_fails_the_test(new_httpd):
    """Where a process has no handler: `apache2 -X`, a recorder."""
    httpd = new_httpd(module=None, mpm="prefork")
    httpd.config = build_module(httpd.root, "faulty", FAULT.replace("{", "{ if (r->uri[1] != 'f') return DECLINED;"),
                                "ap_hook_handler(fault, NULL, NULL, APR_HOOK_FIRST);")
    if httpd.ends.kernel.fd is None:
        pytest.skip("the kernel's log cannot be read here")

    def logged():
        """The kernel leaves out what is said too often, and others crash, too."""
        httpd.pid_file.unlink(missing_ok=True)
        httpd.start_single()
        httpd.raw(b"GET /fault HTTP/1.0\r\n\r\n")
        with pytest.raises(HttpdError, match="ended by SIGSEGV") as problem:
            httpd.stop()
        return re.search(r"\nkernel: .*apache2.*: segfault at 8 ", str(problem.value))

    wait_for(logged, 60, "the kernel logs it", 1)
    httpd.signals = {signal.SIGSEGV}


def test_a_parent_that_crashes_as_it_ends_fails_the_test(new_httpd, mpm):
    httpd = faulty(new_httpd, "#include <signal.h>\n" + FAULT_AT_THE_END,
                   "ap_hook_post_config(registered, NULL, NULL, APR_HOOK_LAST);", mpm=mpm)
    with pytest.raises(HttpdError, match="ended by SIGSEGV"):
        httpd.stop()
    httpd.signals = {signal.SIGSEGV}


def test_an_orphan_that_crashes_fails_the_test(new_httpd):
    httpd = new_httpd(module=None, mpm="prefork").start()
    orphan = httpd.worker()
    processes.kill(httpd.parent)
    wait_for(lambda: processes.parent_of(orphan) != httpd.parent, 20, "it has lost its parent")
    os.kill(orphan, signal.SIGABRT)
    with pytest.raises(HttpdError, match=f"process {orphan} ended by SIGABRT"):
        wait_for(lambda: httpd.check_ends(), 20, "its end is known")
    httpd.signals = {signal.SIGABRT}


def test_a_server_that_ends_itself_fails_the_test(new_httpd, mpm):
    httpd = new_httpd(module=None, mpm=mpm).start()
    httpd.conf.write_text("Nonsense")
    httpd.send(signal.SIGUSR1)
    assert httpd.ends.status_of(httpd.parent) == 1
    with pytest.raises(HttpdError, match="the parent process .* ended with exit status 1"):
        httpd.check_ends()
    httpd.wait_failed()
    httpd.check_ends()


def test_a_core_file_fails_the_test(new_httpd):
    httpd = new_httpd(module=None).start()
    (httpd.root / "core.1").write_text("")
    with pytest.raises(HttpdError, match="core file core.1"):
        httpd.stop()
    (httpd.root / "core.1").unlink()


def test_a_signal_that_the_test_sent_itself_is_no_crash(new_httpd, mpm):
    httpd = new_httpd(module=None, mpm=mpm).start()
    processes.kill(httpd.worker(), signal.SIGSEGV)
    wait_for(lambda: httpd.said("exit signal"), 20, "httpd logs the death")
    httpd.stop()
