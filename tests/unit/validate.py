"""Is what stands on standard input what it should be? Exit 0, or 1 with the reasons.

validate.py SCHEMA       JSON, by that JSON Schema
validate.py openmetrics  OpenMetrics 1.0, by the Prometheus client's strict parser
validate.py html         a page whose tags are balanced, without scripts, that loads nothing
validate.py csv          RFC 4180: lines end with CRLF and have as many cells as the first, no formula
"""
import csv
import html.parser
import io
import json
import sys


def schema_problems(data, schema_file):
    import jsonschema
    with open(schema_file, encoding="utf-8") as file:
        schema = json.load(file)
    kind = jsonschema.validators.validator_for(schema)
    kind.check_schema(schema)
    for problem in kind(schema).iter_errors(json.loads(data)):
        yield f"{problem.json_path}: {problem.message[:300]}"
        for inner in problem.context or []:
            yield f"    {inner.json_path}: {inner.message[:200]}"


def openmetrics_problems(data):
    from prometheus_client.openmetrics.parser import text_string_to_metric_families
    try:
        list(text_string_to_metric_families(data))
    except ValueError as problem:
        yield str(problem)


class Page(html.parser.HTMLParser):
    VOID = {"meta", "link", "path", "rect"}  # the last two are closed in their own tag
    FORBIDDEN = {"script", "img", "iframe", "object", "embed", "form", "base"}

    def __init__(self):
        super().__init__()
        self.problems, self.open = [], []

    def handle_starttag(self, tag, attributes):
        if tag in self.FORBIDDEN:
            self.problems.append(f"a <{tag}>")
        for name, value in attributes:
            local = name != "href" or value.startswith("?") or value == "data:,"
            if name.startswith("on") or name in ("src", "style", "action") or not local:
                self.problems.append(f"<{tag} {name}={value!r}>")
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in self.VOID and (not self.open or self.open.pop() != tag):
            self.problems.append(f"</{tag}> closes nothing, line {self.getpos()[0]}")


def html_problems(data):
    page = Page()
    page.feed(data)
    page.close()
    yield from page.problems
    yield from (f"<{tag}> is left open" for tag in page.open)


def csv_problems(data):
    if not data.endswith("\r\n") or data.replace("\r\n", "").count("\n"):
        yield "lines do not end with CRLF"
    rows = list(csv.reader(io.StringIO(data, newline=""), strict=True))
    for row in rows:
        if len(row) != len(rows[0]):
            yield f"{len(row)} cells instead of {len(rows[0])}: {row}"
        yield from (f"a formula: {cell!r}" for cell in row if cell[:1] in tuple("=+-@\t\r") and cell)


def main(what):
    data = sys.stdin.buffer.read().decode("utf-8")
    checks = {"openmetrics": openmetrics_problems, "html": html_problems, "csv": csv_problems}
    problems = list(checks[what](data) if what in checks else schema_problems(data, what))
    print("\n".join(problems[:40]), file=sys.stderr)
    return 1 if problems else 0


sys.exit(main(sys.argv[1]))
