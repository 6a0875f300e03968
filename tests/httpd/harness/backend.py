"""A real second server for httpd to proxy to; it answers as the path tells it.

    /status/503     that status            /slow/0.5    200 after half a second
    /bytes/100000   200 with that body     /close       closes without an answer
    /hang           answers when /release is asked for, or never
    anything else   200

It runs in a process of its own, so that killing it is a real death: connections are refused.
"""
import asyncio
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

from .ports import free_port
from .wait import wait_for


class Backend:
    def __init__(self):
        self.port = free_port()
        self.process = None

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def start(self):
        self.process = subprocess.Popen([sys.executable, "-m", "harness.backend", str(self.port)],
                                        stdin=subprocess.DEVNULL, cwd=Path(__file__).parents[1])
        wait_for(self._listens, 10, "the backend listens")
        return self

    def _listens(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), 10).close()
        except OSError:
            return False
        return True

    def kill(self):
        self.process.kill()
        self.process.wait(60)
        self.process = None

    def pause(self):
        """Connections are accepted by the kernel, and nothing answers."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def release(self):
        """Let every request that hangs be answered."""
        with socket.create_connection(("127.0.0.1", self.port), 60) as connection:
            connection.sendall(b"GET /release HTTP/1.1\r\nHost: b\r\nConnection: close\r\n\r\n")
            connection.recv(1000)

    def close(self):
        if self.process:
            self.kill()


class _Server:
    def __init__(self):
        self.released = asyncio.Event()

    async def connection(self, reader, writer):
        try:
            while await self._one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _one(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path = head[0].split(" ")[:2]
        headers = {name.lower(): value.strip() for name, _, value in
                   (line.partition(":") for line in head[1:])}
        await reader.readexactly(int(headers.get("content-length", 0)))
        action, _, argument = path.split("?")[0].strip("/").partition("/")
        status, body = 200, b"backend\n"
        if action == "status":
            status = int(argument)
        elif action == "slow":
            await asyncio.sleep(float(argument))
        elif action == "bytes":
            body = b"x" * int(argument)
        elif action == "close":
            return False
        elif action == "hang":
            await self.released.wait()
        elif action == "release":
            self.released.set()
            self.released = asyncio.Event()
        bodyless = status in (204, 304)
        reply = f"HTTP/1.1 {status} Answer\r\nConnection: keep-alive\r\n"
        if not bodyless:
            reply += f"Content-Length: {len(body)}\r\nContent-Type: text/plain\r\n"
        writer.write(reply.encode() + b"\r\n")
        if not bodyless and method != "HEAD":
            writer.write(body)
        await writer.drain()
        return headers.get("connection") != "close"


async def _serve(port, parent):
    server = await asyncio.start_server(_Server().connection, "127.0.0.1", port, backlog=512)
    async with server:
        while os.getppid() == parent:       # the test is gone: so are we
            await asyncio.sleep(1)


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), os.getppid()))
