# Licensed under the Apache License, Version 2.0; see LICENSE.
"""An incident's figures, as the server words them: in a line, and as the rows of the impact."""
from . import text

UNSERVED = {"down", "stopped"}  # kinds in which there is no server
STOPPED = 60  # seconds after an orderly stop that are worth a word


def without_module(server, zone):
    """A reload took its LoadModule line away, and nobody sees the server any more."""
    return f"httpd runs on without the module since {zone.show(server['unloaded'])}"


def brief(incident):
    """How bad, and that nothing fails in it any more, for the end of a line about it."""
    quiet = f"; {incident['quiet']['summary']}" if incident["quiet"] else ""
    return f"{incident['summary'] or text.UNKNOWN}{quiet}"


def unfinished(document, zone):
    """An outage that goes on has no number in the list yet; without a word the one before it looks like it."""
    server = document["server"]
    told = [i for i in document.incidents if i["state"] != "closed" and UNSERVED.intersection(i["kinds"])]
    if told and server["state"] in UNSERVED and not server["orphaned"]:
        return f"nobody has been served since {zone.show(server['heartbeat'])}: incident {told[-1]['id']} goes on"
    if server["state"] == "stopped" and server["heartbeat"] and document["generated"]:
        lasts = (document["generated"] - server["heartbeat"]).total_seconds()
        if lasts < STOPPED:
            return None
        return f"nobody has been served for {text.duration(lasts)}: httpd was stopped, and not started again"
    if server["state"] != "down" or server["orphaned"]:
        return None
    return (
        f"nobody has been served since {zone.show(server['heartbeat'])}; the next start puts this outage "
        "on record as an incident, until then pmcapture events -n 20 has what led to it"
    )


def pairs(counts):
    return ", ".join(f"{key}: {text.count(n)}" for key, n in counts.items())


def ratio(part, whole):
    return min(part / whole, 1) if part is not None and whole else None


def impact(case):
    """The server's rows with times in the zone, and what the series says around it."""
    rows = [
        {"what": r["what"] or "", "figure": _at(case, r), "field": r["field"] or ""} for r in case.incident["impact"]
    ]
    return rows + [{"what": what, "figure": figure, "field": field} for what, figure, field in _traffic(case)]


def _at(case, row):
    if row["figure"] is None:
        return case.when(row["at"], True)
    return row["figure"] + (f" at {case.when(row['at'])}" if row["at"] else "")


def _traffic(case):
    """Requests a second around it, from the rows that are kept."""
    told = []
    for name, rows in case.rows_around().items():
        rows = [r for r in rows if r.get("requests") is not None and r.get("span")]
        seconds = sum(r["span"] for r in rows)
        if seconds > 0:
            rate = sum(r["requests"] for r in rows) / seconds
            told.append(f"{text.rate(rate)} {name} ({text.duration(seconds)} of record)")
    if told:
        yield "Requests a second, whole server", "; ".join(told), "series"
