"""The one certificate that Spark's sessions trust: pgjdbc takes several from a file alone, and Spark's workers have no file of ours."""

from __future__ import annotations

from dataclasses import replace

import psycopg2

from totesys.errors import FatalError
from totesys.errors.warehouse import warehouse
from totesys.runtime.secrets import Credentials, certificates


def with_one_certificate(credentials: Credentials) -> Credentials:
    """Return the credentials with the certificate that alone proves who the server is.

    It is found by connecting with each. FatalError when none does so alone; another PipelineError when the server cannot be reached, or
    refuses for another reason.
    """
    found = certificates(credentials.ca)
    if len(found) <= 1:
        return credentials
    for certificate in found:
        alone = replace(credentials, ca=certificate)
        try:
            psycopg2.connect(**alone.libpq()).close()
        except psycopg2.OperationalError as error:
            if "certificate" not in str(error):
                raise warehouse(alone).error(error) from error
        else:
            return alone
    raise FatalError(
        f"none of the {len(found)} certificates for {credentials.place} alone proves who the server is",
        "put the certificate of the authority at the root of the server's chain among them, by scripts/deploy.sh or in the secret",
    )
