"""What a client of the local AWS needs in its environment: endpoint, credentials, region, and no proxy in between."""

import os

REGION = "eu-west-2"
_HERE = ("127.0.0.1", "localhost")


def aws_environment(endpoint: str) -> dict[str, str]:
    """Return the variables from which boto3, the CLI and the Java SDK learn how to reach the local AWS."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        # Without this, a client without credentials would ask the network for the role of an EC2 instance.
        "AWS_EC2_METADATA_DISABLED": "true",
        **past_proxies(),
    }


def past_proxies() -> dict[str, str]:
    """Return NO_PROXY with this machine added to what the environment already has there.

    boto3, the AWS CLI, curl and the Java SDK read the variable, some as NO_PROXY and some as no_proxy.
    """
    excepted = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    if excepted.strip() != "*":  # everything
        excepted = ",".join(dict.fromkeys([*filter(None, map(str.strip, excepted.split(","))), *_HERE]))
    return {"NO_PROXY": excepted, "no_proxy": excepted}
