"""Run the ingest job (Glue Python shell, Python 3.9). It brings the source's changes into the ingestion bucket."""

import sys

from totesys.runtime.shipped import put_shipped_packages_first

if __name__ == "__main__":
    glues_boto3 = put_shipped_packages_first()
    from totesys.ingest.main import main
    from totesys.runtime.entry import run_job  # imported late: these modules import boto3

    run_job("ingest", main, sys.argv[1:], glues_boto3)
