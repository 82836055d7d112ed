"""The ingest job: write the source's exact changes as typed Parquet, from one consistent snapshot per batch. It knows no star schema.

source        run SQL at totesys; no other module does
drift         compare a contract with the source's table
capture       decide, without side effects, between full read and delta, and what to remember
stream        turn COPY's output into Arrow record batches, in bounded memory
checks        find the rows that break their contract
dead_letters  store those rows where a person can read them
landing       write record batches as Parquet files into the bucket
keys, seen    store what the next batch needs to know about this one
table         read one table, land it and remember it
pending       announce pending batches
job           run everything, from the first lock to the announcement

Only `table` and the modules that it uses import pyarrow. A run that finds nothing new never loads pyarrow.
"""
