"""Run the load job (Glue Spark). It loads published rows into the warehouse, all eleven tables in one transaction."""

import sys

from totesys.runtime.shipped import put_shipped_packages_first

if __name__ == "__main__":
    glues_boto3 = put_shipped_packages_first()
    from totesys.load.main import main
    from totesys.runtime.entry import run_job  # imported late: these modules import boto3

    run_job("load", main, sys.argv[1:], glues_boto3)
