"""A real httpd with the module that `make sanitize` built, and one under valgrind."""
import re
import subprocess
from pathlib import Path

import pytest
from exercise import live, prepare

from harness import document, foreign
from harness.modules import APR
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


@pytest.fixture(scope="session")
def poolguard(tmp_path_factory):
    """What lies in a pool of httpd's is malloc's with it, and seen when it is read too late."""
    library = tmp_path_factory.mktemp("poolguard") / "poolguard.so"
    source = Path(__file__).with_name("poolguard.c")
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-g", *APR, "-o", library, source, "-ldl"], check=True)
    return library


def named_in(report):
    """Reports of AddressSanitizer that name our code: httpd itself reads names that modules have freed."""
    return [one for one in re.split(r"\n(?===\d+==ERROR)", report)
            if re.search(r"#\d+ .*(mod_pmcapture|\bpm_\w+)", one.partition("\nfreed by")[0])]


@pytest.mark.skipif(not (ASAN / "mod_pmcapture.so").exists(), reason="make sanitize builds it")
@pytest.mark.parametrize("mpm", ("event", "prefork"))
def test_reloads_among_the_modules_of_others_read_nothing_that_they_have_freed(new_httpd, poolguard, mpm):
    httpd = new_httpd(mpm=mpm, module=ASAN / "mod_pmcapture.so",
                      config=foreign.load_lines(mpm) + foreign.CONFIG)
    foreign.prepare(httpd)
    reports = httpd.root / "logs/sanitizer"
    httpd.environment = {"LD_PRELOAD": f"{sanitizer_library()} {poolguard}",
                         "ASAN_OPTIONS": "detect_leaks=0:halt_on_error=0:suppress_equal_pcs=0:"
                                         f"log_path={reports}",
                         "UBSAN_OPTIONS": f"print_stacktrace=1:log_path={reports}",
                         "PHP_INI_SCAN_DIR": "/nowhere"}    # libasan forbids how PHP loads its extensions
    httpd.start()
    (httpd.root / "logs").chmod(0o777)
    foreign.reload_often(httpd, 3)
    httpd.get("/fail", headers={"Host": "m.example"}, timeout=60)
    document.ticked(httpd, 2, limit=60)
    httpd.stop()
    for path in httpd.root.glob("logs/sanitizer*"):
        assert not named_in(path.read_text(errors="replace"))
    assert not httpd.said("runtime error")


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
