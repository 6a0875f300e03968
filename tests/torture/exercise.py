"""A short life of a server with a little of everything, for tests that look at how it is lived."""
import signal
import time

from harness import document, processes
from harness.load import Load
from harness.wait import wait_for

CONFIG = """
Redirect 503 "/fail"
<Directory "{root}/htdocs/sub">
    AllowOverride All
</Directory>
<VirtualHost 127.0.0.1:*>
    ServerName localhost
</VirtualHost>
<VirtualHost 127.0.0.1:*>
    ServerName other.example
    Redirect 500 "/broken"
</VirtualHost>
"""
RULES = """
PMCaptureBurst errors=5 window=3 clear=2
PMCaptureSlow threshold=200ms requests=3 window=3 clear=2
PMCaptureWatch htdocs
"""
FORMATS = ("", "?auto", "?format=json", "?format=prometheus", "?format=csv", "?view=nothing",
           "?format=json&since=-5s&view=series", "?format=json&incident=1", "?refresh=5")


def prepare(httpd):
    httpd.config = CONFIG.format(root=httpd.root)
    httpd.pm = RULES
    (httpd.root / "htdocs/sub").mkdir()
    (httpd.root / "htdocs/sub/.htaccess").write_text("NoSuchDirective\n")
    return httpd


def look(httpd):
    for query in FORMATS:
        httpd.get("/pm-status" + query, timeout=60)


def live(httpd, rate=10, seconds=2):
    """Load, both kinds of reload, a recorder killed, every page asked for; then an orderly stop."""
    with Load(httpd.port) as load:
        for path, host in (("/", "localhost"), ("/fail", "localhost"), ("/sub/x", "localhost"),
                           ("/broken", "other.example"), ("/nothing?a=b", "other.example")):
            load.stream(path, rate=rate, host=host, keepalive=2, timeout=60)
        time.sleep(seconds)
        look(httpd)
        for sig in (signal.SIGUSR1, signal.SIGHUP):
            httpd.reload(sig)
            time.sleep(seconds)
        (httpd.root / "htdocs/new.html").write_text("new\n")
        wait_for(httpd.recorders, 30, "a recorder")
        processes.kill(httpd.writer() or httpd.recorders()[0])
        time.sleep(seconds)
        look(httpd)
    final = document.settled(httpd, limit=60)
    httpd.stop()
    return final
