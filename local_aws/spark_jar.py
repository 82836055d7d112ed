"""What local Spark needs beside the published JARs, in one JAR of our own: the SDK's region and some of Hadoop's
defaults."""

import json
import zipfile
from xml.etree import ElementTree

from local_aws.spark import LOCAL_JAR, REGION, SPARK_JARS

# The SDK in Hadoop 3.3 guesses the signing region from the host name, and would sign for us-east-1; newer ones read endpoint.region.
_SDK_REGION = {"hostRegexToRegionMappings": [{"hostNameRegex": r"127\.0\.0\.1", "regionName": REGION}]}

# Spark sends Hadoop's settings along with every file that it reads or writes, packed one by one: 40 ms for a thousand of them. All but a
# hundred are the defaults of systems that nothing here uses.
_DEFAULTS = ("core-default.xml", "yarn-default.xml", "mapred-default.xml")
_OF_USE = ("fs.s3a.", "io.", "hadoop.tmp.")


def make() -> None:
    """Make the JAR."""
    LOCAL_JAR.parent.mkdir(parents=True, exist_ok=True)
    beside = LOCAL_JAR.with_suffix(".new")  # a JVM that runs may have the old one mapped
    with zipfile.ZipFile(beside, "w") as jar:
        jar.writestr("awssdk_config_override.json", json.dumps(_SDK_REGION))
        for name in _DEFAULTS:
            jar.writestr(name, _defaults_of_use(name))
    beside.replace(LOCAL_JAR)


def _defaults_of_use(name: str) -> bytes:
    """The XML of one file of defaults without those that nothing here uses. Its JAR is one of those that the lock has checksums of."""
    with zipfile.ZipFile(next(SPARK_JARS.glob("hadoop-client-api-*.jar"))) as hadoop:
        defaults = ElementTree.fromstring(hadoop.read(name))  # nosec B314
    for setting in defaults.findall("property"):
        if not setting.findtext("name", "").startswith(_OF_USE):
            defaults.remove(setting)
    return ElementTree.tostring(defaults)
