"""SIGKILL of everything under load: nothing that was counted is lost."""
import time

from harness import document, processes
from harness.load import Load, failed
from harness.wait import wait_for

# At most so many requests were being counted, but not yet logged, when the workers were killed: as there are workers.
UNDER_WAY = 96


def assert_nothing_missing(final, logged):
    counted = document.status_totals(final)
    for status, number in logged.items():
        assert counted[status] >= number, (status, counted, logged)
    assert sum(counted.values()) - sum(logged.values()) <= UNDER_WAY


def run_until_killed(httpd, seconds=3):
    """Serve good and bad requests, then kill all of httpd in the middle of it."""
    with Load(httpd.port) as load:
        streams = [load.stream("/", rate=60, keepalive=4), load.stream("/", rate=40),
                   load.stream("/fail", rate=20)]
        begin = time.monotonic()
        wait_for(lambda: time.monotonic() > begin + seconds and len(failed(streams[2].sent)) > 20,
                 20, "the load is served")
        document.wait_for_document(httpd, lambda d: [one for one in d["incidents"] if one["state"] == "open"], 20,
                                   "an incident is open")
        httpd.kill()
        for stream in streams:
            stream.stop()


def test_after_killing_everything_no_logged_request_is_missing(new_httpd, mpm):
    httpd = new_httpd(mpm=mpm, config='Redirect 503 "/fail"').start()
    highest_event = highest_incident = 0
    for run in range(2):
        run_until_killed(httpd)
        logged = httpd.access_log.totals()
        dead = document.from_file(httpd.capture)
        document.validate(dead)
        assert_nothing_missing(dead, logged)
        assert dead["server"]["state"] == "down"
        assert len(dead["incidents"]) >= run + 1 or dead["incidents"][0]["state"] == "open"
        again = document.from_file(httpd.capture)
        assert again["totals"] == dead["totals"], "reading changes nothing"

        httpd.start()
        assert httpd.get("/").status == 200
        alive = document.settled(httpd)
        assert_nothing_missing(alive, httpd.access_log.totals())
        assert alive["server"]["state"] == "running"
        assert alive["capture"]["id"] == dead["capture"]["id"]
        assert alive["tick"] > dead["tick"]
        old = {event["seq"]: event for event in dead["events"]}
        new = [event["seq"] for event in alive["events"] if event["seq"] not in old]
        assert new and min(new) > max(old) > highest_event
        assert len(new) == len(set(new))
        highest_event = max(old)
        ids = [incident["id"] for incident in alive["incidents"]]
        assert len(ids) == len(set(ids)) and max(ids) >= highest_incident
        highest_incident = max(ids)
    assert not httpd.said("pmcapture:", "damaged")


def ask_and_wait(httpd, logged):
    """Seven requests, until the log has them all: a request is logged after its reply, and after it was counted."""
    for _ in range(7):
        assert httpd.get("/").status == 200
    wait_for(lambda: httpd.access_log.totals() == {"200": logged}, 20, "all are logged")


def test_what_the_last_run_left_in_memory_is_not_counted_twice_by_later_runs(new_httpd, mpm):
    httpd = new_httpd(mpm=mpm).start()
    for run in (1, 2):
        ask_and_wait(httpd, 7 * run)
        httpd.kill()
        httpd.start()
    for _ in range(2):
        httpd.stop()
        httpd.start()
    assert document.status_totals(document.settled(httpd)) == httpd.access_log.totals() == {"200": 14}


def test_a_start_beside_the_recorders_of_a_killed_server_loses_nothing(new_httpd, mpm):
    """The parent and its workers are killed, the recorders not: they still have the lease."""
    httpd = new_httpd(mpm=mpm).start()
    for run in (1, 2):
        ask_and_wait(httpd, 7 * run)
        recorders = httpd.recorders()
        for pid in [httpd.parent, *(pid for pid in httpd.processes() if pid not in recorders)]:
            processes.kill(pid)
        wait_for(lambda: set(httpd.processes()) <= set(recorders), 10, "only recorders are left")
        httpd.pid_file.unlink(missing_ok=True)
        httpd.start()
    assert httpd.get("/").status == 200
    document.wait_for_document(httpd, lambda d: d["server"]["pid"] == httpd.parent, 10,
                               "one of the new recorders has the lease, not the old ones' stand-by")
    assert document.status_totals(document.settled(httpd)) == httpd.access_log.totals()
    assert not set(recorders) & set(httpd.processes()), "those of dead runs are gone"


def test_orphans_of_a_killed_parent_are_still_counted(new_httpd, mpm):
    httpd = new_httpd(mpm=mpm).start()
    for _ in range(5):
        httpd.get("/")
    processes.kill(httpd.parent)
    wait_for(lambda: not processes.alive(httpd.parent), 10, "the parent is dead")
    with Load(httpd.port) as load:
        sent = load.stream("/", rate=20, count=40).wait()
    served = sum(one.status == 200 for one in sent)
    assert served, "the orphans go on answering"
    httpd.kill()
    dead = document.from_file(httpd.capture)
    assert_nothing_missing(dead, httpd.access_log.totals())


def test_a_damaged_region_with_the_next_runs_name_is_passed_over(new_httpd):
    httpd = new_httpd().start()
    region, = httpd.runtime.glob("*.live")
    stem, run = region.stem.rsplit("-", 1)
    httpd.stop()
    for number in range(int(run) + 1, int(run) + 9):     # more than are mapped at one time
        (httpd.runtime / f"{stem}-{number}.live").write_bytes(b"\xff" * 8192)
    httpd.start()
    assert not httpd.said("Nothing is recorded")
    assert httpd.get("/").status == 200
    assert document.status_totals(document.settled(httpd)) == httpd.access_log.totals()
