"""Find the one certificate that Spark's sessions trust. pgjdbc takes several only from a file, and Spark's workers have no file of ours."""

from __future__ import annotations

from dataclasses import replace

import psycopg2

from totesys.errors import FatalError
from totesys.errors.warehouse import warehouse
from totesys.runtime.secrets import Credentials, certificates


def with_one_certificate(credentials: Credentials) -> Credentials:
    """Return the credentials with the one certificate that proves the server's identity.

    The function connects with each certificate to find it. FatalError when no single certificate is enough. Another PipelineError when
    the server cannot be reached, or refuses for another reason.
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
        "add the certificate of the root authority of the server's chain, with scripts/deploy.sh or in the secret",
    )
