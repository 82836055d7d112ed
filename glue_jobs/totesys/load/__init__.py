"""The load job: bring rows that were published since the last load from the lake into the warehouse, in one transaction.

It knows the warehouse's SQL and no source. Every S3 address comes from a publish's manifest.
"""
