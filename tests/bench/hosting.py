"""Instructions of a good request in a hosting company's configuration: TLS, HTTP/2 (not on prefork, which
mod_http2 refuses), a virtual host for each customer, and an application's .htaccess file that rewrites what
is no file.

One life of a server is enough for both counts: callgrind's counters are set to zero before the requests and
read behind them.
"""
import re
import socket
import ssl
import subprocess
import time
from pathlib import Path

import h2.config
import h2.connection
import h2.events

from instructions import end, serve_single
from servers import AGENT, MODULES, Server, as_worker

ASKED = {"a file": "/1k.txt", "a page of the application": "/2026/news"}

HTACCESS = """RewriteEngine On
RewriteRule ^index\\.html$ - [L]
RewriteCond %{REQUEST_FILENAME} !-f
RewriteCond %{REQUEST_FILENAME} !-d
RewriteRule . /index.html [L]
"""

VHOST = """<VirtualHost 127.0.0.1:{port}>
    ServerName v{n}.example
    ServerAlias www.v{n}.example
    DocumentRoot "{root}/htdocs"
    SSLEngine On
    SSLCertificateFile "{root}/conf/both.pem"
    RewriteEngine On
    RewriteRule ^/old/(.*)$ /new/$1 [R=301,L]
    <Directory "{root}/htdocs">
        AllowOverride All
    </Directory>
</VirtualHost>
"""


def make_certificate(folder):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-days", "30", "-subj", "/CN=v.example", "-keyout", folder / "key.pem",
                    "-out", folder / "cert.pem"], check=True, capture_output=True)
    (folder / "both.pem").write_text((folder / "cert.pem").read_text() + (folder / "key.pem").read_text())


def hosting(variant, mpm, vhosts, turn):
    with_http2 = ["http2"] if mpm != "prefork" else []
    server = Server(variant, mpm, single=True)
    make_certificate(server.root / "conf")
    (server.root / "htdocs/.htaccess").write_text(HTACCESS)
    server.own = "\n".join([
        f"Define pad {'x' * (1 + 408 * turn)}",     # strings lie elsewhere each time (instructions.py)
        *(f"LoadModule {name}_module {MODULES}/mod_{name}.so" for name in ["rewrite", "ssl", *with_http2]),
        "SSLSessionCache none", "Protocols h2 http/1.1" if with_http2 else "",
        *(VHOST.format(port=server.port, n=n, root=server.root) for n in range(vhosts))])
    return server


def connect(server, host, protocol):
    connection = socket.create_connection(("127.0.0.1", server.port), 300)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    context = ssl._create_unverified_context()
    context.set_alpn_protocols([protocol])
    return context.wrap_socket(connection, server_hostname=host)


def ask_http1(connection, host, path, count):
    request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {AGENT}\r\n\r\n".encode()
    for _ in range(count):
        connection.sendall(request)
        got = b""
        while b"\r\n\r\n" not in got:
            got += connection.recv(65536)
        assert got.startswith(b"HTTP/1.1 200"), got[:200]
        head, body = got.split(b"\r\n\r\n", 1)
        left = int(re.search(rb"Content-Length: (\d+)", head).group(1)) - len(body)
        while left > 0:
            left -= len(connection.recv(65536))


def ask_http2(connection, host, path, count):
    """One stream after the other, each when the last one has ended."""
    http = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
    http.initiate_connection()
    for _ in range(count):
        stream, ended = http.get_next_available_stream_id(), False
        http.send_headers(stream, [(":method", "GET"), (":path", path), (":scheme", "https"), (":authority", host),
                                   ("user-agent", AGENT)], end_stream=True)
        while not ended:
            connection.sendall(http.data_to_send())
            for event in http.receive_data(connection.recv(65536)):
                if isinstance(event, h2.events.ResponseReceived):
                    assert dict(event.headers)[":status"] == "200", event
                elif isinstance(event, h2.events.DataReceived):
                    http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                ended |= isinstance(event, h2.events.StreamEnded)


def ask(server, mpm, path, count, vhosts):
    host = f"v{vhosts // 2}.example"
    with connect(server, host, "http/1.1" if mpm == "prefork" else "h2") as connection:
        (ask_http1 if mpm == "prefork" else ask_http2)(connection, host, path, count)


def control(process, what):
    subprocess.run(as_worker("callgrind_control", what, str(process.pid)), check=True, stdin=subprocess.DEVNULL,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def counted(server, process, action):
    """Instructions of the whole process meanwhile."""
    before = set(server.root.glob("callgrind.*"))
    control(process, "--zero")
    action()
    time.sleep(0.5)     # its other threads finish
    control(process, "--dump")
    text = "".join(Path(p).read_text(errors="replace") for p in set(server.root.glob("callgrind.*")) - before)
    return sum(map(int, re.findall(r"^(?:totals|summary): (\d+)", text, re.M)[:1]))


def one_life(variant, mpm, vhosts, turn, few, many):
    server = hosting(variant, mpm, vhosts, turn)
    try:
        process = serve_single(server, ["valgrind", "--tool=callgrind", "-q",
                                        f"--callgrind-out-file={server.root}/callgrind.%p"])
        found = {}
        for name, path in ASKED.items():
            ask(server, mpm, path, 20, vhosts)
            least, most = (counted(server, process, lambda n=n: ask(server, mpm, path, n, vhosts)) for n in (few, many))
            found[name] = (most - least) / (many - few)
        end(process)
        return found
    finally:
        server.close()


def count_hosting(mpm, vhosts, repeats, few=50, many=350):
    """{what is asked: {variant: [instructions per request, ...]}}"""
    found = {name: {"nothing": [], "mod_pmcapture": []} for name in ASKED}
    for turn in range(repeats):
        for variant in ("nothing", "mod_pmcapture"):
            for name, each in one_life(variant, mpm, vhosts, turn, few, many).items():
                found[name][variant].append(each)
    return found
