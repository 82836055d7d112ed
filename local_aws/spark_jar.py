"""`python -m local_aws.spark_jar`: what local Spark needs beside the published JARs, in one JAR of our own: the SDK's region."""

import json
import zipfile

from local_aws.spark import LOCAL_JAR, REGION

# The SDK in Hadoop 3.3 guesses the signing region from the host name, and would sign for us-east-1; newer ones read endpoint.region.
_SDK_REGION = {"hostRegexToRegionMappings": [{"hostNameRegex": r"127\.0\.0\.1", "regionName": REGION}]}


def make() -> None:
    """Make the JAR."""
    LOCAL_JAR.parent.mkdir(parents=True, exist_ok=True)
    beside = LOCAL_JAR.with_suffix(".new")  # a JVM that runs may have the old one mapped
    with zipfile.ZipFile(beside, "w") as jar:
        jar.writestr("awssdk_config_override.json", json.dumps(_SDK_REGION))
    beside.replace(LOCAL_JAR)


if __name__ == "__main__":
    make()
