"""A small HTTP/2 client: many streams on one connection, in the clear or over TLS."""
import socket
import ssl

import h2.config
import h2.connection
import h2.events
import h2.exceptions

from .wait import crowd


def ask(port, paths, tls=False, reset_after=None, host="localhost"):
    """Ask for all `paths` as concurrent streams of one connection.

    Returns a status (or None) for each. The stream of the path whose index is `reset_after` is
    reset as soon as its reply has begun.
    """
    connection = socket.create_connection(("127.0.0.1", port), 60 * crowd())
    if tls:
        context = ssl._create_unverified_context()
        context.set_alpn_protocols(["h2"])
        connection = context.wrap_socket(connection, server_hostname=host)
    with connection:
        return _converse(connection, paths, reset_after, "https" if tls else "http", host)


def _converse(connection, paths, reset_after, scheme, host):
    settings = h2.config.H2Configuration(client_side=True, header_encoding="utf-8")
    h2c = h2.connection.H2Connection(settings)
    h2c.initiate_connection()
    statuses = {}
    open_streams = set()
    for path in paths:
        stream = h2c.get_next_available_stream_id()
        h2c.send_headers(stream, [(":method", "GET"), (":path", path), (":scheme", scheme),
                                  (":authority", host)], end_stream=True)
        statuses[stream] = None
        open_streams.add(stream)
    order = list(statuses)
    connection.sendall(h2c.data_to_send())
    while open_streams:
        data = connection.recv(65536)
        if not data:
            break
        for event in h2c.receive_data(data):
            stream = getattr(event, "stream_id", None)
            if isinstance(event, h2.events.ResponseReceived):
                statuses[stream] = int(dict(event.headers)[":status"])
                if reset_after is not None and stream == order[reset_after]:
                    h2c.reset_stream(stream, error_code=8)
                    open_streams.discard(stream)
            elif isinstance(event, h2.events.DataReceived):
                h2c.acknowledge_received_data(event.flow_controlled_length, stream)
            elif isinstance(event, (h2.events.StreamEnded, h2.events.StreamReset)):
                open_streams.discard(stream)
            elif isinstance(event, h2.events.ConnectionTerminated):
                open_streams.clear()
        connection.sendall(h2c.data_to_send())
    try:
        h2c.close_connection()
        connection.sendall(h2c.data_to_send())
    except (OSError, h2.exceptions.ProtocolError):
        pass
    return [statuses[stream] for stream in order]
