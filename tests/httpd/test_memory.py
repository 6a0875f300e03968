"""What the parent reads and keeps: never memory that a module has given back, never a secret."""
import os
import re

import pytest

from harness import document, processes
from harness.document import events
from harness.foreign import CONFIG, load_lines, loads, prepare, reload_often

RELOADS = int(os.environ.get("RELOADS", 10))
SECRET = re.compile(rb"hidden-\w+-value")


@pytest.fixture(params=("prefork", "event"))
def crowded(new_httpd, request):
    """A server with all kinds of modules and secrets; not started yet."""
    httpd = new_httpd(mpm=request.param, config=load_lines(request.param) + CONFIG)
    prepare(httpd)
    httpd.environment["DB_PASSWORD"] = "hidden-environment-value"
    return httpd


def shared_memory(pid):
    """What a process shares with others: the content of each such mapping; nothing when it has ended."""
    try:
        maps = processes.mappings(pid)
    except OSError:     # it is gone
        return
    with open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            span, access, *rest = line.split()
            if "s" not in access or "r" not in access or rest[-1].startswith("/memfd:doublemapper"):
                continue
            first, last = (int(end, 16) for end in span.split("-"))
            memory.seek(first)
            try:
                yield line.strip(), memory.read(last - first)
            except OSError:     # beyond the end of its file
                continue


def secrets_of(httpd):
    """Where a secret stands that the recorder has put there."""
    places = [path for folder in ("logs", "run") for path in (httpd.root / folder).iterdir()
              if path.is_file()]
    found = [(str(path), SECRET.findall(path.read_bytes())[:3]) for path in places]
    for pid in httpd.processes():
        found += [(f"{pid} {where}", SECRET.findall(content)[:3])
                  for where, content in shared_memory(pid)]
    for query in ("", "?format=json", "?format=prometheus", "?auto", "?format=csv"):
        found.append((query, SECRET.findall(httpd.get("/pm-status" + query).body)[:3]))
    return [(where, what) for where, what in found if what]


def test_idle_reloads_among_modules_that_keep_things_tell_no_change_and_no_secret(crowded):
    crowded.start()
    found = reload_often(crowded, RELOADS)
    crowded.get("/fail", headers={"Host": "m.example"})
    document.ticked(crowded, 2)
    assert not secrets_of(crowded)
    assert [one["data"]["changes"] for one in loads(found)][1:] == [0] * RELOADS, \
        [one["text"] for one in events(found, "config.changed")]
    assert not events(found, "config.changed")
