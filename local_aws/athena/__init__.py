"""Athena: ministack runs queries on DuckDB; here they follow Athena's rules for partitions, column types, views, parameters and results.

Where this Athena differs from AWS's:

- DuckDB answers, not Trino. Joins, windows and common functions agree. `date_parse` and `format_datetime` do not exist (`queries`).
- The scan limit of a work group is stored and never reached. No query costs anything, and work groups have no metrics.
- A column of an older partition is cast to the table's type if that loses nothing. For decimals this follows Trino's source code, and was
  not tried on Athena (`parquet.can_coerce`).
- A table that is not Parquet is read as ministack reads it (`queries.Relations`).
- A view's errors name no line and column, other than 1:1 (`views`).

ministack might take upstream: `parquet`, `views`, `queries`.
"""
