# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Capture documents as the server makes them: an outage whose truth the tests know."""
from datetime import datetime, timedelta, timezone

ONSET = datetime(2026, 11, 20, 21, 30, 5, 123000, tzinfo=timezone.utc)
END = ONSET + timedelta(seconds=132, milliseconds=400)
GENERATED = ONSET + timedelta(minutes=10)
COLUMNS = ["time", "span", "requests", "errors", "bytes", "p50", "p99", "busy", "idle"]


def stamp(at):
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z"


def after(seconds):
    return stamp(ONSET + timedelta(seconds=seconds))


def quantiles(p50, p90, p99, highest=None):
    made = {"p50": p50, "p90": p90, "p99": p99}
    return made if highest is None else {**made, "max": highest}


def event(seq, seconds, name, text, severity="info", **data):
    return {
        "seq": seq,
        "at": after(seconds),
        "type": name,
        "severity": severity,
        "text": text,
        "data": data,
    }


CHANGED = event(
    41,
    -14.2,
    "config.changed",
    "1 directive was changed in sites-enabled/api.conf",
    "warning",
    added=[
        {
            "directive": "ProxyPass",
            "args": '"/api" "http://127.0.0.1:9001/"',
            "container": "<VirtualHost *:80>",
            "file": "/etc/apache2/sites-enabled/api.conf",
            "line": 14,
        }
    ],
    removed=[
        {
            "directive": "ProxyPass",
            "args": '"/api" "http://127.0.0.1:9000/"',
            "container": "<VirtualHost *:80>",
            "file": "/etc/apache2/sites-enabled/api.conf",
            "line": 14,
        }
    ],
)
RELOADED = event(
    42,
    -14.1,
    "config.reload",
    "The configuration was reloaded gracefully, generation 3",
    kind="graceful",
    generation=3,
)
REVERTED = event(
    45,
    131.9,
    "config.reload",
    "The configuration was reloaded gracefully, generation 4",
    kind="graceful",
    generation=4,
)


def events():
    return [
        event(1, -86400, "server.start", "Apache/2.4.71 started with pid 4242"),
        event(2, -86399, "config.load", "The configuration was loaded, generation 1"),
        CHANGED,
        RELOADED,
        event(
            43,
            9.1,
            "incident.open",
            "Incident 7 opened: errors on api.example.org",
            "critical",
            incident=7,
        ),
        event(
            44,
            20,
            "error_log",
            "AH00957: http: attempt to connect to 127.0.0.1:9001 failed",
            "critical",
        ),
        REVERTED,
        event(46, 193, "incident.close", "Incident 7 closed after 2 min 12 s", incident=7),
    ]


def impact(what, figure, field, at=None):
    return {"what": what, "figure": figure, "at": at, "field": field}


def incident(**changes):
    made = {
        "id": 7,
        "state": "closed",
        "kinds": ["errors", "slow"],
        "scope": {"vhost": "api.example.org:80"},
        "onset": after(0),
        "detected": after(9.1),
        "end": after(132.4),
        "duration": 132.4,
        "quiet": None,
        "summary": "1204 of 8310 requests (14 %) failed, most with 503; 37 of 8310 requests (0.4 %) were slow on "
        "api.example.org:80 in 2 min 12 s; about 312 of 1050 clients (30 %) met an error",
        "words": {
            "title": "503 errors and slow requests on api.example.org:80",
            "duration": "2 min 12 s",
            "requests": "8310",
            "failed_share": "14 %",
        },
        "impact": [
            impact("Duration", "2 min 12 s", "duration"),
            impact("Began", None, "onset", after(0)),
            impact("Ended", None, "end", after(132.4)),
            impact("Noticed", None, "detected", after(9.1)),
            impact("Requests answered", "8310", "requests, requests_bounds"),
            impact("Failed (5xx)", "1204 (14 %)", "errors, error_ratio"),
            impact("By status", "503: 1190, 502: 14", "status"),
            impact("Slow", "37", "slow"),
            impact("Clients (estimate)", "1050 ± 24", "clients.total"),
            impact("Peak", "48.0 errors a second (62 %)", "peak", after(36)),
            impact("Latency before", "p50 4.0 ms, p90 12 ms, p99 40 ms", "latency.before"),
            impact("Busiest client", "198.51.100.0/24: 240 of 8000 requests since it was noticed (3.0 %)",
                   "traffic.busiest_client"),
        ],
        "requests": 8310,
        "requests_bounds": {"least": 8310, "most": 8310},
        "errors": 1204,
        "error_ratio": 0.144886,
        "slow": 37,
        "status": {"503": 1190, "502": 14},
        "unserved": None,
        "peak": {"at": after(36), "errors_per_second": 48, "error_ratio": 0.62},
        "clients": {
            "total": 1050.4,
            "affected": 312.2,
            "affected_ratio": 0.2972,
            "error": {"total": 24.1, "affected": 7.2, "affected_ratio": 0.0093},
        },
        "latency": {"before": quantiles(0.004, 0.012, 0.040), "during": quantiles(0.006, 1.8, 5.2)},
        "breakdown": {
            "vhost": [
                {
                    "key": "api.example.org:80",
                    "defined": "/etc/apache2/sites-enabled/api.conf:3",
                    "requests": 8310,
                    "errors": 1204,
                }
            ],
            "route": [
                {"key": "/api/login", "requests": None, "errors": 1100},
                {"key": "/api/users/{id}", "requests": 900, "errors": 104, "error_ratio": 0.08},
            ],
            "host": [{"key": "api.example.org", "requests": None, "errors": 1204}],
            "backend": [
                {
                    "key": "http://127.0.0.1:9001",
                    "requests": None,
                    "errors": 1204,
                    "failure": {"refused": 1190, "timeout": 14, "answered": 0},
                }
            ],
            "error_log": [
                {
                    "key": "AH00957",
                    "count": 1190,
                    "first_seen": after(0.002),
                    "sample": "AH00957: http: attempt to connect to 127.0.0.1:9001 failed",
                }
            ],
            "client": [
                {"key": "192.0.2.0/24", "clients": 3, "requests": 400, "errors": 250},
                {"key": "198.51.100.0/24", "clients": 1, "requests": 240, "errors": 2},
            ],
            "basis": "Requests of a virtual host are all from onset to end; of others since detection.",
        },
        "traffic": {
            "requests": 8000,
            "monitoring": 800,
            "busiest_client": {"key": "198.51.100.0/24", "requests": 240},
        },
        "samples": [
            {
                "at": after(0),
                "status": 503,
                "method": "POST",
                "uri": "/api/login",
                "host": "api.example.org",
                "vhost": "api.example.org:80",
                "backend": "http://127.0.0.1:9001",
                "client": "192.0.2.0/24",
                "latency": 0.0021,
                "request_id": "aL0Jx38AAQEAAB",
            }
        ],
        "changes": [RELOADED, CHANGED, REVERTED],
        "causes": [
            {
                "rank": 1,
                "kind": "config.changed",
                "at": CHANGED["at"],
                "seconds_before_onset": 14.2,
                "summary": "ProxyPass /api now points to http://127.0.0.1:9001/ (14 s before the onset)",
                "statement": "ProxyPass /api now points to http://127.0.0.1:9001/",
                "nearness": "14 s before the onset",
                "evidence": [41, 42],
            },
            {
                "rank": 2,
                "kind": "backend",
                "at": after(0),
                "seconds_before_onset": 0,
                "summary": "1190 of 1204 failures were refused by http://127.0.0.1:9001",
                "statement": "1190 of 1204 failures were refused by http://127.0.0.1:9001",
                "nearness": "at the onset",
                "evidence": [44],
            },
        ],
        "ruled_out": [
            {
                "hypothesis": "traffic_surge",
                "summary": "62.8 requests a second against 61.9 in the hour before",
            }
        ],
        "not_watched": [{"hypothesis": "crashes", "summary": "worker processes were not watched"}],
        "timeline": [
            {"at": CHANGED["at"], "kind": "config.changed", "text": CHANGED["text"]},
            {"at": RELOADED["at"], "kind": "config.reload", "text": RELOADED["text"]},
            {
                "at": after(0),
                "kind": "onset",
                "text": "The first request of the incident that failed arrived",
            },
            {"at": after(9.1), "kind": "detected", "text": "The recorder opened the incident"},
            {"at": after(36), "kind": "peak", "text": "48 errors in this second"},
            {"at": after(60), "kind": "gap", "text": "Nothing on record for 3 s"},
            {"at": REVERTED["at"], "kind": "config.reload", "text": REVERTED["text"]},
            {"at": after(132.4), "kind": "end", "text": "The last request that failed completed"},
        ],
    }
    return {**made, **changes}


def earlier():
    """The incident before it: nobody was served."""
    return incident(
        id=6,
        kinds=["down"],
        summary="Nobody was served for 1 min 30 s, in which about 5580 (± 310) requests were expected",
        words={"title": "Server down", "duration": "1 min 30 s", "requests": "0", "failed_share": None},
        impact=[impact("Nobody served", "1 min 30 s", "unserved.seconds")],
        scope={"vhost": None},
        onset=after(-7200),
        detected=after(-7100),
        end=after(-7110),
        duration=90,
        requests=0,
        errors=0,
        error_ratio=None,
        slow=0,
        status={},
        clients=None,
        unserved={"seconds": 90, "expected_requests": 5580, "error": 310},
        samples=[],
        changes=[],
        causes=[],
        peak={"at": None, "errors_per_second": None, "error_ratio": None},
        ruled_out=[],
        latency={"before": quantiles(None, None, None), "during": quantiles(None, None, None)},
        breakdown={"vhost": [], "route": [], "host": [], "backend": [], "error_log": []},
        timeline=[
            {
                "at": after(-7200),
                "kind": "onset",
                "text": "The last second in which the server was alive",
            },
            {"at": after(-7110), "kind": "end", "text": "The next run answered its first request"},
        ],
    )


def still_open():
    return incident(
        state="open",
        end=None,
        duration=594.9,
        words={**incident()["words"], "duration": "9 min 54 s"},
        timeline=incident()["timeline"][:5],
        changes=[RELOADED, CHANGED],
    )


def row(second):
    failing = 0 <= second < 132
    return [after(second), 1, 62, 9 if failing else 0, 62000, 0.004, 0.04, 12, 388]


def document(**changes):
    made = {
        "schema": "pmcapture.v1",
        "generated": stamp(GENERATED),
        "tick": 90005,
        "capture": {
            "id": "3f2a" * 8,
            "path": "/var/log/apache2/pmcapture.pmc",
            "created": after(-86400),
            "oldest_second": after(-7200),
            "events_lost": 0,
            "notices": [],
        },
        "server": {
            "host": "web1.example.org",
            "software": "Apache/2.4.71 (Debian)",
            "mpm": "event",
            "module_version": "0.1.0",
            "pid": 4242,
            "started": after(-86400),
            "generation": 4,
            "config_loaded": REVERTED["at"],
            "heartbeat": after(599),
            "boot_id": "b00t-1d",
            "orphaned": False,
            "state": "running",
        },
        "totals": {
            "requests": 5400000,
            "errors": 1204,
            "bytes": 5400000000,
            "status": {"200": 5398796, "503": 1190, "502": 14},
            "latency": quantiles(0.004, 0.012, 0.041, 60.2),
        },
        "workers": {"busy": 12, "idle": 388, "limit": 400},
        "in_flight": {"requests": 11, "oldest": 0.4},
        "incidents": [earlier(), incident()],
        "last_change": REVERTED,
        "last_crash": None,
        "events": events(),
        "series": {"resolution": 1, "columns": COLUMNS, "rows": [row(s) for s in range(-120, 600)]},
    }
    return {**made, **changes}
