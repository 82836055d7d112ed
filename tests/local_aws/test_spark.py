"""A Spark job, as Glue would run it: plain code, an s3:// path, and settings from its environment."""

import json

from tests.local_aws.machine import LocalAws

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


def test_a_spark_job_reads_and_writes_s3(aws: LocalAws) -> None:
    aws.s3.create_bucket(Bucket="spark-tests", CreateBucketConfiguration={"LocationConstraint": "eu-west-2"})
    conf = "spark.sql.shuffle.partitions=3 --conf spark.sql.session.timeZone=Europe/London"
    run = aws.run(aws.job("spark", SOURCE, kind="glueetl", DefaultArguments={"--conf": conf}))
    assert run["JobRunState"] == "SUCCEEDED", run.get("ErrorMessage")
    said = json.loads(aws.output(run["Id"], "/aws-glue/jobs/output")[0])
    expected = {"spark.sql.session.timeZone": "Europe/London", "spark.sql.shuffle.partitions": "3", "spark.master": "local[2]"}
    assert said == {"back": 5, "conf": expected}
    assert aws.output(run["Id"], "/aws-glue/jobs/error") == []
    keys = [found["Key"] for found in aws.s3.list_objects_v2(Bucket="spark-tests")["Contents"]]
    assert sorted({key.split("/")[1] for key in keys}) == ["part=0", "part=1"]
    assert not [key for key in keys if "_SUCCESS" in key or "_temporary" in key]
