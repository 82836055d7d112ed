"""The Spark session of transform and load: what the results depend on is set here, what the machine is like comes from outside."""

from __future__ import annotations

import logging

from pyspark.sql import SparkSession

# Master, JARs, memory and the S3 endpoint come from Glue, or from SPARK_CONF_DIR on a local machine.
_SETTINGS = {
    "spark.sql.ansi.enabled": "true",  # a cast or sum that does not fit fails instead of becoming null; the default of Spark 4
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",  # the default, INT96, has no statistics to prune by
    "spark.sql.parquet.inferTimestampNTZ.enabled": "false",  # a schema is always given; and all times are UTC
    # Dates before 1582-10-15 mean the same day in all databases and files here, which use the Gregorian calendar throughout. Spark's
    # default refuses to read and to write them, since Spark 2 counted them by the Julian calendar.
    "spark.sql.parquet.datetimeRebaseModeInRead": "CORRECTED",
    "spark.sql.parquet.datetimeRebaseModeInWrite": "CORRECTED",
    "spark.sql.parquet.int96RebaseModeInRead": "CORRECTED",
    "spark.sql.parquet.int96RebaseModeInWrite": "CORRECTED",
    "spark.sql.sources.partitionColumnTypeInference.enabled": "false",
    "spark.sql.streaming.fileStreamSink.ignoreMetadata": "true",  # no stream writes the lake: spares requests at each read
}


def spark_session(app_name: str) -> SparkSession:
    """The process's session, started if there is none."""
    logging.getLogger("py4j").setLevel(logging.WARNING)  # at INFO it tells of every thread that ends
    builder = SparkSession.builder.appName(app_name)
    for name, value in _SETTINGS.items():
        builder = builder.config(name, value)
    return builder.getOrCreate()


def name_jobs(spark: SparkSession, name: str) -> None:
    """Names the Spark jobs that this thread starts, for the Spark UI. Else each asks the stack, and all bear the same line of Py4J."""
    for form in ("callSite.short", "callSite.long"):
        spark.sparkContext.setLocalProperty(form, name)
