"""A database's URL, and the certificates of the authorities that may have signed its server's."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from totesys.errors import FatalError
from totesys.secrets import Credentials

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def parse_url(url: str, variable: str) -> Credentials:
    """The credentials of a URL as psql takes it. TLS is required unless its sslmode says otherwise, or the server is on this machine;
    with sslrootcert, a file of PEM, the server's certificate must come from that authority and name the server."""
    parts = urlsplit(url)
    options = {name: values[0] for name, values in parse_qs(parts.query).items()}
    ca = _read_ca(options["sslrootcert"], variable) if "sslrootcert" in options else ""
    usual = "verify-full" if ca else "disable" if parts.hostname in _LOOPBACK else "require"
    if parts.scheme not in ("postgresql", "postgres") or not (parts.hostname and parts.username and parts.path.strip("/")):
        raise FatalError(f"{variable} is not a URL of the form postgresql://user:password@host:port/dbname")
    return Credentials(
        host=parts.hostname,
        port=parts.port or 5432,
        dbname=unquote(parts.path.strip("/")),
        username=unquote(parts.username),
        password=unquote(parts.password or ""),
        sslmode=options.get("sslmode", usual),
        ca=ca,
    )


def _read_ca(path: str, variable: str) -> str:
    try:
        ca = Path(path).read_text("ascii")
    except (OSError, ValueError) as error:
        raise FatalError(f"{variable} names the certificate {path}, which cannot be read: {error}") from error
    if ca.count("BEGIN CERTIFICATE") != 1:
        raise FatalError(f"{variable} names {path}, which must hold one certificate in PEM: that of the authority that signs the server's")
    return ca
