"""Backends that fail in the ways in which backends do: real sockets, one behaviour each.

    with Faulty(closes_at_once) as backend: …        # TCP; Faulty(…, path="/run/x.sock"): a Unix socket

A behaviour gets the connection and is done with it when it returns.
"""
import socket
import socketserver
import struct
import threading


class Faulty:
    def __init__(self, behaviour, path=None):
        kind = socketserver.ThreadingUnixStreamServer if path else socketserver.ThreadingTCPServer

        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                try:
                    behaviour(self.request)
                except OSError:
                    pass

        self.server = kind(str(path) if path else ("127.0.0.1", 0), Handler, bind_and_activate=False)
        self.server.daemon_threads = True
        self.server.block_on_close = False
        self.server.request_queue_size = 128
        self.server.server_bind()
        self.server.server_activate()
        self.port = None if path else self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


def read_request(connection):
    """The head of a request, b"" when the other side has closed."""
    head = b""
    while b"\r\n\r\n" not in head:
        more = connection.recv(65536)
        if not more:
            return b""
        head += more
    return head


def closes_at_once(connection):
    """Maybe before the request is sent, maybe after it: by a FIN, or a RST when something is unread."""


def resets(connection):
    read_request(connection)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def closes_after_the_request(connection):
    read_request(connection)


def closes_on_the_second_request(connection):
    read_request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n")
    read_request(connection)


def sends_half_a_header(connection):
    read_request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Le")


def sends_half_a_status_line(connection):
    read_request(connection)
    connection.sendall(b"HTTP/1.")


def sends_garbage(connection):
    read_request(connection)
    connection.sendall(b"\x16\x03\x01\x02\x00\x01\x00 this is no HTTP\r\n\r\n")


def is_silent(connection):
    while connection.recv(65536):
        pass


def answers(status):
    def answer(connection):
        while read_request(connection):
            connection.sendall(f"HTTP/1.1 {status} Own\r\nContent-Length: 0\r\n\r\n".encode())
    return answer


def exactly(connection, length):
    """So many bytes; fewer when the other side has closed."""
    got = b""
    while len(got) < length and (more := connection.recv(length - len(got))):
        got += more
    return got


def read_fastcgi(connection):
    """All records of a request: the last one is an empty FCGI_STDIN (5). Closing with one unread would be a reset."""
    while len(head := exactly(connection, 8)) == 8:
        _, kind, _, length, padding, _ = struct.unpack(">BBHHBB", head)
        exactly(connection, length + padding)
        if kind == 5 and length == 0:
            return


def fastcgi_closes(connection):
    read_fastcgi(connection)


def fastcgi_answers(status, end=True):
    """A reply with this status; without its end the connection breaks in the middle."""
    def answer(connection):
        read_fastcgi(connection)
        out = f"Status: {status}\r\nContent-Type: text/plain\r\n".encode()
        out += b"\r\nbody\n" if end else b""
        record = struct.pack(">BBHHBB", 1, 6, 1, len(out), 0, 0) + out
        if end:
            record += struct.pack(">BBHHBB", 1, 6, 1, 0, 0, 0) + struct.pack(">BBHHBBIBxxx", 1, 3, 1, 8, 0, 0, 0, 0)
        connection.sendall(record)
    return answer
