"""The last change: what a reload took anew, and that nothing else pushes it off the screen."""
import shutil
import signal

import pytest

from harness import document, processes
from harness.companion import pmcapture
from harness.document import events, from_file, wait_for_document
from harness.modules import build_module
from harness.ports import free_port
from harness.tls import make_certificate
from harness.wait import wait_for


def started(httpd):
    httpd.start()
    document.ticked(httpd, 3)       # each file was looked at
    return httpd


def with_module(new_httpd, **options):
    httpd = new_httpd(**options)
    httpd.config += build_module(httpd.root, "alone") + "\n"
    return started(httpd), httpd.root / "mod_alone.so"


def with_certificate(new_httpd):
    httpd, port = new_httpd(modules=("ssl", "socache_shmcb")), free_port()
    pem = make_certificate(httpd.root / "conf")
    httpd.config += (f"Listen 127.0.0.1:{port}\n<VirtualHost 127.0.0.1:{port}>\nSSLEngine on\n"
                     f"SSLCertificateFile {pem}\n</VirtualHost>\n")
    return started(httpd), pem


def reloads(seen):
    return events(seen, "config.reload")


def reload(httpd, sig=signal.SIGUSR1):
    """The document with the reload's own event."""
    count = len(reloads(from_file(httpd.capture)))
    httpd.reload(sig)
    wait_for_document(httpd, lambda d: len(reloads(d)) > count, 20, "the reload is on record")
    return document.ticked(httpd, 2)


def replace(path, content):
    fresh = path.with_name(path.name + ".fresh")
    fresh.write_bytes(content)
    shutil.copymode(path, fresh)
    fresh.rename(path)


def shown(httpd):
    """The last change by each reader, which must be one."""
    found = from_file(httpd.capture)
    document.validate(found)
    last = found["last_change"]
    screen = pmcapture("status", "-f", httpd.capture).stdout.decode()
    assert f"(event {last['seq']})" in " ".join(screen.split())
    auto = dict(line.split(": ", 1) for line in httpd.get("/pm-status?auto").text.splitlines())
    assert auto["LastChange"] == last["at"] and auto["LastChangeType"] == last["type"]
    assert f"Last change: <time datetime=\"{last['at']}\">" in httpd.get("/pm-status").text
    assert document.from_handler(httpd, "&view=summary")["last_change"]["seq"] == last["seq"]
    return last


@pytest.mark.parametrize("sig", [signal.SIGUSR1, signal.SIGHUP], ids=["graceful", "restart"])
@pytest.mark.parametrize("at_once", [False, True], ids=["seen before", "at once"])
def test_a_reload_says_that_it_took_a_replaced_module_and_only_once(new_httpd, sig, at_once):
    httpd, module = with_module(new_httpd)
    replace(module, module.read_bytes() + b"more")
    if not at_once:
        wait_for_document(httpd, lambda d: events(d, "dependency.changed"), 15, "it was seen")
    seen = reload(httpd, sig)
    load = reloads(seen)[-1]
    assert "no directive changed; mod_alone.so was replaced" in load["text"], load["text"]
    assert load["data"]["changes"] == 0 and load["data"]["files"] == 1
    took = [e for e in events(seen, "dependency.changed") if e["data"].get("loaded")]
    assert [e["data"]["path"] for e in took] == [str(module)] and took[0]["at"] == load["at"]
    assert took[0]["data"]["to"]["ino"] == module.stat().st_ino
    seen = document.ticked(httpd, 5)    # as long as a look, its confirmation and an event take
    noticed = [e for e in events(seen, "dependency.changed") if not e["data"].get("loaded")]
    assert len(noticed) == 1 or at_once and not noticed     # a machine that stood still has seen it before the reload
    assert all(e["seq"] < took[0]["seq"] for e in noticed)
    assert shown(httpd)["seq"] == took[0]["seq"]
    again = reloads(reload(httpd, sig))[-1]
    assert again["text"].endswith(": no directive changed") and "files" not in again["data"]
    assert shown(httpd)["seq"] == took[0]["seq"], "an empty reload is no change"


def test_a_reload_says_that_it_took_a_renewed_certificate(new_httpd):
    httpd, pem = with_certificate(new_httpd)
    old = pem.stat().st_ino
    other = httpd.root / "other"
    other.mkdir()
    replace(pem, make_certificate(other).read_bytes())
    load = reloads(reload(httpd))[-1]
    assert "no directive changed; tls.pem (SSLCertificateFile" in load["text"]
    assert "was replaced" in load["text"]
    took, = [e for e in events(from_file(httpd.capture), "dependency.changed")
             if e["data"].get("loaded")]
    assert took["data"]["from"]["ino"] == old and str(pem) in took["text"]
    pem.write_bytes(make_certificate(other).read_bytes())
    load = reloads(reload(httpd))[-1]
    assert "tls.pem (SSLCertificateFile" in load["text"] and "was written anew" in load["text"]


def test_two_reloads_in_a_row_tell_of_a_replaced_module_once(new_httpd):
    httpd, module = with_module(new_httpd)
    replace(module, module.read_bytes() + b"more")
    httpd.reload()
    httpd.reload()
    seen = wait_for_document(httpd, lambda d: len(reloads(d)) == 2, 20, "both are on record")
    seen = document.ticked(httpd, 5)
    took = [e for e in events(seen, "dependency.changed") if e["data"].get("loaded")]
    assert len(took) == 1 and sum("files" in e["data"] for e in reloads(seen)) == 1


def test_empty_reloads_checks_and_crashes_leave_the_last_change_where_it_is(new_httpd, mpm):
    httpd = started(new_httpd(mpm=mpm))
    httpd.conf.write_text(httpd.conf.read_text() + "ServerAdmin amina@example.org\n")
    changed, = events(reload(httpd), "config.changed")
    reload(httpd)
    for question in (["-V"], ["-S"], ["-k", "start"]):
        httpd.command(*question)
    httpd.signals.add(signal.SIGSEGV)
    processes.kill(httpd.worker(), signal.SIGSEGV)
    seen = wait_for_document(httpd, lambda d: events(d, "child.crash"), 20, "it is on record")
    seen = document.ticked(httpd, 2)
    assert shown(httpd)["seq"] == changed["seq"]
    crash = events(seen, "child.crash")[-1]
    assert seen["last_crash"]["seq"] == crash["seq"]
    screen = pmcapture("status", "-f", httpd.capture).stdout.decode()
    assert "Last crash" in screen and f"(event {crash['seq']})" in " ".join(screen.split())
    assert "LastCrashType: child.crash" in httpd.get("/pm-status?auto").text
    assert seen["server"]["config_failures"] == 0
    metrics = httpd.get("/pm-status?format=prometheus").text
    at = document.seconds(changed["at"])
    assert f"pmcapture_last_change_timestamp_seconds {at:.3f}".rstrip("0").rstrip(".") in metrics


def test_a_refused_configuration_is_a_change_that_failed(new_httpd):
    httpd = started(new_httpd())
    good = httpd.conf.read_text()
    httpd.conf.write_text(good + "Nonsense\n")
    httpd.command("-t")
    httpd.conf.write_text(good)
    document.ticked(httpd, 1)
    wait_for(lambda: shown(httpd)["type"] == "config.rejected", 10, "it stands there")
