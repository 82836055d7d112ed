"""Glue: ministack stores definitions; here workflows run, triggers fire, jobs are processes, and the catalog keeps versions and partitions.

ministack might take upstream: `catalog`, `partitions`, `cron`, `triggers`, `graph`, `workflows`, `scheduler`. The others depend on how this
project runs jobs and Spark.
"""
