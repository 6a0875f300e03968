"""The capture document: read it from the handler or from the file, and look things up in it."""
import json
import subprocess
from collections import Counter
from datetime import datetime
from functools import lru_cache

import jsonschema

from .paths import PMDUMP, SCHEMA
from .wait import crowd, wait_for


def pmdump(path, *arguments, timeout=60):
    """Run pmdump; the result has returncode, stdout, stderr."""
    return subprocess.run([PMDUMP, *arguments, path], capture_output=True, timeout=timeout * crowd())


def from_file(path, *arguments):
    """The document of a capture file, which must be readable."""
    return parse(bytes_of_file(path, *arguments))


def bytes_of_file(path, *arguments):
    done = pmdump(path, *arguments)
    said = done.stderr.decode(errors="replace")
    assert done.returncode == 0, f"pmdump {path}: {done.returncode} {said}"
    return done.stdout


def from_handler(httpd, query=""):
    return parse(bytes_of_handler(httpd, query))


def bytes_of_handler(httpd, query=""):
    reply = httpd.get(f"/pm-status?format=json{query}")
    assert reply.status == 200, reply.text
    return reply.body


def parse(data):
    """Strict: valid UTF-8, no NaN, no key twice."""
    def unique(pairs):
        names = [name for name, _ in pairs]
        assert len(names) == len(set(names)), f"a key stands twice in {names}"
        return dict(pairs)

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(data.decode("utf-8"), object_pairs_hook=unique, parse_constant=refuse)


@lru_cache
def _validator():
    schema = json.loads(SCHEMA.read_text())
    kind = jsonschema.validators.validator_for(schema)
    kind.check_schema(schema)
    return kind(schema)


def validate(document):
    problems = [f"{problem.json_path}: {problem.message[:300]}"
                for problem in _validator().iter_errors(document)]
    assert not problems, "\n".join(problems[:20])


def seconds(text):
    """RFC 3339 to seconds since 1970; None stays None."""
    return text and datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def status_totals(document):
    return Counter(document["totals"]["status"])


def settled(httpd, ticks=2, limit=30):
    """The file's document when all that the access log has must be in it.

    That is so when the recorder ticked twice since the log last grew and nothing is in flight.
    """
    mark = [None, 0]        # size of the log, tick at which it was first seen

    def quiet():
        document = from_file(httpd.capture)
        if httpd.access_log.size() != mark[0]:
            mark[:] = httpd.access_log.size(), document["tick"]
        at_rest = document["in_flight"]["requests"] == 0
        return document if at_rest and document["tick"] >= mark[1] + ticks else None

    return wait_for(quiet, limit, "the recorder has folded everything in", 0.2)


def events(document, *types):
    return [event for event in document["events"] if not types or event["type"] in types]


def wait_for_document(httpd, fact, limit, what):
    """Poll the file until `fact(document)`; gives the document."""
    def holds():
        document = from_file(httpd.capture)
        return document if fact(document) else None

    return wait_for(holds, limit, what, 0.2)


def ticked(httpd, ticks, limit=30):
    """The file's document after so many more ticks of the recorder."""
    first = from_file(httpd.capture)["tick"]
    return wait_for_document(httpd, lambda found: found["tick"] >= first + ticks, limit,
                             f"{ticks} more ticks")


def wait_closed(httpd, count=1, limit=20):
    """Until `count` incidents are there and none is open."""
    def closed(document):
        states = [incident["state"] for incident in document["incidents"]]
        return len(states) >= count and set(states) == {"closed"}

    wait_for_document(httpd, closed, limit, f"{count} incidents closed")
    return ticked(httpd, 1)     # a tick writes incidents before the rest: the next one's document has all of it


def ways(backend):
    """How a backend of a breakdown failed: the ways that were counted, without those that were not."""
    return {way: times for way, times in backend["failure"].items() if times}
