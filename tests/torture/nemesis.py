"""What goes wrong: each act is something that happens to servers, done at random and written into a diary."""
import os
import random
import resource
import signal
import subprocess
import sys
import time

from harness import document, processes
from harness.httpd import Httpd
from harness.load import Load
from harness.wait import Timeout, wait_for

BROKEN = ("NoSuchDirective on\n", 'Include "conf/nothing.conf"\n', "<VirtualHost\n",
          "LoadModule gone_module /nowhere/mod_gone.so\n", "PMCaptureBurst errors=none\n")
GARBAGE = 65536


def _try(call, *arguments):
    """None when the process has gone, or it is not ours to do."""
    try:
        return call(*arguments)
    except (ProcessLookupError, PermissionError):
        return None


class Nemesis:
    def __init__(self, httpd, truth, seed, clock, disk):
        self.httpd = httpd
        self.truth = truth
        self.random = random.Random(seed)
        self.diary = []             # (begin, end, what), by the server's clock
        self.clock = clock          # libfaketime's file, None without
        self.ahead = 0              # how far the server's clock is ahead of ours
        self.was_ahead, self.stepped = 0, 0.0   # before its last step, and when that was
        self.disk = disk
        self.acts = [(self.graceful, 4), (self.hard, 2), (self.refused, 1), (self.fails_to_reload, 1),
                     (self.kill_worker, 3), (self.crash_worker, 3), (self.kill_recorder, 3),
                     (self.stop_recorder, 1), (self.freeze_recorder, 1), (self.starve_recorder, 1),
                     (self.limit_recorder, 1), (self.kill_parent, 1), (self.kill_everything, 2),
                     (self.crash_everything, 1), (self.crash_parent, 1), (self.restart, 1), (self.outage, 4),
                     (self.second_start, 1), (self.second_server, 1), (self.edit, 2)]
        if disk.mounted:
            self.acts += [(self.fill_disk, 2), (self.disk_read_only, 1), (self.disk_gone, 1)]
        if disk.can_stick:
            self.acts += [(self.disk_slow, 1), (self.disk_stuck, 2), (self.disk_hangs, 1),
                          (self.write_protect, 1)]
        if clock:
            self.acts += [(self.step_clock, 2)]
        self.destructive = [self.delete_capture, self.truncate_capture, self.overwrite_capture,
                            self.replace_capture, self.delete_region, self.truncate_region,
                            self.overwrite_region, self.replace_region, self.delete_lock]
        self.destroyed = []

    def act(self):
        return self.random.choices([act for act, _ in self.acts], [weight for _, weight in self.acts])[0]

    def now(self):
        return time.time() + self.ahead

    def down(self, begin):
        self.diary.append((begin, self.now(), "down"))
        if time.time() < self.stepped + 4:      # the recorder may have seen no second by the new clock
            back = self.was_ahead - self.ahead
            self.diary.append((begin + back, self.now() + back, "down, by the clock before"))

    # ---- reloads ----

    def graceful(self):
        for _ in range(self.random.choice((1, 1, 3))):
            self.httpd.reload(signal.SIGUSR1)
            self.truth.reloads += 1

    def hard(self):
        self.truth.kills += 1       # connections are cut in the middle
        begin = self.now()
        self.httpd.reload(signal.SIGHUP)
        self.truth.reloads += 1
        self.diary.append((begin, self.now(), "hard reload"))

    def edit(self):
        self.httpd.config += f'\nAlias "/alias{self.random.randrange(1000)}" "{self.httpd.root}/htdocs"\n'
        self.httpd.write_config()
        self.graceful()

    def _broken(self):
        good = self.httpd.conf.read_text()
        self.httpd.conf.write_text(good + self.random.choice(BROKEN))
        return good

    def refused(self):
        good = self._broken()
        done = self.httpd.command("-k", "graceful")
        self.httpd.conf.write_text(good)
        assert done.returncode != 0, "a broken configuration is refused"

    def fails_to_reload(self):
        """The server itself tries it, and ends: that is httpd's own way."""
        begin, good = self.now(), self._broken()
        self.truth.kills += 1
        self.httpd.send(self.random.choice((signal.SIGUSR1, signal.SIGHUP)))
        self.httpd.exit_statuses.add(1)
        wait_for(lambda: not processes.alive(self.httpd.parent), 20, "the parent ends")
        self.httpd.conf.write_text(good)
        self._start_again(begin)

    # ---- deaths ----

    def _start_again(self, begin):
        processes.kill_marked(self.httpd.marker)
        wait_for(self.httpd.port_is_free, 20, "the port is free")
        self.httpd.pid_file.unlink(missing_ok=True)
        self.httpd.start()
        self.truth.started()
        self.down(begin)

    def restart(self):
        self.truth.kills += 1
        self.httpd.stop(self.random.choice((signal.SIGTERM, signal.SIGWINCH)))
        begin = self.now()
        self.httpd.start()
        self.truth.started()
        self.down(begin - 1)

    def kill_worker(self):
        self._end_worker(signal.SIGKILL)

    def crash_worker(self):
        self.truth.signals += 1
        self._end_worker(self.random.choice((signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT)))

    def _end_worker(self, sig):
        workers = self.httpd.workers()
        self.truth.kills += 1
        if workers:
            processes.kill(self.random.choice(workers), sig)

    def kill_recorder(self):
        for pid in self.random.choice((self.httpd.recorders()[:1], self.httpd.recorders())):
            sig = self.random.choice((signal.SIGKILL, signal.SIGSEGV))
            self.truth.signals += sig == signal.SIGSEGV
            processes.kill(pid, sig)

    def stop_recorder(self):
        writer = self.httpd.writer()
        if writer:
            processes.kill(writer, signal.SIGSTOP)
            time.sleep(self.random.uniform(0.5, 5))
            processes.kill(writer, signal.SIGCONT)

    def freeze_recorder(self):
        """All of it: nobody is there to see that it hangs."""
        frozen = self.httpd.recorders()
        for pid in frozen:
            processes.kill(pid, signal.SIGSTOP)
        time.sleep(self.random.uniform(0.5, 5))
        for pid in frozen:
            processes.kill(pid, signal.SIGCONT)

    def starve_recorder(self):
        """The last in the queue for a processor that others never leave."""
        busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2 * os.cpu_count())]
        try:
            for pid in self.httpd.recorders():
                _try(os.setpriority, os.PRIO_PROCESS, pid, 19)
            time.sleep(self.random.uniform(1, 6))
        finally:
            for one in busy:
                one.kill()
                one.wait()
            for pid in self.httpd.recorders():
                _try(os.setpriority, os.PRIO_PROCESS, pid, 0)

    def limit_recorder(self):
        """No descriptor more than it has, or no byte to any file."""
        which = self.random.choice((resource.RLIMIT_NOFILE, resource.RLIMIT_FSIZE))
        limited = {pid: _try(resource.prlimit, pid, which) for pid in self.httpd.recorders()}
        for pid, (soft, hard) in [item for item in limited.items() if item[1]]:
            _try(resource.prlimit, pid, which, (8, hard))
        time.sleep(self.random.uniform(0.5, 3))
        for pid, limits in limited.items():
            if limits:
                _try(resource.prlimit, pid, which, limits)

    def kill_parent(self):
        self._end_parent(signal.SIGKILL)

    def crash_parent(self):
        self.truth.signals += 1
        self.truth.parents += 1
        self._end_parent(signal.SIGSEGV)

    def _end_parent(self, sig):
        begin = self.now()
        self.truth.kills += 1
        self.httpd.send(sig)
        wait_for(lambda: not processes.alive(self.httpd.parent), 20, "the parent is dead")
        time.sleep(self.random.uniform(0, 3))       # its workers live on, and serve
        self._start_again(begin)

    def crash_everything(self):
        everybody = self.httpd.processes()
        self.truth.signals += len(everybody)
        self.truth.parents += 1
        for pid in everybody:
            processes.kill(pid, signal.SIGSEGV)
        self.kill_everything()

    def kill_everything(self):
        begin = self.now()
        self.truth.kills += 1
        self.httpd.kill()
        time.sleep(self.random.uniform(0, 3))
        self._start_again(begin)

    # ---- others ----

    def second_start(self):
        """The same configuration again: the port is taken."""
        done = self.httpd.command()
        assert done.returncode in (0, 1)

    def second_server(self):
        """Another server with the same capture file, by mistake: it serves, and records elsewhere."""
        other = Httpd(capture=str(self.httpd.capture))
        try:
            other.start()
            assert other.get("/").status == 200
            assert other.said("in use by another running httpd"), other.errors()
            other.stop()
        finally:
            other.close()

    def outage(self):
        """Half of the requests fail for a while."""
        begin = self.now()
        with Load(self.httpd.port) as load:
            load.stream("/fail", rate=40, count=self.random.randrange(60, 160)).wait()
        self.diary.append((begin, self.now(), "outage"))

    def step_clock(self):
        self.was_ahead, self.stepped = self.ahead, time.time()
        self.ahead = self.random.choice((0, 3600, -3600, 86400, 2, -2))
        self.clock.write_text(f"{self.ahead:+d}\n")

    # ---- the disk ----

    def fill_disk(self):
        filler = self.disk.fill()
        time.sleep(1.5)
        self.graceful()
        filler.unlink(missing_ok=True)

    def _without(self, trouble):
        """While it lasts, perhaps a reload that finds no disk."""
        begin = self.now()
        reloaded = self.random.random() < 0.5
        with trouble:
            time.sleep(self.random.uniform(1, 3))
            if reloaded:
                self.httpd.reload(signal.SIGUSR1)
                self.truth.reloads += 1
                time.sleep(2)
            assert self.httpd.get("/").status == 200
        self.graceful()
        if reloaded:
            self.truth.not_kept(self.now() - begin)
        self.diary.append((begin, self.now(), "disk"))     # with no history to show, the page is a 503

    def disk_read_only(self):
        self._without(self.disk.covered("size=1m,ro"))

    def disk_gone(self):
        self._without(self.disk.covered("size=64k"))

    def write_protect(self):
        self._without(self.disk.write_protected(self.httpd.capture))

    def disk_stuck(self):
        """For seconds. Requests are served all the while; a reload asked for meanwhile waits for the disk."""
        reloading = self.random.random() < 0.3
        before = self.httpd.resumed()
        with self.disk.stuck():
            time.sleep(self.random.uniform(1, 3))
            assert self.httpd.get("/", timeout=30).status == 200
            if reloading:
                self.httpd.send(signal.SIGUSR1)
                self.truth.reloads += 1
            time.sleep(self.random.uniform(0.5, 3))
        if reloading:
            wait_for(lambda: self.httpd.resumed() > before, 20, "the reload")

    def disk_hangs(self):
        """So long that a reload does without it."""
        begin, resumed, heard = self.now(), self.httpd.resumed(), len(self.httpd.said("does not answer"))
        with self.disk.stuck():
            time.sleep(self.random.uniform(7, 9))
            self.httpd.send(signal.SIGUSR1)
            self.truth.reloads += 1
            time.sleep(1.5)
            assert self.httpd.get("/").status == 200
        wait_for(lambda: self.httpd.resumed() > resumed, 20, "the reload")
        if len(self.httpd.said("does not answer")) > heard:     # else no recorder was there to try it
            self.graceful()
            self.truth.not_kept(self.now() - begin)
            self.diary.append((begin, self.now(), "disk"))

    def disk_slow(self):
        """Each write takes up to a second."""
        for _ in range(self.random.randrange(3, 7)):
            with self.disk.stuck():
                time.sleep(self.random.uniform(0.3, 1))
                assert self.httpd.get("/", timeout=30).status == 200
            time.sleep(self.random.uniform(0.02, 0.2))

    # ---- history ----

    def delete_capture(self):
        self.httpd.capture.unlink()

    def truncate_capture(self):
        os.truncate(self.httpd.capture, self.random.choice((0, 100, 5000, 100000)))

    def overwrite_capture(self):
        with open(self.httpd.capture, "r+b") as file:
            size = file.seek(0, 2)
            for _ in range(self.random.choice((1, 30))):
                file.seek(self.random.randrange(size))
                file.write(self.random.randbytes(self.random.choice((1, 100, GARBAGE))))

    def replace_capture(self):
        self.httpd.capture.rename(self.httpd.capture.with_suffix(".moved"))
        if self.random.random() < 0.5:
            self.httpd.capture.write_bytes(self.random.randbytes(GARBAGE))

    def delete_lock(self):
        self.httpd.capture.with_name(self.httpd.capture.name + ".lock").unlink(missing_ok=True)

    def _region(self):
        """The one that is counted in: of this capture file, and of the latest run."""
        capture = document.from_file(self.httpd.capture)["capture"]["id"]
        return max((self.httpd.root / "run").glob(f"pmcapture-{capture}-*.live"),
                   key=lambda path: int(path.stem.rsplit("-", 1)[1]))

    def delete_region(self):
        self._region().unlink()
        return "live region", "removed"

    def replace_region(self):
        region = self._region()
        region.unlink()
        region.write_bytes(self.random.randbytes(GARBAGE))
        return "live region", "replaced"

    def truncate_region(self):
        region = self._region()
        os.truncate(region, self.random.choice((0, 100, 4096, 100000, region.stat().st_size - 4096)))
        return "live region", "truncated"

    def overwrite_region(self):
        """Its header, too: counts that were overwritten cannot be told from counts."""
        region = self._region()
        with open(region, "r+b") as file:
            for place in (0, *(self.random.randrange(region.stat().st_size - GARBAGE) for _ in range(30))):
                file.seek(place)
                file.write(self.random.randbytes(self.random.choice((100, GARBAGE))))
        return "live region", "overwritten"

    def destroy(self):
        """One act against history; then what an administrator would do: see what is said, and reload. The first one is
        always that which would end every process, did nobody guard against it."""
        act = self.random.choice(self.destructive) if self.destroyed else self.truncate_region
        heard = len(self.httpd.said("while in use"))
        said = act()
        time.sleep(2.5)
        try:
            assert self.httpd.get("/").status == 200
            if said:
                wait_for(lambda: any(all(word in line for word in said)
                                     for line in self.httpd.said("while in use")[heard:]),
                         10, f"the error log says that the {' was '.join(said)}")
            self.graceful()
            if act == self.replace_capture and self.httpd.capture.exists() and \
                    self.httpd.capture.stat().st_size == GARBAGE:
                self.httpd.capture.unlink()     # no capture file: it is rightly left alone, until it is removed
                self.graceful()
        except Timeout as problem:
            raise AssertionError(f"after {act.__name__}: {problem}") from problem
        for left in (*self.disk.path.glob("*.moved"), *self.disk.path.glob("*.old-*")):
            left.unlink()       # or the disk is full of them one day
        self.destroyed.append(act.__name__)
