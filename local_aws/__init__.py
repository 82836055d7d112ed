"""AWS on one machine: ministack, and what it lacks for this project, in one folder per service.

Start it with `python -m local_aws --port N --local-dir DIR [--schedule]`. Nothing in here is shipped to AWS. Nothing outside this package
knows that the machine is local: everything speaks to it through boto3, the AWS CLI or S3A.

`server` is the launcher. `gateway` puts all parts into ministack. `seams` lists the internal names of ministack that the parts replace or
call. Each folder's docstring ends with a line "ministack might take upstream: ...".
"""
