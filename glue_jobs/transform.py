"""Run the transform job (Glue Spark). It merges pending batches into the mirror and the three stars in the processed bucket."""

import sys

from totesys.runtime.shipped import put_shipped_packages_first

if __name__ == "__main__":
    glues_boto3 = put_shipped_packages_first()
    from totesys.runtime.entry import run_job  # imported late: these modules import boto3
    from totesys.transform.main import main

    run_job("transform", main, sys.argv[1:], glues_boto3)
