"""Modules of others, as Debian packages them: they keep more across reloads than httpd's own do."""
from pathlib import Path

from .paths import MODULES

PHP = next(Path(MODULES).glob("libphp*.so"), None)

# what each needs before it; mod_php takes no MPM with threads
THREADED = ("unique_id", "security2", "perl", "wsgi", "socache_shmcb", "ssl", "md", "macro", "env")


def load_lines(mpm):
    """LoadModule lines of all of them that go with this MPM."""
    lines = [f"LoadModule {name}_module {MODULES}/mod_{name}.so" for name in THREADED]
    if mpm == "prefork":
        lines.append(f"LoadModule php_module {PHP}")
    return "\n".join(lines) + "\n"
