"""The access log: the server's own account of every request, the truth for all counts."""
from collections import Counter
from dataclasses import dataclass

# A tab cannot stand in a logged value: httpd writes it as \t.
FIELDS = ["%{begin:usec}t", "%{end:usec}t", "%D", "%>s", "%B", "%X", "%H", "%v", "%a", "%m",
          "%{Host}i", "%r"]
LOG_FORMAT = "\\t".join(FIELDS)


@dataclass
class Entry:
    begin: float        # arrival, seconds since 1970
    end: float          # completion
    duration: float
    status: str
    bytes: int
    connection: str     # X aborted, + kept alive, - closed
    protocol: str
    vhost: str
    client: str
    method: str
    host: str
    request: str


def _entry(line):
    begin, end, duration, status, size, *rest = line.split("\t")
    return Entry(int(begin) / 1e6, int(end) / 1e6, int(duration) / 1e6, status, int(size), *rest)


class AccessLog:
    def __init__(self, path):
        self.path = path

    def entries(self):
        """Every complete line; one that a kill cut in two does not count as written."""
        try:
            text = self.path.read_text(encoding="latin-1")
        except FileNotFoundError:
            return []
        return [_entry(line) for line in text.split("\n")[:-1]]

    def size(self):
        return self.path.stat().st_size if self.path.exists() else 0

    def totals(self):
        """{"200": 17, "404": 3}"""
        return Counter(entry.status for entry in self.entries())
