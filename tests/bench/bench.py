#!/usr/bin/python3
"""make bench: what the recorder costs, against what users run instead. QUICK=1 takes three minutes instead of fifteen.

A table on the terminal, BUILD/bench/bench.json for programs, and BUILD/bench/bench.svg. Instructions are counted by
valgrind and repeat to a few; times depend on the machine and on what else it does, so they are taken in
turn, again and again, and told as ratios with their quartiles.

    tests/bench/bench.py [--quick] [--only NAME ...] [--svg FILE]
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import hosting
import instructions
import plot
import timed
from servers import BUILD, VARIANTS, Server
from timed import CORE, in_turn, ratios, servers, spread, wrk

PAGES = {"page": "/status", "?auto": "/status?auto", "JSON summary": "/status?format=json&view=summary",
         "JSON": "/status?format=json", "Prometheus": "/status?format=prometheus", "CSV": "/status?format=csv"}


class Bench:
    def __init__(self, quick):
        self.quick = quick
        self.rows = []          # what the table shows
        self.curves = {}        # name -> {line: [[x, y], ...]}
        self.data = {}          # everything that was measured

    def amount(self, full, quick):
        return quick if self.quick else full

    def row(self, what, value, goal, met, against=""):
        """`met`: None when there is no goal to miss."""
        self.rows.append({"what": what, "measured": value, "against": against, "goal": goal, "met": met})
        mark = {True: "yes", False: "NO", None: "-"}[met]
        print(f"{what:50.50} {value:>30.30}  {goal:20.20} {mark:4} {against}", flush=True)

    # ---- counted ----

    def instructions(self):
        for mpm in ("prefork", "event"):
            found = instructions.count_instructions(mpm, 500, 2500, self.amount(5, 1))
            self.data[f"instructions, {mpm}"] = found
            cost = {variant: instructions.added(found, variant) for variant in VARIANTS}
            ours, log = cost["mod_pmcapture"], cost["access log"]
            base = statistics.median(found["nothing"])
            others = f"log {log:.0f}, mod_status {cost['mod_status']:.0f}, all of it {base:.0f}"
            self.row(f"instructions added, {mpm}", f"{ours:.0f}", "<= 300", ours <= 300, others)
            self.row(f"  of the access log's, {mpm}", f"1/{log / ours:.1f}", "<= 1/8", ours <= log / 8)
            self.added(f"with a connection for each, {mpm}", mpm, instructions.ANEW, (100, 600))

    def hosting(self):
        """A hosting company's configuration."""
        vhosts = self.amount(1000, 100)
        for mpm in ("prefork", "event"):
            for what, found in hosting.count_hosting(mpm, vhosts, self.amount(3, 1)).items():
                self.data[f"hosting, {mpm}, {what}"] = found
                ours = instructions.added(found, "mod_pmcapture")
                self.row(f"hosting, {vhosts} virtual hosts, {mpm}, {what}", f"{ours:.0f}", "<= 300", ours <= 300,
                         f"all of it {statistics.median(found['nothing']):.0f}")

    def failing_instructions(self):
        """The first 64 failures of a second are kept whole: they are the dear ones."""
        for mpm in ("prefork", "event"):
            self.added(f"failing, {mpm}", mpm, instructions.FAILING, (500, 2500), 4000)
            self.added(f"failing, {mpm}, of the first 56", mpm, instructions.FAILING, (8, 56), 4000)
            self.added(f"failing, {mpm}, an incident open", mpm, instructions.IN_INCIDENT, (500, 2500), 4000)
            self.added(f"backend refuses, {mpm}, two lines logged", mpm, instructions.REFUSED, (100, 600), 4000)

    def added(self, what, mpm, case, counts, goal=None):
        found = instructions.count_instructions(mpm, *counts, self.amount(3, 1), case, ("nothing", "mod_pmcapture"))
        self.data[f"instructions, {what}"] = found
        ours = instructions.added(found, "mod_pmcapture")
        self.row(f"  {what}", f"{ours:.0f}", f"<= {goal}" if goal else "", ours <= goal if goal else None,
                 f"all of it {statistics.median(found['nothing']):.0f}")

    def system_calls(self):
        for mpm in ("prefork", "event"):
            found = instructions.count_system_calls(mpm, 20, 220)
            self.data[f"system calls, {mpm}"] = found
            total = {variant: sum(calls.values()) for variant, calls in found.items()}
            extra = {variant: total[variant] - total["nothing"] for variant in total}
            self.row(f"system calls added, {mpm}", f"{extra['mod_pmcapture']}", "0",
                     extra["mod_pmcapture"] == 0, f"log {extra['access log']}, mod_status {extra['mod_status']}")

    def count_alone(self):
        cores = os.cpu_count()
        writers = self.amount([1, 2, 4, 8, 16, 32, 64], [1, 2, 16])
        ways = ["recorder", "mutex", "line", "recorder-processes", "mutex-processes", "line-processes"]

        def once(way, n):
            return float(subprocess.run([CORE, "count", way, str(n), str(self.amount(8000000, 4000000))],
                                        capture_output=True, text=True, check=True).stdout)

        found = {way: {n: [] for n in writers} for way in ways}
        for _ in range(self.amount(3, 2)):
            for n in writers:
                for way in ways:
                    found[way][n].append(once(way, n))
        self.data["count alone, ns"] = found
        middle = {way: {n: statistics.median(found[way][n]) for n in writers} for way in ways}
        self.curves["One request's counting, ns of processor, by writers"] = {
            way: [[n, y] for n, y in middle[way].items()] for way in ways[:3]}
        alone, full = middle["recorder"][1], middle["recorder"][cores if cores in writers else 2]
        self.row("counting one request alone", f"{alone:.0f} ns", "<= 100 ns", alone <= 100,
                 "clock, slot in flight and counters")
        for kind in ("", "-processes"):
            y = middle["recorder" + kind]
            full = y[cores if cores in writers else 2]
            self.row(f"  with a writer on each core{kind.replace('-', ', ')}", f"{full:.0f} ns", "flat",
                     full <= 1.25 * y[1], f"mutex {middle['mutex' + kind][2]:.0f}, one line "
                     f"{middle['line' + kind][2]:.0f}; 16 writers: {y[16]:.0f}")

    def memory_planned(self):
        for workers, processes in ((400, 16), (20000, 800)):
            size = int(subprocess.run([CORE, "size", str(workers), str(processes), "10"], capture_output=True,
                                      text=True, check=True).stdout)
            self.data[f"live region, {workers} workers"] = size
            self.row(f"live region for {workers} workers", f"{size / 2**20:.2f} MiB", "<= 4 MiB", size <= 4 * 2**20)

    # ---- timed ----

    def throughput(self):
        """In several lives of the servers: where a process's memory lies makes it faster or slower by a percent."""
        found = {name: {} for name in ("keep-alive", "a connection each", "keep-alive, disk hog beside")}

        def more(name, made, turns, **options):
            for variant, runs in in_turn(made, turns, lambda s: timed.loaded(s, 1, **options)).items():
                found[name].setdefault(variant, []).extend(runs)

        for _ in range(self.amount(5, 1)):
            with servers("nothing", "mod_pmcapture", "access log") as made:
                more("keep-alive", made, 5)
                more("a connection each", made, 4, keepalive=False)
                with timed.disk_hog(made["nothing"].root):
                    more("keep-alive, disk hog beside", made, 3)
        for name, runs in found.items():
            self.compared(name, runs)

    def compared(self, name, found, goal=0.99, beside=None):
        self.data[f"throughput, {name}"] = found
        share = spread(ratios(found, "mod_pmcapture", "nothing", "rate"))
        rate = statistics.median(f["rate"] for f in found["nothing"])
        log = {key: f"log {statistics.median(ratios(found, 'access log', 'nothing', key)):.3f}"
               for key in ("rate", "us")} if "access log" in found else {"rate": beside, "us": ""}
        self.row(f"throughput, {name}", told(share), f">= {goal}", share["median"] >= goal,
                 f"{log['rate']}; {rate:.0f}/s without")
        cpu = spread(ratios(found, "mod_pmcapture", "nothing", "us"))
        self.row("  processor per request", told(cpu), "", None, log["us"])
        for key in ("p50", "p99", "p99.9"):
            own = spread([f[key] for f in found["mod_pmcapture"]])
            base = spread([f[key] for f in found["nothing"]])
            self.row(f"  {key}", f"{own['median']:.2f} ms", "within the noise",
                     own["median"] <= 1.02 * base["high"] + 0.02,
                     f"{base['median']:.2f} ms ({base['low']:.2f} to {base['high']:.2f}) without")

    def failing(self):
        """All requests fail, and an incident is open, against a server without the module whose requests all fail."""
        config = "Redirect 502 /fail\nErrorDocument 502 sorry\n"     # unlike 503, the connection stays
        found = {}
        for _ in range(self.amount(9, 1)):
            with servers("nothing", config=config) as plain, servers("mod_pmcapture", config=config) as ill, \
                    servers("mod_pmcapture", config=config) as well:
                things = {"nothing": (plain["nothing"], "/fail"), "mod_pmcapture": (ill["mod_pmcapture"], "/fail"),
                          "all good": (well["mod_pmcapture"], "/1k.txt")}
                for name, runs in in_turn(things, 3, lambda t: timed.loaded(t[0], 1, path=t[1])).items():
                    found.setdefault(name, []).extend(runs)
        good = statistics.median(ratios(found, "mod_pmcapture", "all good", "rate"))
        self.compared("all requests failing", found, 0.97, f"all failing : all good {good:.2f}")

    def recorder(self):
        line = {"idle": [], "at full load": []}
        cases = [("event", 4), ("prefork", 4), ("prefork", 64), ("prefork", 256)]
        for mpm, children in cases if not self.quick else [cases[0], cases[3]]:
            with servers("mod_pmcapture", mpm=mpm, children=children) as made:
                server = made["mod_pmcapture"]
                timed.wait_for(lambda: len(server.workers()) >= 2, 30, "workers")
                time.sleep(self.amount(8, 3))   # prefork starts its children over some seconds
                for name, share in self.recorder_of(server, f"{mpm}, {children} children").items():
                    if mpm == "prefork":
                        line[name].append([children, 100 * share])
        self.curves["The recorder, % of a core, by prefork children"] = line
        site = timed.Site("mod_pmcapture", 2000)
        try:
            site.start()
            time.sleep(3)
            self.recorder_of(site.server, "2000 virtual hosts")
        finally:
            site.close()

    def recorder_of(self, server, what):
        found = {}
        for name, load in (("idle", False), ("at full load", True)):
            share, rate = timed.recorder_share(server, self.amount(10, 3), load)
            self.data[f"recorder, {what}, {name}"] = {"share": share, "rate": rate}
            self.row(f"recorder, {what}, {name}", f"{100 * share:.3f} % of a core", "<= 0.3 %", share <= 0.003,
                     f"{rate:.0f} requests/s" if load else "")
            found[name] = share
        return found

    def workers(self):
        """Threads, wake-ups and memory of a worker process."""
        seen = {}
        with servers("nothing", "mod_pmcapture", mpm="event", children=4) as made:
            for name, server in made.items():
                wrk(server.port, "/1k.txt", 2)
                time.sleep(1)
                workers = server.workers()
                before = [timed.wake_ups(pid) for pid in workers]
                time.sleep(self.amount(10, 4))
                seen[name] = {"threads": statistics.median(len(os.listdir(f"/proc/{p}/task")) for p in workers),
                              "wake-ups": sum(timed.wake_ups(p) - b for p, b in zip(workers, before)),
                              "private KiB": statistics.median(timed.private_kib(pid) for pid in workers)}
            capture = os.stat(made["mod_pmcapture"].capture).st_size
        self.data["workers"] = seen
        more = {key: seen["mod_pmcapture"][key] - seen["nothing"][key] for key in seen["nothing"]}
        self.row("threads added to a worker process", f"{more['threads']:.0f}", "0", more["threads"] == 0)
        self.row("wake-ups of all idle workers", f"{seen['mod_pmcapture']['wake-ups']}", "none added", None,
                 f"{seen['nothing']['wake-ups']} without, in {self.amount(10, 4)} s")
        self.row("memory added to a worker process", f"{more['private KiB']:.0f} KiB", "<= 64 KiB",
                 more["private KiB"] <= 64, f"{seen['nothing']['private KiB']:.0f} KiB without")
        self.row("capture file with defaults", f"{capture / 2**20:.0f} MiB", "<= 64 MiB", capture <= 64 * 2**20)

    def reloads(self):
        for vhosts in (10, 2000):
            found = timed.starts_and_reloads(vhosts, self.amount(8 if vhosts == 10 else 5, 3))
            self.data[f"starts and reloads, {vhosts} virtual hosts"] = found
            told_beside = min(f["recorders"] for f in found["reload"]["mod_pmcapture"])
            self.row(f"beside a reload, {vhosts} virtual hosts", f"{1000 * told_beside:.0f} ms", "", None,
                     "processor of the recorders: what changed is found out there")
            for what, runs in found.items():
                for key in ("cpu", "wall"):
                    # the least is what the work takes; the rest is what the machine did beside it
                    own = min(f[key] for f in runs["mod_pmcapture"])
                    base = min(f[key] for f in runs["nothing"])
                    middle = spread(ratios(runs, "mod_pmcapture", "nothing", key))
                    self.row(f"{what}, {vhosts} virtual hosts, {key}", f"{100 * (own / base - 1):+.1f} %", "<= +10 %",
                             own <= 1.1 * base, f"{1000 * own:.0f} : {1000 * base:.0f} ms; pairs {told(middle)}")

    def pages(self):
        repeats = self.amount(15, 5)
        with servers("mod_status") as made:
            status = spread(timed.page_times(made["mod_status"].port, ["/status?auto"], repeats)["/status?auto"])
        by_history = {name: [] for name in ("page", "JSON summary", "list")}
        shares = self.amount([(0, 0), (25, 64), (50, 128), (100, 256)], [(100, 256)])
        for share, incidents in shares:
            found, tools = self.asked(share, incidents, list(PAGES.values()), repeats)
            for name in ("page", "JSON summary"):
                by_history[name].append([incidents, statistics.median(found[PAGES[name]])])
            if tools:
                by_history["list"].append([incidents, statistics.median(tools["list"])])
        self.data["pages, full history"] = found
        self.data["tools, full file"] = tools
        for name, path in PAGES.items():
            took = spread(found[path])
            goal = name in ("page", "JSON summary")
            self.row(f"/pm-status {name}, full history", told(took, "ms"), "<= 5 ms" if goal else "",
                     took["median"] <= 5 if goal else None, f"mod_status ?auto {status['median']:.1f} ms"
                     if name == "page" else "")
        for name, times in tools.items():
            took = spread(times)
            goal = name == "list"
            self.row(f"pmcapture {name}, full file", told(took, "ms"), "<= 150 ms" if goal else "",
                     took["median"] <= 150 if goal else None)
        self.curves["Time to answer, ms, by incidents on record"] = by_history
        paths = {name: PAGES[name] for name in ("page", "JSON summary")}
        found, _ = self.asked(100, 256, list(paths.values()), repeats, is_open=True)
        self.data["pages, an incident open"] = found
        for name, path in paths.items():
            self.row(f"/pm-status {name}, an incident open", told(spread(found[path]), "ms"), "", None)

    @staticmethod
    def asked(share, incidents, paths, repeats, is_open=False):
        """Times of the pages of a server with such a history, and of the tools on its file."""
        server = Server("mod_pmcapture")
        try:
            timed.fill(server.capture, share, incidents, is_open)
            commands = [["list"], ["report", str(incidents)]] if incidents and not is_open else []
            tools = timed.tool_times(server.capture, commands, repeats) if commands else {}
            server.start()
            time.sleep(2.5)
            return timed.page_times(server.port, paths, repeats), tools
        finally:
            server.close()

    def polling(self):
        seconds = self.amount(4, 3)
        with servers("mod_pmcapture") as made:
            server = made["mod_pmcapture"]

            def loaded(path):
                if path is None:
                    return wrk(server.port, "/1k.txt", seconds)
                with timed.polled(server.port, path):
                    return wrk(server.port, "/1k.txt", seconds)

            found = in_turn({"alone": None, "Prometheus": PAGES["Prometheus"], "summary": PAGES["JSON summary"]},
                            self.amount(4, 1), loaded)
        self.data["polling"] = found
        for name in ("Prometheus", "summary"):
            share = spread(ratios(found, name, "alone", "rate"))
            self.row(f"throughput while polled once a second, {name}", told(share), "none measurable",
                     share["median"] >= 0.99)


def told(s, unit=""):
    digits = 3 if unit == "" else 1
    unit = unit and " " + unit
    return f"{s['median']:.{digits}f}{unit} ({s['low']:.{digits}f} to {s['high']:.{digits}f})"


def machine():
    model = next((line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                  if line.startswith("model name")), "unknown processor")
    return {"cores": os.cpu_count(), "processor": model, "kernel": os.uname().release, "load": os.getloadavg()[0]}


PARTS = ("instructions", "hosting", "failing_instructions", "system_calls", "count_alone", "memory_planned",
         "throughput", "failing", "recorder", "workers", "reloads", "pages", "polling")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--svg", type=Path, default=BUILD / "bench/bench.svg")
    options = parser.parse_args()
    bench, begin, where = Bench(options.quick), time.monotonic(), machine()
    print(f"{where['cores']} cores, {where['processor']}; load {where['load']:.1f} before it began")
    print(f"{'':50} {'measured':>30}  {'goal':20} met  beside it")
    for part in options.only:
        getattr(bench, part)()
    missed = [row["what"].strip() for row in bench.rows if row["met"] is False]
    print(f"{time.monotonic() - begin:.0f} s; " + (f"missed: {'; '.join(missed)}" if missed else "every goal is met"))
    out = BUILD / "bench/bench.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps({"machine": where, "quick": options.quick, "rows": bench.rows, "curves": bench.curves,
                               "data": bench.data}, indent=1, default=str) + "\n")
    options.svg.write_text(plot.draw(bench, where))
    print(f"{out}\n{options.svg}")


if __name__ == "__main__":
    sys.exit(main())
