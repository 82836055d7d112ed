"""A Spark job, as Glue would run it: plain code, an s3:// path, and settings from its environment."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import psutil

from tests.support.local_aws.machine import SCRIPTS, LocalAws, wait_until

SOURCE = """
import json
from pyspark.sql import SparkSession, functions as F

spark = SparkSession.builder.getOrCreate()
rows = spark.range(10).withColumn("part", F.col("id") % 2)
rows.write.partitionBy("part").parquet("s3://spark-tests/rows/")
back = spark.read.parquet("s3://spark-tests/rows/").where("part = 1").count()
conf = {name: spark.conf.get(name) for name in ("spark.sql.session.timeZone", "spark.sql.shuffle.partitions", "spark.master")}
print(json.dumps({"back": back, "conf": conf}))
"""
ARGUMENTS = {"--conf": "spark.sql.shuffle.partitions=3 --conf spark.sql.session.timeZone=Europe/London"}


def test_a_spark_job_reads_and_writes_s3(aws: LocalAws) -> None:
    aws.s3.create_bucket(Bucket="spark-tests", CreateBucketConfiguration={"LocationConstraint": "eu-west-2"})
    run = aws.run(aws.job("spark", SOURCE, kind="glueetl", DefaultArguments=ARGUMENTS))
    assert run["JobRunState"] == "SUCCEEDED", run.get("ErrorMessage")
    said = json.loads(aws.output(run["Id"], "/aws-glue/jobs/output")[0])
    expected = {"spark.sql.session.timeZone": "Europe/London", "spark.sql.shuffle.partitions": "3", "spark.master": "local[2]"}
    assert said == {"back": 5, "conf": expected}
    assert aws.output(run["Id"], "/aws-glue/jobs/error") == []
    keys = [found["Key"] for found in aws.s3.list_objects_v2(Bucket="spark-tests")["Contents"]]
    assert sorted({key.split("/")[1] for key in keys}) == ["part=0", "part=1"]
    assert not [key for key in keys if "_SUCCESS" in key or "_temporary" in key]


# Tells its JVM's process and what it finds there, logs by the JVM, and leaves behind what a run can.
LEAVES_THINGS = """
import json
from pyspark.sql import SparkSession

spark = SparkSession.builder.getOrCreate()
java = spark._jvm
cached, ansi = spark._jsc.getPersistentRDDs().size(), spark.conf.get("spark.sql.ansi.enabled")
found = {"views": len(spark.catalog.listTables()), "cached": cached, "ansi": ansi}
print(json.dumps({"jvm": java.ProcessHandle.current().pid(), "found": found}), flush=True)
java.org.apache.logging.log4j.LogManager.getLogger("left").warn(spark.conf.get("spark.app.id"))
spark.range(3).persist().createTempView("left")
spark.sql("SELECT count(*) FROM left").collect()
spark.conf.set("spark.sql.ansi.enabled", "true")
"""
NOTHING = {"views": 0, "cached": 0, "ansi": "false"}


def printed(aws: LocalAws, run_id: str) -> Any:
    """What a run printed first, and None before that."""
    try:
        lines = aws.output(run_id, "/aws-glue/jobs/output")
    except aws.logs.exceptions.ResourceNotFoundException:
        return None
    return json.loads(lines[0]) if lines else None


def test_a_run_that_ends_well_or_without_spark_leaves_its_jvm_to_the_next_and_nothing_else(aws: LocalAws) -> None:
    aws.job("leaves", LEAVES_THINGS, kind="glueetl", DefaultArguments=ARGUMENTS)
    aws.job("sparkless", "raise SystemExit('no warehouse')", kind="glueetl", DefaultArguments=ARGUMENTS)
    before = printed(aws, aws.run("leaves")["Id"])
    os.kill(before["jvm"], signal.SIGKILL)  # one that died while it waited is not taken

    first_run, failed, second_run = (aws.run(job) for job in ("leaves", "sparkless", "leaves"))

    assert failed["JobRunState"] == "FAILED"
    runs = [first_run["Id"], second_run["Id"]]

    assert before["found"] == NOTHING
    first, second = (printed(aws, run) for run in runs)
    assert first == second
    assert first["found"] == NOTHING
    assert first["jvm"] != before["jvm"]
    logged = [aws.output(run, "/aws-glue/jobs/error") for run in runs]
    assert [len(lines) for lines in logged] == [1, 1], "each run's own"
    assert logged[0] != logged[1]
    listening = [c.laddr.ip for c in psutil.Process(first["jvm"]).net_connections("inet") if c.status == psutil.CONN_LISTEN]
    assert listening == ["::ffff:127.0.0.1"], "loopback, as Java writes it"


READS = """
from pyspark.sql import SparkSession

spark = SparkSession.builder.getOrCreate()
print(spark._jvm.ProcessHandle.current().pid(), flush=True)
print(spark.read.schema("a string").text("s3://by-roles/").count())
"""


def test_runs_of_different_roles_share_a_jvm_and_no_rights(aws: LocalAws) -> None:
    aws.s3.create_bucket(Bucket="by-roles", CreateBucketConfiguration={"LocationConstraint": "eu-west-2"})
    aws.s3.put_object(Bucket="by-roles", Key="a.txt", Body=b"a")
    code = {"Effect": "Allow", "Action": ["s3:GetObject", "logs:*"], "Resource": [f"arn:aws:s3:::{SCRIPTS}/*", "arn:aws:logs:*"]}
    bucket = "arn:aws:s3:::by-roles"
    objects = {"Effect": "Allow", "Action": ["s3:GetObject", "s3:ListBucket"], "Resource": [bucket, f"{bucket}/*"]}
    for name, statements in (("reader", [code, objects]), ("stranger", [code])):
        aws.job(name, READS, kind="glueetl", role=aws.role(f"spark-{name}", "glue.amazonaws.com", *statements))

    first, second, third = (aws.run(name) for name in ("reader", "stranger", "reader"))

    assert [run["JobRunState"] for run in (first, second, third)] == ["SUCCEEDED", "FAILED", "SUCCEEDED"]
    assert "Access Denied" in second["ErrorMessage"] or "AccessDenied" in second["ErrorMessage"]
    assert printed(aws, first["Id"]) == printed(aws, second["Id"])


def test_a_run_that_fails_with_spark_takes_its_jvm_with_it(aws: LocalAws) -> None:
    run = aws.run(aws.job("fails", LEAVES_THINGS + "raise SystemExit('no lake')\n", kind="glueetl", DefaultArguments=ARGUMENTS))

    assert run["JobRunState"] == "FAILED"
    assert not Path(f"/proc/{printed(aws, run['Id'])['jvm']}").exists()


def test_a_run_that_is_stopped_takes_its_jvm_with_it(aws: LocalAws) -> None:
    aws.job("endless", LEAVES_THINGS + "import time\ntime.sleep(600)\n", kind="glueetl", DefaultArguments=ARGUMENTS)
    run_id = aws.glue.start_job_run(JobName="endless")["JobRunId"]
    jvm = wait_until("it runs", lambda: printed(aws, run_id))["jvm"]

    aws.glue.batch_stop_job_run(JobName="endless", JobRunIds=[run_id])

    assert aws.ended("endless", run_id)["JobRunState"] == "STOPPED"
    assert not Path(f"/proc/{jvm}").exists()


def test_a_jvm_that_does_not_start_fails_the_run_with_one_line(aws: LocalAws) -> None:
    run = aws.run(aws.job("greedy", SOURCE, kind="glueetl", DefaultArguments={"--conf": "spark.driver.memory=much"}))

    assert run["JobRunState"] == "FAILED"
    assert run["ErrorMessage"].startswith("greedy could not start: Spark's JVM did not start: ")
    assert "\n" not in run["ErrorMessage"]
