"""A real httpd with the module that `make sanitize` built, and one under valgrind."""
import re
import subprocess

import pytest
from exercise import live, prepare

from harness import document
from harness.paths import BUILD

ASAN = BUILD / "asan"


def sanitizer_library():
    name = subprocess.run(["gcc", "-print-file-name=libasan.so"], capture_output=True, text=True,
                          check=True)
    return name.stdout.strip()


@pytest.mark.skipif(not (ASAN / "mod_pmcapture.so").exists(), reason="make sanitize builds it")
@pytest.mark.parametrize("mpm", ("event", "prefork"))
def test_the_sanitizers_find_nothing_in_a_server_under_load(new_httpd, mpm):
    httpd = prepare(new_httpd(mpm=mpm, module=ASAN / "mod_pmcapture.so"))
    reports = httpd.root / "logs/sanitizer"
    # httpd's pools are no leaks; what is found ends the process and is written to a file of its own
    httpd.environment = {"LD_PRELOAD": sanitizer_library(),
                         "ASAN_OPTIONS": f"detect_leaks=0:log_path={reports}",
                         "UBSAN_OPTIONS": f"print_stacktrace=1:log_path={reports}"}
    httpd.start()
    (httpd.root / "logs").chmod(0o777)      # workers write there what is found in them
    final = live(httpd)
    found = [path.read_text(errors="replace") for path in httpd.root.glob("logs/sanitizer*")]
    assert not found, found[0]
    assert "runtime error" not in httpd.errors()
    assert not document.events(final, "child.crash"), httpd.errors()
    assert document.status_totals(final) == httpd.access_log.totals()
    dump = subprocess.run([ASAN / "pmdump", httpd.capture], capture_output=True, timeout=60)
    assert dump.returncode == 0 and b"Sanitizer" not in dump.stderr, dump.stderr.decode()


def complaints(logs):
    """What valgrind said of our code: blocks of lines that name it.

    What is kept across reloads hangs on the process's pool, which is gone when valgrind looks: that is one
    block of each kind. A leak would lose one more with each reload.
    """
    found = []
    for path in logs:
        for block in re.split(r"\n==\d+== \n", path.read_text(errors="replace")):
            ours = re.search(r"(at|by) 0x[0-9A-F]+: pm_\w+|mod_pmcapture", block)
            wrong = re.search(r"Invalid|ninitialised|Mismatched|points to un", block)
            if ours and (wrong or ("definitely lost" in block and " in 1 blocks" not in block)):
                found.append(block)
    return found


def test_valgrind_finds_nothing_from_start_to_stop(new_httpd):
    httpd = prepare(new_httpd(mpm="worker"))
    httpd.config += "\nMaxRequestWorkers 16\nStartServers 1\n"
    httpd.prefix = ("valgrind", "--quiet", "--leak-check=full", "--show-leak-kinds=definite",
                    "--keep-debuginfo=yes", "--fair-sched=yes",
                    f"--log-file={httpd.root}/logs/valgrind.%p")
    httpd.start()
    live(httpd, rate=2, seconds=4)
    logs = list(httpd.root.glob("logs/valgrind.*"))
    assert len(logs) >= 6, "parent, workers and recorders were watched"
    found = complaints(logs)
    assert not found, "\n".join(found[:3])
