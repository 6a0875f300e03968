"""Certificates as they are served: when they end, what lies on disk, and what clients get then."""
import os
import shutil
import signal
import subprocess
import time
from datetime import datetime, timezone
from pathlib import Path

from harness import document
from harness.companion import pmcapture
from harness.document import events, seconds
from harness.httpd import QUICK_RULES
from harness.ports import free_port
from harness.stuck_fs import StuckFs
from harness.wait import wait_for
from test_silence import open_incident, told


def stamp(when):
    return datetime.fromtimestamp(when, timezone.utc).strftime("%Y%m%d%H%M%SZ")


def make_ca(folder):
    folder.mkdir()
    (folder / "index.txt").write_text("")
    (folder / "index.txt.attr").write_text("unique_subject = no\n")
    (folder / "serial").write_text("01\n")
    (folder / "ca.cnf").write_text(f"""
[ca]
default_ca = own
[own]
database = {folder}/index.txt
serial = {folder}/serial
new_certs_dir = {folder}
default_md = sha256
policy = any
copy_extensions = copy
[any]
commonName = supplied
""")
    subprocess.run(["openssl", "req", "-x509", "-nodes", "-days", "30", "-subj", "/CN=test authority", "-newkey", "ec",
                    "-pkeyopt", "ec_paramgen_curve:P-256", "-keyout", folder / "ca.key", "-out", folder / "ca.crt"],
                   check=True, capture_output=True)
    return folder


def make_certificate(ca, name, begin, end, pem):
    """Write a file that holds a key, and a certificate for that name."""
    key, request, certificate = ca / f"{name}.key", ca / f"{name}.csr", ca / f"{name}.crt"
    subprocess.run(["openssl", "req", "-new", "-nodes", "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}",
                    "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-keyout", key, "-out", request],
                   check=True, capture_output=True)
    subprocess.run(["openssl", "ca", "-batch", "-config", ca / "ca.cnf", "-cert", ca / "ca.crt", "-keyfile",
                    ca / "ca.key", "-startdate", stamp(begin), "-enddate", stamp(end), "-in", request,
                    "-out", certificate, "-notext"], check=True, capture_output=True)
    pem.write_bytes(key.read_bytes() + certificate.read_bytes())
    return pem


def tls_site(port, name, pem):
    return f"""
<VirtualHost *:{port}>
    ServerName {name}
    SSLEngine on
    SSLCertificateFile "{pem}"
</VirtualHost>
"""


def refused_by_client(ca, name, port):
    done = subprocess.run(["curl", "-s", "-S", "--noproxy", "*", "--cacert", ca / "ca.crt", "--resolve",
                           f"{name}:{port}:127.0.0.1", f"https://{name}:{port}/"], capture_output=True, text=True)
    return "expired" in done.stderr


def test_a_certificate_that_was_renewed_and_not_loaded_is_told_ahead_and_at_its_end(new_httpd, tmp_path):
    httpd = new_httpd(modules=("ssl", "socache_shmcb"))     # the recorder may read its folder
    ca, now, port = make_ca(tmp_path / "ca"), time.time(), free_port()
    pem, good = httpd.root / "conf/a.pem", httpd.root / "conf/good.pem"
    end = int(now + 75)
    make_certificate(ca, "a.test", now - 3600, end, pem)
    pem.chmod(0o644)
    make_certificate(ca, "b.test", now - 3600, now + 86400 * 300, good)
    good.chmod(0o644)
    httpd.config = f"Listen 127.0.0.1:{port}\n" + tls_site(port, "a.test", pem) + tls_site(port, "b.test", good)
    httpd.start()
    secret = pem.read_text().split("-----")[2].strip().splitlines()[0]
    expiring = told(httpd, "cert.expiring")
    assert expiring["data"]["vhost"] == f"a.test:{port}" and expiring["data"]["path"] == str(pem)
    assert abs(seconds(expiring["data"]["not_after"]) - end) < 1 and expiring["severity"] == "warning"
    make_certificate(ca, "a.test", now - 60, now + 86400 * 60, tmp_path / "new.pem")
    shutil.copyfile(tmp_path / "new.pem", pem)         # renewed, and nobody reloads
    incident = open_incident(httpd, "unreachable", 200)
    expired = told(httpd, "cert.expired", 100)
    assert refused_by_client(ca, "a.test", port) and not refused_by_client(ca, "b.test", port)
    assert incident["scope"]["vhost"] == f"a.test:{port}" and incident["kinds"] == ["unreachable"]
    assert abs(seconds(incident["onset"]) - end) < 1.5
    assert expired["data"]["vhost"] == f"a.test:{port}" and expired["data"]["newer_on_disk"] is True
    assert "newer one, which is not loaded" in expired["text"]
    found = document.from_handler(httpd)
    document.validate(found)
    incident, = found["incidents"]
    assert incident["causes"][0]["kind"] == "cert.expired"
    assert not {cause["kind"] for cause in incident["causes"]} & {"traffic", "backend", "workers"}
    assert pmcapture("check", "-f", httpd.capture).returncode == 1
    assert secret.encode() not in httpd.capture.read_bytes(), "nothing of the key is kept"
    httpd.reload()
    document.wait_closed(httpd, limit=120)
    assert not refused_by_client(ca, "a.test", port)


def test_a_certificate_for_months_says_nothing(new_httpd, tmp_path):
    ca, now, port = make_ca(tmp_path / "ca"), time.time(), free_port()
    pem = make_certificate(ca, "a.test", now - 3600, now + 86400 * 90, tmp_path / "a.pem")
    pem.chmod(0o600)    # of which only root may read the file
    httpd = new_httpd(modules=("ssl", "socache_shmcb"),
                      config=f"Listen 127.0.0.1:{port}\n" + tls_site(port, "a.test", pem)).start()
    found = document.ticked(httpd, 25, limit=90)
    assert found["incidents"] == []
    assert not [event for event in found["events"] if event["type"].startswith(("cert.", "probe."))]
    assert "OPTIONS" not in httpd.access_log.path.read_text()


def make_public(ca, name, begin, end, pem):
    """Everybody may read the file."""
    make_certificate(ca, name, begin, end, pem).chmod(0o644)
    return pem


def on_address(port, name, pem, address):
    return tls_site(port, name, pem).replace("*:", f"{address}:")


def test_a_virtual_host_of_an_address_is_asked_there(new_httpd, tmp_path):
    """On loopback the main server answers, in plain HTTP."""
    ca, now, port = make_ca(tmp_path / "ca"), time.time(), free_port()
    pem = make_public(ca, "a.test", now - 86400 * 90, now + 86400 * 5, tmp_path / "a.pem")
    httpd = new_httpd(modules=("ssl", "socache_shmcb"), pm=QUICK_RULES + "PMCaptureProbe every=1\n",
                      config=f"Listen {port}\n" + on_address(port, "a.test", pem, "127.0.0.5")).start()
    assert told(httpd, "cert.expiring")["data"]["vhost"] == f"a.test:{port}"
    found = document.ticked(httpd, 6, limit=60)
    assert found["incidents"] == [] and not events(found, "probe.failed")


def test_a_virtual_host_of_an_address_shows_no_other_ones_certificate(new_httpd, tmp_path):
    ca, now, port = make_ca(tmp_path / "ca"), time.time(), free_port()
    old = make_public(ca, "a.test", now - 86400 * 90, now + 86400 * 5, tmp_path / "a.pem")
    good = make_public(ca, "b.test", now - 3600, now + 86400 * 300, tmp_path / "b.pem")
    httpd = new_httpd(modules=("ssl", "socache_shmcb"), config=f"Listen {port}\n" + tls_site(port, "b.test", good)
                      + on_address(port, "a.test", old, "127.0.0.5")).start()
    assert told(httpd, "cert.expiring")["data"]["vhost"] == f"a.test:{port}"
    assert len(events(document.ticked(httpd, 6, limit=60), "cert.expiring")) == 1


def test_plain_http_on_loopback_is_no_failure_of_tls_elsewhere(new_httpd, tmp_path):
    ca, now, port = make_ca(tmp_path / "ca"), time.time(), free_port()
    pem = make_public(ca, "a.test", now - 3600, now + 86400 * 300, tmp_path / "a.pem")
    httpd = new_httpd(modules=("ssl", "socache_shmcb"), pm=QUICK_RULES + "PMCaptureProbe every=1\n",
                      config=f"Listen 0.0.0.0:{port}\n" + tls_site(port, "a.test", pem) + f"""
<VirtualHost 127.0.0.1:{port}>
    ServerName status.test
</VirtualHost>
""").start()
    found = document.ticked(httpd, 8, limit=60)
    assert found["incidents"] == [] and not events(found, "probe.failed")


def test_an_ended_certificate_of_the_main_server_is_an_incident_of_its_own(new_httpd, tmp_path):
    ca, now, port = make_ca(tmp_path / "ca"), time.time(), free_port()
    pem = make_public(ca, "main.test", now - 3600, now - 60, tmp_path / "main.pem")
    httpd = new_httpd(modules=("ssl", "socache_shmcb"))
    httpd.config = f"""
ServerName main.test:{port}
Listen 127.0.0.1:{port}
SSLEngine on
SSLCertificateFile "{pem}"
<VirtualHost 127.0.0.1:{httpd.port}>
    ServerName plain.test
    SSLEngine off
</VirtualHost>
"""
    httpd.start()
    assert open_incident(httpd, "unreachable")["scope"]["vhost"] == f"main.test:{port}"


def test_an_ended_certificate_of_a_macros_virtual_host_is_an_incident(new_httpd, tmp_path):
    ca, now, port = make_ca(tmp_path / "ca"), time.time(), free_port()
    httpd = new_httpd(modules=("ssl", "socache_shmcb", "macro"))
    folder = httpd.root / ("conf/" + "deep" * 20)       # its name and two lines are more than fits a place on record
    folder.mkdir(parents=True)
    lines = f"Listen 127.0.0.1:{port}\n<Macro Site $name $pem>"
    lines += tls_site(port, "$name", "$pem") + "</Macro>\n"
    for name, end in (("old.test", now - 60), ("good.test", now + 86400 * 300)):
        pem = make_public(ca, name, now - 3600, end, tmp_path / f"{name}.pem")
        lines += f"Use Site {name} {pem}\n"
    (folder / "sites.conf").write_text(lines)
    httpd.config = f"Include {folder}/sites.conf\n"
    httpd.start()
    assert open_incident(httpd, "unreachable")["scope"]["vhost"] == f"old.test:{port}"
    assert len(document.from_file(httpd.capture)["incidents"]) == 1


def test_a_certificates_file_that_hangs_ends_no_looking(new_httpd, tmp_path):
    ca, now, port = make_ca(tmp_path / "ca"), time.time(), free_port()
    httpd = new_httpd(mpm="prefork", modules=("ssl", "socache_shmcb"), pm=QUICK_RULES + "PMCaptureProbe every=1\n")
    folder = httpd.root / "mount"       # the recorder may read there
    folder.mkdir()
    pem = make_public(ca, "a.test", now - 3600, now + 100, httpd.root / "conf/a.pem")   # looked at each ten seconds
    httpd.config = f"Listen 127.0.0.1:{port}\n" + tls_site(port, "a.test", pem)
    httpd.start()
    told(httpd, "cert.expiring")
    mount = StuckFs(folder)
    stopped = httpd.workers()
    try:
        mount.stuck.set()
        pem.unlink()
        pem.symlink_to(folder / "a.pem")
        wait_for(lambda: is_hanging(httpd.recorders()), 60, "a look at it hangs")
        document.ticked(httpd, 15, limit=60)
        for pid in [httpd.parent, *stopped]:
            os.kill(pid, signal.SIGSTOP)
        told(httpd, "probe.failed", how="no_answer")
    finally:
        for pid in [*stopped, httpd.parent]:
            os.kill(pid, signal.SIGCONT)
        mount.close()


def is_hanging(pids):
    """Does one of the threads that look from outside wait for the mount?"""
    return any((task / "comm").read_text() in ("pmcapture-probe\n", "pmcapture-cert\n")
               and (task / "wchan").read_text().startswith(("request_wait", "d_alloc", "fuse"))
               for pid in pids for task in Path(f"/proc/{pid}/task").iterdir())
