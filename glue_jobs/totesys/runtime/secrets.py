"""Read database credentials from Secrets Manager, the only place where they are."""

from __future__ import annotations

import atexit
import json
import os
import re
from dataclasses import dataclass, field
from functools import cache
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING, Any

from totesys.errors import FatalError
from totesys.errors.aws import aws_call

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


@dataclass(frozen=True)
class Credentials:
    """How to reach a PostgreSQL database. The password is not in repr, and so in no log or traceback.

    ca  certificates (PEM) of the authorities, for sslmode verify-ca and verify-full: one of them must have issued the server's
        certificate; empty for none
    """

    host: str
    port: int
    dbname: str
    username: str
    password: str = field(repr=False)
    sslmode: str
    ca: str = field(default="", repr=False)

    @property
    def place(self) -> str:
        """Return host, port and database, for messages."""
        return f"{self.dbname} on {self.host}:{self.port}"

    def libpq(self) -> dict[str, Any]:
        """Return the keyword arguments for psycopg2.connect."""
        return {
            "host": self.host, "port": self.port, "dbname": self.dbname, "user": self.username, "password": self.password,
            "sslmode": self.sslmode, "connect_timeout": 10, **({"sslrootcert": _file(self.ca)} if self.ca else {}),
        }  # fmt: skip


def certificates(pem: str) -> list[str]:
    """Return the certificates in a PEM text, without the text between them."""
    return [f"{found}\n" for found in _CERTIFICATE.findall(pem)]


@cache
def _file(ca: str) -> str:
    """Return the path of a file with the certificates, which exists until the process ends. libpq takes certificates only as a file."""
    with NamedTemporaryFile("w", prefix="totesys-ca-", suffix=".pem", delete=False) as file:
        file.write(ca)
    atexit.register(os.unlink, file.name)
    return file.name


def read_credentials(client: SecretsManagerClient, secret_id: str) -> Credentials:
    """Return the credentials in a secret. FatalError when the secret is missing, empty or not of our form."""
    with aws_call(f"reading secret {secret_id}", "run scripts/deploy.sh, and check the job's role"):
        text = client.get_secret_value(SecretId=secret_id)["SecretString"]
    try:
        body = json.loads(text)
        return Credentials(
            host=body["host"], port=int(body["port"]), dbname=body["dbname"], username=body["username"],
            password=body["password"], sslmode=body["sslmode"], ca=body.get("ca", ""),
        )  # fmt: skip
    except (KeyError, ValueError, TypeError) as error:
        wanted = "host, port, dbname, username, password and sslmode"
        raise FatalError(f"secret {secret_id} is not JSON with {wanted}: correct it in Secrets Manager") from error
