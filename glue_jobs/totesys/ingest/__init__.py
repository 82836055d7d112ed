"""The ingest job: one consistent snapshot of the source per batch, exactly what changed, as typed Parquet. Knows no star and no warehouse.

source     the only module that speaks SQL to totesys
structure  what a contract says against what the source has
capture    decisions without side effects: full or delta, and what to remember
stream     COPY into Arrow record batches, in bounded memory
landing    record batches into Parquet files in the bucket
keys, seen what the next batch needs to know of this one
table      one table read, landed and remembered
job        the run from the first lock to the announcement

Only `table` and what it uses import pyarrow: a run that finds nothing new never loads it.
"""
