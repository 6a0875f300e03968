"""Load with its own truth: who asked what when, and what came of it.

Requests go out at a bounded rate from a loop in a thread of its own and are kept one by one, so a
test can say what users saw without asking the server.
"""
import asyncio
import socket
import struct
import threading
import time
from dataclasses import dataclass

from .wait import crowd


@dataclass
class Sent:
    path: str
    start: float            # just before the request's first byte went out (or the connect failed)
    end: float = 0.0        # after the reply's last byte
    status: int = None      # None: no answer
    error: str = None
    reused: bool = False    # on a connection that had served before
    cut: bool = False       # no byte of a reply: closed or reset


class _Connection:
    """One client connection, HTTP/1.1."""

    def __init__(self, port, source):
        self.port = port
        self.source = source
        self.reader = self.writer = None

    async def open(self):
        self.reader, self.writer = await asyncio.open_connection(
            "127.0.0.1", self.port, local_addr=(self.source, 0), limit=1 << 20)

    def close(self, reset=False):
        if self.writer:
            if reset:
                self.writer.get_extra_info("socket").setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.writer.transport.abort() if reset else self.writer.close()
        self.reader = self.writer = None

    def usable(self):
        return self.writer is not None and not self.reader.at_eof()

    async def ask(self, sent, head):
        """Send one request, read its reply; true if the connection may be used again."""
        sent.start = time.time()
        self.writer.write(head)
        try:
            reply = await self.reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError) as problem:
            sent.cut = not getattr(problem, "partial", b"")
            raise
        lines = reply.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in
                   (line.partition(":") for line in lines[1:])}
        status = int(lines[0].split(" ")[1])
        await self._body(status, headers, head.startswith(b"HEAD "))
        sent.end = time.time()
        sent.status = status
        return headers.get("connection", "").lower() != "close"

    async def _body(self, status, headers, head_only):
        if head_only or status in (204, 304):
            return
        if headers.get("transfer-encoding") == "chunked":
            while size := int((await self.reader.readuntil(b"\r\n")).strip(), 16):
                await self.reader.readexactly(size + 2)
            await self.reader.readuntil(b"\r\n")
        elif "content-length" in headers:
            await self.reader.readexactly(int(headers["content-length"]))
        else:
            await self.reader.read()


class Stream:
    """Requests of one kind at one rate until stopped. `path` may be a function of the number."""

    def __init__(self, load, path, rate, source, host, keepalive, method, timeout, count, agent):
        self.load = load
        self.path = path if callable(path) else lambda number: path
        self.rate = rate
        self.sources = source if callable(source) else lambda number: source
        self.host = host
        self.keepalive = keepalive      # number of kept-alive connections; 0: a fresh one each time
        self.method = method
        self.timeout = timeout
        self.count = count
        self.agent = agent
        self.sent = []
        self.number = 0
        self.stopping = False
        self.task = asyncio.run_coroutine_threadsafe(self._run(), load.loop)

    def stop(self):
        """Send no more, wait for what is under way, and return every request."""
        self.stopping = True
        return self.wait()

    def wait(self):
        """Wait until `count` requests were sent and answered."""
        self.task.result(self.timeout + 600)
        return self.sent

    async def _run(self):
        if self.keepalive:
            await asyncio.gather(*(self._kept(i) for i in range(self.keepalive)))
            return
        under_way = set()
        async for _ in self._beats(self.rate):
            task = asyncio.ensure_future(self._fresh())
            under_way.add(task)
            task.add_done_callback(under_way.discard)
            if len(under_way) >= 300:       # the server stands: do not pile up without bound
                await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
        if under_way:
            await asyncio.wait(under_way)

    async def _beats(self, rate):
        """Evenly spaced in time; beats that were missed are not made up for in a rush."""
        due = time.monotonic()
        while not self.stopping and (self.count is None or self.number < self.count):
            yield
            due = max(due + 1 / rate, time.monotonic() - 0.05)
            await asyncio.sleep(max(0, due - time.monotonic()))

    def _next(self, close):
        number, self.number = self.number, self.number + 1
        sent = Sent(self.path(number), time.time())
        self.sent.append(sent)
        head = (f"{self.method} {sent.path} HTTP/1.1\r\nHost: {self.host}\r\n"
                f"User-Agent: {self.agent}\r\n")
        if close:
            head += "Connection: close\r\n"
        return number, sent, (head + "\r\n").encode("latin-1")

    async def _ask(self, connection, sent, head):
        try:
            again = await asyncio.wait_for(connection.ask(sent, head), self.timeout)
        except (OSError, asyncio.IncompleteReadError, asyncio.TimeoutError) as problem:
            sent.end = time.time()
            sent.error = type(problem).__name__
            again = False
        return again

    async def _fresh(self):
        number, sent, head = self._next(close=True)
        connection = _Connection(self.load.port, self.sources(number))
        try:
            await asyncio.wait_for(connection.open(), self.timeout)
        except (OSError, asyncio.TimeoutError) as problem:
            sent.end = time.time()
            sent.error = type(problem).__name__
            return
        await self._ask(connection, sent, head)
        connection.close()

    async def _kept(self, index):
        connection = _Connection(self.load.port, self.sources(index))
        async for _ in self._beats(self.rate / self.keepalive):
            reused = connection.usable()
            number, sent, head = self._next(close=False)
            sent.reused = reused
            if not reused:
                connection.close()
                try:
                    await connection.open()
                except OSError as problem:
                    sent.end = time.time()
                    sent.error = type(problem).__name__
                    continue
            if not await self._ask(connection, sent, head):
                connection.close()
        connection.close()


def failed(sent):
    """Those that the server answered with 5xx."""
    return [one for one in sent if one.status and one.status >= 500]


class Load:
    """A source of requests to one port. Use as a context manager."""

    def __init__(self, port):
        self.port = port
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.streams = []

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *problem):
        for stream in self.streams:
            stream.stopping = True
            if problem[0]:
                stream.task.cancel()
        if not problem[0]:
            for stream in self.streams:
                stream.wait()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()

    def stream(self, path="/", rate=20, source="127.0.0.1", host="localhost", keepalive=0,
               method="GET", timeout=None, count=None, agent="Mozilla/5.0"):
        timeout = timeout or 60 * crowd()
        stream = Stream(self, path, rate, source, host, keepalive, method, timeout, count, agent)
        self.streams.append(stream)
        return stream


def aborted_download(port, path, read=1000):
    """Ask for something large, read a little, and reset the connection."""
    with socket.create_connection(("127.0.0.1", port), 60 * crowd()) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        connection.recv(read)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
