"""A PostgreSQL server that speaks TLS: the local one has none, so a proxy before it does, as the protocol asks for it (SSLRequest)."""

from __future__ import annotations

import socket
import ssl
import threading
from contextlib import suppress

SSL_REQUEST = bytes((0, 0, 0, 8, 4, 210, 22, 47))


class TlsProxy:
    """Serves on a free port of loopback until it is closed; `plain` counts the sessions that came without TLS, and were sent away."""

    def __init__(self, server: tuple[str, int], context: ssl.SSLContext) -> None:
        self.server = server
        self.context = context
        self.encrypted = 0
        self.plain = 0
        self._sessions: list[ssl.SSLSocket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def cut(self) -> None:
        """Breaks off every session without a word, as a firewall or a lost server does."""
        for session in self._sessions:
            with suppress(OSError):
                session.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        if client.recv(8, socket.MSG_WAITALL) != SSL_REQUEST:
            self.plain += 1
            client.close()
            return
        client.sendall(b"S")
        with suppress(OSError):  # of a client that does not trust us
            encrypted = self.context.wrap_socket(client, server_side=True)
            self.encrypted += 1
            self._sessions.append(encrypted)
            server = socket.create_connection(self.server)
            threading.Thread(target=_pump, args=(encrypted, server), daemon=True).start()
            _pump(server, encrypted)


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
