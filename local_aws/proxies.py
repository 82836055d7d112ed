"""This machine is reached directly, whatever proxies the environment names for the rest of the world."""

import os

_HERE = ("127.0.0.1", "localhost")


def past_proxies() -> dict[str, str]:
    """The variables that send requests to this machine past a proxy: what the environment excepts already, and this machine.

    boto3, the AWS CLI, curl and the Java SDK read them, some in capitals and some in small letters.
    """
    excepted = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    if excepted.strip() != "*":  # everything
        excepted = ",".join(dict.fromkeys([*filter(None, map(str.strip, excepted.split(","))), *_HERE]))
    return {"NO_PROXY": excepted, "no_proxy": excepted}
