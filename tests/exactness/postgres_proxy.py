"""A proxy before PostgreSQL that names every statement, and can cut connections before one or swallow its answer.

It knows as much of protocol 3 as it takes to tell where a client's statement begins and where the server's answer to it ends.
"""

from __future__ import annotations

import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

from tests.exactness.faults import Calls, Effect

_SSL_REQUEST, _GSS_REQUEST = 80877103, 80877104
_PIECE = 1 << 18
_WORD = re.compile(r'[A-Za-z_][\w".]*')
_FROM = re.compile(r'\bFROM\s+([A-Za-z_"][\w".]*)', re.IGNORECASE)
_INTO = re.compile(r'\bINSERT\s+INTO\s+[\w".]+')
_ATTEMPT = re.compile(r"staging_[0-9a-f]{8}_")


def statement_name(sql: str) -> str:
    """A statement's first words up to the first that is none, what a SELECT reads from, or what is inserted WITH other rows; an attempt's
    digits are left out."""
    words = []
    for word in sql.split()[:4]:
        if not _WORD.fullmatch(word):
            break
        words.append(word)
    name = " ".join(words)
    if words and words[0].upper() == "SELECT":
        table = _FROM.search(sql)
        name = f"SELECT {table[1]}" if table else "SELECT"
    if words and words[0].upper() == "WITH" and (inserted := _INTO.search(sql)):
        name = inserted[0]
    return _ATTEMPT.sub("staging_", name)


class PostgresProxy:
    """Serves on a free port of loopback until it is closed. `kind` is the first word of its calls' names."""

    def __init__(self, upstream: tuple[str, int], kind: str, calls: Calls) -> None:
        self.upstream = upstream
        self.kind = kind
        self.calls = calls
        self._sockets: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        calls.on_death.append(self.cut)
        threading.Thread(target=self._accept, name=f"{kind} proxy", daemon=True).start()

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def close(self) -> None:
        self.calls.on_death.remove(self.cut)
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def cut(self) -> None:
        """Ends every connection, on both sides."""
        with self._lock:
            ended, self._sockets = self._sockets, set()
        for one in ended:
            end(one)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return  # closed
            if self.calls.is_dead:
                client.close()
                continue
            with suppress(OSError):
                _Connection(self, client, self._connected(client)).start()

    def _connected(self, client: socket.socket) -> socket.socket:
        try:
            server = socket.create_connection(self.upstream)
        except OSError:
            client.close()
            raise
        with self._lock:
            self._sockets |= {client, server}
        for one in (client, server):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return server

    def forget(self, *ended: socket.socket) -> None:
        with self._lock:
            self._sockets -= set(ended)


class _Connection:
    """One connection of a client and its twin to the server, each read by a thread."""

    def __init__(self, proxy: PostgresProxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        self._swallows: Effect | None = None
        self._prepared: dict[bytes, str] = {}

    def start(self) -> None:
        for work in (self._from_client, self._from_server):
            threading.Thread(target=self._until_end, args=(work,), daemon=True).start()

    def _until_end(self, work: Callable[[], None]) -> None:
        try:
            with suppress(OSError, _Ended):
                work()
        finally:
            for one in (self._client, self._server):
                end(one)
            self._proxy.forget(self._client, self._server)

    def _from_client(self) -> None:
        messages = _Messages(self._client)
        self._start_up(messages)
        group: list[tuple[bytes, bytes]] = []  # an extended query, up to its Sync
        for kind, message in messages:
            if kind == b"Q":
                self._statement(_text(message[5:]), message)
            elif kind in b"PBDE":
                group.append((kind, message))
            elif kind == b"S" and group:
                sql = self._sql_of(group)
                self._statement(sql, b"".join(part for _, part in group) + message)
                group = []
            elif group:  # a Flush or a Close within it
                group.append((kind, message))
            else:
                self._server.sendall(message)

    def _start_up(self, messages: _Messages) -> None:
        while True:
            message = messages.untyped()
            (code,) = struct.unpack("!I", message[4:8])
            if code not in (_SSL_REQUEST, _GSS_REQUEST):
                self._server.sendall(message)
                return
            self._client.sendall(b"N")

    def _sql_of(self, group: list[tuple[bytes, bytes]]) -> str:
        """The text that a group executes: of its last Parse, or of the statement prepared before that its Bind names."""
        sql = ""
        for kind, message in group:
            if kind == b"P":
                name, text = message[5:].split(b"\0", 2)[:2]
                sql = self._prepared[name] = text.decode(errors="replace")
            elif kind == b"B":
                _, name = message[5:].split(b"\0", 2)[:2]
                sql = self._prepared.get(name, sql)
        return sql

    def _statement(self, sql: str, messages: bytes) -> None:
        effect = self._proxy.calls.meet(f"{self._proxy.kind} {statement_name(sql)}".strip())
        if effect is Effect.REFUSED:
            raise _Ended
        self._swallows = effect if effect in (Effect.ANSWER_LOST, Effect.ANSWER_LOST_ONCE) else None
        self._server.sendall(messages)

    def _from_server(self) -> None:
        answer = b""
        while piece := self._server.recv(_PIECE):
            if self._swallows is None:
                self._client.sendall(piece)
                continue
            answer += piece
            if _is_complete(answer):
                if self._swallows is Effect.ANSWER_LOST:
                    self._proxy.calls.die()
                return


class _Ended(Exception):
    """The client has gone, or is to go."""


class _Messages:
    """A client's messages: a byte of kind, a length that counts itself, a body; the first ones without a kind."""

    def __init__(self, client: socket.socket) -> None:
        self._client = client
        self._read = bytearray()

    def untyped(self) -> bytes:
        return self._take(self._length(0))

    def __iter__(self) -> Iterator[tuple[bytes, bytes]]:
        while True:
            message = self._take(1 + self._length(1))
            yield message[:1], message

    def _length(self, at: int) -> int:
        self._fill(at + 4)
        return int(struct.unpack_from("!I", self._read, at)[0])

    def _take(self, size: int) -> bytes:
        self._fill(size)
        taken = bytes(self._read[:size])
        del self._read[:size]
        return taken

    def _fill(self, size: int) -> None:
        while len(self._read) < size:
            piece = self._client.recv(_PIECE)
            if not piece:
                raise _Ended
            self._read += piece


def _is_complete(answer: bytes) -> bool:
    """Whether an answer, from its first byte on, has come to ReadyForQuery."""
    at = 0
    while len(answer) >= at + 5:
        if answer[at : at + 1] == b"Z":
            return True
        at += 1 + struct.unpack_from("!I", answer, at + 1)[0]
    return False


def _text(body: bytes) -> str:
    return body.split(b"\0", 1)[0].decode(errors="replace")


def end(one: socket.socket) -> None:
    """Closes a socket, and wakes the thread that reads from it."""
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
