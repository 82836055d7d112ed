"""Reach this machine directly, even if the environment names proxies."""

import os

_HERE = ("127.0.0.1", "localhost")


def past_proxies() -> dict[str, str]:
    """Return NO_PROXY with this machine added to what the environment already has there.

    boto3, the AWS CLI, curl and the Java SDK read the variable, some as NO_PROXY and some as no_proxy.
    """
    excepted = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    if excepted.strip() != "*":  # everything
        excepted = ",".join(dict.fromkeys([*filter(None, map(str.strip, excepted.split(","))), *_HERE]))
    return {"NO_PROXY": excepted, "no_proxy": excepted}
