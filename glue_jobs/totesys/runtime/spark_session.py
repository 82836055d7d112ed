"""The Spark session of transform and load. Settings that change results are here; settings of the machine come from outside."""

from __future__ import annotations

import logging

from pyspark.sql import SparkSession

# Master, JARs, memory and the S3 endpoint come from Glue, or from SPARK_CONF_DIR on a local machine.
_SETTINGS = {
    "spark.sql.ansi.enabled": "true",  # a cast or sum that does not fit fails instead of becoming null; the default of Spark 4
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",  # the default, INT96, has no statistics to prune by
    "spark.sql.parquet.inferTimestampNTZ.enabled": "false",  # a schema is always given, and all times are UTC
    # All databases and files here use the Gregorian calendar, also for dates before 1582-10-15. Spark's default refuses to read or write
    # those dates, since Spark 2 used the Julian calendar for them.
    "spark.sql.parquet.datetimeRebaseModeInRead": "CORRECTED",
    "spark.sql.parquet.datetimeRebaseModeInWrite": "CORRECTED",
    "spark.sql.parquet.int96RebaseModeInRead": "CORRECTED",
    "spark.sql.parquet.int96RebaseModeInWrite": "CORRECTED",
    "spark.sql.sources.partitionColumnTypeInference.enabled": "false",
    "spark.sql.streaming.fileStreamSink.ignoreMetadata": "true",  # no stream writes the lake; saves requests at each read
}


def spark_session(app_name: str) -> SparkSession:
    """Return the process's session. Start one if there is none."""
    logging.getLogger("py4j").setLevel(logging.WARNING)  # at INFO it logs every thread that ends
    builder = SparkSession.builder.appName(app_name)
    for name, value in _SETTINGS.items():
        builder = builder.config(name, value)
    return builder.getOrCreate()


def name_jobs(spark: SparkSession, name: str) -> None:
    """Name the Spark jobs that this thread starts, for the Spark UI. By default all would show the same line of Py4J."""
    for form in ("callSite.short", "callSite.long"):
        spark.sparkContext.setLocalProperty(form, name)
