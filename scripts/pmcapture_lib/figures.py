# Licensed under the Apache License, Version 2.0; see LICENSE.
"""An incident's figures: in a few words, and as the rows of the impact, each with its field."""
from . import text


# what an incident counts as errors, by its verb
_FAILED = {"failed": "Failed (5xx)", "were refused": "Refused (4xx)", "were redirected": "Redirected (3xx)"}


def without_module(server, zone):
    """A reload took its LoadModule line away, and nobody sees the server any more."""
    return f"httpd runs on without the module since {zone.show(server['unloaded'])}"


def place(incident):
    vhost = incident["scope"]["vhost"]
    return f"virtual host {vhost}" if vhost else "the whole server"


def brief(incident):
    """How bad in a few words: so many of so many failed, or nobody was served."""
    unserved = incident["unserved"]
    said = [f"nobody was served for {text.duration(unserved['seconds'])}"] if unserved else []
    if incident["requests"] or not unserved:
        said.append(f"{text.count(incident['errors'])} of {requests(incident)} {verb(incident)} ({failed_share(incident)})")
    if "slow" in incident["kinds"]:
        said.append(f"{text.count(incident['slow'])} were slow")
    return ", ".join(said)


def verb(incident):
    """What happened to the requests that it counts as errors."""
    return incident.get("verb") or "failed"


def quiet(incident):
    """That nothing fails in it any more, for the end of a line about it."""
    return f"; {incident['quiet']['summary']}" if incident["quiet"] else ""


def bounds(incident):
    """Least and most that the requests may truly be; None where they are known to the request."""
    known, stated = incident["requests_bounds"], incident["requests"]
    if known is None or stated is None or known["least"] is None or known["least"] == known["most"]:
        return None
    return known["least"], known["most"]


def is_narrow(least, most):
    """So close together that one figure, called "about", tells as much; as the server's own sentences have it."""
    return most is not None and most - least <= most / 100


def requests(incident, noun="request"):
    """As in 60 requests, about 6012 requests, 60 to 90 requests, or at least 60 requests."""
    stated, known = incident["requests"], bounds(incident)
    if known is None:
        return text.plural(stated, noun)
    least, most = known
    if most is None:
        return f"at least {text.plural(least, noun)}"
    if is_narrow(least, most):
        return f"about {text.plural(stated, noun)}"
    return f"{text.count(least)} to {text.plural(most, noun)}"


def failed_share(incident):
    """The share of them that failed, no more exact than they are."""
    known, errors = bounds(incident), incident["errors"]
    if known is None or errors is None or (known[1] is not None and is_narrow(*known)):
        return text.share(incident["error_ratio"])
    low, high = (text.share(ratio(errors, whole)) if whole else "unknown" for whole in (known[1], known[0]))
    if known[1] is None:
        return f"at most {high}"
    return high if low == high else f"{low.removesuffix(' %')} to {high}"


def unfinished(document, zone):
    """An outage that goes on has no number in the list yet; without a word the one before it looks like it."""
    server = document["server"]
    if server["state"] != "down" or server["orphaned"]:
        return None
    return (
        f"nobody has been served since {zone.show(server['heartbeat'])}; the next start puts this outage "
        "on record as an incident, until then pmcapture events -n 20 has what led to it"
    )


def pairs(counts):
    return ", ".join(f"{key}: {text.count(n)}" for key, n in counts.items())


def estimate(value, error):
    """A figure with the error that is stated for it, where there is one."""
    return text.count(value) + (f" ± {text.decimal(error)}" if error else "")


def share_estimate(clients):
    error = clients["error"]["affected_ratio"]
    margin = f" ± {text.decimal(error * 100)} points" if error else ""
    return text.share(clients["affected_ratio"]) + margin


def ratio(part, whole):
    return min(part / whole, 1) if part is not None and whole else None


def impact(case):
    """The rows of the impact: what, the figure, the field of the incident that it is."""
    i = case.incident
    rows = [
        ("Duration", text.duration(i["duration"]) + " so far" * case.open, "duration"),
        ("Began", case.when(i["onset"], True), "onset"),
        ("Ended", "still open" if case.open else case.when(i["end"], True), "end"),
        ("Noticed", case.when(i["detected"], True), "detected"),
        ("Requests answered", requests(i).rpartition(" ")[0], "requests, requests_bounds"),
        (_FAILED.get(verb(i), "Not served"), _failed(i), "errors, error_ratio"),
        ("By status", pairs(i["status"]) or "none", "status"),
        ("Slow", text.count(i["slow"]), "slow"),
        *_unserved(i["unserved"]),
        *_clients(i["clients"]),
        ("Peak", _peak(case, i["peak"]), "peak"),
        ("Latency before", _quantiles(i["latency"]["before"]), "latency.before"),
        ("Latency during", _quantiles(i["latency"]["during"]), "latency.during"),
        *_usual(i["before"]),
        *_asked(i["traffic"]),
        *_traffic(case),
    ]
    return [{"what": what, "figure": figure, "field": field} for what, figure, field in rows]


def _of_whole(figure, share):
    return figure if share is None else f"{figure} ({text.share(share)})"


def _failed(incident):
    share = "" if incident["error_ratio"] is None else f" ({failed_share(incident)})"
    return text.count(incident["errors"]) + share


def _unserved(unserved):
    if unserved:
        yield "Nobody served", text.duration(unserved["seconds"]), "unserved.seconds"
        yield (
            "Requests not served (estimate)",
            estimate(unserved["expected_requests"], unserved["error"]),
            "unserved.expected_requests, unserved.error",
        )


def _clients(clients):
    if clients is None:
        yield "Clients", "not counted", "clients"
        return
    error = clients["error"]
    yield "Clients (estimate)", estimate(clients["total"], error["total"]), "clients.total"
    yield (
        "Clients that met an error (estimate)",
        estimate(clients["affected"], error["affected"])
        + (f" ({share_estimate(clients)})" if clients["affected_ratio"] is not None else ""),
        "clients.affected, clients.affected_ratio",
    )


def _peak(case, peak):
    if peak["errors_per_second"] is None:
        return text.UNKNOWN
    if not peak["errors_per_second"]:
        return "none"
    rate = f"{text.decimal(peak['errors_per_second'])} errors a second"
    return f"{_of_whole(rate, peak['error_ratio'])} at {case.when(peak['at'])}"


def _quantiles(quantiles):
    if quantiles["p50"] is None and quantiles["p99"] is None:
        return text.UNKNOWN
    return ", ".join(f"{name} {text.latency(quantiles[name])}" for name in ("p50", "p90", "p99"))


def _usual(before):
    """What the recorder compares with."""
    for name, usual, field in (
        ("Usual before it", before, "before"),
        ("Usual at that time the day before", before and before["day"], "before.day"),
        ("Usual at that time the week before", before and before["week"], "before.week"),
    ):
        if usual:
            rate = text.decimal(usual["requests_per_second"])
            failed, history = text.share(usual["error_ratio"]), text.duration(usual["history"])
            figure = f"{rate} requests a second, {failed} failed, over {history} of record"
            yield name, figure, field


def _asked(traffic):
    """Who asked, since the incident was detected."""
    if not traffic or not traffic["requests"]:
        return
    every, busiest = traffic["requests"], traffic["busiest_client"]
    of = f" of {text.plural(every, 'request')} since it was noticed"
    if busiest:
        share = text.share(ratio(busiest["requests"], every))
        figure = f"{text.count(busiest['requests'])}{of} ({share})"
        yield "Busiest client", f"{busiest['key'] or 'unknown'}: {figure}", "traffic.busiest_client"
    share = text.share(ratio(traffic["monitoring"], every))
    figure = f"{text.count(traffic['monitoring'])}{of} ({share})"
    yield "Health checks and the like", figure, "traffic.monitoring"


def _traffic(case):
    """Requests a second around it, from the rows that are kept."""
    told = []
    for name, rows in case.rows_around().items():
        rows = [r for r in rows if r.get("requests") is not None and r.get("span")]
        seconds = sum(r["span"] for r in rows)
        if seconds > 0:
            rate = sum(r["requests"] for r in rows) / seconds
            told.append(f"{text.decimal(rate)} {name} ({text.duration(seconds)} of record)")
    if told:
        yield "Requests a second, whole server", "; ".join(told), "series"
