"""A disk that can be full, slow, stuck, read-only and gone: ext4 on a loop device; without root a mere folder."""
import contextlib
import fcntl
import os
import subprocess
import sys
from pathlib import Path

FREEZE, THAW = 0xC0045877, 0xC0045878      # FIFREEZE, FITHAW
MIB = 96
STUCK_AT_MOST = 60
# Should we be killed meanwhile, the disk and whoever waits for it are not to be stuck for good.
THAW_ANYWAY = f"import fcntl, os, sys, time; disk = os.open(sys.argv[1], os.O_RDONLY); time.sleep({STUCK_AT_MOST}); " \
              f"fcntl.ioctl(disk, {THAW}, 0)"


class Disk:
    def __init__(self, path, say, under=None, mib=MIB):
        """`under`: the disk that this one's image lies on. When that one is stuck, this one takes what is written and
        never syncs it."""
        self.path = path
        path.mkdir()
        # In memory: how fast the machine's own disk is just now is not the question.
        self.image = (under.path if under else Path("/dev/shm")) / f"{path.parent.name}.img"
        self.mounted = self.can_stick = False
        if os.getuid() != 0:
            say("not root: the disk is a folder; it is never full, slow, stuck, read-only or gone")
            return
        with open(self.image, "wb") as image:
            image.truncate(mib << 20)
        problem = self._run("mkfs.ext4", "-q", "-F", "-m", "0", self.image) or \
            self._run("mount", "-o", "loop", self.image, path)
        self.mounted = self.can_stick = not problem
        if problem:
            say(f"no loop mount, the disk is a tmpfs: it is never slow, stuck or write-protected ({problem})")
            problem = self._run("mount", "-t", "tmpfs", "-o", f"size={mib}m", "none", path)
            self.mounted = not problem
        if problem:
            say(f"nothing can be mounted: the disk is never full, read-only or gone either ({problem})")

    @staticmethod
    def _run(*command):
        done = subprocess.run(command, capture_output=True, text=True)
        return done.returncode and (done.stderr.strip() or f"{command[0]} failed")

    def close(self):
        if self.mounted:
            subprocess.run(["umount", "-l", self.path])
        self.image.unlink(missing_ok=True)

    @contextlib.contextmanager
    def stuck(self):
        """Whoever writes to it waits in the kernel, beyond the reach of signals, until it is over."""
        disk = os.open(self.path, os.O_RDONLY)
        rescue = subprocess.Popen([sys.executable, "-c", THAW_ANYWAY, self.path])
        try:
            fcntl.ioctl(disk, FREEZE, 0)
            try:
                yield
            finally:
                fcntl.ioctl(disk, THAW, 0)
        finally:
            rescue.kill()
            rescue.wait()
            os.close(disk)

    @contextlib.contextmanager
    def write_protected(self, file):
        """No descriptor can write to it, not even one that was opened before."""
        subprocess.run(["chattr", "+i", file], check=True)
        try:
            yield
        finally:
            subprocess.run(["chattr", "-i", file], check=True)

    @contextlib.contextmanager
    def covered(self, options):
        """Something else is mounted where it was; who has a file of it open goes on."""
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", self.path], check=True)
        try:
            yield
        finally:
            subprocess.run(["umount", "-l", self.path], check=True)

    def fill(self):
        """Until nothing more goes in; gives what must be removed again."""
        filler = self.path / "filler"
        try:
            with open(filler, "wb", buffering=0) as full:
                for _ in range(4 * MIB):
                    full.write(bytes(1 << 20))
                    os.fsync(full.fileno())
        except OSError:
            pass
        return filler
