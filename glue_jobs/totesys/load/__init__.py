"""The load: what publishes brought since the last load goes from the lake into the warehouse, in one transaction.

Knows the warehouse's SQL and no source; every S3 address comes from a publish's manifest.
"""
