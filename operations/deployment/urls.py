"""A database's URL, and the certificates of the authorities that may have signed its server's certificate."""

from __future__ import annotations

import json
import ssl
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from totesys.errors import FatalError
from totesys.runtime.secrets import Credentials, certificates

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_VERIFYING = ("verify-ca", "verify-full")
_MOST_BYTES = 60 * 1024  # a secret holds 64 KiB, as JSON and with the credentials


def parse_url(url: str, variable: str, ca: str = "", ca_variable: str = "") -> Credentials:
    """Return the credentials of a URL as psql takes it. `ca` are the certificates that `ca_variable` names; empty for none.

    With certificates, the server's certificate must be signed by one of them and name the server (verify-full). Without certificates, TLS
    is required and nothing is checked. A server on this machine needs no TLS. The URL's sslmode overrides all of this.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("postgresql", "postgres") or not (parts.hostname and parts.username and parts.path.strip("/")):
        raise FatalError(f"{variable} is not a URL of the form postgresql://user:password@host:port/dbname")
    options = {name: values[0] for name, values in parse_qs(parts.query).items()}
    usual = "verify-full" if ca else "disable" if parts.hostname in _LOOPBACK else "require"
    sslmode = options.get("sslmode", usual)
    if "sslrootcert" in options:
        raise FatalError(f"{variable} has sslrootcert, which is not read", f"take it out, and set {ca_variable} to that path")
    if ca and sslmode not in _VERIFYING:
        raise FatalError(
            f"{variable} says sslmode={sslmode}, which checks no certificate, and {ca_variable} names certificates", "take one of them out"
        )
    if sslmode in _VERIFYING and not ca:
        raise FatalError(
            f"{variable} says sslmode={sslmode}, and nothing says which authorities to trust",
            f"set {ca_variable} to the path of their certificates",
        )
    return Credentials(
        host=parts.hostname,
        port=parts.port or 5432,
        dbname=unquote(parts.path.strip("/")),
        username=unquote(parts.username),
        password=unquote(parts.password or ""),
        sslmode=sslmode,
        ca=ca,
    )


def read_certificates(path: str, variable: str) -> str:
    """Return the certificates of a PEM file, without its other content. FatalError when it has none, a damaged one, or more than a secret
    can hold."""
    try:
        text = Path(path).expanduser().read_text("utf-8")
        found = certificates(text)
        pem = "".join(found)
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=pem)
    except OSError as error:
        reason = error.reason if isinstance(error, ssl.SSLError) else error.strerror
        raise FatalError(f"{variable} names {path}, which cannot be read ({reason})", "correct the path, or the file") from error
    except ValueError as error:  # not even text, or nothing between the marks
        raise FatalError(f"{variable} names {path}, which holds no certificate in PEM", "name the authority's, or a bundle") from error
    if len(json.dumps(pem)) > _MOST_BYTES:
        raise FatalError(
            f"{variable} names {path} with {len(found)} certificates, which are more than a secret can hold ({_MOST_BYTES // 1024} KiB)",
            "name a smaller bundle: of Amazon RDS that of the database's own region, such as eu-west-2-bundle.pem",
        )
    return pem
