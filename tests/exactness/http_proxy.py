"""A proxy before the local AWS that names every call, and can lose any of them.

Clients take its address for AWS's endpoint. It sends requests on with another host in them: ministack checks no signature in a header. A
presigned URL has to be signed for AWS's own endpoint.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.exactness.faults import Calls, Effect

_HOP_BY_HOP = frozenset({"connection", "expect", "host", "keep-alive", "transfer-encoding", "content-length", "te", "trailer", "upgrade"})
_PLAIN = re.compile(r"[a-z_]+")
_IDLE_SECONDS = 30.0  # AWS's side closes after 75: a connection older than this is opened again, since a request must never go twice
_PIECE = 1 << 16
_SLOW_DOWN = b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
_SERVICES = {"AWSGlue": "glue", "AWSEvents": "events", "secretsmanager": "secretsmanager", "GraniteServiceVersion20100801": "cloudwatch"}


def call_name(method: str, target: str, headers: Mapping[str, str], body: bytes) -> str:
    """What a request is, without ids: `glue BatchUpdatePartition star.dim_staff`, `s3 PUT processed _manifests`."""
    if action := headers.get("X-Amz-Target"):
        service, _, operation = action.rpartition(".")
        words = [_SERVICES.get(service, service), operation, _table(json.loads(body or b"{}"))]
        return " ".join(word for word in words if word)
    address = urlsplit(target)
    if address.path.startswith("/service/"):  # CBOR, as CloudWatch speaks
        return f"{_SERVICES[address.path.split('/')[2]]} {address.path.rpartition('/')[2]}"
    bucket, _, key = unquote(address.path).lstrip("/").partition("/")
    query = parse_qs(address.query, keep_blank_values=True)
    if "list-type" in query:
        method, key = "LIST", query.get("prefix", [""])[0]
    elif "delete" in query:
        method = "DELETE"
    elif "uploadId" in query or "uploads" in query:
        method += " part"
    return " ".join(word for word in ("s3", method, bucket.rpartition("-")[2], _key_class(key)) if word)


def _table(request: Mapping[str, Any]) -> str:
    """Database kind and table of a catalog call, as far as it names them; nothing for other calls."""
    if "DatabaseName" not in request:
        return ""
    kind, table = request["DatabaseName"].rpartition("_")[2], request.get("TableName") or request.get("Name")
    return f"{kind}.{table}" if table else str(kind)


def _key_class(key: str) -> str:
    """The part of a key that is the same in every run: `_keys/staff`, `mirror/staff`, `mirror/staff _temporary`."""
    kept = []
    for part in key.split("/"):
        if not _PLAIN.fullmatch(part):
            break
        kept.append(part)
    name = "/".join(kept) or key.strip("/")
    return f"{name} _temporary" if "/_temporary/" in key else name


class HttpProxy:
    """Serves on a free port of loopback until it is closed."""

    def __init__(self, upstream: str, calls: Calls) -> None:
        self.upstream = urlsplit(upstream).netloc
        self.calls = calls
        self._server = _Server(self)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, name="http proxy", daemon=True).start()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, proxy: HttpProxy) -> None:
        self.proxy = proxy
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has gone is no news."""


class _Handler(BaseHTTPRequestHandler):
    """One connection of a client, with one of its own to AWS."""

    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are two writes; together with delayed acknowledgement that would cost 40 ms

    def setup(self) -> None:
        super().setup()
        self._connection: HTTPConnection | None = None
        self._used_at = 0.0

    def finish(self) -> None:
        if self._connection:
            self._connection.close()
        super().finish()

    def log_message(self, *_: Any) -> None:
        """Says nothing: the calls are listed."""

    def forward(self) -> None:
        calls, body = self.server.proxy.calls, self._body()
        effect = calls.meet(call_name(self.command, self.path, dict(self.headers), body))
        if effect is Effect.REFUSED:
            self.close_connection = True
        elif effect in (Effect.UNAVAILABLE, Effect.UNAVAILABLE_ONCE):
            self._answer_unavailable()
        else:
            response = self._ask(body)
            if effect is None:
                self._answer(response)
                return
            response.read()
            self.close_connection = True
            if effect is Effect.ANSWER_LOST:
                calls.die()

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = forward

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        pieces = []
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass  # trailers
        return b"".join(pieces)

    def _ask(self, body: bytes) -> HTTPResponse:
        if self._connection and time.monotonic() - self._used_at > _IDLE_SECONDS:
            self._connection.close()
            self._connection = None
        self._connection = self._connection or HTTPConnection(self.server.proxy.upstream, timeout=60)
        self._connection.putrequest(self.command, self.path, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in _HOP_BY_HOP:
                self._connection.putheader(name, value)
        if body or self.command in ("PUT", "POST"):
            self._connection.putheader("Content-Length", str(len(body)))
        self._connection.endheaders(body)
        self._used_at = time.monotonic()
        return self._connection.getresponse()

    def _answer(self, response: HTTPResponse) -> None:
        self.send_response_only(response.status, response.reason)
        for name, value in response.getheaders():
            if name.lower() not in _HOP_BY_HOP:
                self.send_header(name, value)
        length = response.getheader("Content-Length")
        has_body = self.command != "HEAD" and response.status not in (204, 304)
        if length is not None:
            self.send_header("Content-Length", length)
        elif has_body:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while piece := response.read(_PIECE):
            self.wfile.write(piece if length is not None else b"%x\r\n%s\r\n" % (len(piece), piece))
        if has_body and length is None:
            self.wfile.write(b"0\r\n\r\n")

    def _answer_unavailable(self) -> None:
        is_s3 = "X-Amz-Target" not in self.headers
        body = b"" if self.command == "HEAD" else _SLOW_DOWN if is_s3 else b'{"__type": "ServiceUnavailable", "message": "not now"}'
        self.send_response_only(503, "Slow Down")
        self.send_header("Content-Type", "application/xml" if is_s3 else "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
