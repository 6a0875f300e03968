"""The tools read what can be read of a damaged file, and say the rest in one sentence."""
import os
import random
import re
import subprocess
from pathlib import Path

import pytest

from harness import document
from harness.companion import ENVIRONMENT, pmcapture
from harness.document import wait_closed
from harness.httpd import Httpd
from harness.load import Load
from harness.paths import PMCAPTURE, PMDUMP


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A copy of the capture file of a server that has seen two incidents, and ended."""
    httpd = Httpd(config='Redirect 503 "/fail"',
                  pm="PMCaptureRetention seconds=2m minutes=60m incidents=8 events=64\n"
                     "PMCaptureBurst errors=5 window=2 clear=1\nPMCaptureSlow Off\n")
    try:
        httpd.start()
        with Load(httpd.port) as load:
            load.stream("/", rate=20, source=lambda n: f"127.0.3.{1 + n % 8}")
            for number in (1, 2):
                load.stream("/fail", rate=40, count=20,
                            source=lambda n: f"127.0.4.{1 + n % 8}").wait()
                wait_closed(httpd, count=number)
            httpd.reload()
        document.settled(httpd)
        httpd.stop()
        copy = tmp_path_factory.mktemp("whole") / "whole.pmc"
        copy.write_bytes(httpd.capture.read_bytes())
        yield copy
    finally:
        httpd.close()


def assert_answers(path):
    """pmdump gives a valid document, or 3 and one sentence; never anything else."""
    done = document.pmdump(path)
    said = done.stderr.decode("utf-8")
    assert done.returncode in (0, 3), (done.returncode, said)
    assert len(said.strip().splitlines()) <= 1, said
    if done.returncode == 0:
        document.validate(document.parse(done.stdout))
    else:
        assert said.strip() and str(path) in said, said
    return done


def companion(*arguments):
    done = pmcapture(*arguments)
    assert done.returncode in (0, 1, 3), (done.returncode, done.stderr)
    if done.returncode == 3:
        assert len(done.stderr.decode().strip().splitlines()) == 1, done.stderr
    return done


def write(tmp_path, content):
    path = tmp_path / "damaged.pmc"
    path.write_bytes(content)
    return path


def test_a_whole_file_is_read_by_both(whole):
    assert_answers(whole)
    done = companion("list", "-f", whole)
    assert done.returncode == 0 and done.stderr == b""


def test_a_file_cut_at_any_length_gives_what_it_has_or_one_sentence(whole, tmp_path):
    content = whole.read_bytes()
    noise = random.Random(11)
    lengths = [0, 1, 7, 4095, 4096, 4097, 8191, 8192, 8193, 12288, len(content) - 1]
    lengths += [noise.randrange(len(content)) for _ in range(30)]
    codes = {assert_answers(write(tmp_path, content[:length])).returncode for length in lengths}
    assert codes == {0, 3}


@pytest.mark.parametrize("seed", range(4))
def test_flipped_bytes_never_crash_a_tool(whole, tmp_path, seed):
    noise = random.Random(seed)
    original = whole.read_bytes()
    used = [offset for offset in range(0, len(original), 64) if any(original[offset:offset + 64])]
    for _ in range(25):
        content = bytearray(original)
        for _ in range(noise.choice((1, 10, 1000))):
            offset = min(noise.choice(used) + noise.randrange(64), len(content) - 1)
            content[offset] = noise.choice((0, 0xff, content[offset] ^ 1 << noise.randrange(8)))
        assert_answers(write(tmp_path, content))


def test_blocks_that_were_moved_or_zeroed_never_crash_a_tool(whole, tmp_path):
    noise = random.Random(5)
    original = whole.read_bytes()
    for _ in range(25):
        content = bytearray(original)
        size = noise.choice((8, 64, 1024, 4096))
        source, target = (noise.randrange(0, len(content) - size) for _ in range(2))
        content[target:target + size] = noise.choice((content[source:source + size], bytes(size)))
        assert_answers(write(tmp_path, content))


def test_damage_to_the_first_header_costs_nothing(whole, tmp_path):
    content = bytearray(whole.read_bytes())
    content[0:4096] = bytes(4096)
    seen = document.parse(assert_answers(write(tmp_path, content)).stdout)
    assert len(seen["incidents"]) == 2


def test_the_companion_says_what_was_lost_in_a_damaged_file(whole, tmp_path):
    content = bytearray(whole.read_bytes())
    noise = random.Random(1)
    for _ in range(400):
        content[noise.randrange(8192, len(content))] ^= 0xff
    path = write(tmp_path, content)
    for command in (["list"], ["show", "-1"], ["events"], ["status"], ["report", "-1"],
                    ["export", "--format", "csv"]):
        companion(command[0], "-f", path, *command[1:])


FOREIGN = {
    "text": b"this is no capture file\n" * 1000, "elf": Path("/bin/true").read_bytes(),
    "zeros": bytes(100_000), "empty": b"", "random": random.Random(2).randbytes(100_000),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_foreign_file_is_refused_with_one_sentence(tmp_path, kind):
    path = write(tmp_path, FOREIGN[kind])
    assert assert_answers(path).returncode == 3
    assert companion("list", "-f", path).returncode == 3


def special(tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    return [tmp_path / "not-there", tmp_path, fifo, loop, Path("/dev/zero"), Path("/dev/null"),
            Path("/proc/self/mem")]


def test_what_is_no_regular_file_is_refused_at_once(tmp_path):
    for path in special(tmp_path):
        assert assert_answers(path).returncode == 3
        assert companion("list", "-f", path).returncode == 3


def test_a_link_to_a_capture_file_is_read(whole, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(whole)
    assert assert_answers(link).returncode == 0


def test_a_damaged_file_opens_no_other_file(whole, tmp_path):
    """Whatever the file says, only itself is opened, and nothing for writing."""
    noise = random.Random(9)
    original = whole.read_bytes()
    for _ in range(5):
        content = bytearray(original)
        # every path in it points at something that must not be opened
        for found in re.finditer(rb"/[\w./-]{8,}", original):
            decoy = (b"/etc/shadow" + b"/" * 300)[:len(found.group())]
            content[found.start():found.end()] = decoy
        for _ in range(noise.randrange(3)):
            content[noise.randrange(8192, len(content))] ^= 0xff
        path = write(tmp_path, content)
        trace = tmp_path / "trace"
        subprocess.run(["strace", "-f", "-o", trace, "-e", "trace=open,openat", PMDUMP, path],
                       capture_output=True)
        for line in trace.read_text().splitlines():
            name = re.search(r'"([^"]*)"', line)
            if not name:
                continue
            assert "shadow" not in name.group(1), line
            writes = "O_WRONLY" in line or "O_RDWR" in line
            assert not writes or name.group(1).startswith("/dev/"), line


def test_an_output_that_is_closed_or_full_ends_a_tool_quietly(whole):
    full = subprocess.run([PMDUMP, whole], stdout=open("/dev/full", "wb"), stderr=subprocess.PIPE)
    assert full.returncode == 3 and len(full.stderr.decode().strip().splitlines()) == 1
    done = subprocess.run(["sh", "-c", f"'{PMDUMP}' '{whole}' | head -c 10"], capture_output=True)
    assert b"Traceback" not in done.stderr
    done = subprocess.run(["sh", "-c", f"'{PMCAPTURE}' events --json -f '{whole}' | head -c 10"],
                          capture_output=True, env=ENVIRONMENT)
    assert b"Traceback" not in done.stderr and b"BrokenPipe" not in done.stderr


def test_wrong_usage_is_exit_code_two_with_a_hint():
    for tool in (PMDUMP, PMCAPTURE):
        for arguments in (["--no-such-option"], [] if tool == PMDUMP else ["no-such-command"]):
            done = subprocess.run([tool, *arguments], capture_output=True, env=ENVIRONMENT)
            assert done.returncode == 2 and done.stderr, (tool, arguments)
            assert b"Traceback" not in done.stderr


def test_the_companion_runs_with_the_distributions_python():
    assert Path(PMCAPTURE).read_text().splitlines()[0] in (
        "#!/usr/bin/python3", "#!/usr/bin/python3 -I", "#!/usr/bin/python3 -s",
        "#!/usr/bin/python3 -E")
