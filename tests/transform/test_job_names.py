"""In the Spark UI, jobs bear the name of the table that they are about."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from pyspark.sql import SparkSession
from totesys.runtime.spark_session import name_jobs


def test_each_threads_jobs_bear_the_name_that_the_thread_gave(spark: SparkSession) -> None:
    tracker = spark.sparkContext.statusTracker()

    def run(table: str) -> set[str]:
        name_jobs(spark, table)
        spark.sparkContext.setJobGroup(f"names {table}", "")
        assert spark.range(5).repartition(2).count() == 5
        jobs = [tracker.getJobInfo(job) for job in tracker.getJobIdsForGroup(f"names {table}")]
        stages = [tracker.getStageInfo(stage) for job in jobs if job for stage in job.stageIds]
        return {stage.name for stage in stages if stage}

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(run, ["address", "staff"])) == [{"address"}, {"staff"}]
