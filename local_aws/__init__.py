"""AWS on one machine: ministack, and the Glue engine, catalog calls and Athena rules that it lacks.

Start it with `python -m local_aws --port N --local-dir DIR [--schedule]`. Nothing in here is shipped to AWS, and nothing outside
this package knows that the machine is local: everything speaks to it through boto3, the AWS CLI or S3A.
"""
