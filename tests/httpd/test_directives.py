"""Directives: a bad value is a configuration error that says what is accepted; a good one works."""
import re

import pytest

from harness import document
from harness.document import wait_closed
from harness.load import Load
from harness.wait import wait_for

# directive, arguments, the value that the message must name, words that say what is accepted
BAD = [
    ("PMCapture", "Maybe", "Maybe", ["On", "Off"]),
    ("PMCaptureQuery", "Maybe", "Maybe", ["On", "Off"]),
    ("PMCaptureBurst", "errors=0", "0", ["errors"]),
    ("PMCaptureBurst", "errors=-3", "-3", ["errors"]),
    ("PMCaptureBurst", "errors=ten", "ten", ["errors"]),
    ("PMCaptureBurst", "errors=10x", "10x", ["errors"]),
    ("PMCaptureBurst", "errors=99999999999999999999", "99999999999999999999", ["errors"]),
    ("PMCaptureBurst", "errors=", "errors=", ["errors"]),
    ("PMCaptureBurst", "errors", "errors", ["errors="]),
    ("PMCaptureBurst", "ratio=0%", "0%", ["ratio", "%"]),
    ("PMCaptureBurst", "ratio=101%", "101%", ["ratio", "%"]),
    ("PMCaptureBurst", "ratio=-5%", "-5%", ["ratio", "%"]),
    ("PMCaptureBurst", "ratio=nan%", "nan%", ["ratio", "%"]),
    ("PMCaptureBurst", "clients=300%", "300%", ["clients", "%"]),
    ("PMCaptureBurst", "window=0", "0", ["window"]),
    ("PMCaptureBurst", "window=121", "121", ["window", "120"]),
    ("PMCaptureBurst", "clear=0", "0", ["clear"]),
    ("PMCaptureBurst", "clear=86401", "86401", ["clear"]),
    ("PMCaptureBurst", "bogus=1", "bogus", ["errors", "ratio", "window", "clear"]),
    ("PMCaptureBurst", "Off", "Off", ["errors"]),
    ("PMCaptureBurst", "errors=5 errors=5 wat", "wat", ["errors"]),
    ("PMCaptureServed", "ratio=0%", "0%", ["ratio", "%"]),
    ("PMCaptureServed", "clients=0", "0", ["clients=N"]),
    ("PMCaptureServed", "window=36001s", "36001s", ["window", "36000"]),
    ("PMCaptureServed", "clear=never", "never", ["clear"]),
    ("PMCaptureServed", "sometimes", "sometimes", ["Off", "ratio", "clients", "window", "clear"]),
    ("PMCaptureSlow", "threshold=0", "0", ["threshold"]),
    ("PMCaptureSlow", "threshold=-1s", "-1s", ["threshold"]),
    ("PMCaptureSlow", "threshold=5parsecs", "5parsecs", ["threshold", "ms"]),
    ("PMCaptureSlow", "ratio=200%", "200%", ["ratio", "%"]),
    ("PMCaptureSlow", "requests=0", "0", ["requests"]),
    ("PMCaptureSlow", "window=9999", "9999", ["window"]),
    ("PMCaptureSlow", "clear=never", "never", ["clear"]),
    ("PMCaptureSlow", "Maybe", "Maybe", ["Off"]),
    ("PMCaptureRetention", "seconds=0", "0", ["seconds"]),
    ("PMCaptureRetention", "seconds=2fortnights", "2fortnights", ["seconds"]),
    ("PMCaptureRetention", "minutes=-7d", "-7d", ["minutes"]),
    ("PMCaptureRetention", "incidents=0", "0", ["incidents"]),
    ("PMCaptureRetention", "incidents=many", "many", ["incidents"]),
    ("PMCaptureRetention", "incidents=999999999999", "999999999999", ["incidents"]),
    ("PMCaptureRetention", "events=0", "0", ["events"]),
    ("PMCaptureRetention", "events=999999999999", "999999999999", ["events"]),
    ("PMCaptureRetention", "seconds=99999999999d", "99999999999d", ["seconds"]),
    ("PMCaptureRetention", "weeks=1", "weeks", ["seconds", "minutes", "incidents", "events"]),
    ("PMCaptureClients", "some", "some", ["full", "masked", "hashed", "off"]),
    ("PMCaptureSamples", "-1", "-1", ["256"]),
    ("PMCaptureSamples", "257", "257", ["256"]),
    ("PMCaptureSamples", "a-few", "a-few", ["256"]),
]


@pytest.mark.parametrize("directive,arguments,value,accepted", BAD,
                         ids=lambda part: part if isinstance(part, str) else "")
def test_a_bad_value_is_an_error_that_names_directive_value_and_what_is_accepted(
        new_httpd, directive, arguments, value, accepted):
    httpd = new_httpd(pm=f"{directive} {arguments}")
    httpd.write_config()
    done = httpd.command("-t")
    assert done.returncode != 0
    for word in [directive, value, *accepted]:
        assert word in done.output, done.output
    assert str(httpd.conf) in done.output
    assert not httpd.capture.exists(), "a check creates nothing"


@pytest.mark.parametrize("directive", ["PMCaptureFile", "PMCaptureClients", "PMCaptureSamples",
                                       "PMCaptureBurst", "PMCaptureRetention", "PMCapture"])
def test_a_directive_without_its_argument_is_an_error(new_httpd, directive):
    httpd = new_httpd(pm=directive)
    httpd.write_config()
    done = httpd.command("-t")
    assert done.returncode != 0 and directive in done.output


SERVER_ONLY = ["PMCaptureFile x.pmc", "PMCaptureRetention seconds=1h", "PMCaptureClients full",
               "PMCaptureSamples 3", "PMCaptureSlow Off"]


@pytest.mark.parametrize("line", SERVER_ONLY)
def test_a_directive_of_the_server_is_refused_inside_a_location(new_httpd, line):
    httpd = new_httpd(pm=f'<Location "/x">\n{line}\n</Location>')
    httpd.write_config()
    done = httpd.command("-t")
    assert done.returncode != 0
    assert line.split()[0] in done.output


GOOD = """
PMCapture On
PMCaptureBurst errors=1 ratio=0.5% clients=30% window=1 clear=1
PMCaptureBurst window=120 clear=86400 ratio=100%
PMCaptureSlow threshold=250ms ratio=10% requests=1 window=120 clear=5
PMCaptureSlow Off
PMCaptureSlow threshold=2s
PMCaptureRetention seconds=10m minutes=1d incidents=20 events=512
PMCaptureClients hashed
PMCaptureClients OFF
PMCaptureQuery On
PMCaptureSamples 0
PMCaptureSamples 256
PMCaptureFile logs/pmcapture.pmc
"""


def test_every_documented_value_is_accepted(new_httpd):
    httpd = new_httpd(pm=GOOD).start()
    assert httpd.get("/").status == 200
    document.validate(document.settled(httpd))


def test_a_second_different_capture_file_is_an_error(new_httpd):
    httpd = new_httpd(pm="PMCaptureFile logs/other.pmc")
    httpd.write_config()
    done = httpd.command("-t")
    assert done.returncode != 0
    for word in ("PMCaptureFile", "logs/other.pmc", "logs/pmcapture.pmc"):
        assert word in done.output, done.output
    inside = new_httpd(config="<VirtualHost *:*>\nPMCaptureFile logs/other.pmc\n</VirtualHost>")
    inside.write_config()
    assert inside.command("-t").returncode != 0


def test_the_same_capture_file_by_another_spelling_is_no_error(new_httpd):
    httpd = new_httpd()
    httpd.pm += f'PMCaptureFile "{httpd.capture}"\n'
    httpd.start()
    assert httpd.get("/").status == 200


def test_a_path_whose_variable_is_not_defined_is_not_used(new_httpd):
    httpd = new_httpd(capture="logs/${PM_NOT_DEFINED}.pmc").start()
    assert httpd.get("/").status == 200
    assert list((httpd.root / "logs").glob("*.pmc*")) == []
    assert httpd.said("pmcapture:", "PMCaptureFile")


def test_a_path_with_a_defined_variable_is_used(new_httpd):
    httpd = new_httpd(capture="logs/${PM_NAME}.pmc")
    httpd.environment["PM_NAME"] = "named"
    httpd.start()
    assert (httpd.root / "logs/named.pmc").exists()


def test_without_a_capture_file_the_last_minutes_are_kept_in_memory(new_httpd, mpm):
    httpd = new_httpd(mpm=mpm, capture=None, config='Redirect 503 "/fail"').start()
    assert httpd.said("pmcapture:", "PMCaptureFile")
    with Load(httpd.port) as load:
        load.stream("/", rate=20, source=lambda n: f"127.0.3.{1 + n % 8}")
        load.stream("/fail", rate=40, count=30,
                    source=lambda n: f"127.0.4.{1 + n % 8}").wait()

        def seen():
            final = document.from_handler(httpd)
            counted = final["totals"]["status"].get("503") == 30
            return final if final["incidents"] and counted else None

        final = wait_for(seen, 10, "the incident is there", 0.2)
    document.validate(final)
    assert final["capture"]["path"] not in (None, str(httpd.root / "logs/pmcapture.pmc"))
    httpd.stop()
    assert list((httpd.root / "logs").glob("*.pmc*")) == []


def test_the_file_never_grows_beyond_the_size_it_was_made_with(new_httpd):
    httpd = new_httpd(pm="PMCaptureRetention seconds=60s minutes=60m incidents=2 events=64\n"
                      "PMCaptureBurst errors=3 window=1 clear=1\nPMCaptureSlow Off\n",
                      config='Redirect 503 "/fail"').start()
    size = httpd.capture.stat().st_size
    assert httpd.capture.stat().st_mode & 0o777 == 0o640
    with Load(httpd.port) as load:
        load.stream("/", rate=20, source=lambda n: f"127.0.3.{1 + n % 8}")
        for number in range(1, 4):
            load.stream("/fail", rate=40, count=20,
                        source=lambda n: f"127.0.4.{1 + n % 8}").wait()
            wait_closed(httpd, count=min(number, 2))
    final = document.settled(httpd)
    assert httpd.capture.stat().st_size == size
    assert len(final["incidents"]) == 2, "the oldest was dropped"
    assert len(final["series"]["rows"]) >= 3
    assert document.status_totals(final) == httpd.access_log.totals()


def sampled(new_httpd, pm, path="/fail?user=alice"):
    """Samples of an incident under the given directives."""
    httpd = new_httpd(pm=pm + "\nPMCaptureBurst errors=5 window=10 clear=2\nPMCaptureSlow Off\n",
                      config='Redirect 503 "/fail"').start()
    with Load(httpd.port) as load:
        load.stream(path, rate=40, count=20, source=lambda n: f"127.9.{n % 5}.{1 + n}").wait()
        load.stream("/", rate=20, source=lambda n: f"127.0.3.{1 + n % 8}")
        final = wait_closed(httpd)
    document.validate(final)
    raw = httpd.capture.read_bytes()
    return final["incidents"][0], raw


def test_by_default_samples_hold_masked_addresses_and_no_query(new_httpd):
    incident, raw = sampled(new_httpd, "")
    assert len(incident["samples"]) == 20
    for sample in incident["samples"]:
        assert re.fullmatch(r"127\.9\.\d\.0/24", sample["client"])
        assert sample["uri"] == "/fail" and sample["status"] == 503 and sample["method"] == "GET"
    assert b"alice" not in raw and b"127.9.3.4" not in raw


def test_full_clients_and_queries_are_kept_when_they_are_asked_for(new_httpd):
    incident, _ = sampled(new_httpd, "PMCaptureClients full\nPMCaptureQuery On")
    assert {sample["client"] for sample in incident["samples"]} == {
        f"127.9.{n % 5}.{1 + n}" for n in range(20)}
    assert {sample["uri"] for sample in incident["samples"]} == {"/fail?user=alice"}


def test_hashed_clients_can_be_told_apart_but_not_read(new_httpd):
    incident, raw = sampled(new_httpd, "PMCaptureClients hashed")
    clients = {sample["client"] for sample in incident["samples"]}
    assert len(clients) == 20
    assert all(re.fullmatch(r"#[0-9a-f]{16}", client) for client in clients)
    assert b"127.9." not in raw


def test_with_clients_off_no_client_is_kept_or_counted(new_httpd):
    incident, raw = sampled(new_httpd, "PMCaptureClients off")
    assert incident["clients"] is None
    assert not any(sample["client"] for sample in incident["samples"])
    assert b"127.9." not in raw


def test_as_many_samples_are_kept_as_asked_for(new_httpd):
    assert len(sampled(new_httpd, "PMCaptureSamples 4")[0]["samples"]) == 4
    assert sampled(new_httpd, "PMCaptureSamples 0")[0]["samples"] == []
