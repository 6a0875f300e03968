"""Modules of others, as Debian packages them: they keep more across reloads than httpd's own do."""
from pathlib import Path

from .document import events, wait_for_document
from .paths import MODULES

PHP = next(Path(MODULES).glob("libphp*.so"), None)

# what each needs before it; mod_php takes no MPM with threads
THREADED = ("unique_id", "security2", "perl", "wsgi", "socache_shmcb", "ssl", "md", "macro", "env")

CONFIG = """
SecRuleEngine DetectionOnly
<Macro vh $name>
<VirtualHost *:80>
    ServerName $name
    SetEnv DB_PASSWORD hidden-macro-value
    Redirect 500 "/fail"
</VirtualHost>
</Macro>
Define API_TOKEN hidden-define-value
Header set X-Token ${API_TOKEN}
<IfDefine MODSEC_2.5>
    Include sites/modsec.conf
</IfDefine>
Use vh m.example
""" + "\n".join(f"SetEnv DB_PASSWORD_{n} hidden-{n}-value" for n in range(400))

# few processes: each of them begins with a Perl, a Python and a PHP
FEW = {"prefork": ["StartServers 1", "MinSpareServers 1", "MaxSpareServers 2"], "event": ["StartServers 1"]}


def load_lines(mpm):
    """LoadModule lines of all of them that go with this MPM."""
    lines = FEW[mpm] + [f"LoadModule {name}_module {MODULES}/mod_{name}.so" for name in THREADED]
    if mpm == "prefork":
        lines.append(f"LoadModule php_module {PHP}")
    return "\n".join(lines) + "\n"


def prepare(httpd):
    """The files that CONFIG includes."""
    (httpd.root / "sites").mkdir()
    (httpd.root / "sites/modsec.conf").write_text("Define INCLUDED\n")


def loads(found):
    return events(found, "config.load", "config.reload")


def reload_often(httpd, times):
    """Reloads in which nothing changes; the document, when each is told."""
    for n in range(times):
        httpd.reload()
        found = wait_for_document(httpd, lambda d: len(loads(d)) >= n + 2, 30, "the load is told")
    return found
