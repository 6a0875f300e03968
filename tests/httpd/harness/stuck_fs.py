"""A file system that answers until it is told not to: a dead network mount, made with the kernel's FUSE alone.

It has one empty folder. Once stuck, a look at anything in it hangs in the kernel, beyond the reach of
SIGKILL, until the mount is closed.
"""
import ctypes
import os
import struct
import threading
import time

INIT, GETATTR, FORGET, BATCH_FORGET, INTERRUPT = 26, 3, 2, 42, 36
ENOENT = 2
FOLDER = 0o40755

_libc = ctypes.CDLL(None, use_errno=True)


class StuckFs:
    def __init__(self, path):
        self.path = os.fsencode(path)
        self.stuck = threading.Event()
        self.held = threading.Event()   # somebody hangs in it
        self.fd = os.open("/dev/fuse", os.O_RDWR | os.O_NONBLOCK)
        options = f"fd={self.fd},rootmode=40000,user_id=0,group_id=0,allow_other"
        if _libc.mount(b"stuck", self.path, b"fuse", 0, options.encode()) != 0:
            error = ctypes.get_errno()
            os.close(self.fd)
            raise OSError(error, os.strerror(error))
        self.open = True
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def close(self):
        """Whoever hangs gets an error, and the mount is gone."""
        if self.open:
            self.open = False
            self.thread.join()
            _libc.umount2(self.path, 2)     # MNT_DETACH
            os.close(self.fd)

    def _serve(self):
        while self.open:
            try:
                request = os.read(self.fd, 1 << 17)
            except BlockingIOError:
                time.sleep(0.02)
                continue
            except OSError:
                return
            _, operation, unique = struct.unpack_from("<IIQ", request)
            if operation in (FORGET, BATCH_FORGET, INTERRUPT):
                continue
            if self.stuck.is_set() and operation != INIT:
                self.held.set()
                continue
            self._answer(operation, unique)

    def _answer(self, operation, unique):
        body, error = b"", 0
        if operation == INIT:
            body = struct.pack("<IIIIHHII", 7, 31, 65536, 0, 0, 0, 65536, 1).ljust(64, b"\0")
        elif operation == GETATTR:      # nothing is cached: each look asks again
            attributes = struct.pack("<QQQQQQIIIIIIIIII", 1, 0, 0, 0, 0, 0, 0, 0, 0, FOLDER, 2,
                                     0, 0, 0, 4096, 0)
            body = struct.pack("<QII", 0, 0, 0) + attributes
        else:
            error = -ENOENT
        os.write(self.fd, struct.pack("<IiQ", 16 + len(body), error, unique) + body)
